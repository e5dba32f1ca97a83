//! A stream of which is known what came first, and when: that tells what a server speaks that does not speak what was
//! expected.
use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

/// As much is kept of what came first.
const KEPT: usize = 96;

/// What came of a stream.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// When the first byte came.
    pub(crate) since: Option<Instant>,
    /// How many bytes came.
    pub(crate) count: u64,
    kept: [u8; KEPT],
}

impl Seen {
    /// What came first.
    pub(crate) fn first(&self) -> &[u8] {
        let count = usize::try_from(self.count).unwrap_or(KEPT).min(KEPT);
        &self.kept[..count]
    }

    fn add(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.since.get_or_insert_with(Instant::now);
        let have = self.first().len();
        let more = bytes.len().min(KEPT - have);
        self.kept[have..have + more].copy_from_slice(&bytes[..more]);
        self.count = self.count.saturating_add(bytes.len() as u64);
    }
}

/// What came of a stream, while somebody else has the stream.
#[derive(Clone, Debug)]
pub(crate) struct Log(Arc<Mutex<Seen>>);

impl Log {
    pub(crate) fn seen(&self) -> Seen {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A stream that is watched.
#[derive(Debug)]
pub(crate) struct Watched<S> {
    stream: S,
    log: Log,
}

impl<S> Watched<S> {
    pub(crate) fn new(stream: S) -> Self {
        let seen = Seen {
            since: None,
            count: 0,
            kept: [0; KEPT],
        };
        Self {
            stream,
            log: Log(Arc::new(Mutex::new(seen))),
        }
    }

    pub(crate) fn log(&self) -> Log {
        self.log.clone()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, into);
        let new = &into.filled()[before..];
        if !new.is_empty() {
            self.log.0.lock().unwrap_or_else(PoisonError::into_inner).add(new);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, from)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, from)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn the_first_bytes_are_kept_and_all_are_counted() {
        let (mut far, near) = tokio::io::duplex(1024);
        let mut near = Watched::new(near);
        let log = near.log();
        assert!(log.seen().since.is_none() && log.seen().first().is_empty());
        for part in ["SSH-", "2.0-", &"x".repeat(200)] {
            far.write_all(part.as_bytes()).await.unwrap();
            near.read_exact(&mut vec![0; part.len()]).await.unwrap();
        }
        assert!(log.seen().first().starts_with(b"SSH-2.0-xxx"));
        assert_eq!((log.seen().first().len(), log.seen().count), (KEPT, 208));
    }
}
