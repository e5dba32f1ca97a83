//! What a fleet controller can have this agent do: `scan`, `stop`, `restart`. It can name no path and no program.
use crate::{health::Health, report::Report};
use fleet_link::{
    CommandContext, CommandError, Verb, Verbs,
    agent::{AgentOrders, Ended, Reply, Work, reply},
};
use fsscan::Summary;
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::Span;

/// A scan that was asked for.
pub(crate) struct Asked {
    /// The command's, whose trace the scan belongs to.
    span: Span,
    cancel: CancellationToken,
    reply: Reply,
}

/// Where commands and the loop of scans meet. Clones are the same.
#[derive(Clone)]
pub(crate) struct Orders(Arc<Inner>);

struct Inner {
    asked: Mutex<Vec<Asked>>,
    wake: Arc<Notify>,
    /// How the last scan since the start ended.
    last: watch::Sender<Option<Result<Ended, String>>>,
    /// What every agent can be told.
    every: AgentOrders,
}

impl Orders {
    /// `wake` wakes the loop of scans, `every` is what every agent can be told.
    pub(crate) fn new(wake: Arc<Notify>, every: AgentOrders) -> Self {
        Self(Arc::new(Inner {
            asked: Mutex::default(),
            wake,
            last: watch::Sender::new(None),
            every,
        }))
    }

    /// The scans that were asked for since the last call and are still wanted.
    pub(crate) fn take(&self) -> Vec<Asked> {
        let mut asked = self.0.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let mut asked = std::mem::take(&mut *asked);
        asked.retain(|asked| !asked.cancel.is_cancelled());
        asked
    }

    /// A scan begins.
    pub(crate) fn begin(&self) -> Work {
        self.0.every.begin()
    }

    /// It has ended.
    pub(crate) fn ended(&self, work: Work, scanned: &anyhow::Result<Summary>) {
        drop(work);
        self.0.last.send_replace(Some(outcome(scanned)));
    }

    /// Waits until the scan that lasts is wanted no longer: by `stop`, or because the command was cancelled.
    pub(crate) async fn scan_unwanted(&self, work: &Work, asked: &[Asked]) {
        let cancelled = async {
            match asked.first() {
                Some(asked) => asked.cancel.cancelled().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = work.stopped() => tracing::info!("the scan is stopped, as the controller asked"),
            () = cancelled => {}
        }
    }

    /// What the agent can be told to do.
    pub(crate) fn verbs(&self, health: &Arc<Health>) -> Verbs {
        let (scan, health) = (self.clone(), Arc::clone(health));
        self.0.every.verbs().with(
            "scan",
            Verb::new(move |args, context| scan.clone().scan(args, Arc::clone(&health), context))
                // What a scan has found is stored: to go on from there is the same scan.
                .idempotent(),
        )
    }

    async fn scan(self, args: Value, health: Arc<Health>, context: CommandContext) -> Result<Value, CommandError> {
        if args.as_object().is_some_and(|args| !args.is_empty()) {
            return Err(CommandError::invalid_args(
                "a scan is always of all scan paths: `scan` takes no arguments",
            ));
        }
        if let Some(done) = self.done_since_the_start(&context).await {
            return done;
        }
        let (reply, awaited) = reply();
        let asked = Asked {
            span: Span::current(),
            cancel: context.cancel.clone(),
            reply,
        };
        self.0.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
        self.0.wake.notify_one();
        let stopped = "the scan was stopped before its end; the next one goes on from there";
        awaited
            .end(&context, "scan_failed", stopped, || {
                if let Some((files, before)) = health.files_so_far().filter(|_| self.0.every.is_working()) {
                    let text = if before.is_some() {
                        "files looked at, of those of the last scan"
                    } else {
                        "files looked at"
                    };
                    context.progress.tell(files, before, text);
                }
            })
            .await
    }

    /// The result of a scan since the start, for a command that was begun before it: the scan that a restart cut off goes on
    /// by itself, and a command that asked for it is answered by its end. Where none lasts or has ended, another is made.
    async fn done_since_the_start(&self, context: &CommandContext) -> Option<Result<Value, CommandError>> {
        if !context.is_again {
            return None;
        }
        let mut last = self.0.last.subscribe();
        if self.0.every.is_working() {
            tokio::select! {
                changed = last.changed() => changed.ok()?,
                () = context.cancel.cancelled() => return None,
            }
        }
        match last.borrow().clone()? {
            Ok(ended) if !ended.was_stopped => Some(Ok(ended.report)),
            _ => None,
        }
    }
}

/// How a scan ended, for whoever asked.
fn outcome(scanned: &anyhow::Result<Summary>) -> Result<Ended, String> {
    match scanned {
        Ok(summary) => match serde_json::to_value(Report::new(summary)) {
            Ok(report) => Ok(Ended {
                was_stopped: summary.stopped,
                report,
            }),
            Err(error) => Err(error.to_string()),
        },
        Err(error) => Err(format!("{error:#}")),
    }
}

impl Asked {
    /// The span of the command that asked.
    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    /// Tells whoever asked how the scan ended.
    pub(crate) fn ended(self, scanned: &anyhow::Result<Summary>) {
        self.reply.ended(outcome(scanned));
    }
}
