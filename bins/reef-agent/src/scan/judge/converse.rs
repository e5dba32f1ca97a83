//! One session with clamd.
use super::{Judge, Sink};
use crate::scan::{handing::Batch, job::Job, throttle::Leave};
use clamd_proto::{Content, Endpoint, Request, Session};
use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
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
        jobs: &mut mpsc::Receiver<Batch>,
        are_over: &mut bool,
    ) {
        let mut confirm = interval(CONFIRM_EVERY);
        confirm.set_missed_tick_behavior(MissedTickBehavior::Delay);
        confirm.reset();
        let mut asking: Asking = None;
        let mut asked_at = Instant::now();
        let mut under_way_then = 0;
        let mut idle_since: Option<Instant> = None;
        let mut gather_until: Option<Instant> = None;
        // Only what came is followed by a pause, so that after one it is always looked.
        let mut has_answered = false;
        loop {
            let leave = self.fill(session, jobs, are_over);
            let in_hand = session.outstanding() + self.queue.len();
            self.bench.in_hand.store(in_hand, Relaxed);
            let is_idle = session.outstanding() == 0;
            if !session.is_open() && is_idle {
                return;
            }
            if is_idle && *are_over && self.queue.is_empty() {
                session.end();
                return;
            }
            if is_idle && self.is_elsewhere {
                session.end();
                // The other one cannot say by what this one judged.
                self.try_confirm().await;
                return;
            }
            if is_idle && (self.wants_proof.is_some() || self.seen.is_wanted) {
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
            let is_hungry = may_ask && self.queue.is_empty() && !*are_over;
            if has_answered && session.answered() == 0 && leave == Leave::AfterAnAnswer {
                has_answered = false;
                gather_until = self.gather(session);
            }
            tokio::select! {
                () = sleep_until(gather_until.unwrap_or(since)), if gather_until.is_some() => gather_until = None,
                ended = session.next(), if !is_idle && gather_until.is_none() => {
                    if let Some((job, answer)) = ended {
                        has_answered = true;
                        let under_way = session.outstanding() + 1;
                        self.settle(job, answer, under_way);
                    }
                }
                batch = jobs.recv(), if is_hungry => match batch {
                    Some(batch) => self.hear(batch),
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

    /// Until when answers are let gather, while clamd has enough to do.
    fn gather(&self, session: &mut Session<Box<Job>>) -> Option<Instant> {
        let spare = session.outstanding().saturating_sub(self.busy);
        let pause = self.pace.pause(spare)?;
        session.unwatch();
        Some(Instant::now() + pause)
    }

    /// Sends what may be sent, and says when more may.
    fn fill(
        &mut self,
        session: &mut Session<Box<Job>>,
        jobs: &mut mpsc::Receiver<Batch>,
        are_over: &mut bool,
    ) -> Leave {
        loop {
            let leave = if self.is_stopped() {
                Leave::Now
            } else if self.is_elsewhere
                || self.wants_proof.is_some()
                || self.seen.is_wanted
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
            let Some(job) = self.queue.pop_front() else {
                match jobs.try_recv() {
                    Ok(batch) => {
                        self.hear(batch);
                        continue;
                    }
                    Err(TryRecvError::Disconnected) => *are_over = true,
                    Err(TryRecvError::Empty) => {}
                }
                return leave;
            };
            if self.is_stopped() {
                self.cut(&job);
            } else if self.looks_at(job.stat.size).is_none() {
                self.wants_proof = self.wants_proof.max(Some(job.stat.size));
                self.queue.push_front(job);
            } else if !self.submit(session, job) {
                return leave;
            }
        }
    }

    /// Whether a file that is suspected to end clamd keeps others from being asked about, or waits for them.
    fn is_to_wait_alone(&mut self, under_way: usize) -> bool {
        self.is_alone &= under_way > 0;
        self.is_alone || (under_way > 0 && self.queue.front().is_some_and(|job| is_suspect(job)))
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
                self.queue.push_front(job);
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
