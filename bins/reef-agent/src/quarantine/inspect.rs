//! What can be said of a quarantine from outside: nothing is made, locked or put in order for it.
use super::{
    Failed,
    seal::KEY_LENGTH,
    stamp::Stamp,
    store::{KEY, Part, Store},
};
use std::{io, path::Path};

/// How a quarantine looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inspected {
    /// Whose directory it is.
    pub(crate) owner: u32,
    /// The permission bits of the directory.
    pub(crate) mode: u32,
    /// How many items lie there, complete or not.
    pub(crate) items: usize,
    /// What its items are read with.
    pub(crate) key: Key,
}

/// The key of a quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// It is there, and of the right length.
    Sound,
    /// There is none; the next item makes one, unless there are items already.
    Missing,
    /// What is there is no key.
    Damaged,
}

/// Looks at the quarantine at `path`; `None` where there is none.
///
/// # Errors
/// When it cannot be looked at.
pub(crate) fn inspect(path: &Path) -> Result<Option<Inspected>, Failed> {
    let dir = match super::place::open_named(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        dir => dir.map_err(Failed::to("open", path))?,
    };
    let stat = rustix::fs::fstat(&dir).map_err(Failed::to("look at", path))?;
    let key = match Stamp::look(&dir, KEY.as_bytes()) {
        Ok(stamp) if stamp.size == KEY_LENGTH as u64 => Key::Sound,
        Ok(_) => Key::Damaged,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Key::Missing,
        Err(error) => return Err(Failed::to("look at", &path.join(KEY))(error)),
    };
    let store = Store {
        dir,
        path: path.to_owned(),
        // Nothing is read with it.
        key: [0; KEY_LENGTH],
    };
    let parts = store.parts()?;
    Ok(Some(Inspected {
        owner: stat.st_uid,
        mode: stat.st_mode & 0o7777,
        items: parts.iter().filter(|(_, part)| *part == Part::Data).count(),
        key,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quarantine::Quarantine;
    use std::{fs, os::unix::fs::PermissionsExt as _};

    #[test]
    fn a_quarantine_is_looked_at_and_left_as_it_is() {
        let top = tempfile::tempdir().unwrap();
        let path = top.path().join("quarantine");
        assert_eq!(inspect(&path).unwrap(), None);
        assert!(!path.exists());
        drop(Quarantine::open(&path).unwrap());
        let names = || {
            let mut names: Vec<_> = fs::read_dir(&path)
                .unwrap()
                .map(|entry| entry.unwrap().file_name())
                .collect();
            names.sort();
            names
        };
        let before = names();
        let found = inspect(&path).unwrap().unwrap();
        assert_eq!((found.mode, found.items, found.key), (0o700, 0, Key::Sound));
        fs::write(path.join(KEY), "short").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let found = inspect(&path).unwrap().unwrap();
        assert_eq!((found.mode, found.key), (0o755, Key::Damaged));
        assert_eq!(names(), before);
        fs::remove_file(path.join(KEY)).unwrap();
        assert_eq!(inspect(&path).unwrap().unwrap().key, Key::Missing);
        assert!(
            inspect(&top.path().join("quarantine/lock")).is_err(),
            "a file is no quarantine"
        );
    }
}
