//! Bytes on sockets, with the descriptors that are passed beside them.
use rustix::{
    io::Errno,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
        recvmsg, sendmsg,
    },
};
use std::{
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd as _, OwnedFd},
};

/// Descriptors in one message: the kernel takes no more than 253.
const MOST_FILES: usize = 253;

/// Some bytes, and the descriptors that came with them.
pub(super) fn receive(from: &OwnedFd, bytes: &mut [u8]) -> Result<(usize, Vec<OwnedFd>), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FILES))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    loop {
        let slices = &mut [IoSliceMut::new(bytes)];
        match recvmsg(from, slices, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
            Ok(message) => {
                let messages = ancillary.drain().filter_map(|message| match message {
                    RecvAncillaryMessage::ScmRights(files) => Some(files),
                    _ => None,
                });
                return Ok((message.bytes, messages.flatten().collect()));
            }
        }
    }
}

/// Sends all of it, the descriptors with the first byte.
pub(super) fn send(to: &OwnedFd, mut bytes: &[u8], files: &[OwnedFd]) -> Result<(), Errno> {
    let mut files: Vec<_> = files.iter().map(|file| file.as_fd()).collect();
    while !bytes.is_empty() {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FILES))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !files.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(&files)) {
            return Err(Errno::NOMEM);
        }
        match sendmsg(to, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL) {
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
            Ok(sent) => {
                bytes = &bytes[sent..];
                files.clear();
            }
        }
    }
    Ok(())
}
