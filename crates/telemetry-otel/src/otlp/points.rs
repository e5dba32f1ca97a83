//! Reads metrics as they stand, for OTLP: the same instruments, names and labels as `/metrics` has.
use super::attributes;
use crate::Labels;
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::KeyValue,
    metrics::v1::{Metric, ScopeMetrics, metric::Data},
};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    metrics::{InstrumentKind, ManualReader, Pipeline, Temporality, data::ResourceMetrics, reader::MetricReader},
};
use std::{
    sync::{Arc, Weak},
    time::Duration,
};

/// Reads on demand; the provider has one clone and the exporter another. Cumulative, so that a row that is lost or sent
/// twice does no harm.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    reader: Arc<ManualReader>,
    /// Labels on every series.
    constant: Vec<KeyValue>,
}

/// A reader whose series all have these labels.
pub(crate) fn reader(constant: Labels<'_>) -> Reader {
    let reader = ManualReader::builder().with_temporality(Temporality::Cumulative);
    Reader {
        reader: Arc::new(reader.build()),
        constant: constant
            .iter()
            .map(|(name, value)| attributes::text(name, value))
            .collect(),
    }
}

impl Reader {
    /// Everything as it stands; nothing where the metrics are gone.
    pub(crate) fn read(&self) -> Vec<ScopeMetrics> {
        let mut all = ResourceMetrics::default();
        if self.reader.collect(&mut all).is_err() {
            return Vec::new();
        }
        let request = ExportMetricsServiceRequest::from(&all);
        let scopes = request.resource_metrics.into_iter().flat_map(|all| all.scope_metrics);
        let with_labels = |mut scope: ScopeMetrics| {
            scope.metrics.retain_mut(|metric| self.complete(metric));
            scope
        };
        scopes
            .map(with_labels)
            .filter(|scope| !scope.metrics.is_empty())
            .collect()
    }

    /// Adds the constant labels; `false` for a metric that has no series.
    fn complete(&self, metric: &mut Metric) -> bool {
        let points: Vec<&mut Vec<KeyValue>> = match &mut metric.data {
            Some(Data::Gauge(gauge)) => gauge
                .data_points
                .iter_mut()
                .map(|point| &mut point.attributes)
                .collect(),
            Some(Data::Sum(sum)) => sum.data_points.iter_mut().map(|point| &mut point.attributes).collect(),
            Some(Data::Histogram(all)) => all.data_points.iter_mut().map(|point| &mut point.attributes).collect(),
            Some(Data::ExponentialHistogram(all)) => {
                all.data_points.iter_mut().map(|point| &mut point.attributes).collect()
            }
            Some(Data::Summary(all)) => all.data_points.iter_mut().map(|point| &mut point.attributes).collect(),
            None => Vec::new(),
        };
        let has_any = !points.is_empty();
        for attributes in points {
            attributes.extend(self.constant.iter().cloned());
        }
        has_any
    }
}

impl MetricReader for Reader {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.reader.register_pipeline(pipeline);
    }

    fn collect(&self, all: &mut ResourceMetrics) -> OTelSdkResult {
        self.reader.collect(all)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.reader.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.reader.shutdown_with_timeout(timeout)
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.reader.temporality(kind)
    }
}
