//! How far the numbering has come, kept beside the state: what tells a state that went back in time.
//!
//! SQLite takes a write-ahead log that is gone or damaged for one that ends earlier, without a word. The state then stands
//! at an earlier instant, and would give numbers that the server has seen for other records. So the numbering is written
//! to a small file of its own as well, after each commit that changed it. That file may be behind (a crash between both)
//! but never ahead: a commit is on the disk before the mark is written. A mark ahead of the state means that the state
//! was rolled back. It is never synced: losing it loses the proof, not the state.
use core_model::StreamId;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Seek, SeekFrom, Write},
    path::PathBuf,
    sync::{Mutex, PoisonError},
};
use uuid::Uuid;

const MAGIC: &[u8; 8] = b"shoalmk1";
/// Magic, stream, next number, generation, checksum.
const LENGTH: usize = 8 + 16 + 8 + 8 + 4;

/// Where the numbering stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) stream: StreamId,
    pub(crate) next_seq: u64,
    pub(crate) generation: u64,
}

impl Position {
    /// Whether a state that stands at `state` has gone back from here. A later stream sorts after an earlier one.
    pub(crate) fn is_ahead_of(&self, state: &Self) -> bool {
        let numbers = (self.next_seq, self.generation);
        self.stream > state.stream
            || (self.stream == state.stream && (numbers.0 > state.next_seq || numbers.1 > state.generation))
    }

    fn pack(&self) -> [u8; LENGTH] {
        let mut packed = [0; LENGTH];
        let stream = self.stream.as_uuid();
        let parts: [&[u8]; 4] = [
            MAGIC,
            stream.as_bytes(),
            &self.next_seq.to_le_bytes(),
            &self.generation.to_le_bytes(),
        ];
        let mut at = 0;
        for part in parts {
            packed[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        let crc = crc32c::crc32c(&packed[..at]);
        packed[at..].copy_from_slice(&crc.to_le_bytes());
        packed
    }

    /// What `pack` made; `None` for anything else.
    pub(crate) fn unpack(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; LENGTH] = bytes.try_into().ok()?;
        let (content, crc) = bytes.split_at(LENGTH - 4);
        let is_sound = crc32c::crc32c(content).to_le_bytes() == crc && content.starts_with(MAGIC);
        let eight = |at: usize| content[at..at + 8].try_into().map(u64::from_le_bytes);
        let stream: [u8; 16] = content[8..24].try_into().ok()?;
        is_sound.then_some(Self {
            stream: StreamId::from_uuid(Uuid::from_bytes(stream)),
            next_seq: eight(24).ok()?,
            generation: eight(32).ok()?,
        })
    }
}

/// The file of the mark.
#[derive(Debug)]
pub(crate) struct Mark {
    path: PathBuf,
    file: Mutex<Option<File>>,
}

impl Mark {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            file: Mutex::new(None),
        }
    }

    /// What it says; `None` where there is none, and where it is torn or anything else: then the state is trusted.
    pub(crate) fn read(&self) -> Option<Position> {
        match fs::read(&self.path) {
            Ok(bytes) => {
                let position = Position::unpack(&bytes);
                if position.is_none() {
                    tracing::warn!(path = %self.path.display(), "the mark beside the state is damaged; the state is trusted");
                }
                position
            }
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "could not read the mark beside the state; the state is trusted");
                None
            }
        }
    }

    /// Writes it. What goes wrong is only logged: the commit stands, and a mark that is behind does no harm.
    pub(crate) fn write(&self, position: &Position) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = self.try_write(&mut file, position) {
            *file = None;
            tracing::debug!(path = %self.path.display(), %error, "could not write the mark beside the state");
        }
    }

    fn try_write(&self, file: &mut Option<File>, position: &Position) -> io::Result<()> {
        let mut open = match file.take() {
            Some(open) => open,
            None => {
                let mut options = OpenOptions::new();
                options.write(true).create(true).truncate(false);
                crate::files::private(&mut options);
                let open = options.open(&self.path)?;
                // Whatever was longer there would make every later mark unreadable.
                open.set_len(LENGTH as u64)?;
                open
            }
        };
        open.seek(SeekFrom::Start(0))?;
        open.write_all(&position.pack())?;
        *file = Some(open);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(stream: u128, next_seq: u64, generation: u64) -> Position {
        Position {
            stream: StreamId::from_uuid(Uuid::from_u128(stream)),
            next_seq,
            generation,
        }
    }

    #[test]
    fn a_mark_comes_back_and_any_other_bytes_do_not() {
        let packed = at(7, 8, 9).pack();
        assert_eq!(Position::unpack(&packed), Some(at(7, 8, 9)));
        for byte in 0..packed.len() {
            for bit in 0..8 {
                let mut flipped = packed;
                flipped[byte] ^= 1 << bit;
                assert_eq!(Position::unpack(&flipped), None, "byte {byte} bit {bit}");
            }
            assert_eq!(Position::unpack(&packed[..byte]), None);
        }
        assert_eq!(Position::unpack(&[&packed[..], &[0]].concat()), None);
    }

    #[test]
    fn only_a_mark_that_the_state_never_reached_is_ahead() {
        let state = at(5, 10, 20);
        for ahead in [at(5, 11, 20), at(5, 10, 21), at(6, 1, 1)] {
            assert!(ahead.is_ahead_of(&state), "{ahead:?}");
        }
        for behind in [state, at(5, 9, 19), at(4, 99, 19)] {
            assert!(!behind.is_ahead_of(&state), "{behind:?}");
        }
    }
}
