//! How many groups of writes were committed, kept beside the file: what tells a store that went back in time.
//!
//! A restored backup, a copy put back by hand, and a write-ahead log that was lost all leave a store that is sound and
//! lacks what agents were told is taken. The number stands in the store, one higher with each commit, and after the
//! commit in a small file as well. That file may be behind (a crash between both) and never ahead of a store that did
//! not go back. It is never synced: losing it loses the proof, not the store.
use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

const MAGIC: &[u8; 8] = b"shoalfc1";
/// What the mark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// So many commits were made.
    Commits(u64),
    /// There is none: a store that was written to before came from elsewhere.
    Absent,
    /// It cannot be read, as after a power cut: the store is trusted.
    Nothing,
}

/// The magic, the number, and the number's complement, which is as good a check as eight bytes need.
const LENGTH: usize = 24;

pub(super) struct Mark {
    path: PathBuf,
    file: Option<File>,
}

impl Mark {
    /// The mark of the store at `path`.
    pub(super) fn beside(path: &Path) -> Self {
        let mut name = path.as_os_str().to_owned();
        name.push(".commits");
        Self {
            path: name.into(),
            file: None,
        }
    }

    /// What it says.
    pub(super) fn read(&self) -> Told {
        let mut bytes = Vec::new();
        let read = File::open(&self.path).and_then(|file| file.take(LENGTH as u64 + 1).read_to_end(&mut bytes));
        match read {
            Ok(_) => {
                let commits = unpack(&bytes);
                if commits.is_none() {
                    tracing::warn!(path = %self.path.display(), "the mark beside the store is damaged; the store is trusted");
                }
                commits.map_or(Told::Nothing, Told::Commits)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Told::Absent,
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "could not read the mark beside the store; the store is trusted");
                Told::Nothing
            }
        }
    }

    /// Removes it, so that the next start asks every agent for a snapshot.
    pub(super) fn remove(self) -> Result<(), (PathBuf, io::Error)> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err((self.path, error)),
            _ => Ok(()),
        }
    }

    /// Writes it. What goes wrong is only logged: the commit stands, and a mark that is behind does no harm.
    pub(super) fn write(&mut self, commits: u64) {
        if let Err(error) = self.try_write(commits) {
            self.file = None;
            tracing::debug!(path = %self.path.display(), %error, "could not write the mark beside the store");
        }
    }

    fn try_write(&mut self, commits: u64) -> io::Result<()> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => {
                let mut options = OpenOptions::new();
                options.write(true).create(true).truncate(false);
                #[cfg(unix)]
                std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
                let file = options.open(&self.path)?;
                file.set_len(LENGTH as u64)?;
                file
            }
        };
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&pack(commits))?;
        self.file = Some(file);
        Ok(())
    }
}

fn pack(commits: u64) -> [u8; LENGTH] {
    let mut packed = [0; LENGTH];
    packed[..8].copy_from_slice(MAGIC);
    packed[8..16].copy_from_slice(&commits.to_le_bytes());
    packed[16..].copy_from_slice(&(!commits).to_le_bytes());
    packed
}

fn unpack(bytes: &[u8]) -> Option<u64> {
    let bytes: &[u8; LENGTH] = bytes.try_into().ok()?;
    let number = |at: usize| bytes[at..at + 8].try_into().map(u64::from_le_bytes).ok();
    let (commits, complement) = (number(8)?, number(16)?);
    (bytes.starts_with(MAGIC) && complement == !commits).then_some(commits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_comes_back_and_any_other_bytes_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fleet.db");
        let mut mark = Mark::beside(&path);
        assert_eq!(mark.read(), Told::Absent);
        for commits in [0, 7, u64::MAX] {
            mark.write(commits);
            assert_eq!(Mark::beside(&path).read(), Told::Commits(commits));
        }
        fs::write(dir.path().join("fleet.db.commits"), "").unwrap();
        assert_eq!(mark.read(), Told::Nothing);
        mark.remove().unwrap();
        assert_eq!(Mark::beside(&path).read(), Told::Absent);
        Mark::beside(&path).remove().unwrap();
        let packed = pack(7);
        for byte in 0..packed.len() {
            let mut flipped = packed;
            flipped[byte] ^= 1;
            assert_eq!(unpack(&flipped), None, "byte {byte}");
            assert_eq!(unpack(&packed[..byte]), None);
        }
        assert_eq!(unpack(&[&packed[..], &[0]].concat()), None);
    }
}
