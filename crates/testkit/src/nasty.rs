//! Names that break programs which take a path for a line of text.
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// The longest name of one file.
const LONGEST_NAME: usize = 255;
/// A path that still fits the kernel's limit of 4,096 bytes with its final zero.
const LONG_PATH: usize = 4000;

/// A file with a name that is hard to handle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nasty {
    /// What is hard about it.
    pub what: &'static str,
    /// Where it lies.
    pub path: PathBuf,
}

/// Makes one file for each hard name in `root`, each holding its own description, and returns them.
///
/// On Unix that includes a newline, bytes that are not UTF-8, a name of 255 bytes and a path of 4,000.
///
/// # Errors
/// When the file system refuses one.
pub fn nasty_files(root: &Path) -> Result<Vec<Nasty>> {
    let mut files: Vec<Nasty> = PORTABLE
        .iter()
        .map(|(what, name)| Nasty {
            what,
            path: root.join(name),
        })
        .collect();
    #[cfg(unix)]
    files.extend(unix_only(root));
    for file in &files {
        if let Some(parent) = file.path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("could not create a folder for {}", file.what))?;
        }
        fs::write(&file.path, file.what).with_context(|| format!("could not create a file with {}", file.what))?;
    }
    Ok(files)
}

const PORTABLE: [(&str, &str); 11] = [
    ("a leading dash", "-rf"),
    ("a space in front", " in front"),
    ("brackets, as globs have them", "a[0-9]{x,y}!"),
    ("a percent sign, as in an escaped URL", "100%25 sure"),
    ("a composed letter", "caf\u{e9}"),
    ("a decomposed letter", "cafe\u{301}2"),
    ("text from right to left", "\u{202e}gpj.exe"),
    ("a letter of four bytes", "\u{1f9ff}"),
    ("a byte order mark", "\u{feff}start"),
    ("a letter without width", "zero\u{200b}width"),
    ("a hash sign, as comments have it", "# not a comment"),
];

#[cfg(unix)]
fn unix_only(root: &Path) -> Vec<Nasty> {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let names: [(&str, &[u8]); 9] = [
        ("a newline", b"two\nlines"),
        ("a carriage return", b"over\rwritten"),
        ("a tab", b"a\ttab"),
        ("an escape sequence", b"\x1b[31mred"),
        ("bytes that are not UTF-8", b"latin1-\xe9\xff"),
        ("a surrogate in bytes", b"half-\xed\xa0\x80"),
        ("quotes and a backslash", b"\"it's\\here\""),
        ("glob letters", b"*?"),
        ("a space at the end", b"behind "),
    ];
    let longest = vec![b'n'; LONGEST_NAME];
    let mut files: Vec<Nasty> = names
        .iter()
        .map(|(what, name)| (*what, *name))
        .chain([("a name of 255 bytes", longest.as_slice())])
        .map(|(what, name)| Nasty {
            what,
            path: root.join(OsStr::from_bytes(name)),
        })
        .collect();
    files.push(Nasty {
        what: "a path of 4,000 bytes",
        path: long_path(root),
    });
    files
}

/// `root` with folders of 200 bytes and a last name that fills the path to [`LONG_PATH`].
#[cfg(unix)]
fn long_path(root: &Path) -> PathBuf {
    let mut path = root.to_owned();
    while path.as_os_str().len() + 201 + 2 <= LONG_PATH {
        path.push("l".repeat(200));
    }
    path.push("m".repeat((LONG_PATH - path.as_os_str().len()).saturating_sub(1)));
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_exists_and_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("nasty");
        let files = nasty_files(&root).unwrap();
        for file in &files {
            assert_eq!(fs::read_to_string(&file.path).unwrap(), file.what);
        }
        let mut paths: Vec<_> = files.iter().map(|file| &file.path).collect();
        paths.sort();
        paths.dedup();
        assert_eq!(paths.len(), files.len(), "each has a name of its own");
    }

    #[cfg(unix)]
    #[test]
    fn the_long_ones_are_as_long_as_they_say() {
        let folder = tempfile::tempdir().unwrap();
        let files = nasty_files(folder.path()).unwrap();
        assert!(files.iter().any(|file| file.path.as_os_str().len() == LONG_PATH));
        let longest = files
            .iter()
            .filter_map(|file| file.path.file_name())
            .map(std::ffi::OsStr::len)
            .max();
        assert_eq!(longest, Some(LONGEST_NAME));
    }
}
