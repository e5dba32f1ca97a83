//! The walk of a scan, beside the judge.
use super::{
    account::{Account, End},
    ageing::Ageing,
    dry::Dry,
    error::ScanError,
    failures::Failures,
    job::By,
    judge::Sent,
    links::Links,
    plan::Plan,
    progress::Progress,
    single,
    visit::{Shared, Visit},
};
use fsscan::{Coverage, Tally, WalkSummary, walk};
use state_sqlite::Verdicts;
use std::sync::{Arc, atomic::AtomicBool};
use tokio::sync::mpsc;

/// What the walk and the files that were named came to.
#[derive(Default)]
pub(super) struct Met {
    pub(super) coverage: Coverage,
    pub(super) singles: Tally,
    pub(super) account: Account,
    pub(super) failures: Failures,
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
    pub(super) fn run(self, jobs: &mpsc::Sender<Sent>) -> Result<Met, ScanError> {
        let mut met = Met::default();
        for path in &self.plan.singles {
            let tally = single::send(
                path,
                self.plan.most,
                &self.by,
                jobs,
                &mut met.account,
                &mut met.failures,
            );
            self.progress.met(tally.bytes);
            met.singles.add(tally);
        }
        let shared = Shared {
            by: &self.by,
            verdicts: self.verdicts.as_ref(),
            ageing: self.ageing.as_deref(),
            links: &self.links,
            progress: &self.progress,
            stop: &self.halt,
            is_background: self.is_background,
        };
        let visitors = (0..self.plan.threads)
            .map(|_| Visit::new(jobs.clone(), shared))
            .collect();
        let (walked, visitors) = walk(&self.plan.request, visitors, &self.halt)?;
        for visit in visitors {
            met.coverage.merge(visit.coverage);
            met.account.merge(visit.account);
            met.failures.merge(visit.failures);
        }
        met.walked = walked;
        Ok(met)
    }
}

/// Walks only to count. Blocks.
pub(super) fn dry_run(plan: &Plan, is_recursive: bool, halt: &AtomicBool) -> Result<Met, ScanError> {
    let visitors = (0..plan.threads).map(|_| Dry::new(is_recursive)).collect();
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
        met.account.count(End::Clean, bytes);
        met.singles.add(Tally { files: 1, bytes });
    }
    Ok(met)
}
