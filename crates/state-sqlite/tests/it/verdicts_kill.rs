//! A process that is killed while it remembers verdicts.
use crate::{
    now,
    verdicts::{DIR, basis, file, judged, recall},
};
use state_sqlite::{DirKey, Recalled, VerdictOptions, Verdicts};
use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

const FILE: &str = "VERDICTS_TO_KILL";
const DIRS: u64 = 50;

/// Judges round after round, each file with another size, and says each round that it flushed.
fn judge(path: &Path) -> ! {
    let store = Verdicts::open_file(path, VerdictOptions::default()).unwrap();
    let basis = store.use_basis(&basis(1), now()).unwrap();
    for round in 1.. {
        for dir in 0..DIRS {
            let files: Vec<_> = (0..20).map(|inode| judged(file(inode, round), basis)).collect();
            store.remember(DirKey { inode: dir, ..DIR }, &files, now()).unwrap();
        }
        store.flush(now()).unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "did {round}").unwrap();
        out.flush().unwrap();
    }
    unreachable!("it is killed before that")
}

#[test]
fn whatever_instant_it_is_killed_at_a_readable_cache_is_left() {
    if let Some(path) = env::var_os(FILE) {
        judge(Path::new(&path));
    }
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("v.db");
    for kill in 0..12_usize {
        let mut child = Command::new(env::current_exe().unwrap())
            .args([
                "verdicts_kill::whatever_instant_it_is_killed_at_a_readable_cache_is_left",
                "--exact",
                "--nocapture",
            ])
            .env(FILE, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let round = |line: &str| {
            line.rsplit_once("did ")
                .and_then(|(_, round)| round.parse::<u64>().ok())
        };
        let said = lines.by_ref().filter_map(|line| round(&line)).nth(kill % 5).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let said = lines.filter_map(|line| round(&line)).last().unwrap_or(said);

        let store = Verdicts::open_file(&path, VerdictOptions::default()).unwrap();
        store.use_basis(&basis(1), now()).unwrap();
        let census = store.census().unwrap();
        assert_eq!((census.files, census.damaged), (20 * DIRS, 0));
        assert_eq!(census.bytes, store.bytes().unwrap());
        // A round is stored whole: all of the one that was said, or of a later one.
        let holds = |dir, round| {
            let dir = DirKey { inode: dir, ..DIR };
            matches!(recall(&store, dir, &file(19, round)), Recalled::Holds(_))
        };
        let stored = (said..=said + 1000).find(|round| holds(0, *round)).unwrap();
        assert!((0..DIRS).all(|dir| holds(dir, stored)), "round {stored} is torn");
    }
}
