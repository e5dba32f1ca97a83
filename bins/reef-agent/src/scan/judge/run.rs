//! From the first job to the last.
use super::{AGAIN_AFTER, Judge, Sent, Sink};
use crate::scan::{account::End, handing::Batch, job::Job};
use clamd_proto::Version;
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;

/// How the asking ended.
pub(in crate::scan) struct Ended<S> {
    /// What heard of each job.
    pub(in crate::scan) sink: S,
    /// Why clamd was given up.
    pub(in crate::scan) gave_up: Option<String>,
    /// So many files had no verdict, since the scan was stopped.
    pub(in crate::scan) cut_off: u64,
    /// clamd was found not to detect, at any time.
    pub(in crate::scan) was_blind: bool,
    /// What judged, in the end.
    pub(in crate::scan) version: Option<Version>,
}

/// What comes next where nothing is under way.
enum Next {
    Job,
    Over,
}

impl<S: Sink> Judge<S> {
    /// Asks about every job until there are no more. While there is nothing to ask, no connection is held. That a verdict
    /// cannot be remembered costs nobody the report: the file is judged again the next time.
    pub(in crate::scan) async fn run(mut self, mut jobs: mpsc::Receiver<Batch>) -> Ended<S> {
        let mut are_over = false;
        while !are_over || !self.queue.is_empty() {
            if self.queue.is_empty() && matches!(self.next_job(&mut jobs).await, Next::Over) {
                break;
            }
            if self.is_stopped() {
                self.end_rest(&mut jobs, None).await;
                break;
            }
            // Only now, so that no connection of clamd's is held for nothing.
            let Some(mut session) = self.connect().await else {
                break;
            };
            if self.is_unsure() {
                self.try_confirm().await;
            }
            let answered = self.bench.progress.snapshot().asked;
            self.converse(&mut session, &mut jobs, &mut are_over).await;
            // One that takes connections and ends each at once is not asked without a pause.
            if !self.queue.is_empty()
                && self.wants_proof.is_none()
                && !self.seen.is_wanted
                && self.bench.progress.snapshot().asked == answered
            {
                self.wait(AGAIN_AFTER).await;
            }
        }
        if let Some(reason) = self.gave_up.clone() {
            // Whoever waits for a clamd that is away may be told to stop: that is why then.
            let reason = Some(reason.as_str()).filter(|_| !self.is_stopped());
            self.end_rest(&mut jobs, reason).await;
        }
        while let Some(handled) = self.handling.join_next().await {
            self.take(handled);
        }
        self.confirm_at_last().await;
        Ended {
            sink: self.sink,
            gave_up: self.gave_up,
            cut_off: self.cut_off,
            was_blind: self.seen.was_blind,
            version: self.version,
        }
    }

    /// Waits for a job where none is left.
    async fn next_job(&mut self, jobs: &mut mpsc::Receiver<Batch>) -> Next {
        // What was judged is remembered before it is waited for long.
        if !self.unconfirmed.is_empty() {
            self.try_confirm().await;
        }
        while self.queue.is_empty() {
            tokio::select! {
                batch = jobs.recv() => match batch {
                    Some(batch) => self.hear(batch),
                    None => return Next::Over,
                },
                Some(handled) = self.handling.join_next() => self.take(handled),
            }
        }
        Next::Job
    }

    /// What was to be asked is told as failed; without a reason, since the scan was stopped.
    async fn end_rest(&mut self, jobs: &mut mpsc::Receiver<Batch>, reason: Option<&str>) {
        self.bench.halt.store(true, Ordering::Relaxed);
        loop {
            while let Some(job) = self.queue.pop_front() {
                self.end_unasked(&job, reason);
            }
            let Some(batch) = jobs.recv().await else { return };
            self.hear(batch);
        }
    }

    fn end_unasked(&mut self, job: &Job, reason: Option<&str>) {
        match reason {
            Some(_) => self.end(job, End::Failed, reason),
            None => self.cut(job),
        }
    }

    /// A file that is not asked about, since the scan was stopped.
    pub(super) fn cut(&mut self, job: &Job) {
        self.cut_off += 1;
        self.end(job, End::Failed, Some("the scan was stopped"));
    }

    /// Files were handed over: those that ended without clamd are told, the others queued.
    pub(super) fn hear(&mut self, batch: Batch) {
        for sent in batch {
            match sent {
                Sent::Ended {
                    path,
                    end,
                    bytes,
                    reason,
                } => self.sink.ended(&path, end, bytes, reason.as_deref()),
                Sent::Ask(job) => self.queue.push_back(job),
            }
        }
    }
}
