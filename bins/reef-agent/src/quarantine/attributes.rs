//! What a file has besides its content: owner, mode, times, extended attributes. Read off a descriptor, put on another.
use super::{
    Raw,
    raw::base64_only,
    stamp::{FileTime, Stamp},
};
use nix::unistd::{Gid as NixGid, Group, Uid as NixUid, User};
use rustix::{
    buffer::spare_capacity,
    fs::{Gid, Mode, RawMode, Timespec, Timestamps, Uid, XattrFlags},
    io::Errno,
};
use serde::{Deserialize, Serialize};
use std::{fs::File, io};

const SET_UID: u32 = 0o4000;
const SET_GID: u32 = 0o2000;
/// What a new file inherits from the defaults of its directory.
const ACCESS_ACL: &[u8] = b"system.posix_acl_access";

/// What a file has besides its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Attributes {
    /// Permissions, with the bits for set-user-ID, set-group-ID and sticky.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// The owner's name on this machine then, for people.
    pub(crate) owner: Option<String>,
    /// The group's.
    pub(crate) group: Option<String>,
    /// Before the scan read the file.
    pub(crate) atime: FileTime,
    pub(crate) mtime: FileTime,
    /// Cannot be put back: the system alone sets it.
    pub(crate) ctime: FileTime,
    /// Access control lists and capabilities of the file among them.
    pub(crate) xattrs: Vec<Xattr>,
    /// Names of extended attributes whose values could not be read.
    pub(crate) unread_xattrs: Vec<Raw>,
}

/// An extended attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Xattr {
    pub(crate) name: Raw,
    #[serde(with = "base64_only", rename = "value_base64")]
    pub(crate) value: Vec<u8>,
}

/// What could not be put back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Missing {
    /// Which attribute: `owner`, `group`, `mode`, `times`, or the name of an extended attribute.
    pub(crate) attribute: String,
    /// Why.
    pub(crate) reason: String,
}

impl Attributes {
    /// Those of `file`; owner, mode and times as they were when it was stamped.
    pub(super) fn read(file: &File, stamp: &Stamp) -> io::Result<Self> {
        let (xattrs, unread_xattrs) = read_xattrs(file)?;
        let user = User::from_uid(NixUid::from_raw(stamp.uid)).ok().flatten();
        let group = Group::from_gid(NixGid::from_raw(stamp.gid)).ok().flatten();
        Ok(Self {
            mode: stamp.mode & 0o7777,
            uid: stamp.uid,
            gid: stamp.gid,
            owner: user.map(|user| user.name),
            group: group.map(|group| group.name),
            atime: stamp.atime,
            mtime: stamp.mtime,
            ctime: stamp.ctime,
            xattrs,
            unread_xattrs,
        })
    }

    /// Puts them on `file`, whose content is written, and says what could not be.
    ///
    /// The order matters: a change of owner takes set-user-ID and capabilities away, and the mode may take away the right
    /// to set attributes.
    pub(super) fn put_on(&self, file: &File) -> io::Result<Vec<Missing>> {
        let mut missing = Vec::new();
        self.put_owner(file, &mut missing);
        self.put_xattrs(file, &mut missing);
        self.put_mode(file, &mut missing)?;
        self.put_times(file, &mut missing)?;
        Ok(missing)
    }

    fn put_owner(&self, file: &File, missing: &mut Vec<Missing>) {
        if rustix::fs::fchown(file, Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid))).is_ok() {
            return;
        }
        // Whoever may not give a file away may yet give it to a group of theirs.
        for (attribute, tried) in [
            ("owner", rustix::fs::fchown(file, Some(Uid::from_raw(self.uid)), None)),
            ("group", rustix::fs::fchown(file, None, Some(Gid::from_raw(self.gid)))),
        ] {
            missing.extend(tried.err().map(|error| Missing::new(attribute, error)));
        }
    }

    fn put_xattrs(&self, file: &File, missing: &mut Vec<Missing>) {
        if !self.xattrs.iter().any(|xattr| xattr.name.bytes() == ACCESS_ACL) {
            // Where there is none to remove, or no such thing at all, nothing is wrong.
            rustix::fs::fremovexattr(file, ACCESS_ACL).ok();
        }
        for xattr in &self.xattrs {
            let name = xattr.name.bytes();
            if let Err(error) = rustix::fs::fsetxattr(file, name, &xattr.value, XattrFlags::empty()) {
                missing.push(Missing::new(String::from_utf8_lossy(name), error));
            }
        }
        let unread = self.unread_xattrs.iter();
        missing.extend(unread.map(|name| Missing {
            attribute: String::from_utf8_lossy(name.bytes()).into_owned(),
            reason: "it could not be read when the file was taken".to_owned(),
        }));
    }

    fn put_mode(&self, file: &File, missing: &mut Vec<Missing>) -> io::Result<()> {
        let owned = Stamp::of(file)?;
        let mut mode = self.mode;
        // With another owner, these bits would lend that one's rights to whoever runs it.
        if owned.uid != self.uid {
            mode &= !SET_UID;
        }
        if owned.gid != self.gid {
            mode &= !SET_GID;
        }
        if let Err(error) = rustix::fs::fchmod(file, Mode::from_raw_mode(mode as RawMode)) {
            missing.push(Missing::new("mode", error));
            return Ok(());
        }
        let put = Stamp::of(file)?.mode & 0o7777;
        if put != self.mode {
            missing.push(Missing {
                attribute: "mode".to_owned(),
                reason: format!("it is {put:04o} instead of {:04o}", self.mode),
            });
        }
        Ok(())
    }

    fn put_times(&self, file: &File, missing: &mut Vec<Missing>) -> io::Result<()> {
        let times = Timestamps {
            last_access: timespec(self.atime),
            last_modification: timespec(self.mtime),
        };
        if let Err(error) = rustix::fs::futimens(file, &times) {
            missing.push(Missing::new("times", error));
            return Ok(());
        }
        let put = Stamp::of(file)?;
        if (put.atime, put.mtime) != (self.atime, self.mtime) {
            missing.push(Missing {
                attribute: "times".to_owned(),
                reason: "the file system keeps them less exactly".to_owned(),
            });
        }
        Ok(())
    }
}

impl Missing {
    fn new(attribute: impl Into<String>, error: Errno) -> Self {
        Self {
            attribute: attribute.into(),
            reason: io::Error::from(error).to_string(),
        }
    }
}

fn timespec(time: FileTime) -> Timespec {
    Timespec {
        tv_sec: time.secs,
        tv_nsec: time.nanos.into(),
    }
}

fn read_xattrs(file: &File) -> io::Result<(Vec<Xattr>, Vec<Raw>)> {
    let list = match sized(|buffer| rustix::fs::flistxattr(file, spare_capacity(buffer))) {
        Ok(list) => list,
        Err(Errno::NOTSUP | Errno::NOSYS) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let (mut read, mut unread) = (Vec::new(), Vec::new());
    for name in list.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        match sized(|buffer| rustix::fs::fgetxattr(file, name, spare_capacity(buffer))) {
            Ok(value) => read.push(Xattr {
                name: Raw::new(name),
                value,
            }),
            // Gone since it was listed.
            Err(Errno::NODATA) => {}
            Err(_) => unread.push(Raw::new(name)),
        }
    }
    Ok((read, unread))
}

/// Reads what tells its length only by not fitting.
fn sized(mut read: impl FnMut(&mut Vec<u8>) -> rustix::io::Result<usize>) -> rustix::io::Result<Vec<u8>> {
    let mut buffer = Vec::with_capacity(1 << 10);
    loop {
        buffer.clear();
        match read(&mut buffer) {
            // Linux gives no more than 64 KiB of either; others may.
            Err(Errno::RANGE) if buffer.capacity() < 1 << 26 => buffer.reserve(buffer.capacity() * 4),
            Err(error) => return Err(error),
            Ok(_) => return Ok(buffer),
        }
    }
}
