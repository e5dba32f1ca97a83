//! Names and paths that most programs stumble over.
use crate::lab::Lab;
use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use std::{
    ffi::OsStr,
    fs::{self, File},
    io::Write,
    os::unix::ffi::OsStrExt,
    path::Path,
};

#[test]
fn odd_names_are_told_as_they_are() {
    let mut lab = Lab::new();
    let longest = "n".repeat(255);
    for name in [
        b"new\nline".as_slice(),
        b"\xff\xfe",
        b" ",
        b"-rf",
        b"\x01",
        b"*",
        longest.as_bytes(),
    ] {
        let name = OsStr::from_bytes(name);
        fs::create_dir(lab.at("").join(name)).unwrap();
        fs::write(lab.at("").join(name).join(name), "x").unwrap();
    }
    assert_eq!(lab.scan().summary.created, 7);
    lab.assert_true();
    assert_eq!(lab.scan().events, []);
}

/// Makes a chain of directories that no path can name at once, a file in each tenth, and gives back how many.
fn deep(top: &Path, levels: usize, name: &str) -> u64 {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut dir = openat(CWD, top, flags, Mode::empty()).unwrap();
    let mut files = 0;
    for level in 0..levels {
        mkdirat(&dir, name, Mode::from(0o755)).unwrap();
        dir = openat(&dir, name, flags, Mode::empty()).unwrap();
        if level % 10 == 9 {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
            let mut file = File::from(openat(&dir, "file", flags, Mode::from(0o644)).unwrap());
            file.write_all(b"deep").unwrap();
            files += 1;
        }
    }
    files
}

#[test]
fn trees_deeper_than_any_path_are_scanned_to_the_bottom() {
    let mut lab = Lab::new();
    let files = deep(&lab.at(""), 2500, "d") + deep(&lab.at(""), 60, &"long".repeat(60));
    // One thread, so that descriptors run out on the way down and directories are reached in pieces.
    lab.request.threads = 1;
    let told = lab.scan();
    assert_eq!((told.summary.created, told.errors), (files, vec![]));
    assert!(lab.server.files.keys().any(|path| path.len() > 4096));
    assert_eq!(lab.scan().summary.unchanged, files);
    fs::rename(lab.at("d"), lab.at("e")).unwrap();
    assert_eq!(lab.scan().summary.moved, 250);
}

#[test]
fn what_lies_too_deep_is_an_error_and_nothing_more() {
    let mut lab = Lab::new();
    lab.write("a", "x");
    deep(&lab.at(""), 4200, "d");
    let told = lab.scan();
    assert_eq!(told.summary.created, 1 + 409);
    assert_eq!(told.summary.errors.get(&fsscan::ErrorKind::TooDeep), Some(&1));
}
