//! How far a scan is: counters that others look at while it lasts.
use serde::Serialize;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

/// Why so many files are under way as are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Why {
    /// As many as clamd takes.
    #[default]
    Full,
    /// It grows: nothing speaks against it.
    Growing,
    /// clamd answers more slowly than before.
    Latency,
    /// Others wait for clamd.
    Queue,
    /// Tasks wait for a processor (`/proc/pressure/cpu`).
    Cpu,
    /// Tasks wait for storage (`/proc/pressure/io`).
    Io,
    /// Tasks wait for memory (`/proc/pressure/memory`).
    Memory,
    /// One at a time, with rests between: it is to be unnoticed.
    Background,
    /// A cap of files or bytes a second.
    Cap,
}

impl Why {
    const ALL: [Self; 9] = [
        Self::Full,
        Self::Growing,
        Self::Latency,
        Self::Queue,
        Self::Cpu,
        Self::Io,
        Self::Memory,
        Self::Background,
        Self::Cap,
    ];

    /// For people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Full => "as many as clamd takes",
            Self::Growing => "growing",
            Self::Latency => "clamd is slower than before",
            Self::Queue => "others wait for clamd",
            Self::Cpu => "processors are short",
            Self::Io => "storage is busy",
            Self::Memory => "memory is short",
            Self::Background => "in the background",
            Self::Cap => "at its cap",
        }
    }
}

/// Counters of a scan, or of the judging of watched files. They only grow, but for the window.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Directories looked into.
    pub(crate) directories: AtomicU64,
    /// Files met, whatever becomes of them.
    pub(crate) files: AtomicU64,
    /// Their bytes.
    pub(crate) bytes: AtomicU64,
    /// Files that clamd answered about.
    pub(crate) asked: AtomicU64,
    /// Their bytes.
    pub(crate) asked_bytes: AtomicU64,
    /// Files that are as they were when clamd found nothing.
    pub(crate) remembered: AtomicU64,
    /// Detections.
    pub(crate) detections: AtomicU64,
    /// Files of which nobody can say whether they are clean.
    pub(crate) failures: AtomicU64,
    /// Files that the last scan of the same met; 0 where that is not known.
    pub(crate) expected: AtomicU64,
    window: AtomicU32,
    why: AtomicU8,
}

/// The counters at one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Snapshot {
    pub(crate) directories: u64,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) asked: u64,
    pub(crate) asked_bytes: u64,
    pub(crate) remembered: u64,
    pub(crate) detections: u64,
    pub(crate) failures: u64,
    /// Files that the last scan of the same met.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expected: Option<u64>,
    /// Files that may be under way at once now; 0 before clamd was asked.
    pub(crate) window: u32,
    /// Why so many.
    pub(crate) why: Why,
}

impl Progress {
    /// The counters now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let of = |counter: &AtomicU64| counter.load(Relaxed);
        let (window, why) = self.window();
        Snapshot {
            directories: of(&self.directories),
            files: of(&self.files),
            bytes: of(&self.bytes),
            asked: of(&self.asked),
            asked_bytes: of(&self.asked_bytes),
            remembered: of(&self.remembered),
            detections: of(&self.detections),
            failures: of(&self.failures),
            expected: Some(of(&self.expected)).filter(|expected| *expected > 0),
            window,
            why,
        }
    }

    /// How many files may be under way at once now, and why so many.
    pub(crate) fn window(&self) -> (u32, Why) {
        let why = Why::ALL.get(usize::from(self.why.load(Relaxed)));
        (self.window.load(Relaxed), why.copied().unwrap_or_default())
    }

    pub(super) fn set_window(&self, window: usize, why: Why) {
        self.window.store(u32::try_from(window).unwrap_or(u32::MAX), Relaxed);
        self.why.store(why as u8, Relaxed);
    }

    /// A file was met.
    pub(super) fn met(&self, bytes: u64) {
        self.files.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    pub(super) fn asked(&self, bytes: u64) {
        self.asked.fetch_add(1, Relaxed);
        self.asked_bytes.fetch_add(bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_comes_back_as_it_was_put() {
        let progress = Progress::default();
        for (n, why) in Why::ALL.into_iter().enumerate() {
            progress.set_window(n + 1, why);
            assert_eq!(progress.window(), (n as u32 + 1, why));
        }
        progress.met(7);
        progress.asked(5);
        let seen = progress.snapshot();
        assert_eq!(
            (seen.files, seen.bytes, seen.asked_bytes, seen.expected),
            (1, 7, 5, None)
        );
    }
}
