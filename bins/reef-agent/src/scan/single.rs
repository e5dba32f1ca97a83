//! Files that were named themselves, not found in a directory.
use super::{
    account::End,
    collect::is_unjudged,
    handing::{Hand, Refused},
    job::{By, Job, in_words, now_ns, too_long},
    walk::Met,
};
use fsscan::{FileKind, FileStat, Tally};
use rustix::fs::{Mode, OFlags, open};
use std::{fs::File, os::unix::ffi::OsStrExt as _, path::Path, sync::Arc};

/// Sends a file to clamd, or counts why not. A link that was named is followed: that is what was asked for.
pub(super) fn send(path: &Path, by: &Arc<By>, judge: &mut Hand, met: &mut Met) -> Tally {
    let bytes = path.as_os_str().as_bytes();
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let began_ns = now_ns();
    let opened = open(path, flags, Mode::empty()).map_err(std::io::Error::from);
    let looked = opened.and_then(|file| {
        let file = File::from(file);
        FileStat::of(&file).map(|stat| (file, stat))
    });
    let mut end = |end, bytes_of, reason: Option<String>| {
        met.account.count(end, bytes_of);
        met.named_unjudged += u64::from(is_unjudged(end));
        if let Some(reason) = reason {
            met.failures.add(end, bytes, &reason);
        }
    };
    let (file, stat) = match looked {
        Ok(found) => found,
        Err(error) => {
            end(End::Unreadable, 0, Some(in_words(&error)));
            return Tally { files: 1, bytes: 0 };
        }
    };
    let tally = Tally {
        files: 1,
        bytes: stat.size,
    };
    match stat.kind() {
        FileKind::File if stat.size == 0 => end(End::Clean, 0, None),
        FileKind::File if stat.size > by.most => end(End::OverLimit, stat.size, Some(too_long(by.most))),
        FileKind::File => match Job::new(file, stat, bytes.into(), None, None, by, began_ns) {
            Ok(job) => {
                // At once: there are few, and each is about to be forgotten here.
                if let Err(Refused(_)) = judge.give(Box::new(job)).and_then(|()| judge.give_all()) {
                    end(End::Failed, stat.size, Some("clamd was given up".to_owned()));
                }
            }
            Err(error) => end(End::Unreadable, stat.size, Some(in_words(&error))),
        },
        _ => end(
            End::Special,
            stat.size,
            Some("neither a file nor a directory".to_owned()),
        ),
    }
    tally
}
