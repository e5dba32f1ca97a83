//! What can go wrong between a file and its verdict.
use crate::{command::CommandError, decoder::FrameError, endpoint::Endpoint, refusal::Refusal, reply::ReplyError};
use std::{io, sync::Arc, time::Duration};

/// Why there is no verdict, or no answer. It can be cloned, since a connection that ends takes many requests with it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClamError {
    /// Nothing is there to connect to.
    #[error("there is no socket at {endpoint}: start clamd, or name its LocalSocket")]
    NoSocket {
        /// Where.
        endpoint: Endpoint,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The socket may not be used.
    #[error("may not connect to {endpoint}: join the group of clamd's socket, or set LocalSocketMode in clamd.conf")]
    PermissionDenied {
        /// Where.
        endpoint: Endpoint,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// Nobody listens.
    #[error("nobody listens at {endpoint}: start clamd, and look into its log if it ended")]
    Refused {
        /// Where.
        endpoint: Endpoint,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// Another failure to connect.
    #[error("could not connect to {endpoint}")]
    Connect {
        /// Where.
        endpoint: Endpoint,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// clamd takes no more connections, or does not come to answer even a PING.
    #[error(
        "clamd at {endpoint} is busy, its queue is full: send less at once, or raise MaxThreads and MaxQueue in clamd.conf"
    )]
    Busy {
        /// Where.
        endpoint: Endpoint,
    },
    /// clamd was told to reload, and does not answer.
    #[error(
        "clamd at {endpoint} is loading its signatures: try again, and set ConcurrentDatabaseReload yes in clamd.conf where there is memory for it"
    )]
    Reloading {
        /// Where.
        endpoint: Endpoint,
    },
    /// An answer did not come in time.
    #[error(
        "clamd did not answer {what} within {after:?}: wait longer for large files, or look at its queue with STATS"
    )]
    TimedOut {
        /// What was asked.
        what: &'static str,
        /// How long was waited.
        after: Duration,
    },
    /// The connection ended before the answer: clamd was stopped, killed or ran out of memory, or it gave us up.
    #[error("the connection to clamd ended before its answer{}: was clamd stopped or killed? its log and the kernel's tell", said_in(said.as_deref()))]
    Lost {
        /// clamd's last words, if there were any.
        said: Option<String>,
        /// What the system said, unless it was an orderly end.
        source: Option<Arc<io::Error>>,
    },
    /// Larger than a stream may be.
    #[error(
        "larger than the {limit} bytes that may be streamed to clamd: raise StreamMaxLength in clamd.conf and the limit here, or use clamd's Unix socket"
    )]
    SizeLimit {
        /// The limit, in bytes.
        limit: u64,
    },
    /// clamd answered about this file, and has no verdict.
    #[error("{0}")]
    FileRefused(Refusal),
    /// clamd has not understood or does not allow the command.
    #[error("{0}")]
    CommandRefused(Refusal),
    /// What came is no reply.
    #[error(transparent)]
    Reply(#[from] ReplyError),
    /// What came is not framed as replies are.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The command cannot be sent.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A descriptor was to go through a connection that has no way for it.
    #[error("descriptors cannot be passed over TCP: stream the file, or use clamd's Unix socket")]
    NoDescriptorsThere,
    /// The descriptor is not open for reading. clamd would take it, read nothing and say `OK`.
    #[error("the file is not open for reading, and clamd would call it clean unread: open it for reading")]
    NotReadable,
    /// The content to be streamed could not be read.
    #[error("could not read what was to be scanned")]
    Input(#[source] Arc<io::Error>),
    /// The client's driver has ended.
    #[error("the client for clamd has been stopped")]
    Stopped,
}

fn said_in(said: Option<&str>) -> String {
    said.map(|said| format!(" (it said `{}`)", said.escape_debug()))
        .unwrap_or_default()
}

/// The kind of a [`ClamError`], for metrics and decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No socket, nobody listening, or another failure to connect.
    Down,
    /// The socket may not be used.
    PermissionDenied,
    /// clamd's queue is full.
    Busy,
    /// clamd loads its signatures.
    Reloading,
    /// No answer in time.
    TimedOut,
    /// The connection ended first.
    Lost,
    /// Larger than may be streamed.
    SizeLimit,
    /// clamd has no verdict about this file.
    File,
    /// Replies or commands that do not fit the other side.
    Protocol,
    /// This side ended.
    Stopped,
}

impl ErrorKind {
    /// A word for it, as a label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::PermissionDenied => "permission_denied",
            Self::Busy => "busy",
            Self::Reloading => "reloading",
            Self::TimedOut => "timed_out",
            Self::Lost => "lost",
            Self::SizeLimit => "size_limit",
            Self::File => "file",
            Self::Protocol => "protocol",
            Self::Stopped => "stopped",
        }
    }
}

impl ClamError {
    /// Its kind.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSocket { .. } | Self::Refused { .. } | Self::Connect { .. } => ErrorKind::Down,
            Self::PermissionDenied { .. } => ErrorKind::PermissionDenied,
            Self::Busy { .. } => ErrorKind::Busy,
            Self::Reloading { .. } => ErrorKind::Reloading,
            Self::TimedOut { .. } => ErrorKind::TimedOut,
            Self::Lost { .. } => ErrorKind::Lost,
            Self::SizeLimit { .. } => ErrorKind::SizeLimit,
            Self::FileRefused(_) | Self::NotReadable | Self::Input(_) => ErrorKind::File,
            Self::CommandRefused(_) | Self::Reply(_) | Self::Frame(_) | Self::Command(_) | Self::NoDescriptorsThere => {
                ErrorKind::Protocol
            }
            Self::Stopped => ErrorKind::Stopped,
        }
    }

    /// Whether the same request may well succeed later, with nothing changed about the file.
    pub const fn is_passing(&self) -> bool {
        matches!(
            self.kind(),
            ErrorKind::Down | ErrorKind::Busy | ErrorKind::Reloading | ErrorKind::TimedOut | ErrorKind::Lost
        )
    }

    /// A failure to connect.
    pub(crate) fn connect(endpoint: &Endpoint, source: io::Error) -> Self {
        let endpoint = endpoint.clone();
        let (kind, source) = (source.kind(), Arc::new(source));
        match kind {
            io::ErrorKind::NotFound => Self::NoSocket { endpoint, source },
            io::ErrorKind::PermissionDenied => Self::PermissionDenied { endpoint, source },
            io::ErrorKind::ConnectionRefused => Self::Refused { endpoint, source },
            // The backlog of a Unix socket is full.
            io::ErrorKind::WouldBlock => Self::Busy { endpoint },
            _ => Self::Connect { endpoint, source },
        }
    }

    /// The end of a connection.
    pub(crate) fn lost(said: Option<&[u8]>, source: Option<io::Error>) -> Self {
        Self::Lost {
            said: said.map(|said| String::from_utf8_lossy(said).into_owned()),
            source: source.map(Arc::new),
        }
    }
}
