//! A rescan in which nothing changed, and a walk whose visitor looks at every file, against the bare system calls they
//! cannot do without: the listing of every directory and a look at every file. One thread each; the tree lies in memory.
#![allow(missing_docs, reason = "criterion's macros make items without documentation")]
use criterion::{Criterion, criterion_group, criterion_main};

#[cfg(target_os = "linux")]
fn rescan(criterion: &mut Criterion) {
    use fsscan::{
        Directory, NoObserver, NoRecords, RootRequest, ScanRequest, Visitor, WalkRequest, scan, testing::MemoryTree,
        walk,
    };
    use std::{fs, sync::atomic::AtomicBool};

    let Ok(dir) = tempfile::tempdir() else { return };
    for number in 0..400 {
        let below = dir.path().join(format!("{}/directory-{number}", number % 20));
        let made = fs::create_dir_all(&below).and_then(|()| {
            (0..20).try_for_each(|file| fs::write(below.join(format!("a-file-of-some-length-{file}")), "x"))
        });
        if made.is_err() {
            return;
        }
    }
    let mut request = ScanRequest::new(vec![RootRequest::new(dir.path())]);
    request.threads = 1;
    let mut tree = MemoryTree::default();
    let mut run = || {
        let now = chrono::DateTime::UNIX_EPOCH;
        scan(
            &mut tree,
            &request,
            &mut NoRecords,
            &NoObserver,
            now,
            &AtomicBool::new(false),
        )
    };
    struct Adds(u64);
    impl Visitor for Adds {
        fn directory(&mut self, dir: &Directory<'_>) {
            self.0 += dir
                .files()
                .map(|file| file.stat.size ^ file.stat.ctime_ns.unsigned_abs())
                .sum::<u64>();
        }
    }
    let plain = WalkRequest::new(vec![RootRequest::new(dir.path())]);
    let visit = || walk(&plain, vec![Adds(0)], &AtomicBool::new(false));
    let mut group = criterion.benchmark_group("8000 files in 420 directories");
    group.bench_function("bare walk", |bencher| bencher.iter(|| bare::walk(dir.path())));
    group.bench_function("rescan without a change", |bencher| bencher.iter(&mut run));
    group.bench_function("walk with a visitor", |bencher| bencher.iter(visit));
    group.finish();
}

#[cfg(target_os = "linux")]
mod bare {
    use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, StatxFlags, openat, statx};
    use std::{mem::MaybeUninit, os::fd::OwnedFd, path::Path, rc::Rc};

    const OPEN: OFlags = OFlags::RDONLY
        .union(OFlags::DIRECTORY)
        .union(OFlags::NOFOLLOW)
        .union(OFlags::CLOEXEC);

    pub(crate) fn walk(top: &Path) -> rustix::io::Result<u64> {
        let look = AtFlags::STATX_DONT_SYNC | AtFlags::SYMLINK_NOFOLLOW;
        let mut buffer = vec![MaybeUninit::uninit(); 64 * 1024];
        let mut stack: Vec<(Rc<OwnedFd>, Vec<u8>)> = Vec::new();
        let mut next = Some(Rc::new(openat(CWD, top, OPEN, Mode::empty())?));
        let mut bytes = 0;
        while let Some(dir) = next {
            let mut entries = RawDir::new(&*dir, &mut buffer);
            while let Some(entry) = entries.next() {
                let entry = entry?;
                let name = entry.file_name();
                if entry.file_type() != FileType::Directory {
                    bytes += statx(&*dir, name, look, StatxFlags::BASIC_STATS | StatxFlags::BTIME)?.stx_size;
                } else if name != c"." && name != c".." {
                    stack.push((Rc::clone(&dir), name.to_bytes().to_vec()));
                }
            }
            next = match stack.pop() {
                Some((above, name)) => Some(Rc::new(openat(&*above, &name, OPEN, Mode::empty())?)),
                None => None,
            };
        }
        Ok(bytes)
    }
}

#[cfg(not(target_os = "linux"))]
fn rescan(_criterion: &mut Criterion) {}

criterion_group!(benches, rescan);
criterion_main!(benches);
