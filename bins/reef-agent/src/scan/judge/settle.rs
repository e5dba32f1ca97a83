//! What an answer means for a file.
use super::{Answer, HANDLED_MOST, Judge, Sink, handle::Handling};
use crate::scan::{
    account::End,
    job::{Job, facts},
    links::Other,
    sight::BLIND,
};
use chrono::Utc;
use clamd_proto::Verdict;
use core_model::chain;
use fsscan::{FileStat, KeptDir};
use state_sqlite::{DirKey, Judged, Judgement};
use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    sync::{Arc, atomic::Ordering::Relaxed},
};
use tokio::task::JoinError;

/// So often one file is asked about before it counts as failed: one that ends clamd each time must not do so for ever.
const TRIES: u8 = 5;

impl<S: Sink> Judge<S> {
    /// clamd has answered about a job, or will not, while so many were under way.
    pub(super) fn settle(&mut self, mut job: Box<Job>, answer: Answer, under_way: usize) {
        match answer {
            Err(error) if error.is_passing() && job.tries + 1 < TRIES => {
                self.note_loss(&error);
                job.tries += 1;
                self.queue.push_back(job);
            }
            Err(error) => {
                self.note_loss(&error);
                self.end(&job, End::Failed, Some(&chain(&error)));
            }
            Ok(verdict) => {
                if let Some(sent) = job.sent_at {
                    self.governor.answered(sent, job.stat.size, under_way);
                }
                self.pace.answered();
                self.bench.progress.asked(job.stat.size);
                self.judged(job, verdict);
            }
        }
    }

    fn judged(&mut self, job: Box<Job>, verdict: Verdict) {
        match verdict {
            Verdict::Clean if self.is_blind() => self.end(&job, End::Failed, Some(BLIND)),
            Verdict::Clean => {
                self.seen.is_believed = true;
                let after = FileStat::of(&job.file).ok();
                // A file longer than its limit clamd calls clean unread.
                if after.is_some_and(|after| after.size > job.by.most) {
                    let reason = format!("it became longer than {} bytes while it was scanned", job.by.most);
                    self.end(&job, End::OverLimit, Some(&reason));
                    return;
                }
                let longest = after.map_or(job.stat.size, |after| after.size.max(job.stat.size));
                match self.looks_at(longest) {
                    Some(most) if longest > most => {
                        let reason =
                            format!("longer than {most} bytes: clamd looks at no more, and calls it clean unread");
                        self.end(&job, End::OverLimit, Some(&reason));
                        return;
                    }
                    Some(_) => {}
                    None => {
                        self.queue.push_back(job);
                        self.wants_proof = self.wants_proof.max(Some(longest));
                        return;
                    }
                }
                let judged = self.to_remember(&job, after, Judgement::Clean);
                self.end_judged(&job, End::Clean, None, judged);
            }
            Verdict::LimitExceeded { limit } => {
                let judged = self.to_remember(&job, FileStat::of(&job.file).ok(), Judgement::OverLimit);
                self.end_judged(
                    &job,
                    End::OverLimit,
                    Some(&format!("more than clamd's {limit}")),
                    judged,
                );
            }
            Verdict::Infected { signatures } => self.found(job, signatures),
        }
    }

    /// A file ended so without a verdict to be remembered, and with it the other names of it that wait.
    pub(super) fn end(&mut self, job: &Job, end: End, reason: Option<&str>) {
        self.end_judged(job, end, reason, None);
    }

    fn end_judged(&mut self, job: &Job, end: End, reason: Option<&str>, judged: Option<Judged>) {
        let others = if job.is_shared {
            self.bench.links.settle(&job.stat, end, reason, judged)
        } else {
            Vec::new()
        };
        let mut remember = |dir| {
            if let (Some(dir), Some(judged)) = (dir, judged) {
                self.unconfirmed.entry(dir).or_default().push(judged);
            }
        };
        remember(job.dir);
        others.iter().for_each(|other| remember(other.dir));
        let paths = std::iter::once(&job.path).chain(others.iter().map(|other| &other.path));
        for path in paths {
            if end == End::Failed {
                self.bench.progress.failures.fetch_add(1, Relaxed);
            }
            self.sink.ended(path, end, job.stat.size, reason);
        }
    }

    /// What is remembered of it, which looks like `after` now, once it is sure by what it was judged.
    fn to_remember(&self, job: &Job, after: Option<FileStat>, judgement: Judgement) -> Option<Judged> {
        let basis = self.basis.filter(|_| self.bench.verdicts.is_some())?;
        Some(Judged {
            before: job.facts(),
            after: facts(&after?),
            began_ns: job.began_ns,
            synced: job.synced,
            judgement,
            basis,
        })
    }

    /// Malware: what is done about it is done aside, since it reads the whole file.
    fn found(&mut self, job: Box<Job>, signatures: Vec<String>) {
        let time = Utc::now();
        let others = if job.is_shared {
            self.bench.links.infected(&job.stat)
        } else {
            Vec::new()
        };
        let own = job.dir.or_else(|| lies_in(&job.path));
        let dirs = std::iter::once(own).chain(others.iter().map(|other| other.dir));
        for dir in dirs.flatten() {
            if let Some(verdicts) = &self.bench.known
                && let Err(error) = verdicts.forget(dir, job.stat.inode, time)
            {
                tracing::warn!(%error, "a verdict of before could not be forgotten");
            }
        }
        for path in std::iter::once(&job.path).chain(others.iter().map(|other| &other.path)) {
            self.sink.ended(path, End::Infected, job.stat.size, None);
        }
        let handling = Handling {
            judged_by: self.version.as_ref().map(ToString::to_string).unwrap_or_default(),
            others: others.into_iter().map(Other::into_path).collect(),
            job,
            signatures,
            time,
        };
        let hands = Arc::clone(&self.hands);
        self.handling.spawn(async move {
            // It is never closed.
            let _hand = hands.acquire().await.ok();
            tokio::task::spawn_blocking(move || handling.run()).await
        });
    }

    /// Whether so much malware waits to be taken away that no more is to be found for now.
    pub(super) fn is_handling_enough(&self) -> bool {
        self.handling.len() >= HANDLED_MOST
    }

    /// What was to be done about malware was done.
    pub(super) fn take(&mut self, handled: Result<Result<super::Handled, JoinError>, JoinError>) {
        match handled.flatten() {
            Ok(detections) => {
                for detection in detections {
                    self.bench.progress.detections.fetch_add(1, Relaxed);
                    self.sink.found(detection);
                }
            }
            Err(error) => tracing::error!(%error, "a detection was lost inside this program"),
        }
    }
}

/// The directory in which a file lies that was named itself, so that what is known of it there is forgotten. By a link, it lies
/// where the link leads to.
fn lies_in(path: &[u8]) -> Option<DirKey> {
    let path = std::fs::canonicalize(OsStr::from_bytes(path)).ok()?;
    let dir = KeptDir::at(path.parent()?).ok()?;
    Some(DirKey {
        volume: dir.file_system().volume,
        inode: dir.inode(),
    })
}
