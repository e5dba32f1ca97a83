//! Settles the files that wait: what moved, what is new, what is gone, and what is held.
use crate::{
    context::Volumes,
    out::Out,
    undecided::{self, Paired, pair},
};
use core_model::{KnownTree, RootId, Side, Undecided};
use std::{
    collections::BTreeMap,
    mem,
    sync::atomic::{AtomicBool, Ordering},
};

/// Rows read at a time.
const PAGE: usize = 1024;

/// Files that wait, by root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) gone: u64,
    pub(crate) new: u64,
}

/// Counts the files that wait.
pub(crate) fn tally<T: KnownTree>(tree: &T) -> Result<BTreeMap<RootId, Waiting>, T::Error> {
    let mut counts: BTreeMap<RootId, Waiting> = BTreeMap::new();
    let mut after = None;
    loop {
        let page = tree.undecided_after(after.as_ref(), PAGE)?;
        for row in &page {
            let count = counts.entry(row.root).or_default();
            match row.side {
                Side::Gone => count.gone += 1,
                Side::New => count.new += 1,
            }
        }
        match page.into_iter().next_back() {
            Some(last) => after = Some(last),
            None => return Ok(counts),
        }
    }
}

/// Calls `settle` with the files of each identity, and stores what it decides. Returns false when it was stopped
/// before the end.
fn each_group<T: KnownTree>(
    out: &mut Out<'_, T>,
    stop: &AtomicBool,
    mut settle: impl FnMut(&mut Out<'_, T>, Paired),
) -> Result<bool, T::Error> {
    let mut after = None;
    let mut group: Vec<Undecided> = Vec::new();
    loop {
        let page = out.tree.undecided_after(after.as_ref(), PAGE)?;
        let Some(last) = page.last().cloned() else { break };
        for row in page {
            if group.first().is_some_and(|first| first.identity != row.identity) {
                settle(out, pair(mem::take(&mut group)));
                out.commit_if_heavy()?;
            }
            group.push(row);
        }
        if stop.load(Ordering::Relaxed) {
            out.commit()?;
            return Ok(false);
        }
        after = Some(last);
    }
    settle(out, pair(group));
    out.commit()?;
    Ok(true)
}

/// Files that are gone and did not move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) gone: u64,
    /// Those of them that were on a volume which the scan did not meet.
    pub(crate) unmounted: u64,
}

/// Tells what moved and what is new, and counts by root what is gone and did not move. `None` when it was stopped.
pub(crate) fn moved_and_new<T: KnownTree>(
    out: &mut Out<'_, T>,
    stop: &AtomicBool,
    volumes: &Volumes,
) -> Result<Option<BTreeMap<RootId, Left>>, T::Error> {
    let mut left: BTreeMap<RootId, Left> = BTreeMap::new();
    let ended = each_group(out, stop, |out, paired| {
        for (from, to) in paired.moved {
            out.moved(from, to);
        }
        for new in paired.new {
            out.appeared(new);
        }
        for gone in paired.gone {
            let left = left.entry(gone.root).or_default();
            left.gone += 1;
            let volume = undecided::volume(&gone);
            left.unmounted += u64::from(volume != 0 && volumes.device_of(volume).is_none());
        }
    })?;
    Ok(ended.then_some(left))
}

/// Tells what is gone and did not move, in the roots for which `is_due` holds. False when it was stopped.
pub(crate) fn gone<T: KnownTree>(
    out: &mut Out<'_, T>,
    stop: &AtomicBool,
    is_due: impl Fn(RootId) -> bool,
) -> Result<bool, T::Error> {
    each_group(out, stop, |out, paired| {
        for gone in paired.gone.into_iter().filter(|gone| is_due(gone.root)) {
            out.vanished(gone);
        }
    })
}

/// Tells that every file of a root that waits as gone is gone, moved or not.
pub(crate) fn all_gone<T: KnownTree>(out: &mut Out<'_, T>, root: RootId) -> Result<(), T::Error> {
    each_group(out, &AtomicBool::new(false), |out, paired| {
        let moved = paired.moved.into_iter().map(|(from, _)| from);
        for gone in moved.chain(paired.gone).filter(|gone| gone.root == root) {
            out.vanished(gone);
        }
    })
    .map(drop)
}
