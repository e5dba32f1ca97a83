//! Putting a backup in the place of a state.
use super::{aside, in_opening};
use crate::{
    OpenError, Outbox, ResyncReason, backup,
    files::{self, BALLAST, INDEX, LOG, MARK, beside},
    outbox,
};
use chrono::{DateTime, Utc};
use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

/// A copy that is whole and ready to take the place of the state.
pub(super) const READY: &str = ".restoring";
/// A copy that is being made.
const UNFINISHED: &str = ".restoring.tmp";

/// Puts `backup` in the place of the state at `path`, for an operator. The present state is moved aside; says where it
/// lies. The outbox of the restored one is empty and wants a resync. Whoever calls it holds the
/// [`RunLock`](crate::RunLock) of the state.
///
/// # Errors
/// When the backup is not sound or the system refuses; the state stays in its place then.
pub fn restore_from(path: &Path, backup: &Path, now: DateTime<Utc>) -> Result<PathBuf, OpenError> {
    let detail = format!("an operator restored the backup `{}`", backup.display());
    prepare(path, backup, ResyncReason::Restored, &detail)?;
    let aside = aside::move_aside(path, aside::REPLACED, now)?;
    put_in_place(path)?;
    Ok(aside)
}

/// Makes a copy of `backup` that is ready to take the place of the state: synced, with another stream that wants a
/// resync. A failure with the copy itself is an [`OpenError::File`]; any other is the backup's.
pub(super) fn prepare(path: &Path, backup: &Path, reason: ResyncReason, detail: &str) -> Result<(), OpenError> {
    backup::check(backup).map_err(|source| OpenError::Backup {
        path: backup.to_owned(),
        source: Box::new(source),
    })?;
    let copy = beside(path, UNFINISHED);
    let failed = |doing| {
        let path = copy.clone();
        move |source| OpenError::File { path, doing, source }
    };
    clean(&copy).map_err(failed("clean up"))?;
    copy_file(backup, &copy).map_err(failed("write"))?;
    let prepared = (|| {
        let database = backup::open_copy(&copy)?;
        Outbox::open_for(&database, reason, detail)?;
        outbox::restart(&database, reason, detail, Utc::now()).map_err(|error| in_opening(backup, error))
    })();
    // Closing it has put its log into it; what lies beside it belongs to no state.
    let swept = [LOG, INDEX, MARK, BALLAST]
        .iter()
        .try_for_each(|ending| files::remove_if_there(&beside(&copy, ending)));
    if prepared.is_err() {
        clean(&copy).map_err(failed("clean up"))?;
    }
    prepared?;
    swept.map_err(failed("clean up beside"))?;
    let ready = beside(path, READY);
    File::open(&copy)
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::rename(&copy, &ready))
        .and_then(|()| files::sync_dir(ready.parent().unwrap_or(Path::new(""))))
        .map_err(failed("write"))
}

/// Puts the copy that is ready where the state was, which was moved aside.
pub(super) fn put_in_place(path: &Path) -> Result<(), OpenError> {
    let (ready, state) = (beside(path, READY), beside(path, ""));
    fs::rename(&ready, &state)
        .and_then(|()| files::sync_dir(state.parent().unwrap_or(Path::new(""))))
        .map_err(|source| OpenError::File {
            path: state,
            doing: "put the backup in the place of",
            source,
        })
}

fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    files::private(&mut options);
    let mut copy = options.open(to)?;
    io::copy(&mut File::open(from)?, &mut copy)?;
    copy.sync_all()
}

fn clean(copy: &Path) -> io::Result<()> {
    ["", LOG, INDEX, MARK, BALLAST]
        .iter()
        .try_for_each(|ending| files::remove_if_there(&beside(copy, ending)))
}
