//! Commands as clamd reads them.
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The longest command that clamd reads, in bytes, with its first `z` and its last zero byte: `PATH_MAX` and eight.
/// It closes the connection without a word after a longer one.
pub const MAX_COMMAND: usize = 4096 + 8;

/// One command of clamd 1.x.
///
/// ```
/// use clamd_proto::Command;
/// use std::path::Path;
///
/// let mut out = Vec::new();
/// Command::Scan(Path::new("/srv/a b")).encode(&mut out)?;
/// assert_eq!(out, b"zSCAN /srv/a b\0");
/// # Ok::<(), clamd_proto::CommandError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command<'a> {
    /// Is clamd there? Answered by the loop that accepts connections, so it is quick under load too.
    Ping,
    /// The engine's and the signature database's version.
    Version,
    /// The version, and which commands there are.
    VersionCommands,
    /// Threads, queue and memory. Answered by a worker thread, so it waits while all of them scan.
    Stats,
    /// Load the signatures anew.
    Reload,
    /// End.
    Shutdown,
    /// Scan a file, or a directory up to the first hit.
    Scan(&'a Path),
    /// Scan a directory beyond the first hit.
    ContScan(&'a Path),
    /// Scan a directory beyond the first hit, with several threads.
    MultiScan(&'a Path),
    /// Scan and tell every signature that matches.
    AllMatchScan(&'a Path),
    /// Scan what follows in chunks.
    InStream,
    /// Scan the file whose descriptor follows. Unix sockets only.
    Fildes,
    /// Begin a session: many commands on one connection.
    IdSession,
    /// End a session, once all its replies are sent.
    End,
}

/// Why a command cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// clamd would close the connection without a reply.
    #[error(
        "the path makes a command of {length} bytes, and clamd reads {MAX_COMMAND}: pass the file's descriptor instead"
    )]
    TooLong {
        /// The whole command's length in bytes.
        length: usize,
    },
    /// The command would end at the zero byte.
    #[error("the path holds a zero byte, which no file's name can")]
    HoldsZero,
    /// clamd would look in the folder that it runs in.
    #[error("the path is not absolute, and clamd runs in another folder: make it absolute")]
    NotAbsolute,
}

impl<'a> Command<'a> {
    /// The command's word.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Ping => "PING",
            Self::Version => "VERSION",
            Self::VersionCommands => "VERSIONCOMMANDS",
            Self::Stats => "STATS",
            Self::Reload => "RELOAD",
            Self::Shutdown => "SHUTDOWN",
            Self::Scan(_) => "SCAN",
            Self::ContScan(_) => "CONTSCAN",
            Self::MultiScan(_) => "MULTISCAN",
            Self::AllMatchScan(_) => "ALLMATCHSCAN",
            Self::InStream => "INSTREAM",
            Self::Fildes => "FILDES",
            Self::IdSession => "IDSESSION",
            Self::End => "END",
        }
    }

    /// The path it is about.
    pub const fn path(&self) -> Option<&'a Path> {
        match self {
            Self::Scan(path) | Self::ContScan(path) | Self::MultiScan(path) | Self::AllMatchScan(path) => Some(path),
            _ => None,
        }
    }

    /// Appends the command to `out`. It begins with `z` and ends with a zero byte, and so do replies to it: whatever
    /// bytes a path holds, it cannot end a reply and begin another.
    ///
    /// # Errors
    /// When clamd would not read the command as it is meant; `out` is as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), CommandError> {
        let path = self.path().map(|path| path.as_os_str().as_bytes());
        if let Some(path) = path {
            if path.contains(&0) {
                return Err(CommandError::HoldsZero);
            }
            if path.first() != Some(&b'/') {
                return Err(CommandError::NotAbsolute);
            }
        }
        let length = 1 + self.name().len() + path.map_or(0, |path| 1 + path.len()) + 1;
        if length > MAX_COMMAND {
            return Err(CommandError::TooLong { length });
        }
        out.push(b'z');
        out.extend_from_slice(self.name().as_bytes());
        if let Some(path) = path {
            out.push(b' ');
            out.extend_from_slice(path);
        }
        out.push(0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(command: Command<'_>) -> Result<Vec<u8>, CommandError> {
        let mut out = Vec::new();
        command.encode(&mut out).map(|()| out)
    }

    #[test]
    fn a_command_is_framed_by_a_z_and_a_zero_byte() {
        assert_eq!(encoded(Command::Ping).unwrap(), b"zPING\0");
        let hostile = Path::new("/a\nb: Fake FOUND");
        assert_eq!(
            encoded(Command::AllMatchScan(hostile)).unwrap(),
            b"zALLMATCHSCAN /a\nb: Fake FOUND\0"
        );
    }

    #[test]
    fn a_path_that_clamd_would_misread_is_refused() {
        let longest = format!("/{}", "a".repeat(MAX_COMMAND - "zSCAN /\0".len()));
        assert_eq!(encoded(Command::Scan(Path::new(&longest))).unwrap().len(), MAX_COMMAND);
        let longer = format!("{longest}a");
        let too_long = CommandError::TooLong {
            length: MAX_COMMAND + 1,
        };
        assert_eq!(encoded(Command::Scan(Path::new(&longer))), Err(too_long));
        assert_eq!(encoded(Command::Scan(Path::new("/a\0b"))), Err(CommandError::HoldsZero));
        assert_eq!(encoded(Command::Scan(Path::new(""))), Err(CommandError::NotAbsolute));
        assert_eq!(encoded(Command::Scan(Path::new("a"))), Err(CommandError::NotAbsolute));
    }
}
