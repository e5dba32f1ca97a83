//! A quarantine and files to take, on a real file system.
mod attributes;
mod crash;
mod disk;
mod race;
mod round_trip;
mod store;
mod together;

use super::{FileTime, Item, Quarantine, Stamp, TakeError, Taken};
use chrono::{DateTime, Utc};
use rustix::buffer::spare_capacity;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};
use tempfile::TempDir;

/// Two directories: one with files, one for the quarantine.
pub(crate) struct Site {
    _dir: TempDir,
    pub(crate) files: PathBuf,
    pub(crate) store: PathBuf,
}

pub(crate) fn site() -> Site {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let files = root.join("files");
    fs::create_dir(&files).unwrap();
    Site {
        _dir: dir,
        files,
        store: root.join("state/quarantine"),
    }
}

impl Site {
    pub(crate) fn open(&self) -> Quarantine {
        Quarantine::open(&self.store).unwrap()
    }

    /// A file with times of its own.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.files.join(name);
        fs::write(&path, content).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        let at = |secs, nanos| SystemTime::UNIX_EPOCH + Duration::new(secs, nanos);
        let times = fs::FileTimes::new()
            .set_accessed(at(1_600_000_000, 987_654_321))
            .set_modified(at(1_500_000_000, 123_456_789));
        file.set_times(times).unwrap();
        path
    }

    /// The names of all that is in the store besides key and lock.
    pub(crate) fn stored(&self) -> Vec<String> {
        let names = fs::read_dir(&self.store)
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
        names.retain(|name| name != "key" && name != "lock");
        names.sort();
        names
    }

    /// The names of all files.
    pub(crate) fn names(&self) -> Vec<String> {
        names_in(&self.files)
    }
}

pub(crate) fn names_in(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// A file as a scan has it.
pub(crate) struct Scanned {
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    pub(crate) stamp: Stamp,
    pub(crate) signatures: Vec<String>,
}

pub(crate) fn scan(path: &Path) -> Scanned {
    let file = File::open(path).unwrap();
    let stamp = Stamp::of(&file).unwrap();
    Scanned {
        path: path.to_owned(),
        file,
        stamp,
        signatures: vec!["Win.Test.Shoal-1".to_owned()],
    }
}

impl Scanned {
    pub(crate) fn taken(&self) -> Taken<'_> {
        Taken {
            file: &self.file,
            scanned: &self.stamp,
            path: &self.path,
            root: None,
            other_names: &[],
            signatures: &self.signatures,
            rule: "test",
            clamd: "ClamAV 1.4.3/27000/Sat Nov 21 09:00:00 2026",
            scanned_at: at(1_700_000_000),
            sha256: None,
        }
    }

    pub(crate) fn take(&self, quarantine: &Quarantine) -> Result<Item, TakeError> {
        quarantine.take(&self.taken(), at(1_700_000_001))
    }
}

pub(crate) fn at(secs: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(secs, 0).unwrap()
}

/// All of a file that can come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Whole {
    sha256: String,
    mode: u32,
    owner: (u32, u32),
    times: [FileTime; 2],
    xattrs: BTreeMap<String, Vec<u8>>,
}

pub(crate) fn whole(path: &Path) -> Whole {
    // Before the content is read, which may move the time of access.
    let data = path.symlink_metadata().unwrap();
    assert!(data.is_file(), "{}", path.display());
    let time = |secs, nanos: i64| FileTime {
        secs,
        nanos: u32::try_from(nanos).unwrap(),
    };
    let file = File::open(path).unwrap();
    let mut list = Vec::with_capacity(1 << 16);
    rustix::fs::flistxattr(&file, spare_capacity(&mut list)).unwrap();
    let names = list.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let xattrs = names.map(|name| {
        let mut value = Vec::with_capacity(1 << 16);
        rustix::fs::fgetxattr(&file, name, spare_capacity(&mut value)).unwrap();
        (String::from_utf8(name.to_vec()).unwrap(), value)
    });
    Whole {
        mode: data.mode(),
        owner: (data.uid(), data.gid()),
        times: [
            time(data.atime(), data.atime_nsec()),
            time(data.mtime(), data.mtime_nsec()),
        ],
        xattrs: xattrs.collect(),
        sha256: sha256(&fs::read(path).unwrap()),
    }
}

impl Whole {
    /// Without the time of access, which every look moves.
    fn unread(&self) -> Self {
        let [_, mtime] = self.times;
        Self {
            times: [mtime; 2],
            ..self.clone()
        }
    }
}

pub(crate) fn sha256(content: &[u8]) -> String {
    super::seal::sha256(&mut &*content).unwrap()
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
