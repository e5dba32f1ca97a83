//! An agent that is killed at any instant of its work with streams and snapshots.
use crate::{now, run};
use core_model::{DirId, Queue};
use state_sqlite::{Backups, Outbox, SnapshotState, Story, Told, open_or_recover};
use std::{
    env,
    ffi::OsStr,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
};

const STATE: &str = "STATE_OF_AN_AGENT_TO_KILL";
const PARTS: u64 = 3;

/// The agent: one snapshot after another, each in a stream of its own. Says the stream and the last number after each
/// commit, which is then durable.
fn agent(path: &Path) -> ! {
    let backups = Backups::new(path.with_extension("backups"), 1);
    let (_database, _) = open_or_recover(path, &backups, &[], now()).unwrap();
    let outbox = Outbox::open(&_database).unwrap();
    let say = || {
        let mut out = std::io::stdout().lock();
        writeln!(out, "did {} {}", outbox.stream(), outbox.stats().unwrap().last_seq).unwrap();
        out.flush().unwrap();
    };
    loop {
        outbox.open_stream(&run(1, b"begin"), now()).unwrap();
        say();
        for part in 1..=PARTS {
            let told = Told::Through(Some(DirId(part)));
            outbox
                .tell(&[run(1, format!("part {part}").as_bytes())], told, now())
                .unwrap();
            say();
        }
        outbox.tell(&[], Told::All, now()).unwrap();
        outbox.close_snapshot(&run(1, b"end"), now()).unwrap();
        say();
    }
}

/// A process of this very test, as the agent.
fn start(path: &Path) -> Child {
    let name = "kill::whatever_instant_it_is_killed_at_records_and_progress_agree";
    Command::new(env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(STATE, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn whatever_instant_it_is_killed_at_records_and_progress_agree() {
    if let Some(path) = env::var_os(STATE) {
        agent(Path::new(&path));
    }
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join(OsStr::new("state.db"));
    for kill in 0..24_usize {
        let mut child = start(&path);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let said = lines
            .by_ref()
            .filter(|line| line.contains("did "))
            .nth(kill * 7 % 11)
            .unwrap();
        // It works on while this goes through.
        child.kill().unwrap();
        child.wait().unwrap();
        let last = lines
            .filter(|line| line.starts_with("did ") && line.len() > 40)
            .last()
            .unwrap_or(said);
        let mut words = last.split_whitespace().rev();
        let last_seq: u64 = words.next().unwrap().parse().unwrap();
        let stream = words.next().unwrap().parse().unwrap();
        agrees(&path, stream, last_seq);
    }
}

fn agrees(path: &Path, stream: core_model::StreamId, last_seq: u64) {
    let (database, story) =
        open_or_recover(path, &Backups::new(path.with_extension("backups"), 1), &[], now()).unwrap();
    assert_eq!(story, Story::Sound, "a killed process loses nothing");
    let outbox = Outbox::open(&database).unwrap();
    assert_eq!(outbox.resync().unwrap(), None);
    let stats = outbox.stats().unwrap();
    assert!(
        (outbox.stream(), stats.last_seq) >= (stream, last_seq),
        "what it said it had done is done: {stream} {last_seq}, found {} {}",
        outbox.stream(),
        stats.last_seq
    );
    let runs = outbox.peek(outbox.stream(), 0, 100).unwrap();
    let bodies: Vec<String> = runs
        .iter()
        .map(|run| String::from_utf8(run.body.clone().unwrap()).unwrap())
        .collect();
    let whole = ["begin", "part 1", "part 2", "part 3", "end"];
    assert_eq!(bodies, whole[..bodies.len()], "numbers from 1 without a gap");
    let seqs: Vec<u64> = runs.iter().map(|run| run.seqs.first).collect();
    assert_eq!(seqs, (1..=stats.last_seq).collect::<Vec<_>>());
    let told = match outbox.snapshot().unwrap() {
        SnapshotState::None => "end".to_owned(),
        SnapshotState::Open {
            told: Told::Through(None),
        } => "begin".to_owned(),
        SnapshotState::Open {
            told: Told::Through(Some(DirId(part))),
        } => format!("part {part}"),
        SnapshotState::Open { told: Told::All } => format!("part {PARTS}"),
    };
    assert_eq!(bodies.last(), Some(&told), "the progress is that of the last record");
}
