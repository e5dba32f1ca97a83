//! Files that were named themselves, not found in a directory.
use super::{
    account::{Account, End},
    failures::Failures,
    job::{By, Job, in_words, now_ns},
    judge::Sent,
};
use fsscan::{FileKind, FileStat, Tally};
use rustix::fs::{Mode, OFlags, open};
use std::{fs::File, os::unix::ffi::OsStrExt as _, path::Path, sync::Arc};
use tokio::sync::mpsc;

/// Sends a file to clamd, or counts why not. A link that was named is followed: that is what was asked for.
pub(super) fn send(
    path: &Path,
    most: u64,
    by: &Arc<By>,
    jobs: &mpsc::Sender<Sent>,
    account: &mut Account,
    failures: &mut Failures,
) -> Tally {
    let bytes = path.as_os_str().as_bytes();
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let began_ns = now_ns();
    let opened = open(path, flags, Mode::empty()).map_err(std::io::Error::from);
    let looked = opened.and_then(|file| {
        let file = File::from(file);
        FileStat::of(&file).map(|stat| (file, stat))
    });
    let (file, stat) = match looked {
        Ok(found) => found,
        Err(error) => {
            failures.add(End::Unreadable, bytes, &in_words(&error));
            account.count(End::Unreadable, 0);
            return Tally { files: 1, bytes: 0 };
        }
    };
    let tally = Tally {
        files: 1,
        bytes: stat.size,
    };
    let end = match stat.kind() {
        FileKind::File if stat.size == 0 => Some(End::Clean),
        FileKind::File if stat.size > most => Some(End::OverLimit),
        FileKind::File => None,
        _ => Some(End::Special),
    };
    if let Some(end) = end {
        account.count(end, stat.size);
        return tally;
    }
    let job = match Job::new(file, stat, bytes.into(), None, None, by, began_ns) {
        Ok(job) => job,
        Err(error) => {
            failures.add(End::Unreadable, bytes, &in_words(&error));
            account.count(End::Unreadable, stat.size);
            return tally;
        }
    };
    if jobs.blocking_send(Sent::Ask(Box::new(job))).is_err() {
        account.count(End::Failed, stat.size);
        failures.add(End::Failed, bytes, "clamd was given up");
    }
    tally
}
