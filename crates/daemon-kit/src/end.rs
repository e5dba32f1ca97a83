//! How a task ended: well, with an error, or with a panic.

use crate::supervisor::SuperviseError;
use std::any::Any;
use tokio::task::{Id, JoinError};
use tracing::error;

pub(crate) enum End {
    Well,
    Failed(Failure),
}

pub(crate) enum Failure {
    Error(anyhow::Error),
    Panic(String),
}

impl End {
    pub(crate) fn of(ended: Result<(Id, anyhow::Result<()>), JoinError>) -> Self {
        match ended {
            Ok((_, Ok(()))) => Self::Well,
            Ok((_, Err(error))) => Self::Failed(Failure::Error(error)),
            Err(error) => match error.try_into_panic() {
                Ok(payload) => Self::Failed(Failure::Panic(panic_text(&*payload))),
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
            Self::Panic(text) => format!("panicked: {text}"),
        }
    }

    pub(crate) fn into_error(self, task: &str) -> SuperviseError {
        let task = task.to_owned();
        match self {
            Self::Error(source) => SuperviseError::Failed { task, source },
            Self::Panic(text) => SuperviseError::Panicked { task, text },
        }
    }
}

fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "without a text".to_owned())
}

/// Has every panic of the process logged with its place and the span of its task, in place of the bare lines on
/// standard error. Call it once, after the log is set up.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let text = info.payload_as_str().unwrap_or("without a text");
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        error!(place, "panic: {text}");
    }));
}
