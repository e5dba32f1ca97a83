//! One session with clamd.
use super::{Judge, Sent, Sink};
use crate::scan::{job::Job, throttle::Leave};
use clamd_proto::{Content, Endpoint, Request, Session};
use std::{future::Future, pin::Pin, sync::Arc, time::Duration};
use tokio::{
    sync::mpsc::{self, error::TryRecvError},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

/// How often it is asked whether clamd still judges by the same signatures: what is judged waits so long to be remembered.
const CONFIRM_EVERY: Duration = Duration::from_secs(1);
/// How often clamd is asked for its queue.
const QUEUE_EVERY: Duration = Duration::from_secs(5);
/// A connection on which nothing is asked is given back after this: clamd counts it in its queue.
const LINGER: Duration = Duration::from_millis(250);

/// So often a file is asked about among others; then alone, so that what ends clamd takes none along.
const ALONE_FROM: u8 = 2;

/// clamd's queue, on its way; nobody waits for it.
type Asking = Option<Pin<Box<dyn Future<Output = Option<u64>> + Send>>>;

impl<S: Sink> Judge<S> {
    /// One session: until it has ended, or there is nothing more to ask for now.
    pub(super) async fn converse(
        &mut self,
        session: &mut Session<Box<Job>>,
        jobs: &mut mpsc::Receiver<Sent>,
        are_over: &mut bool,
    ) {
        let mut confirm = interval(CONFIRM_EVERY);
        confirm.set_missed_tick_behavior(MissedTickBehavior::Delay);
        confirm.reset();
        let mut asking: Asking = None;
        let mut asked_at = Instant::now();
        let mut under_way_then = 0;
        let mut idle_since: Option<Instant> = None;
        loop {
            let leave = self.fill(session, jobs, are_over);
            let is_idle = session.outstanding() == 0;
            if !session.is_open() && is_idle {
                return;
            }
            if is_idle && *are_over && self.again.is_empty() {
                session.end();
                return;
            }
            if is_idle && self.is_elsewhere {
                session.end();
                // The other one cannot say by what this one judged.
                self.try_confirm().await;
                return;
            }
            if is_idle && self.wants_proof {
                session.end();
                return;
            }
            let since = if is_idle {
                *idle_since.get_or_insert_with(Instant::now)
            } else {
                Instant::now()
            };
            idle_since = is_idle.then_some(since);
            let ready = match leave {
                Leave::At(ready) => Some(ready),
                Leave::Now | Leave::AfterAnAnswer => None,
            };
            let is_stopped = self.is_stopped();
            let may_ask = is_stopped || (session.has_room() && leave == Leave::Now);
            let is_full = self.is_handling_enough();
            let is_hungry = may_ask && self.again.is_empty() && !*are_over;
            tokio::select! {
                ended = session.next(), if !is_idle => {
                    if let Some((job, answer)) = ended {
                        let under_way = session.outstanding() + 1;
                        self.settle(job, answer, under_way);
                    }
                }
                sent = jobs.recv(), if is_hungry => match sent {
                    Some(sent) => self.hear(sent),
                    None => *are_over = true,
                },
                () = sleep_until(ready.unwrap_or(since)), if ready.is_some() && session.has_room() => {}
                () = sleep_until(since + LINGER), if is_idle && !is_full => {
                    session.end();
                    self.rest_until(ready).await;
                    return;
                }
                Some(handled) = self.handling.join_next() => self.take(handled),
                waiting = poll(&mut asking), if asking.is_some() => {
                    asking = None;
                    // It was counted at some moment in between.
                    self.governor.queue(waiting, session.outstanding().max(under_way_then));
                }
                _ = confirm.tick() => {
                    self.governor.tick();
                    self.try_confirm().await;
                    if asking.is_none() && asked_at.elapsed() >= QUEUE_EVERY {
                        asked_at = Instant::now();
                        under_way_then = session.outstanding();
                        asking = Some(self.ask_queue());
                    }
                }
                Ok(()) = self.bench.settings.changed() => self.adopt_settings(),
                // What is under way is waited for; nothing else is asked.
                () = self.bench.stop.cancelled(), if !is_stopped => {}
            }
        }
    }

    /// Sends what may be sent, and says when more may.
    fn fill(&mut self, session: &mut Session<Box<Job>>, jobs: &mut mpsc::Receiver<Sent>, are_over: &mut bool) -> Leave {
        loop {
            let leave = if self.is_stopped() {
                Leave::Now
            } else if self.is_elsewhere
                || self.wants_proof
                || self.is_handling_enough()
                || self.is_to_wait_alone(session.outstanding())
            {
                Leave::AfterAnAnswer
            } else {
                self.governor.leave(session.outstanding())
            };
            if leave != Leave::Now || !(session.has_room() || self.is_stopped()) {
                return leave;
            }
            let job = match self.again.pop_front() {
                Some(job) => job,
                None => match jobs.try_recv() {
                    Ok(Sent::Ask(job)) => job,
                    Ok(ended) => {
                        self.hear(ended);
                        continue;
                    }
                    Err(TryRecvError::Disconnected) => {
                        *are_over = true;
                        return leave;
                    }
                    Err(TryRecvError::Empty) => return leave,
                },
            };
            if self.is_stopped() {
                self.cut(&job);
            } else if self.looks_at(job.stat.size).is_none() {
                self.again.push_front(job);
                self.wants_proof = true;
            } else if !self.submit(session, job) {
                return leave;
            }
        }
    }

    /// Whether a file that is suspected to end clamd keeps others from being asked about, or waits for them.
    fn is_to_wait_alone(&mut self, under_way: usize) -> bool {
        self.is_alone &= under_way > 0;
        self.is_alone || (under_way > 0 && self.again.front().is_some_and(|job| is_suspect(job)))
    }

    /// Whether it was taken.
    fn submit(&mut self, session: &mut Session<Box<Job>>, mut job: Box<Job>) -> bool {
        let request = match self.endpoint {
            Endpoint::Unix(_) => Request::File(Arc::clone(&job.file)),
            Endpoint::Tcp { .. } => Request::Stream(Content::File(Arc::clone(&job.file))),
        };
        job.sent_at = Some(Instant::now());
        let bytes = job.stat.size;
        self.is_alone = is_suspect(&job);
        match session.submit(job, request) {
            Ok(()) => {
                self.governor.sent(bytes);
                true
            }
            Err((job, _)) => {
                self.again.push_front(job);
                false
            }
        }
    }

    fn ask_queue(&self) -> Pin<Box<dyn Future<Output = Option<u64>> + Send>> {
        let daemon = self.daemon.clone();
        Box::pin(async move {
            match daemon.stats().await {
                Ok(stats) => Some(stats.waiting()),
                // All of its threads are busy, for us or for others: the latency tells.
                Err(error) => {
                    tracing::trace!(%error, "clamd does not tell its queue");
                    None
                }
            }
        })
    }

    /// Rests without a connection. What was judged is remembered before: a rest may be long, and who knows what comes.
    async fn rest_until(&mut self, ready: Option<Instant>) {
        if let Some(ready) = ready {
            self.try_confirm().await;
            self.wait(ready.saturating_duration_since(Instant::now())).await;
        }
    }
}

/// Whether clamd went away so often while it was asked about the file that it may be for that very file.
fn is_suspect(job: &Job) -> bool {
    job.tries >= ALONE_FROM
}

async fn poll(asking: &mut Asking) -> Option<u64> {
    match asking {
        Some(asking) => asking.await,
        None => None,
    }
}
