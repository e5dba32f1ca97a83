//! Ways in which a file becomes infected that hide it from whoever looks at size and time of change.
use super::{super::reef::harmless, mapper::Mapper};
use anyhow::{Context, Result};
use rustix::{
    fs::{CWD, FallocateFlags, OFlags, RenameFlags, copy_file_range, fallocate, renameat_with},
    io::Errno,
};
use std::{
    fmt,
    fs::{self, File, FileTimes, OpenOptions, Permissions},
    io::{Seek as _, SeekFrom, Write as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};
use testkit::{MARKER, Random, eicar};

/// How a file is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Overwrite,
    Append,
    RenameOver,
    InodeReuse,
    NewMapping,
    HeldMapping,
    TruncateRefill,
    LinkOutside,
    LinkInside,
    LinkOver,
    HeldDescriptor,
    Direct,
    CopyFileRange,
    PunchHole,
    CollapseRange,
    Sparse,
    Chmod,
    FutureTime,
    Exchange,
    Swap,
    ExchangeDirectory,
}

impl Kind {
    pub(super) const ALL: [Self; 21] = [
        Self::Overwrite,
        Self::Append,
        Self::RenameOver,
        Self::InodeReuse,
        Self::NewMapping,
        Self::HeldMapping,
        Self::TruncateRefill,
        Self::LinkOutside,
        Self::LinkInside,
        Self::LinkOver,
        Self::HeldDescriptor,
        Self::Direct,
        Self::CopyFileRange,
        Self::PunchHole,
        Self::CollapseRange,
        Self::Sparse,
        Self::Chmod,
        Self::FutureTime,
        Self::Exchange,
        Self::Swap,
        Self::ExchangeDirectory,
    ];
}

/// When a file is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum When {
    /// Right after a scan.
    Between,
    /// While a scan runs, wherever that is.
    Meanwhile,
    /// While a scan has it open.
    Held,
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Between => "between two scans",
            Self::Meanwhile => "while a scan ran",
            Self::Held => "while a scan had the file open",
        })
    }
}

/// What the hole is punched between: with zeros there, [`hole_signature`] fits.
const HOLE: (&[u8], &[u8]) = (b"SHOAL-HOLE-BEGINS", b"SHOAL-HOLE-ENDS");
const HOLE_BYTES: usize = 32;
/// Of direct writes and of ranges that are cut out; every file system's block divides it.
const BLOCK: usize = 4096;

/// Zeros between two words.
pub(super) fn hole_signature() -> Vec<u8> {
    [HOLE.0, &[0; HOLE_BYTES], HOLE.1].concat()
}

/// Memory that a direct write takes.
#[repr(align(4096))]
struct Aligned([u8; BLOCK]);

/// A file that is clean, and will not stay so.
pub(super) struct Victim {
    pub(super) kind: Kind,
    path: PathBuf,
    /// Another file: one that takes its place, or another name of it.
    other: PathBuf,
    /// Open since before it was judged.
    held: Option<File>,
    size: u64,
    /// When it was changed last, before its mutation.
    mtime: SystemTime,
    payload: Vec<u8>,
    number: u64,
    when: Option<When>,
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.kind)?;
        self.when.map_or(Ok(()), |when| write!(f, " {when}"))
    }
}

impl Victim {
    /// Makes file `number` of `tree`, clean; what a change of this kind needs lies in `outside`.
    pub(super) fn new(
        kind: Kind,
        number: u64,
        (tree, outside): (&Path, &Path),
        random: &mut Random,
        mapper: &mut Mapper,
    ) -> Result<Self> {
        let folder = tree.join(format!("d{}", random.below(20)));
        let mut path = folder.join(format!("f{number}"));
        let mut other = outside.join(format!("o{number}"));
        match kind {
            Kind::ExchangeDirectory => {
                path = tree.join(format!("whole{number}/file"));
                other = outside.join(format!("whole{number}/file"));
            }
            Kind::Swap | Kind::LinkInside => other = tree.join(format!("d{}/o{number}", random.below(20))),
            _ => {}
        }
        for path in [&path, &other] {
            fs::create_dir_all(path.parent().context("files lie in folders")?)?;
        }
        let mut content = harmless(number, 200 + random.below(8000) as usize);
        match kind {
            Kind::PunchHole => {
                content.extend([HOLE.0, &[b'.'; HOLE_BYTES], HOLE.1].concat());
                content.extend(harmless(number, 100));
            }
            Kind::Direct => content = harmless(number, 2 * BLOCK),
            Kind::CollapseRange => {
                // The marker parted by a block.
                content = harmless(number, 4 * BLOCK);
                let half = MARKER.len() / 2;
                content[BLOCK - half..BLOCK].copy_from_slice(&MARKER[..half]);
                content[2 * BLOCK..2 * BLOCK + MARKER.len() - half].copy_from_slice(&MARKER[half..]);
            }
            _ => {}
        }
        fs::write(&path, &content)?;
        let payload = if random.below(2) == 0 { eicar() } else { MARKER.to_vec() };
        let mut victim = Self {
            kind,
            size: content.len() as u64,
            mtime: fs::metadata(&path)?.modified()?,
            path,
            other,
            held: None,
            payload,
            number,
            when: None,
        };
        victim.prepare(mapper)?;
        Ok(victim)
    }

    fn prepare(&mut self, mapper: &mut Mapper) -> Result<()> {
        match self.kind {
            Kind::HeldMapping => mapper.hold(&self.path)?,
            Kind::LinkOutside | Kind::LinkInside => fs::hard_link(&self.path, &self.other)?,
            Kind::HeldDescriptor => self.held = Some(OpenOptions::new().write(true).open(&self.path)?),
            Kind::Exchange | Kind::Swap | Kind::ExchangeDirectory | Kind::LinkOver => {
                fs::write(&self.other, self.infected())?;
                self.set_time(&self.other, self.mtime)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Where it lies in the tree.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// When it was infected, if it has been.
    pub(super) const fn when(&self) -> Option<When> {
        self.when
    }

    /// The path of the tree under which malware lies before the mutation.
    pub(super) fn infected_before(&self) -> Option<&Path> {
        (self.kind == Kind::Swap).then_some(&self.other)
    }

    /// Another path of the tree that goes with it: as clean before, as infected after.
    pub(super) fn other_name(&self) -> Option<&Path> {
        (self.kind == Kind::LinkInside).then_some(&self.other)
    }

    /// Infects it, and mostly sets its times back.
    pub(super) fn infect(&mut self, when: When, random: &mut Random, mapper: &mut Mapper) -> Result<()> {
        self.when = Some(when);
        self.change(random, mapper)
            .with_context(|| format!("{:?} of `{}`", self.kind, self.path.display()))?;
        let forged = match (self.kind, random.below(4)) {
            (Kind::FutureTime, _) => SystemTime::now() + Duration::from_secs(3600),
            (_, 0) => return Ok(()),
            _ => self.mtime,
        };
        self.set_time(&self.path, forged)
    }

    fn change(&self, random: &mut Random, mapper: &mut Mapper) -> Result<()> {
        let (path, other) = (&self.path, &self.other);
        match self.kind {
            Kind::Overwrite | Kind::FutureTime => self.overwrite(random)?,
            Kind::Append => OpenOptions::new().append(true).open(path)?.write_all(&self.payload)?,
            Kind::RenameOver => {
                fs::write(other, self.infected())?;
                self.set_time(other, self.mtime)?;
                fs::rename(other, path)?;
            }
            Kind::InodeReuse => {
                // Most file systems give the inode that came free last.
                fs::remove_file(path)?;
                fs::write(path, self.infected())?;
            }
            Kind::NewMapping | Kind::HeldMapping => mapper.store(path)?,
            Kind::TruncateRefill => {
                let mut file = OpenOptions::new().write(true).open(path)?;
                file.set_len(0)?;
                file.write_all(&self.infected())?;
            }
            Kind::LinkOutside | Kind::LinkInside => write_at(other, 0, &self.payload)?,
            Kind::LinkOver => {
                fs::remove_file(path)?;
                fs::hard_link(other, path)?;
            }
            Kind::HeldDescriptor => {
                let held = self.held.as_ref().context("it is held")?;
                held.write_all_at(&self.payload, random.below(self.size - 100))?;
            }
            Kind::Direct => self.direct(random)?,
            Kind::CopyFileRange => {
                fs::write(other, &self.payload)?;
                let (from, to) = (File::open(other)?, OpenOptions::new().write(true).open(path)?);
                copy_file_range(from, None, to, Some(&mut 50), self.payload.len())?;
            }
            Kind::PunchHole => {
                let end = self.size - 100 - HOLE.1.len() as u64;
                let file = OpenOptions::new().write(true).open(path)?;
                let mode = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                let begin = end - HOLE_BYTES as u64;
                or_overwrite(fallocate(file, mode, begin, HOLE_BYTES as u64), || {
                    self.overwrite(random)
                })?;
            }
            Kind::CollapseRange => {
                let file = OpenOptions::new().write(true).open(path)?;
                let done = fallocate(&file, FallocateFlags::COLLAPSE_RANGE, BLOCK as u64, BLOCK as u64);
                or_overwrite(done, || self.overwrite(random))?;
                file.set_len(self.size)?;
            }
            Kind::Sparse => {
                let mut file = OpenOptions::new().write(true).open(path)?;
                file.set_len(0)?;
                file.seek(SeekFrom::Start(self.size - self.payload.len() as u64))?;
                file.write_all(&self.payload)?;
            }
            Kind::Chmod => {
                fs::set_permissions(path, Permissions::from_mode(0o600))?;
                self.overwrite(random)?;
                fs::set_permissions(path, Permissions::from_mode(0o644))?;
            }
            Kind::Exchange => renameat_with(CWD, path, CWD, other, RenameFlags::EXCHANGE)?,
            Kind::Swap => {
                let aside = path.with_extension("aside");
                fs::rename(path, &aside)?;
                fs::rename(other, path)?;
                fs::rename(aside, other)?;
            }
            Kind::ExchangeDirectory => {
                let (one, two) = (path.parent(), other.parent());
                let (one, two) = one.zip(two).context("files lie in folders")?;
                renameat_with(CWD, one, CWD, two, RenameFlags::EXCHANGE)?;
            }
        }
        Ok(())
    }

    fn overwrite(&self, random: &mut Random) -> Result<()> {
        write_at(&self.path, random.below(self.size - 100), &self.payload)
    }

    fn direct(&self, random: &mut Random) -> Result<()> {
        let mut block = Aligned([b'.'; BLOCK]);
        block.0[..self.payload.len()].copy_from_slice(&self.payload);
        let flags = OFlags::DIRECT.bits().cast_signed();
        let file = OpenOptions::new().write(true).custom_flags(flags).open(&self.path)?;
        match file.write_all_at(&block.0, BLOCK as u64) {
            Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => self.overwrite(random),
            written => Ok(written?),
        }
    }

    /// As long as it was, or as its payload wants.
    fn infected(&self) -> Vec<u8> {
        let rest = (self.size as usize).saturating_sub(self.payload.len());
        [self.payload.clone(), harmless(self.number, rest)].concat()
    }

    fn set_time(&self, path: &Path, mtime: SystemTime) -> Result<()> {
        let times = FileTimes::new().set_modified(mtime).set_accessed(mtime);
        Ok(File::open(path)?.set_times(times)?)
    }
}

fn write_at(path: &Path, at: u64, bytes: &[u8]) -> Result<()> {
    Ok(OpenOptions::new().write(true).open(path)?.write_all_at(bytes, at)?)
}

/// Not every file system can do everything.
fn or_overwrite(done: Result<(), Errno>, overwrite: impl FnOnce() -> Result<()>) -> Result<()> {
    match done {
        Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => overwrite(),
        done => Ok(done?),
    }
}
