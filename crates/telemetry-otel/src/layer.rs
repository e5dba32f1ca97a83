//! The layer between `tracing` and the places that lines go to.
use crate::{
    Format, Signal,
    fields::Fields,
    line::Record,
    otlp::{self, EXPORT, Run, Slot},
    writer::Losses,
};
use chrono::Utc;
use std::io::Write as _;
use tracing::{
    Event, Level, Metadata, Subscriber,
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
    /// Of the file, where there is one.
    pub(crate) losses: Option<Losses>,
    /// Where lines go besides, once that is known.
    pub(crate) slot: Slot,
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
        let mut run = None;
        let mut is_of_export = false;
        let level = *event.metadata().level();
        for span in context.event_scope(event).into_iter().flat_map(Scope::from_root) {
            is_of_export |= span.metadata().target() == EXPORT;
            let extensions = span.extensions();
            if let Some(of_span) = extensions.get::<Fields>() {
                of_span
                    .values
                    .iter()
                    .for_each(|(name, value)| fields.set(name, value.clone()));
            }
            run = extensions.get::<Run>().cloned().or(run);
        }
        event.record(&mut fields);
        let component = self.component(event.metadata(), &mut fields);
        let time = Utc::now();
        if level == Level::ERROR && run.is_some() {
            mark_failed(event, &context, &fields.message);
        }
        // Each sending would otherwise make something to send.
        if let Some(exporter) = self
            .slot
            .get()
            .filter(|exporter| !is_of_export && exporter.has(Signal::Logs))
        {
            exporter.log(otlp::log_record(time, level, &component, &fields, run.as_ref()));
        }
        if let Some(run) = run {
            fields.set("trace_id", otlp::hex(&run.trace_id).into());
            fields.set("span_id", otlp::hex(&run.span_id).into());
        }
        self.write(&Record {
            time,
            level,
            component: &component,
            agent_id: self.agent_id.as_deref(),
            fields: &fields,
        });
        self.tell_losses();
    }
}

/// The innermost run around `event` failed with its message, unless it failed before.
fn mark_failed<S: Subscriber + for<'a> LookupSpan<'a>>(event: &Event<'_>, context: &Context<'_, S>, message: &str) {
    for span in context.event_scope(event).into_iter().flatten() {
        if let Some(run) = span.extensions_mut().get_mut::<Run>() {
            run.error.get_or_insert_with(|| message.to_owned());
            return;
        }
    }
}

impl LogLayer {
    fn write(&self, record: &Record<'_>) {
        for sink in &self.sinks {
            let line = record.render(self.format, sink.color);
            // A log that cannot be written must not stop the program, and there is nowhere left to tell.
            sink.writer.make_writer().write_all(line.as_bytes()).ok();
        }
    }

    /// Says in the log itself that lines are missing from the file.
    fn tell_losses(&self) {
        let time = Utc::now();
        let Some(lines) = self.losses.as_ref().and_then(|losses| losses.news(time)) else {
            return;
        };
        let mut fields = Fields::default();
        "lines are missing from the log file: it could not be written, or not fast enough"
            .clone_into(&mut fields.message);
        fields.set("lines", lines.into());
        self.write(&Record {
            time,
            level: Level::WARN,
            component: &self.service,
            agent_id: self.agent_id.as_deref(),
            fields: &fields,
        });
    }

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
