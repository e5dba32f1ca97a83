//! One connection to clamd, of either kind.
use crate::{endpoint::Endpoint, error::ClamError, unix::Unix};
use std::{
    io,
    os::fd::BorrowedFd,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};

#[derive(Debug)]
pub(crate) enum Connection {
    Unix(Unix),
    Tcp(TcpStream),
}

impl Connection {
    /// Connects within a time.
    pub(crate) async fn open(endpoint: &Endpoint, within: Duration) -> Result<Self, ClamError> {
        let connecting = async {
            match endpoint {
                Endpoint::Unix(path) => Unix::connect(path).await.map(Self::Unix),
                Endpoint::Tcp { host, port } => {
                    let stream = TcpStream::connect((host.as_str(), *port)).await?;
                    // Requests are small, and each waits for its answer.
                    stream.set_nodelay(true)?;
                    Ok(Self::Tcp(stream))
                }
            }
        };
        match timeout(within, connecting).await {
            Ok(connected) => connected.map_err(|source| ClamError::connect(endpoint, source)),
            Err(_) => Err(ClamError::TimedOut {
                what: "a connection",
                after: within,
            }),
        }
    }

    /// Reads into `room`; 0 is the end.
    pub(crate) fn poll_read(&mut self, context: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Unix(unix) => unix.poll_read(context, room),
            Self::Tcp(stream) => {
                let mut buffer = ReadBuf::new(room);
                ready!(Pin::new(stream).poll_read(context, &mut buffer))?;
                Poll::Ready(Ok(buffer.filled().len()))
            }
        }
    }

    /// Writes some of `bytes`.
    pub(crate) fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Unix(unix) => unix.poll_send(context, bytes, None),
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    /// Writes some of `bytes` if that is possible at once.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(unix) => unix.try_send(bytes, None),
            Self::Tcp(stream) => stream.try_write(bytes),
        }
    }

    /// Sends some of `bytes` with a descriptor if that is possible at once.
    pub(crate) fn try_send(&self, bytes: &[u8], file: BorrowedFd<'_>) -> io::Result<usize> {
        match self {
            Self::Unix(unix) => unix.try_send(bytes, Some(file)),
            Self::Tcp(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Sends some of `bytes` with a descriptor.
    pub(crate) fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
        file: BorrowedFd<'_>,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Unix(unix) => unix.poll_send(context, bytes, Some(file)),
            Self::Tcp(_) => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        }
    }

    /// What comes wakes nobody any more, until it is asked for; over TCP it still does.
    pub(crate) fn unwatch(&mut self) {
        match self {
            Self::Unix(unix) => unix.unwatch(),
            Self::Tcp(_) => {}
        }
    }
}
