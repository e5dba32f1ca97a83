//! What the walk does with each directory: what is known to be clean is counted, the rest goes to clamd.
use super::{
    account::{Account, End},
    failures::Failures,
};
use crate::quarantine::Stamp;
use fsscan::{
    Coverage, Directory, Enter, Entering, FileStat, NotWalked, OpenFileError, PathError, Visitor, WalkedFile,
};
use rustix::fs::{Mode, OFlags, openat};
use state_sqlite::{DirKey, FileFacts, Judgement, KnownVerdicts, Recalled, VerdictReader, Verdicts};
use std::{
    fs::File,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::sync::mpsc;

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
}

impl Job {
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

/// One thread's part of a walk.
pub(super) struct Visit<'s> {
    jobs: mpsc::Sender<Job>,
    verdicts: Option<&'s Verdicts>,
    reader: Option<VerdictReader>,
    stop: &'s AtomicBool,
    is_recursive: bool,
    pub(super) coverage: Coverage,
    pub(super) account: Account,
    pub(super) failures: Failures,
}

impl<'s> Visit<'s> {
    pub(super) fn new(
        jobs: mpsc::Sender<Job>,
        verdicts: Option<&'s Verdicts>,
        stop: &'s AtomicBool,
        is_recursive: bool,
    ) -> Self {
        let reader = verdicts.and_then(|verdicts| match verdicts.reader() {
            Ok(reader) => Some(reader),
            Err(error) => {
                tracing::warn!(%error, "what is known of files cannot be read: all of them are scanned");
                None
            }
        });
        Self {
            jobs,
            verdicts,
            reader,
            stop,
            is_recursive,
            coverage: Coverage::default(),
            account: Account::default(),
            failures: Failures::default(),
        }
    }
}

impl Visitor for Visit<'_> {
    fn enter(&mut self, dir: &Entering<'_>) -> Enter {
        enter(self.is_recursive, dir)
    }

    fn directory(&mut self, dir: &Directory<'_>) {
        let Self {
            jobs,
            verdicts,
            reader,
            stop,
            coverage,
            account,
            failures,
            ..
        } = self;
        coverage.add(dir);
        let file_system = dir.file_system();
        let key = file_system.shows_changes().then(|| DirKey {
            volume: file_system.volume,
            inode: dir.inode(),
        });
        let mut known = key.and_then(|key| recall(reader.as_mut()?, key));
        for listed in dir.files() {
            let size = listed.stat.size;
            if let Some(end) = known.as_mut().and_then(|known| remembered(known, &listed.stat)) {
                account.count(end, size);
                continue;
            }
            if size == 0 {
                // There is nothing in it that clamd could look at.
                account.count(End::Clean, 0);
                continue;
            }
            match job(dir, &listed, key.filter(|_| verdicts.is_some()), *verdicts) {
                // Nobody takes jobs any more where clamd is given up: what is met then is told as failed.
                Ok(job) => {
                    if let Err(refused) = jobs.blocking_send(job) {
                        account.count(End::Failed, size);
                        failures.add(End::Failed, &refused.0.path, "clamd was given up");
                    }
                }
                Err(error) => {
                    let end = end_of(&error);
                    account.count(end, size);
                    failures.add(end, &dir.path_of(listed.name), &told(&error));
                }
            }
        }
        if let Some(known) = known
            && !stop.load(Ordering::Relaxed)
            && let Err(error) = known.seen(chrono::Utc::now())
        {
            tracing::debug!(%error, "that a directory was seen could not be written down");
        }
    }

    fn not_walked(&mut self, dir: &NotWalked<'_>) {
        self.coverage.add_not_walked(dir);
    }

    fn error(&mut self, error: &PathError) {
        self.failures.add(End::Unreadable, &error.path, &error.detail);
    }
}

/// Below the path itself only where a rule wants that.
pub(super) fn enter(is_recursive: bool, dir: &Entering<'_>) -> Enter {
    let name = dir.relative.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    // Where a file lies for the moment in which it is taken away.
    if name.starts_with(b".reef-agent-") {
        return Enter::Skip;
    }
    if is_recursive || dir.relative.is_empty() {
        Enter::Visit
    } else {
        Enter::Skip
    }
}

fn recall(reader: &mut VerdictReader, key: DirKey) -> Option<KnownVerdicts<'_>> {
    match reader.directory(key) {
        Ok(known) => Some(known),
        Err(error) => {
            tracing::debug!(%error, "what is known of a directory cannot be read: all of it is scanned");
            None
        }
    }
}

fn remembered(known: &mut KnownVerdicts<'_>, stat: &FileStat) -> Option<End> {
    match known.recall(&facts(stat)) {
        Recalled::Holds(found) => Some(match found.judgement {
            Judgement::Clean => End::Remembered,
            Judgement::OverLimit => End::OverLimit,
        }),
        _ => None,
    }
}

fn job(
    dir: &Directory<'_>,
    listed: &WalkedFile<'_>,
    key: Option<DirKey>,
    verdicts: Option<&Verdicts>,
) -> Result<Job, OpenFileError> {
    let began_ns = now_ns();
    let (file, mut stat) = match dir.open(listed) {
        Ok(file) => (file, listed.stat),
        Err(OpenFileError::Changed) => open_anew(dir, listed)?,
        Err(error) => return Err(error),
    };
    // What others store through a mapping shows only when it was written to the disk.
    let mut synced = false;
    if key.is_some() && verdicts.is_some_and(|verdicts| verdicts.wants_sync(&facts(&stat), began_ns)) {
        synced = file.sync_data().is_ok();
        stat = FileStat::of(&file)?;
    }
    let stamp = Stamp::of(&file)?;
    Ok(Job {
        stamp,
        file: Arc::new(file),
        path: dir.path_of(listed.name).into(),
        stat,
        dir: key,
        began_ns,
        synced,
        tries: 0,
    })
}

/// A file that changed since it was listed, as it is now: it is scanned all the same.
fn open_anew(dir: &Directory<'_>, listed: &WalkedFile<'_>) -> Result<(File, FileStat), OpenFileError> {
    let kept = dir.keep()?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = match openat(&kept, listed.name, flags, Mode::empty()) {
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

const fn end_of(error: &OpenFileError) -> End {
    match error {
        // Something else has its name by now.
        OpenFileError::Vanished | OpenFileError::Changed | OpenFileError::NotRegular => End::Vanished,
        OpenFileError::Io(_) => End::Unreadable,
    }
}

fn told(error: &OpenFileError) -> String {
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

pub(super) fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
