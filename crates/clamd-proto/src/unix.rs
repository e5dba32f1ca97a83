//! A Unix socket that wakes nobody while nobody waits for it.
//!
//! Most of what a client of clamd costs is being woken. A socket that the runtime watches wakes its owner twice a file: when
//! clamd has taken the request, since there is room to write again, and when it has answered.
use rustix::{
    io::Errno,
    net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recv, sendmsg},
};
use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::{fd::BorrowedFd, unix::net::UnixStream as Socket},
    path::Path,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead as _, Interest, ReadBuf},
    net::UnixStream,
};

#[derive(Debug)]
pub(crate) struct Unix {
    socket: Socket,
    /// The same socket by another descriptor, while the runtime watches it.
    watched: Option<UnixStream>,
}

impl Unix {
    pub(crate) async fn connect(path: &Path) -> io::Result<Self> {
        Ok(Self {
            socket: UnixStream::connect(path).await?.into_std()?,
            watched: None,
        })
    }

    /// Whatever happens to the socket wakes nobody, until somebody waits for it again.
    pub(crate) fn unwatch(&mut self) {
        self.watched = None;
    }

    /// Reads into `room`; 0 is the end.
    pub(crate) fn poll_read(&mut self, context: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.watched.is_none() {
            match receive(&self.socket, room) {
                Err(Errno::WOULDBLOCK) => {}
                done => return Poll::Ready(Ok(done?)),
            }
        }
        let mut buffer = ReadBuf::new(room);
        ready!(Pin::new(watch(&mut self.watched, &self.socket)?).poll_read(context, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Writes some of `bytes`, with a descriptor or without, if that is possible at once.
    pub(crate) fn try_send(&self, bytes: &[u8], file: Option<BorrowedFd<'_>>) -> io::Result<usize> {
        send(&self.socket, bytes, file)
    }

    /// Writes some of `bytes`, with a descriptor or without.
    pub(crate) fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
        file: Option<BorrowedFd<'_>>,
    ) -> Poll<io::Result<usize>> {
        let watched = watch(&mut self.watched, &self.socket)?;
        loop {
            ready!(watched.poll_write_ready(context))?;
            match watched.try_io(Interest::WRITABLE, || send(&self.socket, bytes, file)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }
}

fn watch<'w>(watched: &'w mut Option<UnixStream>, socket: &Socket) -> io::Result<&'w mut UnixStream> {
    Ok(match watched {
        Some(watched) => watched,
        none => none.insert(UnixStream::from_std(socket.try_clone()?)?),
    })
}

fn receive(socket: &Socket, room: &mut [u8]) -> Result<usize, Errno> {
    loop {
        match recv(socket, &mut *room, RecvFlags::DONTWAIT) {
            Err(Errno::INTR) => {}
            done => return done.map(|(count, _)| count),
        }
    }
}

fn send(socket: &Socket, bytes: &[u8], file: Option<BorrowedFd<'_>>) -> io::Result<usize> {
    let files = file.as_slice();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(files)) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    // A peer that is gone is an error to be handled, not a signal that ends us.
    #[cfg(not(target_vendor = "apple"))]
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    #[cfg(target_vendor = "apple")]
    let flags = SendFlags::DONTWAIT;
    loop {
        match sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, flags) {
            Err(Errno::INTR) => {}
            done => return Ok(done?),
        }
    }
}
