//! What is streamed.
use std::{
    fmt,
    fs::File,
    future::Future,
    io,
    os::unix::fs::FileExt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, ReadBuf},
    task::{JoinHandle, spawn_blocking},
};

/// What is streamed to clamd.
pub enum Content {
    /// Bytes in memory.
    Bytes(Arc<[u8]>),
    /// A file from its first byte, wherever it is read at otherwise. It is read on the threads that tokio keeps for
    /// blocking work, so that a file system that hangs holds up nothing else.
    File(Arc<File>),
    /// Whatever can be read once. A scan of it is not tried again.
    Reader(Box<dyn AsyncRead + Send + Sync + Unpin>),
}

impl Content {
    /// The same once more, where that is possible.
    pub fn again(&self) -> Option<Self> {
        match self {
            Self::Bytes(bytes) => Some(Self::Bytes(Arc::clone(bytes))),
            Self::File(file) => Some(Self::File(Arc::clone(file))),
            Self::Reader(_) => None,
        }
    }

    /// How many bytes it has, where that is known: of a file, how many it has now.
    ///
    /// # Errors
    /// When a file does not tell.
    pub fn length(&self) -> io::Result<Option<u64>> {
        match self {
            Self::Bytes(bytes) => Ok(Some(bytes.len() as u64)),
            Self::File(file) => file.metadata().map(|data| Some(data.len())),
            Self::Reader(_) => Ok(None),
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::File(file) => f.debug_tuple("File").field(file).finish(),
            Self::Reader(_) => f.write_str("Reader"),
        }
    }
}

/// Some bytes of a file, and whether they are its last.
type Piece = (Vec<u8>, bool);

/// A content on its way.
pub(crate) struct Source {
    content: Content,
    /// How far it has been read.
    at: u64,
    reading: Option<JoinHandle<io::Result<Piece>>>,
}

impl Source {
    pub(crate) const fn new(content: Content) -> Self {
        Self {
            content,
            at: 0,
            reading: None,
        }
    }

    /// Appends up to `most` bytes to `out`, and says whether that was the end.
    pub(crate) fn poll_fill(
        &mut self,
        context: &mut Context<'_>,
        out: &mut Vec<u8>,
        most: usize,
    ) -> Poll<io::Result<bool>> {
        match &mut self.content {
            Content::Bytes(bytes) => {
                let rest = usize::try_from(self.at)
                    .ok()
                    .and_then(|at| bytes.get(at..))
                    .unwrap_or_default();
                let count = rest.len().min(most);
                out.extend_from_slice(&rest[..count]);
                self.at += count as u64;
                Poll::Ready(Ok(count == rest.len()))
            }
            Content::File(file) => {
                let at = self.at;
                let reading = self.reading.get_or_insert_with(|| {
                    let file = Arc::clone(file);
                    spawn_blocking(move || read_at(&file, at, most))
                });
                let read = ready!(Pin::new(reading).poll(context));
                self.reading = None;
                let (bytes, is_end) = read.map_err(io::Error::other)??;
                out.extend_from_slice(&bytes);
                self.at += bytes.len() as u64;
                Poll::Ready(Ok(is_end))
            }
            Content::Reader(reader) => poll_reader(reader, context, out, most),
        }
    }
}

/// Reads until there are `most` bytes or the file ends.
fn read_at(file: &File, at: u64, most: usize) -> io::Result<Piece> {
    let mut bytes = vec![0; most];
    let mut filled = 0;
    while filled < most {
        match file.read_at(&mut bytes[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok((bytes, filled < most))
}

/// Reads until there are `most` bytes, the reader ends, or it has no more for now.
fn poll_reader(
    reader: &mut (dyn AsyncRead + Send + Sync + Unpin),
    context: &mut Context<'_>,
    out: &mut Vec<u8>,
    most: usize,
) -> Poll<io::Result<bool>> {
    let start = out.len();
    out.resize(start + most, 0);
    let mut filled = 0;
    let state = loop {
        if filled == most {
            break Poll::Ready(Ok(false));
        }
        let mut buffer = ReadBuf::new(&mut out[start + filled..]);
        match Pin::new(&mut *reader).poll_read(context, &mut buffer) {
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => break Poll::Ready(Ok(true)),
            Poll::Ready(Ok(())) => filled += buffer.filled().len(),
            Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
            Poll::Pending if filled > 0 => break Poll::Ready(Ok(false)),
            Poll::Pending => break Poll::Pending,
        }
    };
    out.truncate(start + filled);
    state
}
