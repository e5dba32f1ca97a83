//! What a session is in the middle of sending.
use crate::{
    connection::Connection,
    content::{Content, Source},
};
use std::{
    fs::File,
    io,
    os::fd::AsFd,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// How many bytes of a stream go in one chunk.
const CHUNK: usize = 128 << 10;
/// The length that ends a stream.
const END: [u8; 4] = [0; 4];

/// Bytes on their way, and what comes after them.
pub(crate) struct Sending {
    bytes: Vec<u8>,
    sent: usize,
    file: Option<Arc<File>>,
    upload: Option<Upload>,
}

/// The rest of a stream.
struct Upload {
    source: Source,
    /// How many bytes more may be sent.
    quota: u64,
    /// Nothing has been read yet.
    is_fresh: bool,
    ended: bool,
}

/// What became of a piece of work.
pub(crate) enum Step {
    /// All is sent.
    Done,
    /// Some is sent, and there is more.
    More,
    /// The content could not be read, or is too long. The stream has been ended, and clamd's verdict is void.
    Spoilt(Spoilt),
}

pub(crate) enum Spoilt {
    Input(io::Error),
    TooLong,
}

impl Sending {
    /// A command.
    pub(crate) const fn command(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            sent: 0,
            file: None,
            upload: None,
        }
    }

    /// A command with a descriptor.
    pub(crate) const fn with_file(bytes: Vec<u8>, file: Arc<File>) -> Self {
        Self {
            bytes,
            sent: 0,
            file: Some(file),
            upload: None,
        }
    }

    /// A command and a stream of up to `quota` bytes.
    pub(crate) const fn upload(bytes: Vec<u8>, content: Content, quota: u64) -> Self {
        Self {
            bytes,
            sent: 0,
            file: None,
            upload: Some(Upload {
                source: Source::new(content),
                quota,
                is_fresh: true,
                ended: false,
            }),
        }
    }

    /// Gives the buffer back, to be used again.
    pub(crate) fn into_buffer(mut self) -> Vec<u8> {
        self.bytes.clear();
        self.bytes
    }

    /// Sends what can be sent at once, unless there is a stream to be read first; whether all is sent.
    pub(crate) fn try_all(&mut self, connection: &Connection) -> io::Result<bool> {
        if self.upload.is_some() {
            return Ok(false);
        }
        while self.sent < self.bytes.len() {
            let rest = &self.bytes[self.sent..];
            let count = match &self.file {
                Some(file) => connection.try_send(rest, file.as_fd()),
                None => connection.try_write(rest),
            };
            match count {
                Ok(count) => self.advance(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn advance(&mut self, count: usize) {
        self.sent += count;
        // It has gone with the first byte, and must not go twice.
        self.file = None;
    }

    /// Goes on as far as the connection takes it.
    pub(crate) fn poll_step(
        &mut self,
        context: &mut Context<'_>,
        connection: &mut Connection,
    ) -> Poll<io::Result<Step>> {
        if let Some(upload) = &mut self.upload
            && !upload.ended
            && (upload.is_fresh || self.sent == self.bytes.len())
            && let Some(spoilt) = ready!(upload.poll_fill(context, &mut self.bytes, &mut self.sent))
        {
            return Poll::Ready(Ok(Step::Spoilt(spoilt)));
        }
        while self.sent < self.bytes.len() {
            let rest = &self.bytes[self.sent..];
            let count = match &self.file {
                Some(file) => ready!(connection.poll_send(context, rest, file.as_fd())),
                None => ready!(connection.poll_write(context, rest)),
            }?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(count);
        }
        let is_done = self.upload.as_ref().is_none_or(|upload| upload.ended);
        Poll::Ready(Ok(if is_done { Step::Done } else { Step::More }))
    }
}

impl Upload {
    /// Puts the next chunk behind what is not sent yet, and the end of the stream behind the last: a small file goes
    /// with its command in one write.
    fn poll_fill(&mut self, context: &mut Context<'_>, bytes: &mut Vec<u8>, sent: &mut usize) -> Poll<Option<Spoilt>> {
        if *sent > 0 {
            bytes.clear();
            *sent = 0;
        }
        let start = bytes.len();
        bytes.extend_from_slice(&END);
        let filled = self.source.poll_fill(context, bytes, CHUNK);
        let Poll::Ready(filled) = filled else {
            bytes.truncate(start);
            return Poll::Pending;
        };
        self.is_fresh = false;
        let length = bytes.len() - start - END.len();
        let spoilt = match filled {
            Err(error) => Some(Spoilt::Input(error)),
            // clamd cuts the connection, and all that waits on it, at the header of a chunk that is too long.
            Ok(_) if length as u64 > self.quota => Some(Spoilt::TooLong),
            Ok(is_end) => {
                self.quota -= length as u64;
                self.ended = is_end;
                None
            }
        };
        if spoilt.is_some() {
            bytes.truncate(start);
            bytes.extend_from_slice(&END);
            self.ended = true;
            return Poll::Ready(spoilt);
        }
        if length == 0 {
            bytes.truncate(start);
        } else {
            // CHUNK is far below what a length holds.
            let header = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
            bytes[start..start + header.len()].copy_from_slice(&header);
        }
        if self.ended {
            bytes.extend_from_slice(&END);
        }
        Poll::Ready(None)
    }
}
