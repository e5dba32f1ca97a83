//! Names made to be taken for something else by whoever reads paths from lines of text.
use crate::Random;
use std::{ffi::OsString, os::unix::ffi::OsStringExt as _};

/// The longest name of one file.
const LONGEST: u64 = 255;

/// What names are put together from: words of clamd's replies and of its protocol, ends of lines, what shells and
/// terminals act on, bytes that are no text.
const PARTS: [&[u8]; 26] = [
    b": OK",
    b": OK\n",
    b" FOUND",
    b"FOUND",
    b"stream: Eicar FOUND",
    b"1: stream: OK",
    b"fd[10]: OK",
    b": Access denied. ERROR",
    b" ERROR\n",
    b"\n",
    b"\r\n",
    b"\n1: fd[9]: OK\n",
    b"\t",
    b"-rf",
    b"--",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\xc3",
    b"\x1b[2K\x1b[1A",
    b"\x07\x08\x7f",
    b"\xe2\x80\xae",
    b"'\"`$(id)\\",
    b"*?[a-z]",
    b" ",
    b"%s%n",
    b"zINSTREAM",
];

/// A name of 1 to 255 bytes, hostile to readers of lines. Names repeat: put a number behind one that must be new.
fn hostile_name(random: &mut Random) -> OsString {
    let parts = 1 + random.below(4);
    let mut name: Vec<u8> = (0..parts).flat_map(|_| random.pick(&PARTS).to_vec()).collect();
    // Some as long as a name can be.
    if random.below(10) == 0 {
        let begun = name.clone();
        name = begun.into_iter().cycle().take(LONGEST as usize).collect();
    }
    OsString::from_vec(name)
}

/// As many different names as asked for, which a directory can hold side by side.
pub fn hostile_names(count: usize, seed: u64) -> Vec<OsString> {
    let mut random = Random::new(seed);
    let mut names = Vec::with_capacity(count);
    let mut taken = std::collections::BTreeSet::new();
    while names.len() < count {
        let mut name = hostile_name(&mut random).into_vec();
        if taken.contains(&name) {
            let number = names.len().to_string();
            name.truncate(LONGEST as usize - number.len());
            name.extend(number.bytes());
        }
        if !matches!(&*name, b"." | b"..") && taken.insert(name.clone()) {
            names.push(OsString::from_vec(name));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::ffi::OsStrExt as _};

    #[test]
    fn a_directory_takes_them_side_by_side() {
        let folder = tempfile::tempdir().unwrap();
        let names = hostile_names(1000, 3);
        for name in &names {
            fs::write(folder.path().join(name), b"").unwrap();
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1000);
        assert_eq!(names, hostile_names(1000, 3));
        let is = |fits: fn(&[u8]) -> bool| names.iter().any(|name| fits(name.as_bytes()));
        assert!(is(|name| name.len() == 255) && is(|name| name.contains(&b'\n')) && is(|name| name[0] == b'-'));
        assert!(is(|name| std::str::from_utf8(name).is_err()) && is(|name| name.ends_with(b" FOUND")));
    }
}
