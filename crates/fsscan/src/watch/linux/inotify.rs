//! An inotify instance.
use super::super::WatchError;
use rustix::{
    fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags},
    io::Errno,
};
use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// As much as is read at once: some hundred events.
pub(super) type Buffer = Vec<MaybeUninit<u8>>;

pub(super) fn buffer() -> Buffer {
    vec![MaybeUninit::uninit(); 64 * 1024]
}

/// An event. The name is that of something in the directory; without one, the directory itself is meant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event<'e> {
    pub(super) watch: i32,
    pub(super) what: ReadFlags,
    pub(super) name: Option<&'e [u8]>,
}

impl Event<'_> {
    pub(super) fn is(&self, any: ReadFlags) -> bool {
        self.what.intersects(any)
    }
}

/// An inotify instance.
#[derive(Debug)]
pub(super) struct Inotify(OwnedFd);

impl Inotify {
    pub(super) fn new() -> Result<Self, WatchError> {
        match inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC) {
            Ok(fd) => Ok(Self(fd)),
            Err(error @ Errno::MFILE) => Err(WatchError::Instances(error.into())),
            Err(error) => Err(WatchError::Io(error.into())),
        }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Watches a directory. One that is watched already keeps its number.
    pub(super) fn add(&self, path: &[u8], mask: WatchFlags) -> Result<i32, Errno> {
        inotify::add_watch(&self.0, path, mask | WatchFlags::ONLYDIR)
    }

    /// Removes a watch. That the kernel did so before is no error.
    pub(super) fn remove(&self, watch: i32) {
        let _gone_already = inotify::remove_watch(&self.0, watch);
    }

    /// Calls `each` with what happened, until nothing more did or `most` bytes were read; how many events it were.
    pub(super) fn read(
        &self,
        buffer: &mut Buffer,
        most: usize,
        each: &mut dyn FnMut(Event<'_>),
    ) -> Result<usize, io::Error> {
        let mut reader = Reader::new(&self.0, buffer);
        let mut events = 0;
        loop {
            if events >= most && reader.is_buffer_empty() {
                return Ok(events);
            }
            match reader.next() {
                Ok(event) => {
                    events += 1;
                    each(Event {
                        watch: event.wd(),
                        what: event.events(),
                        name: event.file_name().map(std::ffi::CStr::to_bytes),
                    });
                }
                Err(Errno::AGAIN) => return Ok(events),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
