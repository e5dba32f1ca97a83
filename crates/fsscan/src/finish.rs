//! What happens when all roots were walked: what is gone vanishes, what waits is settled, roots are closed.
use crate::{
    RootOutcome, RootSummary, Summary, Unconfigured,
    context::{Context, Root},
    out::Out,
    resolve::{self, Left},
    roots::{Plan, RootState},
    sys,
    vanish::{self, RootFacts},
    writer::{self, Start},
};
use core_model::{KnownRoot, KnownTree, RootId, RootUpdate};
use std::{
    collections::BTreeMap,
    sync::{PoisonError, atomic::Ordering},
};

/// What the end of a scan needs to know.
pub(crate) struct Ending<'s, 'a> {
    pub(crate) plans: &'s [Plan<'a>],
    pub(crate) known: &'s [KnownRoot],
    pub(crate) context: &'s Context<'a>,
    /// How many files of each root the server was told of when the scan began.
    pub(crate) told: &'s BTreeMap<RootId, u64>,
    pub(crate) start: Start,
}

impl Ending<'_, '_> {
    pub(crate) fn finish<T: KnownTree>(&self, out: &mut Out<'_, T>, summary: &mut Summary) -> Result<(), T::Error> {
        let outcomes: BTreeMap<RootId, RootOutcome> =
            self.plans.iter().map(|plan| (plan.id, self.outcome(plan))).collect();
        let is_closed = |id: RootId| self.plans.iter().any(|plan| plan.id == id && self.is_closed(plan));
        let mut held = None;
        if !self.is_stopped() && self.vanish(out, &is_closed)? {
            held = self.settle(out, &is_closed)?;
        }
        summary.stopped = held.is_none();
        self.close(out, summary, &outcomes, held.as_ref(), &is_closed)
    }

    fn is_stopped(&self) -> bool {
        self.context.ground.stop.load(Ordering::Relaxed)
    }

    fn root(&self, id: RootId) -> Option<&Root<'_>> {
        self.context.ground.roots.iter().find(|root| root.id == id)
    }

    fn outcome(&self, plan: &Plan<'_>) -> RootOutcome {
        match &plan.state {
            RootState::Failed(outcome) | RootState::AcceptedGone(outcome) => outcome.clone(),
            RootState::Open(_) => RootOutcome::Scanned,
            RootState::Walking => {
                let failed = self.root(plan.id).and_then(|root| {
                    let failed = root.failed.lock().unwrap_or_else(PoisonError::into_inner);
                    failed.clone()
                });
                failed.map_or(RootOutcome::Scanned, |detail| RootOutcome::Unreadable { detail })
            }
        }
    }

    /// Whether all of a root is known now, so that what was not found of it is gone.
    fn is_closed(&self, plan: &Plan<'_>) -> bool {
        match plan.state {
            RootState::AcceptedGone(_) => true,
            RootState::Open(_) | RootState::Failed(_) => false,
            RootState::Walking => self.outcome(plan).is_scanned(),
        }
    }

    fn vanish<T: KnownTree>(
        &self,
        out: &mut Out<'_, T>,
        is_closed: &impl Fn(RootId) -> bool,
    ) -> Result<bool, T::Error> {
        let is_top_gone = |id: RootId| {
            let is_it = |plan: &&Plan<'_>| plan.id == id && matches!(plan.state, RootState::AcceptedGone(_));
            self.plans.iter().any(|plan| is_it(&plan))
        };
        let gone = self.context.table.gone(is_closed, is_top_gone);
        let facts = |plan: &Plan<'_>| RootFacts {
            prefix: crate::roots::prefix(&plan.path).to_vec(),
            volume: self.root(plan.id).map_or(0, |root| root.volume),
        };
        let facts = self.plans.iter().map(|plan| (plan.id, facts(plan))).collect();
        let table = &self.context.table;
        vanish::vanish(
            out,
            table,
            &gone,
            &facts,
            self.start.has_undecided,
            self.context.ground.stop,
        )
    }

    /// Settles what waits, and gives back what is left in each root; `None` when it was stopped.
    fn settle<T: KnownTree>(
        &self,
        out: &mut Out<'_, T>,
        is_closed: &impl Fn(RootId) -> bool,
    ) -> Result<Option<BTreeMap<RootId, Left>>, T::Error> {
        let stop = self.context.ground.stop;
        let Some(mut left) = resolve::moved_and_new(out, stop, self.context.ground.volumes)? else {
            return Ok(None);
        };
        let held_before = |id: RootId| self.known.iter().any(|root| root.id == id && root.held > 0);
        let is_accepted = |id: RootId| self.plans.iter().any(|plan| plan.id == id && plan.is_accepted());
        let hold = self.context.request.hold;
        let is_held = |id: RootId, left: Left| {
            let told = self.told.get(&id).copied().unwrap_or_default();
            let is_beyond = writer::is_too_many(hold, left.gone, told) || left.unmounted > hold.min_files;
            !is_accepted(id) && (held_before(id) || is_beyond)
        };
        let due: Vec<RootId> = left
            .iter()
            .filter(|(id, left)| is_closed(**id) && !is_held(**id, **left))
            .map(|(id, _)| *id)
            .collect();
        if !due.is_empty() && !resolve::gone(out, stop, |id| due.contains(&id))? {
            return Ok(None);
        }
        left.retain(|id, _| !due.contains(id));
        Ok(Some(left))
    }

    fn close<T: KnownTree>(
        &self,
        out: &mut Out<'_, T>,
        summary: &mut Summary,
        outcomes: &BTreeMap<RootId, RootOutcome>,
        left: Option<&BTreeMap<RootId, Left>>,
        is_closed: &impl Fn(RootId) -> bool,
    ) -> Result<(), T::Error> {
        for plan in self.plans {
            let before = plan.known.as_ref().map_or(0, |known| known.held);
            let mut held = before;
            if let (Some(left), true) = (left, is_closed(plan.id)) {
                held = left.get(&plan.id).map_or(0, |left| left.gone);
                out.root(RootUpdate {
                    accepted: Some(false),
                    held: Some(held),
                    completed_at: Some(out.now() + out.elapsed()),
                    ..RootUpdate::new(plan.id)
                });
            }
            let mut outcome = outcomes.get(&plan.id).cloned().unwrap_or(RootOutcome::Stopped);
            if left.is_none() && outcome.is_scanned() {
                outcome = RootOutcome::Stopped;
            }
            let root = self.root(plan.id);
            let count = |of: fn(&Root<'_>) -> u64| root.map_or(0, of);
            let found = RootSummary {
                path: sys::path_of(&plan.path).to_owned(),
                outcome,
                files: count(|root| root.files.load(Ordering::Relaxed)),
                bytes: count(|root| root.bytes.load(Ordering::Relaxed)),
                held,
            };
            summary.files += found.files;
            summary.bytes += found.bytes;
            summary.held += found.held;
            summary.roots.push(found);
        }
        for root in self.known {
            if self.plans.iter().any(|plan| plan.id == root.id) {
                continue;
            }
            let held = left.map_or(root.held, |left| left.get(&root.id).map_or(0, |left| left.gone));
            let files = out.files(root.id) + held;
            if left.is_some() && files == 0 {
                out.remove_root(root.id);
                continue;
            }
            if held != root.held {
                out.root(RootUpdate {
                    held: Some(held),
                    ..RootUpdate::new(root.id)
                });
            }
            summary.held += held;
            summary.unconfigured.push(Unconfigured {
                path: root.path.clone(),
                files,
            });
        }
        out.commit()
    }
}
