//! A file on its way to clamd: how it is opened, and what is known of it then.
use super::{account::End, visit::Shared, wanted::Wanted};
use crate::quarantine::{Quarantine, Stamp};
use core_model::EventId;
use fsscan::{Directory, FileStat, KeptDir, OpenFileError, WalkedFile};
use rustix::fs::{Mode, OFlags, openat};
use state_sqlite::{DirKey, FileFacts, Verdicts};
use std::{
    fs::File,
    io,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// By what a file is scanned, and for whom.
pub(super) struct By {
    /// The rule.
    pub(super) wanted: Arc<Wanted>,
    /// The scan; none for a watched file.
    pub(super) scan: Option<EventId>,
    /// Where malware is taken to, where it is to be taken away; or why there is no such place.
    pub(super) quarantine: Option<Result<Arc<Quarantine>, String>>,
    /// Longer files are over the limit, also those that become so while they are judged.
    pub(super) most: u64,
}

impl std::fmt::Debug for By {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("By")
            .field("rule", &self.wanted.rule)
            .finish_non_exhaustive()
    }
}

/// A file for clamd.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) file: Arc<File>,
    pub(super) path: Box<[u8]>,
    pub(super) stat: FileStat,
    /// What is compared with it before it is taken away.
    pub(super) stamp: Stamp,
    /// Where its verdict may be remembered; `None` where its file system does not show changes.
    pub(super) dir: Option<DirKey>,
    /// The wall clock before it was looked at, in nanoseconds since the epoch.
    pub(super) began_ns: i64,
    pub(super) synced: bool,
    /// How often clamd was asked in vain.
    pub(super) tries: u8,
    /// When clamd was asked last.
    pub(super) sent_at: Option<tokio::time::Instant>,
    /// It has several names, and what becomes of it is said to [`Links`](super::links::Links).
    pub(super) is_shared: bool,
    pub(super) by: Arc<By>,
}

impl Job {
    /// A file that was just opened and looks like `stat`.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub(super) fn new(
        file: File,
        mut stat: FileStat,
        path: Box<[u8]>,
        dir: Option<DirKey>,
        verdicts: Option<&Verdicts>,
        by: &Arc<By>,
        began_ns: i64,
    ) -> io::Result<Self> {
        // What others store through a mapping shows only when it was written to the disk.
        let mut synced = false;
        if dir.is_some() && verdicts.is_some_and(|verdicts| verdicts.wants_sync(&facts(&stat), began_ns)) {
            synced = file.sync_data().is_ok();
            stat = FileStat::of(&file)?;
        }
        Ok(Self {
            stamp: Stamp::of(&file)?,
            file: Arc::new(file),
            path,
            stat,
            dir,
            began_ns,
            synced,
            tries: 0,
            sent_at: None,
            is_shared: false,
            by: Arc::clone(by),
        })
    }

    /// What is remembered of the file as it looks now.
    pub(super) fn facts(&self) -> FileFacts {
        facts(&self.stat)
    }
}

pub(super) fn facts(stat: &FileStat) -> FileFacts {
    FileFacts {
        inode: stat.inode,
        size: stat.size,
        mtime_ns: stat.mtime_ns,
        ctime_ns: stat.ctime_ns,
        btime_ns: stat.btime_ns,
    }
}

/// A listed file, opened as it is now.
pub(super) fn job(
    dir: &Directory<'_>,
    listed: &WalkedFile<'_>,
    key: Option<DirKey>,
    shared: Shared<'_>,
) -> Result<Job, OpenFileError> {
    let began_ns = now_ns();
    let (file, stat) = match dir.open(listed) {
        Ok(file) => (file, listed.stat),
        // It changed since it was listed, and is scanned all the same.
        Err(OpenFileError::Changed) => open_now(&dir.keep()?, listed.name)?,
        Err(error) => return Err(error),
    };
    let path = dir.path_of(listed.name).into();
    Ok(Job::new(file, stat, path, key, shared.verdicts, shared.by, began_ns)?)
}

/// A file as it is now, through no link.
pub(super) fn open_now(dir: &KeptDir, name: &[u8]) -> Result<(File, FileStat), OpenFileError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = match openat(dir, name, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT) => return Err(OpenFileError::Vanished),
        Err(rustix::io::Errno::LOOP | rustix::io::Errno::NXIO) => return Err(OpenFileError::NotRegular),
        Err(error) => return Err(OpenFileError::Io(error.into())),
    };
    let stat = FileStat::of(&file)?;
    if stat.kind() == fsscan::FileKind::File {
        Ok((file, stat))
    } else {
        Err(OpenFileError::NotRegular)
    }
}

pub(super) const fn end_of(error: &OpenFileError) -> End {
    match error {
        // Something else has its name by now.
        OpenFileError::Vanished | OpenFileError::Changed | OpenFileError::NotRegular => End::Vanished,
        OpenFileError::Io(_) => End::Unreadable,
    }
}

pub(super) fn told(error: &OpenFileError) -> String {
    match error {
        OpenFileError::Io(source) => in_words(source),
        other => other.to_string(),
    }
}

/// What the system says, and what can be done.
pub(super) fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => format!("{error}: run as a user who may read it"),
        _ if error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) => {
            format!("{error}: raise the limit of open files (LimitNOFILE=)")
        }
        _ => error.to_string(),
    }
}

/// Why nobody judges a file that is longer than so many bytes.
pub(super) fn too_long(most: u64) -> String {
    format!("longer than {most} bytes")
}

pub(super) fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
