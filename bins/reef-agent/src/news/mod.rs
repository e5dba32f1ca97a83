//! What happens with malware on its way to whoever is to hear of it: from wherever it happens to one task, which writes
//! it down and tells it.
mod pending;
mod seen;
mod teller;
#[cfg(test)]
mod tests;

pub(crate) use teller::Teller;

use chrono::{DateTime, Utc};
use daemon_kit::{bell::Bell, blocking};
use fleet_link::agent::Linked;
use fleet_wire::{Detection, MalwareRecord, Outcome};
use pending::Pending;
use seen::Seen;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    time::{self, Instant},
};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// So many are heard at once.
const AT_ONCE: usize = 256;

enum News {
    Happened(DateTime<Utc>, Box<MalwareRecord>),
    /// Answered once all that was sent before is written down.
    Flush(oneshot::Sender<()>),
}

/// Where it is sent to. Clones are the same.
#[derive(Clone)]
pub(crate) struct Reporter {
    // A detection must not wait for a disk inside of a scan; there are as many as there is malware.
    sender: mpsc::UnboundedSender<News>,
    at_work: TaskTracker,
    closing: CancellationToken,
}

impl Reporter {
    /// Whoever may report holds this: the desk hears of it until the last one is dropped, also when the agent ends. None
    /// when it ends already: of what begins now nobody would hear.
    pub(crate) fn hold(&self) -> Option<TaskTrackerToken> {
        // The desk says that it closes before it looks who is at work: one of both sees the other.
        let token = self.at_work.token();
        (!self.closing.is_cancelled()).then_some(token)
    }

    /// Something has happened.
    pub(crate) fn report(&self, at: DateTime<Utc>, record: MalwareRecord) {
        // The receiver lives as long as the agent.
        let _ = self.sender.send(News::Happened(at, Box::new(record)));
    }

    /// Waits until all that was reported before is written down, or that failed; for whoever [holds](Self::hold) it.
    pub(crate) async fn flushed(&self) {
        let (done, wait) = oneshot::channel();
        if self.sender.send(News::Flush(done)).is_ok() {
            let _ = wait.await;
        }
    }
}

struct Receiver {
    news: mpsc::UnboundedReceiver<News>,
    /// Made when it is first needed; it outlives a task that fails.
    known: Option<Known>,
}

struct Known {
    seen: Seen,
    pending: Pending,
}

/// The task that hears of it.
pub(crate) struct Desk {
    receiver: Mutex<Receiver>,
    at_work: TaskTracker,
    /// Cancelled when it ends as soon as nobody is at work.
    closing: CancellationToken,
    teller: Teller,
    /// The server's side: it says when it wants everything told anew, and hears that there is something to deliver.
    linked: Linked,
    /// Rung when another process has written something down.
    bell: PathBuf,
}

/// The bell beside the state.
pub(crate) fn bell(state: &Path) -> PathBuf {
    let mut name = state.as_os_str().to_owned();
    name.push(".bell");
    name.into()
}

/// Both ends.
pub(crate) fn desk(teller: Teller, linked: Linked, state: &Path) -> (Reporter, Desk) {
    let (sender, receiver) = mpsc::unbounded_channel();
    // Closed from the first: it is only waited for at the end.
    let at_work = TaskTracker::new();
    at_work.close();
    let closing = CancellationToken::new();
    let desk = Desk {
        receiver: Mutex::new(Receiver {
            news: receiver,
            known: None,
        }),
        at_work: at_work.clone(),
        closing: closing.clone(),
        teller,
        linked,
        bell: bell(state),
    };
    let reporter = Reporter {
        sender,
        at_work,
        closing,
    };
    (reporter, desk)
}

/// Who else hears of it.
pub(crate) trait Listener: Send + Sync {
    /// Whether there is a server that is to be told.
    fn has_server(&self) -> bool;
    /// It has happened; it may not be written down yet.
    fn happened(&self, at: DateTime<Utc>, record: &MalwareRecord);
    /// So many cannot be written down, and why.
    fn unwritten(&self, records: usize, why: &str);
    /// All of it is written down again.
    fn written(&self);
}

impl Desk {
    /// Writes down and tells until `stop`, and then what those report who are still at work.
    pub(crate) async fn run(&self, listener: Arc<dyn Listener>, stop: CancellationToken) -> anyhow::Result<()> {
        let mut receiver = self.receiver.lock().await;
        let Receiver { news: receiver, known } = &mut *receiver;
        let known = match known {
            Some(known) => known,
            None => known.insert(Known {
                seen: self.seen().await,
                pending: Pending::default(),
            }),
        };
        self.catch_up(known, &listener).await;
        let mut news = Vec::with_capacity(AT_ONCE);
        let bell = Bell::hang(&self.bell);
        let anew = self.linked.wake();
        let over = async {
            stop.cancelled().await;
            self.closing.cancel();
            self.at_work.wait().await;
        };
        tokio::pin!(over);
        loop {
            tokio::select! {
                received = receiver.recv_many(&mut news, AT_ONCE) => {
                    if received == 0 {
                        return Ok(());
                    }
                    let waiting = Self::take(&mut news, known, &listener).await?;
                    self.write(known, &listener).await;
                    for done in waiting {
                        let _ = done.send(());
                    }
                }
                () = rest(known.pending.again()) => self.write(known, &listener).await,
                () = anew.notified() => self.catch_up(known, &listener).await,
                () = bell.rung() => self.catch_up(known, &listener).await,
                () = &mut over, if receiver.is_empty() => return Ok(()),
            }
        }
    }

    async fn write(&self, known: &mut Known, listener: &Arc<dyn Listener>) {
        if known.pending.is_due() && known.pending.write(&self.teller, listener).await {
            self.linked.found();
        }
    }

    /// What was told before. Where that cannot be read, it is told once more.
    async fn seen(&self) -> Seen {
        let teller = self.teller.clone();
        let seen = blocking(move || Seen::load(teller.database(), Utc::now())).await;
        seen.unwrap_or_else(|error| {
            tracing::error!(error = format!("{error:#}"), "what was found before cannot be read");
            Seen::default()
        })
    }

    /// Tells what lies written down and untold, such as what was found and done by hand; where that fails, the next occasion
    /// does it.
    async fn catch_up(&self, known: &mut Known, listener: &Arc<dyn Listener>) {
        let teller = self.teller.clone();
        let untold = blocking(move || teller.untold()).await.unwrap_or_default();
        let news = untold.into_iter().filter_map(|(at, mut record)| {
            let is_news = match &mut record {
                MalwareRecord::Detected(found) => known.seen.is_news(at, found),
                _ => true,
            };
            is_news.then_some((at, record))
        });
        let (news, told, teller) = (news.collect::<Vec<_>>(), Arc::clone(listener), self.teller.clone());
        let caught_up = blocking(move || {
            for (at, record) in &news {
                told.happened(*at, record);
            }
            if told.has_server() {
                teller.catch_up(Utc::now())
            } else {
                teller.nobody_is_to_be_told()
            }
        });
        match caught_up.await {
            Ok(()) => self.linked.found(),
            Err(error) => tracing::error!(error = format!("{error:#}"), "what was found cannot be told now"),
        }
    }

    /// Whoever reads the log or the metrics hears of it at once, also where the state cannot be written. Gives those who
    /// wait until it was tried to write it down.
    async fn take(
        news: &mut Vec<News>,
        known: &mut Known,
        listener: &Arc<dyn Listener>,
    ) -> anyhow::Result<Vec<oneshot::Sender<()>>> {
        let mut records = Vec::with_capacity(news.len());
        let mut waiting = Vec::new();
        for one in news.drain(..) {
            match one {
                News::Happened(at, mut record) => {
                    if let MalwareRecord::Detected(found) = &mut *record
                        && !known.seen.is_news(at, found)
                    {
                        tracing::debug!(path = %found.path.display(), "malware that was told before is still there");
                        continue;
                    }
                    records.push((at, *record));
                }
                News::Flush(done) => waiting.push(done),
            }
        }
        let told = Arc::clone(listener);
        let records = blocking(move || {
            for (at, record) in &records {
                log(record);
                told.happened(*at, record);
            }
            Ok(records)
        });
        for (at, record) in records.await? {
            known.pending.push(at, record);
        }
        Ok(waiting)
    }
}

/// Until then; without an instant, for ever.
async fn rest(until: Option<Instant>) {
    match until {
        Some(until) => time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}

fn log(record: &MalwareRecord) {
    match record {
        MalwareRecord::Detected(found) => detected(found),
        MalwareRecord::Handled(handled) => tracing::warn!(
            quarantine_id = handled.quarantine_id,
            path = %handled.path.display(),
            outcome = handled.outcome.name(),
            "something was done about malware"
        ),
        MalwareRecord::ScanEnded(scan) => tracing::info!(
            scan = %scan.id,
            rule = scan.rule,
            cause = scan.cause.name(),
            status = scan.status.name(),
            files = scan.met.files,
            bytes = scan.met.bytes,
            detections = scan.detections,
            unaccounted = scan.unaccounted,
            seconds = (scan.ended_at - scan.started_at).as_seconds_f64(),
            error = scan.error,
            "a scan has ended"
        ),
    }
}

fn detected(found: &Detection) {
    let text = match found.outcome {
        Outcome::Quarantined => "malware was found and quarantined",
        Outcome::Deleted => "malware was found and deleted",
        Outcome::LeftThere => "malware was found, and could not be taken away",
        _ => "malware was found",
    };
    tracing::error!(
        detection = %found.id,
        path = %found.path.display(),
        signatures = found.signatures.join(", "),
        sha256 = found.sha256,
        owner = found.owner,
        rule = found.rule,
        quarantine_id = found.quarantine_id,
        detail = found.detail,
        "{text}"
    );
}
