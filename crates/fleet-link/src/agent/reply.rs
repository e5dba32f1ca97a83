//! How work that a command asked for ends: from the loop that does it to the command, which waits.
use crate::{CommandContext, CommandError};
use serde_json::Value;
use std::time::Duration;
use tokio::{sync::oneshot, time};

/// How often a command tells how far the work is.
const TELL: Duration = Duration::from_secs(1);

/// How work ended that somebody had asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// Whether it was stopped before its end.
    pub was_stopped: bool,
    /// What came of it.
    pub report: Value,
}

/// For who does the work. Dropped, the work was not begun, or the agent ends.
#[derive(Debug)]
pub struct Reply(oneshot::Sender<Result<Ended, String>>);

/// For the command that waits.
#[derive(Debug)]
pub struct Awaited(oneshot::Receiver<Result<Ended, String>>);

/// Both sides of work that a command asks for.
pub fn reply() -> (Reply, Awaited) {
    let (reply, awaited) = oneshot::channel();
    (Reply(reply), Awaited(awaited))
}

impl Reply {
    /// Tells whoever asked how the work ended, or why it failed.
    pub fn ended(self, ended: Result<Ended, String>) {
        // Nobody waits any longer where the link ended meanwhile: the journal knows.
        let _ = self.0.send(ended);
    }
}

impl Awaited {
    /// Waits for the end, and makes of it what the command answers: `failed` is the code of work that failed, `stopped`
    /// says what it means that it was stopped. `tell` is called every second, to tell how far it is.
    ///
    /// # Errors
    /// When the work failed, was stopped or not begun, or the command was cancelled.
    pub async fn end(
        mut self,
        context: &CommandContext,
        failed: &str,
        stopped: &str,
        tell: impl Fn(),
    ) -> Result<Value, CommandError> {
        let mut clock = time::interval(TELL);
        let ended = loop {
            tokio::select! {
                ended = &mut self.0 => break ended,
                _ = clock.tick() => tell(),
            }
        };
        match ended {
            Ok(Ok(Ended { report, was_stopped })) if !was_stopped => Ok(report),
            Ok(Ok(Ended { report, .. })) if context.cancel.is_cancelled() => {
                Err(CommandError::Cancelled { body: report })
            }
            Ok(Ok(Ended { report, .. })) => Err(CommandError::Failed {
                code: "stopped".to_owned(),
                detail: stopped.to_owned(),
                body: report,
            }),
            Ok(Err(why)) => Err(CommandError::failed(failed, why)),
            Err(_) => Err(CommandError::cancelled()),
        }
    }
}
