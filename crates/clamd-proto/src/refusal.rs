//! What clamd says instead of a verdict.
use std::fmt;

/// A reply that ends with `ERROR`, or refuses a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    kind: RefusalKind,
    reason: String,
}

/// What a refusal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalKind {
    /// There is no such file.
    NotFound,
    /// clamd may not read the file.
    AccessDenied,
    /// A directory, a device, a pipe or a socket where a file was expected.
    NotAFile,
    /// A stream above clamd's `StreamMaxLength`.
    StreamTooLong,
    /// clamd cannot write where it keeps temporary files.
    NoTemporarySpace,
    /// clamd's scan took longer than its `MaxScanTime`.
    TimeLimit,
    /// clamd is out of memory.
    NoMemory,
    /// No descriptor came with the command.
    NoDescriptor,
    /// A command that sessions do not have.
    NotInSession,
    /// A command that this clamd does not have.
    UnknownCommand,
    /// A command that this clamd's configuration has turned off.
    Unavailable,
    /// clamd waited longer than its `ReadTimeout` or `CommandReadTimeout` for us.
    ReadTimedOut,
    /// clamd lost the thread of what was sent, and ends the connection.
    OutOfStep,
    /// Whatever else; the words say it.
    Other,
}

/// Words of clamd 0.103 to 1.5, and what they mean.
const WORDS: &[(&str, RefusalKind)] = &[
    ("No such file or directory", RefusalKind::NotFound),
    ("Access denied", RefusalKind::AccessDenied),
    ("Permission denied", RefusalKind::AccessDenied),
    ("Not supported file type", RefusalKind::NotAFile),
    ("Not a regular file", RefusalKind::NotAFile),
    ("INSTREAM size limit exceeded", RefusalKind::StreamTooLong),
    ("Error writing to temporary file", RefusalKind::NoTemporarySpace),
    ("Can't create temporary", RefusalKind::NoTemporarySpace),
    ("Can't write to file", RefusalKind::NoTemporarySpace),
    ("Time limit reached", RefusalKind::TimeLimit),
    ("Can't allocate memory", RefusalKind::NoMemory),
    ("No file descriptor received", RefusalKind::NoDescriptor),
    ("Command invalid inside IDSESSION", RefusalKind::NotInSession),
    ("UNKNOWN COMMAND", RefusalKind::UnknownCommand),
    ("COMMAND UNAVAILABLE", RefusalKind::Unavailable),
    ("COMMAND READ TIMED OUT", RefusalKind::ReadTimedOut),
    ("PROTOCOL ERROR", RefusalKind::OutOfStep),
    ("Error processing command", RefusalKind::OutOfStep),
];

impl Refusal {
    /// What clamd's words mean; they stand without the subject before and the `ERROR` behind them.
    pub fn new(words: &[u8]) -> Self {
        let text = String::from_utf8_lossy(words);
        let reason = text.trim().trim_end_matches('.').to_owned();
        let kind = WORDS.iter().find(|(words, _)| reason.contains(words));
        Self {
            kind: kind.map_or(RefusalKind::Other, |(_, kind)| *kind),
            reason,
        }
    }

    /// What it means.
    pub const fn kind(&self) -> RefusalKind {
        self.kind
    }

    /// clamd's own words.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl RefusalKind {
    /// What may be done about it.
    pub(crate) const fn remedy(self) -> Option<&'static str> {
        Some(match self {
            Self::AccessDenied => "pass the file's descriptor, or let clamd's user read it",
            Self::StreamTooLong => "raise StreamMaxLength in clamd.conf, or pass the file's descriptor",
            Self::NoTemporarySpace => "make room where clamd's TemporaryDirectory lies",
            Self::TimeLimit => "raise MaxScanTime in clamd.conf",
            Self::NoMemory => "give clamd more memory",
            Self::NoDescriptor => "descriptors go through Unix sockets only",
            Self::UnknownCommand => "is it clamd 1.x that answers there?",
            Self::Unavailable => "turn the command on in clamd.conf",
            Self::ReadTimedOut => "raise ReadTimeout in clamd.conf",
            Self::NotFound | Self::NotAFile | Self::NotInSession | Self::OutOfStep | Self::Other => return None,
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "clamd refused: {}", self.reason.escape_debug())?;
        match self.kind.remedy() {
            Some(remedy) => write!(f, " ({remedy})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_clamd_have_kinds() {
        let cases = [
            (
                "File path check failure: No such file or directory.",
                RefusalKind::NotFound,
            ),
            ("File path check failure: Permission denied.", RefusalKind::AccessDenied),
            ("Access denied.", RefusalKind::AccessDenied),
            ("Not supported file type", RefusalKind::NotAFile),
            ("INSTREAM size limit exceeded.", RefusalKind::StreamTooLong),
            ("Error writing to temporary file.", RefusalKind::NoTemporarySpace),
            ("Bad format or broken data", RefusalKind::Other),
            ("", RefusalKind::Other),
        ];
        for (words, kind) in cases {
            assert_eq!(Refusal::new(words.as_bytes()).kind(), kind, "{words}");
        }
    }

    #[test]
    fn a_refusal_says_the_words_and_the_remedy_and_nothing_that_acts_on_a_terminal() {
        let shown = Refusal::new(b"Access denied.").to_string();
        assert_eq!(
            shown,
            "clamd refused: Access denied (pass the file's descriptor, or let clamd's user read it)"
        );
        assert!(!Refusal::new(b"\x1b[2J odd").to_string().contains('\x1b'));
    }
}
