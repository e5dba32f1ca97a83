use crate::watch::Lab;
use fsscan::{
    FileStat,
    testing::{Random, mutate},
    watch::{WatchStats, Watched},
};
use std::{
    collections::HashMap,
    fs::{self, File},
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
};

type Hash = blake3::Hash;

/// The content of a file, and how many names it has.
fn content(file: &mut File) -> Option<((u64, u64), u32, Hash)> {
    let stat = FileStat::of(file).ok()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    Some(((stat.device, stat.inode), stat.links, blake3::hash(&bytes)))
}

fn regular_files(top: &Path) -> Vec<PathBuf> {
    let (mut dirs, mut files) = (vec![top.to_owned()], Vec::new());
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => dirs.push(entry.path()),
                Ok(kind) if kind.is_file() => files.push(entry.path()),
                _ => {}
            }
        }
    }
    files
}

/// What whoever is told knows: the content that each file had when it was told, by its name and by its identity.
#[derive(Default)]
struct Knows {
    by_path: HashMap<PathBuf, Hash>,
    by_inode: HashMap<(u64, u64), Hash>,
}

impl Knows {
    fn learn(&mut self, path: PathBuf, mut file: File) {
        if let Some((inode, _, hash)) = content(&mut file) {
            self.by_path.insert(path, hash);
            self.by_inode.insert(inode, hash);
        }
    }

    fn scan(&mut self, below: &Path) {
        for path in regular_files(below) {
            if let Ok(file) = File::open(&path) {
                self.learn(path, file);
            }
        }
    }

    fn hear(&mut self, watched: Watched) {
        match watched {
            Watched::Written(written) => {
                let path = written.path.clone();
                if let Ok(file) = written.open() {
                    self.learn(path, file);
                }
            }
            Watched::Lost(lost) => self.scan(&lost.below),
            Watched::Watching { .. } | Watched::Gone { .. } => {}
        }
    }

    /// Files whose content is not the one that is known. One with several names is told by the name it was written by.
    fn missed(&self, top: &Path) -> Vec<PathBuf> {
        let is_missed = |path: &PathBuf| {
            let Some((inode, links, hash)) = File::open(path).ok().and_then(|mut file| content(&mut file)) else {
                return false;
            };
            self.by_path.get(path) != Some(&hash) && !(links > 1 && self.by_inode.get(&inode) == Some(&hash))
        };
        regular_files(top).into_iter().filter(is_missed).collect()
    }
}

/// Makes random mutations while a watch runs; what it counted.
async fn run(seed: u64, mutations: u64, max_pending: usize) -> WatchStats {
    let mut lab = Lab::new();
    lab.request.max_pending = max_pending;
    let top = lab.at("");
    let mut random = Random::new(seed);
    for _ in 0..100 {
        mutate(&top, &mut random).unwrap();
    }
    let mut knows = Knows::default();
    lab.begin().await;
    knows.scan(&top);
    let mutator = thread::spawn({
        let top = top.clone();
        move || {
            for number in 0..mutations {
                mutate(&top, &mut random).unwrap();
                // A moment in which what was written is told, now and then.
                if number % 50 == 0 {
                    thread::yield_now();
                }
            }
        }
    });
    while !mutator.is_finished() {
        let soon = tokio::time::timeout(lab.request.debounce, lab.watch().next()).await;
        if let Ok(watched) = soon {
            knows.hear(watched.unwrap());
        }
    }
    mutator.join().unwrap();
    loop {
        let missed = knows.missed(&top);
        if missed.is_empty() {
            return lab.stats();
        }
        let next = tokio::time::timeout(crate::watch::GUARD, lab.watch().next()).await;
        let Ok(watched) = next else {
            panic!("FSSCAN_SEED={seed}: never told: {missed:?}")
        };
        knows.hear(watched.unwrap());
    }
}

#[tokio::test]
async fn every_file_that_changes_is_told_after_its_last_change() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seed = number("FSSCAN_SEED").unwrap_or(20_261_121);
    let trees = number("FSSCAN_TREES").unwrap_or(6);
    let mut seeds = Random::new(seed);
    let (mut written, mut lost) = (0, 0);
    for tree in 0..trees {
        // Every third with so little room that much is lost.
        let max_pending = if tree % 3 == 2 { 5 } else { 10_000 };
        let stats = run(seeds.bits(), 1000, max_pending).await;
        written += stats.written;
        lost += stats.lost;
    }
    assert!(
        // How many are told apart, and how many in one, is a matter of how busy the machine is.
        written > trees && (trees < 3 || lost > 0),
        "{written} written, {lost} lost"
    );
    println!("{trees} trees, seed {seed}: {written} told as written, {lost} as lost");
}

#[test]
fn a_file_that_was_not_told_would_be_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut knows = Knows::default();
    fs::write(dir.path().join("a"), "1").unwrap();
    fs::hard_link(dir.path().join("a"), dir.path().join("b")).unwrap();
    assert_eq!(knows.missed(dir.path()).len(), 2);
    knows.learn(dir.path().join("a"), File::open(dir.path().join("a")).unwrap());
    assert!(knows.missed(dir.path()).is_empty(), "known by another name");
    fs::write(dir.path().join("a"), "2").unwrap();
    assert_eq!(knows.missed(dir.path()).len(), 2);
    assert_eq!(fs::metadata(dir.path().join("a")).unwrap().nlink(), 2);
}
