//! An operator's word that what looks wrong is right.
use crate::{
    Encoder, NoObserver, RootOutcome, ScanError, ScanRequest, begin, context::Volumes, out::Out, resolve, roots, scan,
    sys,
};
use chrono::{DateTime, Utc};
use core_model::{KnownRoot, KnownTree, RootUpdate};
use std::path::Path;

/// What accepting did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// Deletions that were held are told.
    Deletions {
        /// How many.
        deleted: u64,
    },
    /// The next scan takes what it finds at the path, whatever that is.
    NextScan {
        /// What is wrong with it.
        found: RootOutcome,
    },
    /// The root is no longer asked for: all its files are told as deleted, and it is forgotten.
    Forgotten {
        /// How many.
        deleted: u64,
    },
    /// Nothing is held and nothing is wrong.
    Nothing,
    /// No root of this path is known.
    Unknown,
}

/// Lets through what a scan held back in a root. `request` tells which roots are asked for.
///
/// # Errors
///
/// When `root` is no path of a root, or the state cannot be read or stored.
pub fn accept<T: KnownTree>(
    tree: &mut T,
    root: &Path,
    request: &ScanRequest,
    encoder: &mut dyn Encoder,
    now: DateTime<Utc>,
) -> Result<Accepted, ScanError<T::Error>> {
    let path = roots::normal_path(root)?;
    let known = tree.roots().map_err(ScanError::Tree)?;
    let Some(known) = known.into_iter().find(|known| known.path == path) else {
        return Ok(Accepted::Unknown);
    };
    let mut is_asked_for = false;
    for root in &request.roots {
        is_asked_for |= roots::normal_path(&root.path)? == path;
    }
    let volumes = Volumes::default();
    let recorder = scan::recorder(request, encoder, &NoObserver, &volumes);
    let mut out = Out::new(tree, recorder, now).map_err(ScanError::Tree)?;
    let done = if is_asked_for {
        let_through(&mut out, &known)
    } else {
        forget(&mut out, &known)
    };
    done.map_err(ScanError::Tree)
}

fn forget<T: KnownTree>(out: &mut Out<'_, T>, root: &KnownRoot) -> Result<Accepted, T::Error> {
    begin::take_away(out, root)?;
    out.commit()?;
    resolve::all_gone(out, root.id)?;
    out.remove_root(root.id);
    out.commit()?;
    let deleted = out.recorder.counts.deleted;
    Ok(Accepted::Forgotten { deleted })
}

fn let_through<T: KnownTree>(out: &mut Out<'_, T>, root: &KnownRoot) -> Result<Accepted, T::Error> {
    if let Err(found) = roots::examine(sys::path_of(&root.path), Some(root)) {
        // What cannot be read may be all there: there is nothing to accept before it can.
        if !matches!(found, RootOutcome::Unreadable { .. }) {
            out.root(RootUpdate {
                identity: Some(None),
                accepted: Some(true),
                ..RootUpdate::new(root.id)
            });
            out.commit()?;
        }
        return Ok(Accepted::NextScan { found });
    }
    if root.held == 0 {
        return Ok(Accepted::Nothing);
    }
    let never = std::sync::atomic::AtomicBool::new(false);
    resolve::gone(out, &never, |id| id == root.id)?;
    out.root(RootUpdate {
        held: Some(0),
        ..RootUpdate::new(root.id)
    });
    out.commit()?;
    let deleted = out.recorder.counts.deleted;
    Ok(Accepted::Deletions { deleted })
}
