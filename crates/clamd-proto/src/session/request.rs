//! What a session is asked for, and how it behaves.
use crate::content::Content;
use std::{fs::File, path::PathBuf, sync::Arc, time::Duration};

/// What is to be scanned.
#[derive(Debug)]
pub enum Request {
    /// An open file, whose descriptor is passed: clamd needs no right to read it, and no path is repeated in the reply.
    /// Unix sockets only.
    File(Arc<File>),
    /// A path that clamd opens itself. It must be a file: clamd says `OK` about a symbolic link without following it,
    /// and about a directory it tells the first hit only.
    Path(PathBuf),
    /// A content that is streamed.
    Stream(Content),
}

/// How a session behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionOptions {
    /// How long connecting may take.
    pub connect: Duration,
    /// How long a verdict may take from when it was asked for. Time spent waiting behind others counts.
    pub reply: Duration,
    /// How many requests may be under way at once. Below twice clamd's `MaxThreads` its threads wait for us.
    pub window: usize,
    /// The most that is streamed, in bytes; clamd's `StreamMaxLength`. A stream above clamd's own limit costs the
    /// connection and whatever else waits on it, so this must not be larger.
    pub stream_max: u64,
}

impl Default for SessionOptions {
    /// Ten seconds to connect, five minutes for a verdict, 32 at once, and the 100 MB that clamd 1.x streams.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            reply: Duration::from_secs(300),
            window: 32,
            stream_max: 100 << 20,
        }
    }
}
