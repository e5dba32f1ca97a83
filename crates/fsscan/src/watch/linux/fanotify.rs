//! A fanotify group of the notification class: it never makes a process wait.
//!
//! Groups that report names and moves need `open_by_handle_at`, which no safe wrapper has. So this one reports files
//! closed after writing, with a descriptor of each, and moves are left to inotify.
use crate::watch::WatchError;
use nix::{
    errno::Errno,
    sys::fanotify::{EventFFlags, Fanotify as Group, FanotifyEvent, InitFlags, MarkFlags, MaskFlags},
};
use rustix::fs::CWD;
use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd},
        unix::ffi::OsStringExt,
    },
    process,
};

/// So many reads are made before anything else is done; each opens at most 170 files.
const MOST_READS: usize = 32;

/// A file was closed after writing.
pub(super) enum Close<'c> {
    /// By this process.
    Own,
    File {
        /// Its path with links resolved, as this process would name it.
        path: Vec<u8>,
        /// Gives a descriptor of its own.
        file: &'c mut dyn FnMut() -> io::Result<File>,
    },
}

/// A fanotify group.
#[derive(Debug)]
pub(super) struct Fanotify(Group);

impl Fanotify {
    pub(super) fn new() -> Result<Self, WatchError> {
        let flags = InitFlags::FAN_CLASS_NOTIF | InitFlags::FAN_CLOEXEC | InitFlags::FAN_NONBLOCK;
        // Not to wait for the other end of a pipe, and not to count as a reader.
        let opened = EventFFlags::O_RDONLY
            | EventFFlags::O_LARGEFILE
            | EventFFlags::O_CLOEXEC
            | EventFFlags::O_NONBLOCK
            | EventFFlags::O_NOATIME;
        match Group::init(flags, opened) {
            Ok(group) => Ok(Self(group)),
            Err(error @ Errno::EPERM) => Err(WatchError::NotPermitted(error.into())),
            Err(Errno::ENOSYS) => Err(WatchError::NotAvailable),
            Err(error) => Err(WatchError::Io(error.into())),
        }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Marks the file system that a path lies on.
    pub(super) fn mark(&self, path: &[u8]) -> io::Result<()> {
        let flags = MarkFlags::FAN_MARK_ADD | MarkFlags::FAN_MARK_FILESYSTEM;
        Ok(self.0.mark(flags, MaskFlags::FAN_CLOSE_WRITE, CWD, Some(path))?)
    }

    /// Calls `each` with every file that was closed; how many events there were, and whether some were lost.
    pub(super) fn read(&self, each: &mut dyn FnMut(Close<'_>)) -> io::Result<(usize, bool)> {
        let (mut count, mut is_lost) = (0, false);
        for _ in 0..MOST_READS {
            let events = match self.0.read_events() {
                Ok(events) => events,
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(error.into()),
            };
            count += events.len();
            for event in &events {
                match event.fd() {
                    None => is_lost = true,
                    Some(_) if event.pid() == process::id().cast_signed() => each(Close::Own),
                    Some(fd) => tell(fd, each),
                }
            }
            drop::<Vec<FanotifyEvent>>(events);
        }
        Ok((count, is_lost))
    }
}

fn tell(fd: BorrowedFd<'_>, each: &mut dyn FnMut(Close<'_>)) {
    let Ok(path) = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())) else {
        return;
    };
    each(Close::File {
        path: path.into_os_string().into_vec(),
        file: &mut || fd.try_clone_to_owned().map(File::from),
    });
}
