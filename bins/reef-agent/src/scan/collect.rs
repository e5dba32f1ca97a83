//! What a scan's jobs and its walk came to, put together.
use super::{
    account::{Account, End},
    detection::Detection,
    failures::Failures,
    judge::Sink,
    plan::Named,
    report::{Asked, Report, Span},
    walk::Met,
};
use std::sync::Arc;

/// So many detections are kept for the report; all are told at once, and counted.
const LISTED: usize = 10_000;

/// Counts what became of each job of a scan.
pub(super) struct ForScan<F> {
    account: Account,
    failures: Failures,
    detections: Vec<Detection>,
    unlisted: u64,
    moved: u64,
    /// What was named itself.
    named: Arc<Named>,
    /// So many of those nobody could judge.
    named_unjudged: u64,
    found: F,
}

impl<F: FnMut(&Detection)> ForScan<F> {
    pub(super) fn new(found: F, named: Arc<Named>) -> Self {
        Self {
            account: Account::default(),
            failures: Failures::default(),
            detections: Vec::new(),
            unlisted: 0,
            moved: 0,
            named,
            named_unjudged: 0,
            found,
        }
    }
}

impl<F: FnMut(&Detection)> Sink for ForScan<F> {
    fn ended(&mut self, path: &[u8], end: End, bytes: u64, reason: Option<&str>) {
        self.account.count(end, bytes);
        self.named_unjudged += u64::from(is_unjudged(end) && self.named.has(path));
        if let Some(reason) = reason {
            self.failures.add(end, path, reason);
        }
    }

    fn found(&mut self, detection: Detection) {
        tracing::debug!(path = %detection.path.display(), signatures = ?detection.signatures, "malware was found");
        (self.found)(&detection);
        if self.detections.len() < LISTED {
            self.detections.push(detection);
        } else {
            self.unlisted += 1;
        }
    }

    fn moved(&mut self, files: u64) {
        self.moved += files;
    }
}

/// Whether nobody can say of a file that ended so what is in it, though nothing failed.
pub(super) const fn is_unjudged(end: End) -> bool {
    matches!(end, End::OverLimit | End::Special)
}

/// What the walk met and clamd judged, as one.
pub(super) fn report<F>(span: Span, asked: Asked, met: Met, judged: ForScan<F>) -> Report {
    let Met {
        coverage,
        singles,
        mut account,
        mut failures,
        named_unjudged,
        walked,
    } = met;
    account.merge(judged.account);
    failures.merge(judged.failures);
    let mut report = Report::new(span, asked, &coverage, singles, account, &walked);
    report.failures = failures.into_first();
    report.named_unjudged = named_unjudged + judged.named_unjudged;
    report.detections = judged.detections;
    report.detections_unlisted = judged.unlisted;
    report.changed_meanwhile = judged.moved;
    report
}
