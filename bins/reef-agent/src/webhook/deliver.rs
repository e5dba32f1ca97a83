//! What is in the queue goes to the receiver, one after the other.
use super::{
    Inner, Webhook,
    failure::{Failure, Kind},
    payload::Event,
    target::Target,
};
use crate::settings::WebhookSettings;
use chrono::Utc;
use core_model::{Queue, QueuedRun, StreamId};
use state_sqlite::Outbox;
use std::{error::Error, time::Duration};
use tokio::{
    task::spawn_blocking,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

/// Read out of the queue at a time.
const AT_ONCE: usize = 16;
/// A detection that was refused so often is given up.
const TRIES: u32 = 5;
/// Below this no wait falls, however chance has it.
const LEAST_WAIT: Duration = Duration::from_millis(100);
/// A new detection has the receiver tried again at once, but for this long after the attempt before: a flood of them is
/// no flood of attempts.
const LEAST_BETWEEN: Duration = Duration::from_secs(1);
/// How long the end of the agent waits for what is just being sent.
const FAREWELL: Duration = Duration::from_secs(3);

type Failed = Box<dyn Error + Send + Sync>;

/// How far a round came.
enum Round {
    /// Nothing waits.
    All,
    /// It is tried again after this, if it is asked for.
    Failed(Option<Duration>),
    Stopped,
}

/// How often the receiver refused the one that now comes first.
#[derive(Default)]
struct Doubts {
    first: u64,
    tries: u32,
}

impl Doubts {
    fn again(&mut self, first: u64) -> u32 {
        if self.first != first {
            *self = Self { first, tries: 0 };
        }
        self.tries += 1;
        self.tries
    }
}

impl Webhook {
    /// Sends what is in the queue whenever there is something, until `stop`; what has not arrived then is sent after the
    /// next start.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        // Cut off a little later than told, so that what is on its way arrives and is not sent twice.
        let cut = CancellationToken::new();
        let farewell = async {
            stop.cancelled().await;
            time::sleep(FAREWELL).await;
            cut.cancel();
        };
        tokio::select! {
            () = self.inner.work(&stop, &cut) => {}
            () = farewell => {}
        }
    }
}

impl Inner {
    async fn work(&self, stop: &CancellationToken, cut: &CancellationToken) {
        let mut live = self.settings.clone();
        let mut target: Option<(WebhookSettings, Option<Target>)> = None;
        let (mut doubts, mut failures) = (Doubts::default(), 0);
        while !stop.is_cancelled() {
            let settings = live.borrow_and_update().clone();
            let (_, current) = match target.take() {
                Some((of, current)) if of == settings => target.insert((of, current)),
                _ => {
                    failures = 0;
                    let made = self.target(&settings);
                    target.insert((settings, made))
                }
            };
            let began = Instant::now();
            let round = match current {
                None => Ok(Round::All),
                Some(target) => self.drain(target, &mut doubts, stop, cut).await,
            };
            let (wait, is_asked) = match round {
                Ok(Round::Stopped) => return,
                Ok(Round::All) => {
                    failures = 0;
                    (None, false)
                }
                Ok(Round::Failed(asked)) => (Some(self.wait(asked, failures, began.elapsed())), asked.is_some()),
                Err(error) => {
                    error!(error = &*error, "the queue of the webhook cannot be used");
                    (Some(self.wait(None, failures, began.elapsed())), false)
                }
            };
            failures += u32::from(wait.is_some());
            let queued = async {
                self.queued.notified().await;
                if wait.is_some() {
                    time::sleep(LEAST_BETWEEN).await;
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = queued, if !is_asked => {}
                () = sleep(wait) => {}
                changed = live.changed(), if live.has_changed().is_ok() => if changed.is_err() { continue },
            }
        }
    }

    fn target(&self, settings: &WebhookSettings) -> Option<Target> {
        match Target::of(settings)? {
            Ok(target) => Some(target),
            Err(error) => {
                let text = format!("{:#}", anyhow::Error::new(error));
                error!(error = text, "detections cannot be posted; they wait");
                self.status.send_modify(|status| status.error = Some(text));
                None
            }
        }
    }

    /// How long the receiver is left alone after an attempt that took so long: from one attempt to the next it is the
    /// longest wait of the backoff at most, whatever the receiver asks for.
    pub(super) fn wait(&self, asked: Option<Duration>, failures: u32, took: Duration) -> Duration {
        // Without randomness the longest wait is the safe one.
        let random = getrandom::u64().unwrap_or(u64::MAX);
        let wait = asked.unwrap_or_default() + self.backoff.wait(failures, random);
        wait.min(self.backoff.longest).saturating_sub(took).max(LEAST_WAIT)
    }

    /// Sends until nothing waits, or one fails.
    async fn drain(
        &self,
        target: &Target,
        doubts: &mut Doubts,
        stop: &CancellationToken,
        cut: &CancellationToken,
    ) -> Result<Round, Failed> {
        if self.lock().is_none() && !self.path.exists() {
            return Ok(Round::All);
        }
        // It is opened on the disk, once.
        let queue = self.queue()?;
        self.expire(&queue).await?;
        loop {
            let (stream, runs) = peek(&queue).await?;
            if runs.is_empty() {
                return Ok(Round::All);
            }
            // One on which the receiver failed time and again.
            let mut suspect: Option<(u64, Event, Failure)> = None;
            for run in runs {
                if stop.is_cancelled() {
                    return Ok(Round::Stopped);
                }
                let first = run.seqs.first;
                let Some(event) = read(run) else {
                    ack(&queue, stream, first).await?;
                    self.status.send_modify(|status| status.given_up += 1);
                    continue;
                };
                let Err(failure) = target.post(&event, &self.from, cut).await else {
                    // What is said to have become of one is so after a crash, too.
                    ack(&queue, stream, first).await?;
                    self.arrived();
                    if let Some((first, event, failure)) = suspect.take() {
                        // The receiver works, so it was that one.
                        ack(&queue, stream, first).await?;
                        self.give_up(&event, &failure);
                    }
                    continue;
                };
                let failure = Failure::new(failure, &target.secrets);
                if failure.kind == Kind::Stopped {
                    return Ok(Round::Stopped);
                }
                self.failed(&failure);
                match failure.kind {
                    Kind::Refused if doubts.again(first) >= TRIES => {
                        ack(&queue, stream, first).await?;
                        self.give_up(&event, &failure);
                    }
                    Kind::Doubtful if suspect.is_none() && doubts.again(first) >= TRIES => {
                        suspect = Some((first, event, failure));
                    }
                    _ => return Ok(Round::Failed(failure.retry_after)),
                }
            }
            if let Some((.., failure)) = suspect {
                return Ok(Round::Failed(failure.retry_after));
            }
        }
    }

    async fn expire(&self, queue: &Outbox) -> Result<(), Failed> {
        let of = queue.clone();
        let dropped = spawn_blocking(move || of.expire(Utc::now())).await??;
        if dropped > 0 {
            error!(
                detections = dropped,
                "detections waited longer than `webhook.max_age` and were given up"
            );
        }
        Ok(())
    }

    fn arrived(&self) {
        self.status.send_modify(|status| {
            status.sent += 1;
            status.last_success = Some(Utc::now());
            if status.error.take().is_some() {
                info!("detections are posted again");
            }
        });
    }

    /// Says it once for each reason.
    fn failed(&self, failure: &Failure) {
        let reason = &failure.text;
        self.status.send_modify(|status| {
            status.failed += 1;
            let before = status.error.replace(reason.clone());
            if before.as_ref() == Some(reason) {
                debug!(reason, "a detection can still not be posted");
            } else {
                warn!(reason, "a detection could not be posted; it waits in its queue");
            }
        });
    }

    fn give_up(&self, event: &Event, failure: &Failure) {
        let detection = &event.detection;
        error!(
            id = %detection.id, path = ?detection.path, reason = failure.text,
            "the webhook's receiver does not take a detection, and it is given up"
        );
        self.status.send_modify(|status| status.given_up += 1);
    }
}

/// The event; `None`, and a word about it, where it is not what was written.
fn read(run: QueuedRun) -> Option<Event> {
    let seqs = run.seqs;
    let event = run.body.ok().and_then(|body| serde_json::from_slice(&body).ok());
    if event.is_none() {
        error!(
            number = seqs.first,
            "a detection in the queue of the webhook was damaged on disk and is given up"
        );
    }
    event
}

async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

async fn peek(queue: &Outbox) -> Result<(StreamId, Vec<QueuedRun>), Failed> {
    let queue = queue.clone();
    let peek = move || {
        let stream = queue.stream();
        queue.peek(stream, 0, AT_ONCE).map(|runs| (stream, runs))
    };
    Ok(spawn_blocking(peek).await??)
}

async fn ack(queue: &Outbox, stream: StreamId, first: u64) -> Result<(), Failed> {
    let queue = queue.clone();
    Ok(spawn_blocking(move || queue.ack(stream, &[first])).await??)
}
