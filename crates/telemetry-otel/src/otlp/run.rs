//! Runs: spans that become traces, and lend their ids to the lines logged inside them.
use super::{RUN, Slot, attributes, encode::nanos};
use crate::{Signal, fields::Fields};
use opentelemetry_proto::tonic::trace::v1::{Span, Status, span::SpanKind, status::StatusCode};
use std::{fmt::Write as _, time::SystemTime};
use tracing::{
    Metadata, Subscriber,
    span::{Attributes, Id},
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

/// Whether it is a span of a run.
pub(crate) fn is_run(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target() == RUN
}

/// What a run's span carries.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) trace_id: [u8; 16],
    pub(crate) span_id: [u8; 8],
    parent: Option<[u8; 8]>,
    started: SystemTime,
    /// The first error that was logged inside it.
    pub(crate) error: Option<String>,
}

impl Run {
    /// A run within `parent`, or one that begins a trace. `None` where the system has no randomness: ids that meet
    /// others are worse than none.
    fn begin(parent: Option<&Self>, now: SystemTime) -> Option<Self> {
        let mut ids = [0; 24];
        getrandom::fill(&mut ids).ok()?;
        let (trace, span) = ids.split_at(16);
        let (trace, span): ([u8; 16], [u8; 8]) = (trace.try_into().ok()?, span.try_into().ok()?);
        // An id of zeros means that there is none.
        (trace != [0; 16] && span != [0; 8]).then(|| Self {
            trace_id: parent.map_or(trace, |parent| parent.trace_id),
            span_id: span,
            parent: parent.map(|parent| parent.span_id),
            started: now,
            error: None,
        })
    }

    fn end(self, name: &str, fields: &Fields, now: SystemTime) -> Span {
        let attributes = fields.values.iter().map(|(name, value)| attributes::json(name, value));
        let status = self.error.map(|message| Status {
            message,
            code: StatusCode::Error.into(),
        });
        let start = nanos(self.started);
        Span {
            trace_id: self.trace_id.to_vec(),
            span_id: self.span_id.to_vec(),
            parent_span_id: self.parent.map(Vec::from).unwrap_or_default(),
            name: name.to_owned(),
            kind: SpanKind::Internal.into(),
            start_time_unix_nano: start,
            // A clock that was set back meanwhile makes no run end before it began.
            end_time_unix_nano: nanos(now).max(start),
            attributes: attributes.collect(),
            status,
            ..Span::default()
        }
    }
}

/// Lower-case hexadecimal, as traces are looked up.
pub(crate) fn hex(id: &[u8]) -> String {
    id.iter().fold(String::with_capacity(id.len() * 2), |mut text, byte| {
        // Writing to a `String` cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

/// Begins and ends runs, while traces are exported.
pub(crate) struct RunLayer {
    pub(crate) slot: Slot,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for RunLayer {
    fn on_new_span(&self, _: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if !self.slot.get().is_some_and(|exporter| exporter.has(Signal::Traces)) {
            return;
        }
        let Some(span) = context.span(id) else { return };
        let parent = span
            .scope()
            .skip(1)
            .find_map(|outer| outer.extensions().get::<Run>().cloned());
        if let Some(run) = Run::begin(parent.as_ref(), SystemTime::now()) {
            span.extensions_mut().insert(run);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let (Some(exporter), Some(span)) = (self.slot.get(), context.span(&id)) else {
            return;
        };
        let run = span.extensions_mut().remove::<Run>();
        if let Some(run) = run {
            let fields = span.extensions().get::<Fields>().cloned().unwrap_or_default();
            exporter.span(run.end(span.name(), &fields, SystemTime::now()));
        }
    }
}
