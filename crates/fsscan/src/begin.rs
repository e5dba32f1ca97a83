//! What happens before the first directory is walked: roots are checked, named and, where paths overlap, let go.
use crate::{
    ScanError, ScanRequest,
    context::{Root, Volumes},
    out::Out,
    resolve::Waiting,
    roots::{self, Plan, RootState},
    rules::Rules,
    sys,
    table::Table,
    vanish::{self, RootFacts},
};
use core_model::{KnownRoot, KnownTree, RootId, RootUpdate};
use std::{collections::BTreeMap, mem, sync::atomic::AtomicBool};

/// The roots of a request, each once, with what is known of them and what lies there now.
pub(crate) fn plan<'a, E: std::error::Error + 'static>(
    request: &'a ScanRequest,
    known: &[KnownRoot],
) -> Result<Vec<Plan<'a>>, ScanError<E>> {
    let wanted = roots::distinct(&request.roots)?;
    let mut next = known.iter().map(|root| root.id.0 + 1).max().unwrap_or(1);
    let mut plans = Vec::with_capacity(wanted.len());
    for (path, root) in wanted {
        let known = known.iter().find(|known| known.path == path).cloned();
        let id = known.as_ref().map_or(RootId(next), |known| known.id);
        next += u32::from(known.is_none());
        plans.push(Plan {
            request: root,
            rules: Rules::new(request, root)?,
            id,
            state: roots::examine_for_scan(sys::path_of(&path), known.as_ref()),
            path,
            known,
        });
    }
    Ok(plans)
}

/// Lets go of known roots that are no longer asked for but overlap with one that is: their files wait as gone, and the
/// scan of the other root finds those that are still there.
pub(crate) fn release<T: KnownTree>(
    out: &mut Out<'_, T>,
    plans: &[Plan<'_>],
    known: &[KnownRoot],
) -> Result<(), T::Error> {
    let overlaps = |path: &[u8]| {
        let meets = |plan: &Plan<'_>| roots::contains(&plan.path, path) || roots::contains(path, &plan.path);
        plans.iter().any(meets)
    };
    let is_asked_for = |path: &[u8]| plans.iter().any(|plan| plan.path == path);
    let released: Vec<&KnownRoot> = known
        .iter()
        .filter(|root| !is_asked_for(&root.path) && overlaps(&root.path))
        .collect();
    for root in released {
        take_away(out, root)?;
    }
    Ok(())
}

/// Takes every directory of a root away; its files wait as gone.
pub(crate) fn take_away<T: KnownTree>(out: &mut Out<'_, T>, root: &KnownRoot) -> Result<(), T::Error> {
    let table = Table::load(&*out.tree)?;
    let facts = RootFacts {
        prefix: roots::prefix(&root.path).to_vec(),
        volume: root.identity.as_ref().map_or(0, roots::volume_of),
    };
    let dirs = vanish::all_of(&table, root.id);
    let never = AtomicBool::new(false);
    vanish::vanish(out, &table, &dirs, &BTreeMap::from([(root.id, facts)]), true, &never).map(drop)
}

/// How many files of each root the server was told of.
pub(crate) fn told<T: KnownTree>(
    out: &Out<'_, T>,
    plans: &[Plan<'_>],
    waiting: &BTreeMap<RootId, Waiting>,
) -> BTreeMap<RootId, u64> {
    let told = |id| {
        let waiting = waiting.get(&id).copied().unwrap_or_default();
        out.files(id).saturating_add(waiting.gone).saturating_sub(waiting.new)
    };
    plans.iter().map(|plan| (plan.id, told(plan.id))).collect()
}

/// Stores roots that are new, and what identifies those that are about to be scanned.
pub(crate) fn introduce<T: KnownTree>(out: &mut Out<'_, T>, plans: &[Plan<'_>]) -> Result<(), T::Error> {
    for plan in plans {
        let mut update = RootUpdate::new(plan.id);
        if plan.known.is_none() {
            update.path = Some(plan.path.clone());
        }
        if let RootState::Open(open) = &plan.state {
            let before = plan.known.as_ref().and_then(|known| known.identity);
            update.identity = Some(Some(open.identity)).filter(|_| before != Some(open.identity));
        }
        if update != RootUpdate::new(plan.id) {
            out.root(update);
        }
    }
    out.commit()
}

/// What the walk needs of a root, which is taken out of its plan; `None` when it may not be walked.
pub(crate) fn open<'a>(plan: &mut Plan<'a>, volumes: &Volumes) -> Option<Root<'a>> {
    if !matches!(plan.state, RootState::Open(_)) {
        return None;
    }
    let RootState::Open(open) = mem::replace(&mut plan.state, RootState::Walking) else {
        return None;
    };
    volumes.of_device(open.identity.device, || roots::volume_of(&open.identity));
    Some(Root::new(plan.request, plan.rules.clone(), plan.id, &plan.path, open))
}
