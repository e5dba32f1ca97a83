//! One round: everything in the queue, a few requests at a time, until it is empty or something stops it.

use super::{
    Inner, Refusal,
    batch::{Batch, LoadedRun},
    dialect::{self, Outgoing},
    doubt::{Doubt, Suspect},
    error::{DeliveryError, Failure, reason},
    pending::Pending,
    report::DeliveryReport,
    settings::DeliverySettings,
};
use chrono::{TimeDelta, Utc};
use core_model::{Queue, SeqRange, StreamId};
use daemon_kit::Dialect;
use fleet_wire::Rejected;
use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
};
use tokio::{task::JoinSet, time};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};
use transport_http::{Response, SendError};

/// Runs read from the queue at once. Their bodies are held in memory.
const RUNS_PER_READ: usize = 16;

/// A server that took records so long ago is still the same server.
const MOMENT: TimeDelta = TimeDelta::seconds(10);

pub(super) struct Round<'a, Q> {
    inner: &'a Arc<Inner<Q>>,
    /// The stream that the round delivers; another may be opened meanwhile.
    stream: StreamId,
    settings: DeliverySettings,
    pending: Pending,
    flying: JoinSet<Landed>,
    busy: HashSet<Vec<u8>>,
    /// Cancelled when what is under way is given up.
    cut: CancellationToken,
    read_through: u64,
    is_exhausted: bool,
    /// The request with the first record of the stream is under way.
    is_opening: bool,
    /// The queue has another stream by now; what is left of this one concerns nobody.
    is_superseded: bool,
    doubt: Doubt,
    report: DeliveryReport,
}

struct Landed {
    batch: Batch,
    paths: HashSet<Vec<u8>>,
    unfit: Vec<Rejected>,
    unspoken: u64,
    outcome: Result<Option<Response>, SendError>,
}

impl<'a, Q: Queue + 'static> Round<'a, Q> {
    pub(super) fn new(inner: &'a Arc<Inner<Q>>, settings: DeliverySettings) -> Self {
        Self {
            inner,
            stream: inner.queue.stream(),
            settings,
            pending: Pending::default(),
            flying: JoinSet::new(),
            busy: HashSet::new(),
            cut: CancellationToken::new(),
            read_through: 0,
            is_exhausted: false,
            is_opening: false,
            is_superseded: false,
            doubt: Doubt::new(inner.is_doubted.load(Ordering::Relaxed)),
            report: DeliveryReport::default(),
        }
    }

    /// What was done, and whether another stream was opened meanwhile that is to be delivered now.
    pub(super) async fn run(mut self, stop: &CancellationToken) -> (DeliveryReport, bool) {
        let (cut, hand_back_after) = (self.cut.clone(), self.settings.hand_back_after);
        let give_up = async {
            stop.cancelled().await;
            time::sleep(hand_back_after).await;
            cut.cancel();
        };
        tokio::pin!(give_up);
        let mut is_given_up = false;
        let wake = Arc::clone(&self.inner.wake);
        loop {
            self.look_at_the_stream();
            if self.report.error.is_none() && !self.is_superseded && !stop.is_cancelled() {
                self.launch().await;
            }
            tokio::select! {
                landed = self.flying.join_next() => match landed {
                    Some(Ok(landed)) => self.land(landed).await,
                    Some(Err(error)) => self.fail(DeliveryError::Lost(error)),
                    None => break,
                },
                // What was enqueued meanwhile goes in this round, or belongs to another stream.
                () = wake.notified() => self.is_exhausted = false,
                () = &mut give_up, if !is_given_up => is_given_up = true,
            }
        }
        self.look_at_the_stream();
        if self.report.error.is_none() && !self.is_superseded && self.has_just_taken() {
            for suspect in self.doubt.given_up() {
                self.reject(suspect).await;
            }
        }
        self.conclude(stop.is_cancelled());
        if let Some(DeliveryError::SnapshotWanted { stream, .. }) = self.report.error {
            self.want_snapshot(stream).await;
        }
        match self.inner.ask("count", Queue::stats).await {
            Ok(stats) => self.report.remaining = stats.records,
            Err(error) => self.fail(error),
        }
        (self.report, self.is_superseded)
    }

    fn look_at_the_stream(&mut self) {
        if self.is_superseded || self.inner.queue.stream() == self.stream {
            return;
        }
        debug!(stream = %self.stream, "the outbox has another stream by now; this one is left");
        self.is_superseded = true;
        // Whether the server took what is under way is of no consequence: it is to be told everything anew.
        self.cut.cancel();
    }

    /// The server took records of an earlier round a moment ago.
    fn has_just_taken(&self) -> bool {
        let last = self.inner.status.borrow().last_success;
        last.is_some_and(|last| (Utc::now() - last).abs() < MOMENT)
    }

    /// Everything that could be sent was answered for, but for what the server refused without taking anything.
    fn conclude(&mut self, is_stopped: bool) {
        let kept = self.doubt.kept();
        if kept > 0 && self.report.error.is_none() && !self.is_superseded && !is_stopped {
            let reason = self.doubt.first_reason().unwrap_or_default().to_owned();
            self.fail(DeliveryError::AllRefused { records: kept, reason });
        }
        if self.report.last_success.is_some() {
            self.inner.is_doubted.store(false, Ordering::Relaxed);
        } else if matches!(self.report.error, Some(DeliveryError::AllRefused { .. })) {
            self.inner.is_doubted.store(true, Ordering::Relaxed);
        }
    }

    async fn want_snapshot(&self, stream: StreamId) {
        let tell = Arc::clone(&self.inner.hooks.on_snapshot_wanted);
        if let Err(failed) = tokio::task::spawn_blocking(move || tell(stream)).await {
            error!(error = %failed, "the product could not be told that the server wants a snapshot");
        }
    }

    /// Starts requests until enough are under way or nothing more can go.
    async fn launch(&mut self) {
        while self.flying.len() < self.settings.requests() && !self.is_opening {
            let limit = self.inner.limit(self.settings.records());
            while !self.is_exhausted && self.pending.waiting() < limit {
                self.read().await;
                if self.report.error.is_some() {
                    return;
                }
            }
            let Some(batch) = self.pending.next(limit) else { return };
            let (count, paths) = dialect::fitting(self.inner.dialect, &batch, &self.busy);
            let (now, later) = batch.split(count);
            self.pending.put_back(later);
            // What is under way concerns a path of the next record: it has to land first.
            let Some(batch) = now else { return };
            self.busy.extend(paths.iter().cloned());
            // A controller takes a stream that it does not know only from its first record, so nothing of the stream may
            // overtake that one.
            self.is_opening = self.inner.dialect == Dialect::Shoal && batch.first() == 1;
            self.send(batch, paths);
        }
    }

    fn send(&mut self, batch: Batch, paths: HashSet<Vec<u8>>) {
        let (inner, stream, cut) = (Arc::clone(self.inner), self.stream, self.cut.clone());
        self.flying.spawn(async move {
            let Outgoing {
                request,
                unfit,
                unspoken,
            } = dialect::outgoing(inner.dialect, &batch, stream);
            let outcome = match request {
                Some(request) => inner.client.send(request, &cut).await.map(Some),
                None => Ok(None),
            };
            Landed {
                batch,
                paths,
                unfit,
                unspoken,
                outcome,
            }
        });
    }

    /// Reads more runs.
    async fn read(&mut self) {
        let (stream, after) = (self.stream, self.read_through);
        let runs = match self
            .inner
            .ask("read", move |queue| queue.peek(stream, after, RUNS_PER_READ))
            .await
        {
            Ok(runs) => runs,
            Err(error) => return self.fail(error),
        };
        self.is_exhausted = runs.is_empty();
        let mut damaged = Vec::new();
        for run in runs {
            self.read_through = run.seqs.first;
            match LoadedRun::new(run) {
                Ok(run) => self.pending.add(run),
                Err(seqs) => damaged.push((self.read_through, seqs)),
            }
        }
        self.drop_damaged(damaged).await;
    }

    /// What is damaged can never be sent. The server sees the gap in the numbers.
    async fn drop_damaged(&mut self, damaged: Vec<(u64, SeqRange)>) {
        for (_, SeqRange { first, last }) in &damaged {
            error!(
                first,
                last, "records are damaged on disk and lost; the server will see a gap"
            );
            self.report.damaged += last.saturating_sub(*first) + 1;
        }
        let firsts: Vec<u64> = damaged.into_iter().map(|(first, _)| first).collect();
        if !firsts.is_empty() {
            self.acknowledge(firsts, Vec::new()).await;
        }
    }

    async fn land(&mut self, landed: Landed) {
        let Landed {
            batch,
            paths,
            unfit,
            unspoken,
            outcome,
        } = landed;
        for path in &paths {
            self.busy.remove(path);
        }
        if batch.first() == 1 {
            self.is_opening = false;
        }
        match outcome {
            Ok(None) => self.settle(batch, unfit, unspoken).await,
            Ok(Some(response)) => match dialect::answer(self.inner.dialect, &batch, &response) {
                Ok(answer) => {
                    let rejected = [unfit, answer.rejected].concat();
                    self.answered(batch, answer.through, rejected, unspoken).await
                }
                Err(error) => self.give_back(batch, DeliveryError::Unexpected(error)),
            },
            Err(error) => match Failure::of(error, self.inner.dialect, self.stream) {
                Failure::Stopped => self.pending.put_back([batch]),
                Failure::Round(error) => self.give_back(batch, error),
                Failure::TooLarge(error) => self.too_large(batch, &error).await,
                Failure::Refused(error) => self.refused(batch, &error).await,
            },
        }
    }

    async fn answered(&mut self, batch: Batch, through: u64, rejected: Vec<Rejected>, unspoken: u64) {
        let (first, last) = (batch.first(), batch.last());
        let taken = (through + 1).saturating_sub(first);
        let (done, rest) = batch.split(usize::try_from(taken).unwrap_or(usize::MAX));
        self.pending.put_back(rest);
        let Some(done) = done else {
            return self.fail(DeliveryError::NothingTaken { first, last });
        };
        let now = Some(Utc::now());
        self.report.last_success = now;
        // Known at once: a round may be cut off before it reports.
        self.inner.status.send_if_modified(|status| {
            status.last_success = now;
            false
        });
        for suspect in self.doubt.accepted() {
            self.reject(suspect).await;
        }
        self.settle(done, rejected, unspoken).await;
    }

    async fn too_large(&mut self, batch: Batch, error: &SendError) {
        let half = batch.len() / 2;
        if half == 0 {
            return self.suspect(batch, reason(error, "too_large")).await;
        }
        warn!(
            records = batch.len(),
            "the server finds a request too long; from now on they are half as long"
        );
        self.inner.learned_limit.fetch_min(half, Ordering::Relaxed);
        self.pending.put_back([batch]);
        self.pending.shrink(half);
    }

    /// Somewhere in the batch is what the server does not take: it is in one of the halves.
    async fn refused(&mut self, batch: Batch, error: &SendError) {
        let half = batch.len() / 2;
        if half == 0 {
            return self.suspect(batch, reason(error, "refused")).await;
        }
        debug!(
            first = batch.first(),
            last = batch.last(),
            "the server refuses a whole request; trying its halves"
        );
        let (head, tail) = batch.split(half);
        self.pending.put_back(head.into_iter().chain(tail));
    }

    /// A record was refused by itself: for good, if the server is known to take others.
    async fn suspect(&mut self, batch: Batch, (code, detail): (String, String)) {
        if let Some(suspect) = self.doubt.refused(Suspect { batch, code, detail }) {
            self.reject(suspect).await;
        } else if self.doubt.is_hopeless() {
            self.conclude(false);
        }
    }

    async fn reject(&mut self, Suspect { batch, code, detail }: Suspect) {
        let seqs = batch.first()..=batch.last();
        let rejected = seqs.map(|seq| Rejected {
            seq,
            code: code.clone(),
            detail: detail.clone(),
        });
        let rejected = rejected.collect();
        self.settle(batch, rejected, 0).await;
    }

    /// Each record of `batch` is accepted, among the `rejected`, or among the `unspoken` ones, which nobody has to hear.
    async fn settle(&mut self, batch: Batch, rejected: Vec<Rejected>, unspoken: u64) {
        let (records, refused) = (batch.len() as u64, rejected.len() as u64);
        let refusals = rejected.into_iter().map(|rejected| Refusal {
            record: batch.line(rejected.seq).unwrap_or_default().to_vec(),
            rejected,
        });
        let refusals: Vec<Refusal> = refusals.collect();
        for Refusal { rejected, .. } in &refusals {
            warn!(
                seq = rejected.seq,
                code = rejected.code,
                detail = rejected.detail,
                "the server refused a record"
            );
        }
        self.report.sent += records.saturating_sub(refused + unspoken);
        self.report.rejected += refused;
        let done = self.pending.finish(batch);
        self.acknowledge(done, refusals).await;
    }

    async fn acknowledge(&mut self, firsts: Vec<u64>, refusals: Vec<Refusal>) {
        let (stream, on_rejected) = (self.stream, Arc::clone(&self.inner.hooks.on_rejected));
        let work = move |queue: &Q| {
            // What was said of a stream that is no more is said again of the next.
            if queue.stream() != stream {
                return Ok(());
            }
            // Told first: after a crash between the two the records are sent, refused and told again.
            if !refusals.is_empty() {
                on_rejected(&refusals);
            }
            if firsts.is_empty() {
                Ok(())
            } else {
                queue.ack(stream, &firsts)
            }
        };
        if let Err(error) = self.inner.ask("acknowledge in", work).await {
            self.fail(error);
        }
    }

    fn give_back(&mut self, batch: Batch, error: DeliveryError) {
        self.pending.put_back([batch]);
        self.fail(error);
    }

    /// The first error tells most: those after it are mostly its consequences.
    fn fail(&mut self, error: DeliveryError) {
        if self.report.error.is_none() {
            self.report.error = Some(error);
        } else {
            debug!(error = core_model::chain(&error), "another request of the round failed");
        }
    }
}
