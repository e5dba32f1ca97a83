//! Sets the logs up and holds what keeps them going.
use crate::{
    FileSettings, LevelError, LogSettings,
    layer::{LogLayer, Sink},
    level,
    rotate::RotatingFile,
};
use chrono::Utc;
use std::{
    env, fmt,
    io::{self, IsTerminal as _},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};
use tracing::Subscriber;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    Layer as _, Registry, filter::Targets, fmt::writer::BoxMakeWriter, layer::SubscriberExt as _, reload,
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
    file: Option<(WorkerGuard, ErrorCounter)>,
}

/// Changes the level at run time. Cheap to clone; hand it to whoever reads the configuration.
#[derive(Clone)]
pub struct LevelHandle {
    filter: reload::Handle<Targets, Registry>,
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

/// Everything but the step that can be done only once.
pub(crate) fn build(
    settings: LogSettings,
    stderr: Sink,
) -> Result<(impl Subscriber + Send + Sync + 'static, Telemetry), InitError> {
    let filter = level::parse(&settings.level).map_err(|source| InitError::Level { source })?;
    let mut sinks = vec![stderr];
    let mut file = None;
    if let Some(of_file) = settings.file {
        let (sink, guard, dropped) = file_sink(of_file)?;
        sinks.push(sink);
        file = Some((guard, dropped));
    }
    let layer = LogLayer {
        format: settings.format,
        service: settings.service,
        agent_id: settings.agent_id,
        sinks,
    };
    // The filter belongs to this layer alone: one for traces decides for itself.
    let (filter, handle) = reload::Layer::new(filter);
    let level = LevelHandle {
        filter: handle,
        current: Arc::new(Mutex::new(settings.level)),
    };
    Ok((
        Registry::default().with(layer.with_filter(filter)),
        Telemetry { level, file },
    ))
}

fn file_sink(settings: FileSettings) -> Result<(Sink, WorkerGuard, ErrorCounter), InitError> {
    let path = settings.path.clone();
    let file = RotatingFile::open(settings, Utc::now()).map_err(|source| InitError::File { path, source })?;
    // Lossy: a disk that hangs must not hang the program. What is lost is counted.
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .thread_name("log-file")
        .finish(file);
    let dropped = writer.error_counter();
    let sink = Sink {
        writer: BoxMakeWriter::new(writer),
        color: false,
    };
    Ok((sink, guard, dropped))
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

    /// How many lines the file missed because it could not keep up.
    pub fn dropped_lines(&self) -> u64 {
        self.file
            .as_ref()
            .map_or(0, |(_, dropped)| dropped.dropped_lines() as u64)
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
