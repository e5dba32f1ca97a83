//! What is mounted where, as Linux tells a process (proc(5), `/proc/PID/mountinfo`).
use std::{ffi::OsString, fs, io, os::unix::ffi::OsStringExt as _, path::PathBuf};

/// Where the kernel lists them. This file is in an exceptional state while there are changes that were not read.
pub(crate) const LIST: &str = "/proc/self/mountinfo";

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mount {
    /// Its number, for as long as it lasts.
    pub number: String,
    /// The device that is mounted: two numbers, such as `8:1`.
    pub device: String,
    /// Where it is.
    pub point: PathBuf,
    /// The type of its file system, such as `ext4`; empty where the kernel does not say.
    pub kind: String,
}

impl Mount {
    /// The mounts of this process, in the order in which they were made.
    ///
    /// # Errors
    /// When the system does not tell, as without `/proc`.
    ///
    /// ```
    /// # #[cfg(target_os = "linux")] {
    /// let mounts = fsscan::Mount::all()?;
    /// assert!(mounts.iter().any(|mount| mount.point.is_absolute()));
    /// # }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn all() -> io::Result<Vec<Self>> {
        Ok(Self::parse(&fs::read(LIST)?))
    }

    /// The mounts in the text of such a file; lines that cannot be understood are left out.
    #[must_use]
    pub fn parse(text: &[u8]) -> Vec<Self> {
        text.split(|byte| *byte == b'\n').filter_map(parse).collect()
    }
}

/// A line such as `36 35 98:0 /root /mnt rw,noatime master:1 - ext4 /dev/sda1 rw`.
fn parse(line: &[u8]) -> Option<Mount> {
    let text = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
    let mut words = line.split(|byte| *byte == b' ');
    let number = words.next().filter(|word| !word.is_empty())?;
    let (_parent, device) = (words.next()?, words.next()?);
    let (_root, point) = (words.next()?, words.next()?);
    let kind = words.skip_while(|word| *word != b"-").nth(1).unwrap_or_default();
    Some(Mount {
        number: text(number),
        device: text(device),
        point: PathBuf::from(OsString::from_vec(unescape(point))),
        kind: text(kind),
    })
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
        let line = br"36 35 98:0 /mnt1 /mnt\040two\134x rw,noatime master:1 shared:2 - ext3 /dev/root rw";
        let mount = parse(line).unwrap();
        assert_eq!((&*mount.number, &*mount.device, &*mount.kind), ("36", "98:0", "ext3"));
        assert_eq!(mount.point.as_os_str(), r"/mnt two\x");
        assert!(parse(b"").is_none() && parse(b"36 35").is_none());
        assert_eq!(parse(b"1 2 8:1 / /x rw").unwrap().kind, "");
    }

    #[test]
    fn lines_that_cannot_be_understood_are_left_out() {
        let mounts = Mount::parse(b"22 1 8:1 / / rw - ext4 /dev/sda1 rw\nbroken\n\n");
        assert_eq!(mounts.len(), 1);
    }
}
