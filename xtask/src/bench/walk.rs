//! The limit that the scanner is held against: the same system calls, the same mask, the same threads, and nothing
//! else.
use anyhow::Result;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The tree.
    path: PathBuf,
    /// Walking threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

#[cfg(target_os = "linux")]
pub(crate) fn run(args: &Args) -> Result<()> {
    println!("{} files", linux::walk(&args.path, args.threads)?);
    Ok(())
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn run(_: &Args) -> Result<()> {
    anyhow::bail!("the bare walk is written for Linux")
}

#[cfg(target_os = "linux")]
mod linux {
    use anyhow::{Context, Result};
    use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, StatxFlags, openat, statx};
    use std::{
        ffi::CString,
        mem::MaybeUninit,
        os::fd::OwnedFd,
        path::Path,
        sync::{
            Arc, Condvar, Mutex, MutexGuard, PoisonError,
            atomic::{AtomicU64, AtomicUsize, Ordering},
        },
        thread,
    };

    type Folder = (Arc<OwnedFd>, CString);

    struct Work {
        folders: Vec<Folder>,
        idle: usize,
    }

    struct Shared {
        work: Mutex<Work>,
        more: Condvar,
        hungry: AtomicUsize,
        files: AtomicU64,
        threads: usize,
    }

    const FOLDER: OFlags = OFlags::RDONLY
        .union(OFlags::DIRECTORY)
        .union(OFlags::NOFOLLOW)
        .union(OFlags::CLOEXEC);

    // What the scanner asks for, asked as it asks.
    const LOOK: AtFlags = AtFlags::SYMLINK_NOFOLLOW
        .union(AtFlags::STATX_DONT_SYNC)
        .union(AtFlags::NO_AUTOMOUNT);
    const WANTED: StatxFlags = StatxFlags::BASIC_STATS
        .difference(StatxFlags::ATIME)
        .union(StatxFlags::BTIME);

    pub(super) fn walk(root: &Path, threads: usize) -> Result<u64> {
        let root = openat(CWD, root, FOLDER.difference(OFlags::NOFOLLOW), Mode::empty())
            .with_context(|| format!("could not open {}", root.display()))?;
        let here = CString::from(c".");
        let shared = Shared {
            work: Mutex::new(Work {
                folders: vec![(Arc::new(root), here)],
                idle: 0,
            }),
            more: Condvar::new(),
            hungry: AtomicUsize::new(0),
            files: AtomicU64::new(0),
            threads,
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| work_through(&shared))).collect();
            workers
                .into_iter()
                .try_for_each(|worker| worker.join().unwrap_or_else(|_| anyhow::bail!("a worker died")))
        })?;
        Ok(shared.files.into_inner())
    }

    fn lock(shared: &Shared) -> MutexGuard<'_, Work> {
        shared.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for folders of others; `None` when every worker waits.
    fn wait(shared: &Shared) -> Option<Folder> {
        let mut work = lock(shared);
        work.idle += 1;
        shared.hungry.fetch_add(1, Ordering::Relaxed);
        loop {
            if let Some(folder) = work.folders.pop() {
                work.idle -= 1;
                shared.hungry.fetch_sub(1, Ordering::Relaxed);
                return Some(folder);
            }
            if work.idle == shared.threads {
                shared.more.notify_all();
                return None;
            }
            work = shared.more.wait(work).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Each worker has a stack of its own and gives half of it away only when another has nothing to do, so that the
    /// walk costs what its system calls cost.
    fn work_through(shared: &Shared) -> Result<()> {
        let mut buffer = vec![MaybeUninit::uninit(); 64 << 10];
        let mut own: Vec<Folder> = Vec::new();
        let mut files = 0;
        while let Some((parent, name)) = own.pop().or_else(|| wait(shared)) {
            files += list(&parent, &name, &mut buffer, &mut own)?;
            if own.len() > 1 && shared.hungry.load(Ordering::Relaxed) > 0 {
                lock(shared).folders.extend(own.drain(..own.len() / 2));
                shared.more.notify_one();
            }
        }
        shared.files.fetch_add(files, Ordering::Relaxed);
        Ok(())
    }

    fn list(parent: &OwnedFd, name: &CString, buffer: &mut [MaybeUninit<u8>], own: &mut Vec<Folder>) -> Result<u64> {
        let folder = Arc::new(openat(parent, name, FOLDER, Mode::empty())?);
        let mut files = 0;
        let mut entries = RawDir::new(&folder, buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            if entry.file_type() == FileType::Directory {
                own.push((Arc::clone(&folder), name.to_owned()));
                continue;
            }
            statx(&folder, name, LOOK, WANTED)?;
            files += 1;
        }
        Ok(files)
    }
}
