//! One run at a time on one state.
use crate::LockError;
use chrono::{SecondsFormat, Utc};
use std::{
    ffi::OsString,
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// Whoever only looks whether the lock is held has it shared for an instant: that is worth a second try.
fn lock(file: &File) -> Result<(), TryLockError> {
    for _ in 0..5 {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(std::time::Duration::from_millis(2)),
            done => return done,
        }
    }
    file.try_lock()
}

/// An exclusive lock on a state, held until it is dropped. The kernel releases it when the process dies, however it
/// dies. It holds the process number and the time of the locking. The lock lies beside the state (`<state>.lock`) and stays there: removing it would let two runs hold two files
/// of one name.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

impl RunLock {
    /// Locks the state at `state`, without waiting.
    ///
    /// # Errors
    /// [`LockError::Held`] names the process that has it.
    pub fn acquire(state: &Path) -> Result<Self, LockError> {
        let mut name = OsString::from(state);
        name.push(".lock");
        let path = PathBuf::from(name);
        let io = |source| LockError::Io {
            path: path.clone(),
            source,
        };
        if let Some(parent) = path.parent() {
            crate::files::make_private_dir(parent).map_err(io)?;
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        crate::files::private(&mut options);
        let mut file = options.open(&path).map_err(io)?;
        match lock(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let pid = file
                    .read_to_string(&mut text)
                    .ok()
                    .and_then(|_| text.split_whitespace().next()?.parse().ok());
                return Err(LockError::Held { path, pid });
            }
            Err(TryLockError::Error(source)) => return Err(LockError::Io { path, source }),
        }
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            // The time tells a process from a later one that was dealt the same number.
            let since = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
            writeln!(file, "{} {since}", std::process::id())
        };
        write(&mut file).map_err(io)?;
        Ok(Self { _file: file })
    }

    /// Whether a run holds the lock of the state at `state`. Looks only: a shared lock for an instant, which no other
    /// looker notices, and which is never waited for.
    pub fn is_held(state: &Path) -> bool {
        let mut name = OsString::from(state);
        name.push(".lock");
        let file = File::open(PathBuf::from(name));
        file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}
