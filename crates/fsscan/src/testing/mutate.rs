//! Random mutations of a real directory, of the kinds that people and programs make.
use super::Random;
use std::{
    ffi::OsStr,
    fs::{self, File, FileTimes},
    io,
    os::unix::{
        self,
        ffi::OsStrExt,
        fs::{FileExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

const NAMES: [&[u8]; 14] = [
    b"a",
    b"b",
    b"c.txt",
    b"d.log",
    b"e",
    b"f",
    b"new\nline",
    b"\xff\xfe",
    b" ",
    b"-rf",
    b".hidden",
    b"g.TMP",
    b"h",
    b"i",
];

/// A file of this name is left alone, so that the tree is never empty.
pub(super) const ANCHOR: &str = "anchor";

#[derive(Default)]
struct Found {
    dirs: Vec<PathBuf>,
    files: Vec<PathBuf>,
    others: Vec<PathBuf>,
}

fn look(top: &Path) -> io::Result<Found> {
    let mut found = Found {
        dirs: vec![top.to_owned()],
        ..Found::default()
    };
    let mut next = 0;
    while let Some(dir) = found.dirs.get(next).cloned() {
        next += 1;
        let mut entries: Vec<_> = fs::read_dir(dir)?.collect::<Result<_, _>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries.iter().filter(|entry| entry.file_name() != ANCHOR) {
            let kind = entry.file_type()?;
            let list = match () {
                () if kind.is_dir() => &mut found.dirs,
                () if kind.is_file() => &mut found.files,
                () => &mut found.others,
            };
            list.push(entry.path());
        }
    }
    Ok(found)
}

/// Makes one random mutation under `top`. Those that the file system refuses, such as a directory moved into itself,
/// change nothing.
///
/// # Errors
///
/// When the tree cannot be looked at.
pub fn mutate(top: &Path, random: &mut Random) -> io::Result<()> {
    let found = look(top)?;
    let mut tries = 0;
    // Most of what is refused is refused because the name is taken.
    while attempt(&found, random).is_err() && tries < 5 {
        tries += 1;
    }
    Ok(())
}

fn any_name(found: &Found, random: &mut Random) -> PathBuf {
    let dir = found
        .dirs
        .get(random.below(found.dirs.len()))
        .cloned()
        .unwrap_or_default();
    let name = NAMES.get(random.below(NAMES.len())).copied().unwrap_or(b"x");
    dir.join(OsStr::from_bytes(name))
}

fn attempt(found: &Found, random: &mut Random) -> io::Result<()> {
    let nothing = || io::Error::from(io::ErrorKind::NotFound);
    let name = any_name(found, random);
    let file = random.pick(&found.files).cloned();
    let other = random.pick(&found.others).cloned();
    // Never the top itself.
    let dir = random.pick(found.dirs.get(1..).unwrap_or_default()).cloned();
    match random.below(20) {
        0..=2 => {
            let mut content = vec![b'x'; random.below(40)];
            content.extend_from_slice(&random.bits().to_le_bytes());
            File::create_new(name).and_then(|file| file.write_all_at(&content, 0))
        }
        3 => fs::create_dir(name),
        4 => {
            let file = File::options().write(true).open(file.ok_or_else(nothing)?)?;
            file.write_all_at(&random.bits().to_le_bytes(), 0)
        }
        5 => {
            let file = File::options().append(true).open(file.ok_or_else(nothing)?)?;
            let end = file.metadata()?.len();
            file.write_all_at(b"more", end)
        }
        6 | 7 => {
            let from = file.or(other).ok_or_else(nothing)?;
            if fs::symlink_metadata(&name).is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            fs::rename(from, name)
        }
        8 => {
            let over = random.pick(&found.files).cloned().ok_or_else(nothing)?;
            fs::rename(file.ok_or_else(nothing)?, over)
        }
        9 => fs::remove_file(file.ok_or_else(nothing)?),
        10 => fs::remove_file(other.ok_or_else(nothing)?),
        11 => {
            let mode = [0o644, 0o600, 0o755, 0o4711][random.below(4)];
            fs::set_permissions(file.ok_or_else(nothing)?, fs::Permissions::from_mode(mode))
        }
        12 => fs::hard_link(file.ok_or_else(nothing)?, name),
        13 | 14 => {
            if fs::symlink_metadata(&name).is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            fs::rename(dir.ok_or_else(nothing)?, name)
        }
        15 => {
            // A directory becomes a link to where it went, and a file becomes a directory.
            let dir = dir.ok_or_else(nothing)?;
            fs::rename(&dir, &name)?;
            unix::fs::symlink(&name, &dir)
        }
        16 => {
            let link = other.ok_or_else(nothing)?;
            fs::remove_file(&link)?;
            fs::create_dir(link)
        }
        17 => {
            let back = SystemTime::now() - Duration::from_secs(random.below(10_000) as u64);
            let file = File::options().append(true).open(file.ok_or_else(nothing)?)?;
            file.set_times(FileTimes::new().set_modified(back))
        }
        18 => match other {
            Some(link) if fs::read_link(&link).is_ok() && random.once_in(2) => {
                fs::remove_file(&link)?;
                unix::fs::symlink(&name, link)
            }
            _ if random.once_in(3) => {
                let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
                nix::unistd::mkfifo(&name, mode).map_err(io::Error::from)
            }
            _ => unix::fs::symlink("nowhere", name),
        },
        _ if random.once_in(4) => fs::remove_dir_all(dir.ok_or_else(nothing)?),
        _ => fs::remove_file(file.ok_or_else(nothing)?),
    }
}
