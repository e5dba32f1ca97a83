//! The walk of a scan, beside the judge.
use super::{
    account::{Account, End},
    ageing::Ageing,
    dry::Dry,
    error::ScanError,
    failures::Failures,
    handing::Hand,
    job::{By, too_long},
    links::Links,
    plan::Plan,
    progress::Progress,
    single,
    visit::{Shared, Visit},
};
use fsscan::{Coverage, Tally, WalkSummary, walk};
use state_sqlite::Verdicts;
use std::{
    os::unix::ffi::OsStrExt as _,
    sync::{Arc, atomic::AtomicBool},
};

/// What the walk and the files that were named came to.
#[derive(Default)]
pub(super) struct Met {
    pub(super) coverage: Coverage,
    pub(super) singles: Tally,
    pub(super) account: Account,
    pub(super) failures: Failures,
    /// Files that were named themselves, and that nobody can judge.
    pub(super) named_unjudged: u64,
    pub(super) walked: WalkSummary,
}

/// All that a walk shares with the judge.
pub(super) struct Walk {
    pub(super) plan: Plan,
    pub(super) by: Arc<By>,
    pub(super) verdicts: Option<Verdicts>,
    pub(super) ageing: Option<Arc<Ageing>>,
    pub(super) links: Arc<Links>,
    pub(super) progress: Arc<Progress>,
    pub(super) halt: Arc<AtomicBool>,
    pub(super) is_background: bool,
}

impl Walk {
    /// Walks, and sends what is to be judged. Blocks.
    pub(super) fn run(self, mut judge: Hand) -> Result<Met, ScanError> {
        let mut met = Met::default();
        for path in &self.plan.singles {
            let tally = single::send(path, &self.by, &mut judge, &mut met);
            self.progress.met(tally.bytes);
            met.singles.add(tally);
        }
        let shared = Shared {
            by: &self.by,
            named: &self.plan.named,
            verdicts: self.verdicts.as_ref(),
            ageing: self.ageing.as_deref(),
            links: &self.links,
            progress: &self.progress,
            stop: &self.halt,
            is_background: self.is_background,
        };
        let visitors = (0..self.plan.threads)
            .map(|_| Visit::new(judge.another(), shared))
            .collect();
        let (walked, visitors) = walk(&self.plan.request, visitors, &self.halt)?;
        for mut visit in visitors {
            visit.end();
            met.coverage.merge(visit.coverage);
            met.account.merge(visit.account);
            met.failures.merge(visit.failures);
            met.named_unjudged += visit.named_unjudged;
        }
        met.walked = walked;
        Ok(met)
    }
}

/// Walks only to count. Blocks.
pub(super) fn dry_run(plan: &Plan, is_recursive: bool, halt: &AtomicBool) -> Result<Met, ScanError> {
    let visitors = (0..plan.threads).map(|_| Dry::new(is_recursive, plan.most)).collect();
    let (walked, visitors) = walk(&plan.request, visitors, halt)?;
    let mut met = Met {
        walked,
        ..Met::default()
    };
    for visitor in visitors {
        met.coverage.merge(visitor.coverage);
        met.account.merge(visitor.account);
        met.failures.merge(visitor.failures);
    }
    for path in &plan.singles {
        let bytes = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        if bytes > plan.most {
            met.account.count(End::OverLimit, bytes);
            let path = path.as_os_str().as_bytes();
            met.failures.add(End::OverLimit, path, &too_long(plan.most));
            met.named_unjudged += 1;
        } else {
            met.account.count(End::Clean, bytes);
        }
        met.singles.add(Tally { files: 1, bytes });
    }
    Ok(met)
}
