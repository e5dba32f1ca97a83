//! Reads contents: their hashes, and what they look like.
use crate::{
    entry::{Entry, FileKind},
    hashes::{Algorithm, ContentHash},
    sys,
};
use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io::{self, Read},
    sync::atomic::{AtomicBool, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

/// As much of a file as tells its type.
const HEAD: usize = 8 * 1024;
/// Time stamps of file systems are as coarse as two seconds: within that, a second write may leave no trace in them.
const RACY_NS: i64 = 2_000_000_000;

/// What was read of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) hash: Option<ContentHash>,
    /// The hash may already be out of date without the file's times showing it.
    pub(crate) racy: bool,
    pub(crate) mime: Option<&'static str>,
}

enum Hasher {
    Sha256(Sha256),
    Blake3(Box<blake3::Hasher>),
}

impl Hasher {
    fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
            Algorithm::Blake3 => Self::Blake3(Box::default()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Blake3(hasher) => {
                hasher.update(bytes);
            }
        }
    }

    fn finish(self) -> ContentHash {
        let (algorithm, bytes) = match self {
            Self::Sha256(hasher) => (Algorithm::Sha256, hasher.finalize().into()),
            Self::Blake3(hasher) => (Algorithm::Blake3, *hasher.finalize().as_bytes()),
        };
        ContentHash { algorithm, bytes }
    }
}

/// Reads files through one buffer.
#[derive(Default)]
pub(crate) struct ContentReader {
    buffer: Vec<u8>,
}

impl ContentReader {
    /// Reads `file`, which was looked at as `seen` before it was opened. Nothing is known of a file that was replaced
    /// meanwhile: the next scan will see another one. `None` when `stop` was set before its end: a file may be as large as
    /// a disk.
    pub(crate) fn read(
        &mut self,
        mut file: File,
        seen: &Entry,
        algorithm: Option<Algorithm>,
        sniff: bool,
        stop: &AtomicBool,
    ) -> io::Result<Option<Content>> {
        let before = sys::look_at(&file)?;
        if before.entry.kind() != FileKind::File || before.entry.inode != seen.inode {
            return Ok(Some(Content::default()));
        }
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let started_ns = i64::try_from(started.as_nanos()).unwrap_or(i64::MAX);
        self.buffer.resize(128 * 1024, 0);
        let mut content = Content::default();
        let mut hasher = algorithm.map(Hasher::new);
        let mut filled = 0;
        let mut at_head = sniff;
        loop {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let read = match file.read(&mut self.buffer[filled..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            filled += read;
            if at_head && read > 0 && filled < HEAD {
                continue;
            }
            if at_head {
                let head = &self.buffer[..filled.min(HEAD)];
                content.mime = infer::get(head).map(|found| found.mime_type());
                at_head = false;
            }
            let Some(hasher) = &mut hasher else { break };
            hasher.update(&self.buffer[..filled]);
            filled = 0;
            if read == 0 {
                break;
            }
        }
        let after = sys::look_at(&file)?;
        let moved = |entry: &Entry| (entry.size, entry.mtime_ns, entry.ctime_ns);
        content.racy = hasher.is_some()
            && (moved(&before.entry) != moved(&after.entry)
                || before.entry.mtime_ns.saturating_add(RACY_NS) >= started_ns);
        content.hash = hasher.map(Hasher::finish);
        Ok(Some(content))
    }
}
