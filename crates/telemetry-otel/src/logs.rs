//! Sets the logs up and holds what keeps them going.
use crate::{
    Exporter, FileSettings, LevelError, LogSettings,
    layer::{LogLayer, Sink},
    level::{self, Lines},
    otlp::{RunLayer, Slot, is_run},
    rotate::RotatingFile,
    writer::{FileThread, Losses},
};
use chrono::Utc;
use std::{
    env, fmt,
    io::{self, IsTerminal as _},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer as _, Registry, filter::filter_fn, fmt::writer::BoxMakeWriter, layer::SubscriberExt as _, reload,
    util::SubscriberInitExt as _,
};

/// Why the logs could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The level is none.
    #[error("the logs could not be set up")]
    Level {
        /// Which word, and what is allowed.
        source: LevelError,
    },
    /// The file cannot be opened.
    #[error("could not open the log file `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody did it before.
    #[error("the logs of this process are set up already")]
    Already,
}

/// Keeps the logs going. Lines that are not written yet are written when it is dropped, so hold it until the end of
/// `main`.
#[must_use = "dropping it ends the log file"]
pub struct Telemetry {
    level: LevelHandle,
    file: Option<FileThread>,
    slot: Slot,
}

/// Changes the level at run time. Cheap to clone; hand it to whoever reads the configuration.
#[derive(Clone)]
pub struct LevelHandle {
    filter: reload::Handle<Lines, Registry>,
    current: Arc<Mutex<String>>,
}

/// Sets up the logs of this process: everything that `tracing` (and the `log` crate) is told from now on goes to
/// stderr and to the file, never to stdout. Once per process.
pub fn init(settings: LogSettings) -> Result<Telemetry, InitError> {
    let color = settings
        .color
        .unwrap_or_else(|| io::stderr().is_terminal() && !no_color());
    let stderr = Sink {
        writer: BoxMakeWriter::new(io::stderr),
        color,
    };
    let (subscriber, telemetry) = build(settings, stderr)?;
    subscriber.try_init().map_err(|_| InitError::Already)?;
    Ok(telemetry)
}

/// The same for a part of a process, such as one thread of a test: a subscriber for
/// [`tracing::subscriber::with_default`] and its like, and nothing global. The `log` crate does not reach it.
pub fn subscriber(settings: LogSettings) -> Result<(impl Subscriber + Send + Sync + 'static, Telemetry), InitError> {
    let stderr = Sink {
        writer: BoxMakeWriter::new(io::stderr),
        color: settings.color.unwrap_or(false),
    };
    build(settings, stderr)
}

/// Everything but the step that can be done only once.
pub(crate) fn build(
    settings: LogSettings,
    stderr: Sink,
) -> Result<(impl Subscriber + Send + Sync + 'static, Telemetry), InitError> {
    let filter = level::parse(&settings.level).map_err(|source| InitError::Level { source })?;
    let mut sinks = vec![stderr];
    let mut file = None;
    if let Some(of_file) = settings.file {
        let (sink, thread) = file_sink(of_file)?;
        sinks.push(sink);
        file = Some(thread);
    }
    let slot = Slot::default();
    let layer = LogLayer {
        format: settings.format,
        service: settings.service,
        agent_id: settings.agent_id,
        sinks,
        losses: file.as_ref().map(FileThread::losses),
        slot: Arc::clone(&slot),
    };
    let runs = RunLayer {
        slot: Arc::clone(&slot),
    };
    let only_runs = filter_fn(is_run).with_max_level_hint(LevelFilter::INFO);
    // The filter belongs to this layer alone: one for traces decides for itself.
    let (filter, handle) = reload::Layer::new(filter);
    let level = LevelHandle {
        filter: handle,
        current: Arc::new(Mutex::new(settings.level)),
    };
    Ok((
        Registry::default()
            .with(layer.with_filter(filter))
            .with(runs.with_filter(only_runs)),
        Telemetry { level, file, slot },
    ))
}

fn file_sink(settings: FileSettings) -> Result<(Sink, FileThread), InitError> {
    let path = settings.path.clone();
    let opened = RotatingFile::open(settings, Utc::now()).and_then(FileThread::start);
    let thread = opened.map_err(|source| InitError::File { path, source })?;
    let lines = thread.lines();
    let sink = Sink {
        writer: BoxMakeWriter::new(move || lines.clone()),
        color: false,
    };
    Ok((sink, thread))
}

/// As <https://no-color.org> has it: set and not empty.
fn no_color() -> bool {
    env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

impl Telemetry {
    /// Changes the level from now on; on an error the old one stays.
    pub fn set_level(&self, level: &str) -> Result<(), LevelError> {
        self.level.set(level)
    }

    /// A handle that does the same, for other tasks.
    pub fn level(&self) -> LevelHandle {
        self.level.clone()
    }

    /// How many lines the file missed because it could not be written, or not fast enough. The log says so too.
    pub fn dropped_lines(&self) -> u64 {
        self.losses().map_or(0, |losses| losses.lines())
    }

    /// Counts [dropped lines](Telemetry::dropped_lines) elsewhere than here, such as in a metric.
    pub(crate) fn losses(&self) -> Option<Losses> {
        self.file.as_ref().map(FileThread::losses)
    }

    /// From now on, lines and runs (spans of the target [`RUN`](crate::RUN)) are recorded for `exporter` too, and lines
    /// logged inside a run carry its `trace_id` and `span_id`. Once: `false` where there is an exporter already.
    pub fn export(&self, exporter: &Exporter) -> bool {
        self.slot.set(exporter.clone()).is_ok()
    }
}

impl LevelHandle {
    /// Changes the level from now on; on an error the old one stays.
    pub fn set(&self, level: &str) -> Result<(), LevelError> {
        let filter = level::parse(level)?;
        self.filter.reload(filter).map_err(|_| LevelError::Gone)?;
        level.clone_into(&mut self.current.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }

    /// The level as it was last set.
    pub fn get(&self) -> String {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for LevelHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LevelHandle").field(&self.get()).finish()
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Telemetry");
        shown
            .field("level", &self.level)
            .field("file", &self.file.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests;
