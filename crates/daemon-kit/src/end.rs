//! How a task ended: well, with an error, or with a panic.

use crate::supervisor::SuperviseError;
use std::{
    any::Any,
    backtrace::{Backtrace, BacktraceStatus},
    io::IsTerminal,
    panic,
    sync::{Arc, Mutex, Once, PoisonError},
};
use tokio::task::{Id, JoinError};
use tracing::{Level, error};

pub(crate) enum End {
    Well,
    Failed(Failure),
}

pub(crate) enum Failure {
    Error(anyhow::Error),
    Panic { text: String, place: Option<String> },
}

/// A supervised task as the panic hook sees it.
#[derive(Debug)]
pub(crate) struct Supervised {
    name: Arc<str>,
    panicked_at: Mutex<Option<String>>,
}

tokio::task_local! {
    /// The task that is at work on this thread. A panic's payload does not tell its place, and the hook, which knows
    /// it, does not know whose panic it is: they meet here.
    pub(crate) static CURRENT: Arc<Supervised>;
}

impl Supervised {
    pub(crate) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            panicked_at: Mutex::default(),
        }
    }

    fn place(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.panicked_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl End {
    pub(crate) fn of(ended: Result<(Id, anyhow::Result<()>), JoinError>, task: &Supervised) -> Self {
        match ended {
            Ok((_, Ok(()))) => Self::Well,
            Ok((_, Err(error))) => Self::Failed(Failure::Error(error)),
            Err(error) => match error.try_into_panic() {
                Ok(payload) => Self::Failed(Failure::Panic {
                    text: panic_text(&*payload),
                    place: task.place().take(),
                }),
                // Only the end of the supervisor itself cancels a task, and then nobody asks.
                Err(_) => Self::Well,
            },
        }
    }
}

impl Failure {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Error(error) => format!("{error:#}"),
            Self::Panic { text, place: None } => format!("panicked: {text}"),
            Self::Panic {
                text,
                place: Some(place),
            } => format!("panicked at {place}: {text}"),
        }
    }

    pub(crate) fn into_error(self, task: &str) -> SuperviseError {
        let task = task.to_owned();
        match self {
            Self::Error(source) => SuperviseError::Failed { task, source },
            Self::Panic { text, place } => SuperviseError::Panicked {
                task,
                text,
                place: place.unwrap_or_else(|| "an unknown place".to_owned()),
            },
        }
    }
}

fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "without a text".to_owned())
}

/// Has every panic of the process logged with its place and the name of its task, with a backtrace where
/// `RUST_BACKTRACE` asks for one, in place of the bare lines on standard error. Where the log takes no errors, the
/// lines on standard error stay. Call it once the log is set up; a second call changes nothing.
///
/// [`CommonArgs::begin`](crate::cli::CommonArgs::begin) calls it.
pub fn log_panics() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            let task = CURRENT.try_with(|task| {
                *task.place() = Some(place.clone());
                Arc::clone(&task.name)
            });
            if !tracing::enabled!(Level::ERROR) {
                return before(info);
            }
            let text = info.payload_as_str().unwrap_or("without a text");
            let task = task.as_deref().unwrap_or("none");
            let backtrace = Backtrace::capture();
            match backtrace.status() {
                BacktraceStatus::Captured => error!(task, place, %backtrace, "panic: {text}"),
                _ => error!(task, place, "panic: {text}"),
            }
        }));
    });
}

/// Whether `stream` is a terminal whose user has not declined colours (<https://no-color.org>: set and not empty).
pub(crate) fn wants_color(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
