//! What is mounted in and above the roots. The kernel tells when that changes, at no cost until then.
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    os::fd::{AsFd, BorrowedFd},
};

/// A mount: its number, the device that is mounted, and where.
pub(super) type Mount = (Vec<u8>, Vec<u8>, Vec<u8>);

const LIST: &str = "/proc/self/mountinfo";

/// The mounts of this process, as they were read last.
#[derive(Debug)]
pub(super) struct Mounts {
    file: File,
    known: BTreeSet<Mount>,
}

impl Mounts {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            file: File::open(LIST)?,
            known: read()?,
        })
    }

    /// Is an exceptional state of this descriptor while there are changes that were not read.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Where something is mounted.
    pub(super) fn points(&self) -> impl Iterator<Item = &[u8]> {
        self.known.iter().map(|(_, _, point)| point.as_slice())
    }

    /// Where something was mounted or unmounted since this was asked last.
    pub(super) fn changed(&mut self) -> io::Result<BTreeSet<Vec<u8>>> {
        let found = read()?;
        let changed = found.symmetric_difference(&self.known);
        let changed = changed.map(|(_, _, point)| point.clone()).collect();
        self.known = found;
        Ok(changed)
    }
}

fn read() -> io::Result<BTreeSet<Mount>> {
    let text = fs::read(LIST)?;
    Ok(text.split(|byte| *byte == b'\n').filter_map(parse).collect())
}

/// A line such as `36 35 98:0 /mnt1 /mnt2 rw,noatime …`.
fn parse(line: &[u8]) -> Option<Mount> {
    let mut words = line.split(|byte| *byte == b' ');
    let number = words.next().filter(|word| !word.is_empty())?;
    let (_parent, device, _root) = (words.next()?, words.next()?, words.next()?);
    Some((number.to_vec(), device.to_vec(), unescape(words.next()?)))
}

/// Blanks, line ends and backslashes are written as `\` and three octal digits.
fn unescape(word: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| byte == b'\\');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(escaped) => {
                bytes.push(escaped);
                rest = &after[3..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_read_with_the_blanks_of_its_name() {
        let line = br"36 35 98:0 /mnt1 /mnt\040two\134x rw,noatime master:1 - ext3 /dev/root rw";
        let (number, device, point) = parse(line).unwrap();
        assert_eq!((number, device), (b"36".to_vec(), b"98:0".to_vec()));
        assert_eq!(point, br"/mnt two\x");
        assert!(parse(b"").is_none() && parse(b"36 35").is_none());
    }

    #[test]
    fn this_system_has_a_root() {
        let mut mounts = Mounts::new().unwrap();
        assert!(mounts.points().any(|point| point == b"/"));
        mounts.changed().unwrap();
    }
}
