//! The layer between `tracing` and the places that lines go to.
use crate::{Format, fields::Fields, line::Record};
use chrono::Utc;
use std::io::Write as _;
use tracing::{
    Event, Metadata, Subscriber,
    span::{Attributes, Id, Record as SpanRecord},
};
use tracing_subscriber::{
    Layer,
    fmt::{MakeWriter, writer::BoxMakeWriter},
    layer::Context,
    registry::{LookupSpan, Scope},
};

/// One place that lines go to.
pub(crate) struct Sink {
    pub(crate) writer: BoxMakeWriter,
    pub(crate) color: bool,
}

pub(crate) struct LogLayer {
    pub(crate) format: Format,
    /// The component of events without a target.
    pub(crate) service: String,
    pub(crate) agent_id: Option<String>,
    pub(crate) sinks: Vec<Sink>,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &SpanRecord<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        for span in context.event_scope(event).into_iter().flat_map(Scope::from_root) {
            if let Some(of_span) = span.extensions().get::<Fields>() {
                of_span
                    .values
                    .iter()
                    .for_each(|(name, value)| fields.set(name, value.clone()));
            }
        }
        event.record(&mut fields);
        let component = self.component(event.metadata(), &mut fields);
        let record = Record {
            time: Utc::now(),
            level: *event.metadata().level(),
            component: &component,
            agent_id: self.agent_id.as_deref(),
            fields: &fields,
        };
        for sink in &self.sinks {
            let line = record.render(self.format, sink.color);
            // A log that cannot be written must not stop the program, and there is nowhere left to tell.
            sink.writer.make_writer().write_all(line.as_bytes()).ok();
        }
    }
}

impl LogLayer {
    /// Which part of the program speaks: the field `component`, else the crate that the event comes from.
    fn component(&self, metadata: &Metadata<'_>, fields: &mut Fields) -> String {
        // Lines of the `log` crate say in fields what tracing says in metadata.
        let logged_by = fields.take_text("log.target");
        fields.values.retain(|(name, _)| !name.starts_with("log."));
        if let Some(component) = fields.take_text("component") {
            return component;
        }
        let target = logged_by.as_deref().unwrap_or(metadata.target());
        let name = target.split("::").next().unwrap_or(target).replace('_', "-");
        if name.is_empty() { self.service.clone() } else { name }
    }
}
