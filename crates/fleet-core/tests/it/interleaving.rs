//! Requests of several streams in any order, repeated, with crashes in between: what is there is what a plain model says.
use crate::{
    fixture::{Fixture, at, created, deleted, moved, stream},
    snapshot::{begin, change, end, files, of, present},
};
use fleet_core::{AgentRef, FileTotals, IngestError, Store};
use fleet_wire::{RawRecord, SnapshotReason};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// What a record says of files; paths are numbers.
#[derive(Clone, Debug)]
enum Step {
    Present(u8, u64),
    Create(u8, u64),
    Move(u8, u8, u64),
    Delete(u8),
}

/// A record of the model.
#[derive(Clone, Debug)]
enum Said {
    Begin,
    /// Whether the agent could not look into the first directory.
    End(bool),
    Of(Step),
}

fn path(n: u8) -> Vec<u8> {
    format!("/{}/{n}", n % 2).into_bytes()
}

fn lies_in_the_first(path: &[u8]) -> bool {
    path.starts_with(b"/0/")
}

fn step() -> impl Strategy<Value = Step> {
    let size = || 1..5_u64;
    prop_oneof![
        3 => (0..8_u8, size()).prop_map(|(path, size)| Step::Present(path, size)),
        2 => (0..8_u8, size()).prop_map(|(path, size)| Step::Create(path, size)),
        1 => (0..8_u8, 1..8_u8, size()).prop_map(|(from, by, size)| Step::Move(from, (from + by) % 8, size)),
        2 => (0..8_u8).prop_map(Step::Delete),
    ]
}

/// The records of a stream: framed by a snapshot, begun and not ended, or neither.
fn said() -> impl Strategy<Value = Vec<Said>> {
    let steps = || prop::collection::vec(step(), 0..10);
    (0..4_u8, steps(), steps(), any::<bool>()).prop_map(|(frame, named, after, unseen)| {
        let mut said = Vec::new();
        if frame > 0 {
            said.push(Said::Begin);
        }
        said.extend(named.into_iter().map(Said::Of));
        if frame > 1 {
            said.push(Said::End(unseen));
        }
        said.extend(after.into_iter().map(Said::Of));
        if said.is_empty() {
            said.push(Said::Of(Step::Delete(0)));
        }
        said
    })
}

fn record(seq: u64, said: &Said) -> RawRecord {
    match said {
        Said::Begin => begin(seq, SnapshotReason::Dropped),
        Said::End(unseen) => end(seq, if *unseen { &[b"/0"] } else { &[] }),
        Said::Of(Step::Present(at, size)) => change(seq, &present(&path(*at), *size)),
        Said::Of(Step::Create(at, size)) => change(seq, &created(&path(*at), *size)),
        Said::Of(Step::Move(from, to, size)) => change(seq, &moved(&path(*from), &path(*to), *size)),
        Said::Of(Step::Delete(at)) => change(seq, &deleted(&path(*at))),
    }
}

/// What the controller should hold, found out as plainly as can be.
#[derive(Default)]
struct Model {
    /// Streams in the order in which they were first heard of.
    order: Vec<usize>,
    seen: BTreeMap<usize, BTreeSet<usize>>,
    done: BTreeSet<usize>,
    /// Path → place of the stream, number, size if it is there.
    files: BTreeMap<Vec<u8>, (usize, usize, Option<u64>)>,
}

impl Model {
    fn write(&mut self, version: (usize, usize), path: Vec<u8>, size: Option<u64>) {
        let is_newer = self
            .files
            .get(&path)
            .is_none_or(|(place, seq, _)| (*place, *seq) < version);
        if is_newer {
            self.files.insert(path, (version.0, version.1, size));
        }
    }

    /// Takes a request of records `from..to` of a stream, counted from 0; `false` where it is refused.
    fn take(&mut self, streams: &[Vec<Said>], which: usize, from: usize, to: usize) -> bool {
        if !self.order.contains(&which) {
            if from > 0 {
                return false;
            }
            self.order.push(which);
        }
        let place = self.order.iter().position(|one| *one == which).unwrap();
        let has_begun = |one: &usize| {
            let first = matches!(streams[*one][0], Said::Begin);
            first && self.seen.get(one).is_some_and(|seen| seen.contains(&0))
        };
        let is_superseded = self.order[place + 1..].iter().any(has_begun);
        for (seq, said) in streams[which].iter().enumerate().take(to).skip(from) {
            let is_fresh = self.seen.entry(which).or_default().insert(seq);
            let (Said::Of(step), true, false) = (said, is_fresh, is_superseded) else {
                continue;
            };
            let version = (place, seq);
            match step {
                Step::Present(at, size) | Step::Create(at, size) => self.write(version, path(*at), Some(*size)),
                Step::Move(from, to, size) => {
                    self.write(version, path(*to), Some(*size));
                    self.write(version, path(*from), None);
                }
                Step::Delete(at) => self.write(version, path(*at), None),
            }
        }
        let said = &streams[which];
        let end = said.iter().position(|said| matches!(said, Said::End(_)));
        let (Some(end), Said::Begin, false) = (end, &said[0], is_superseded) else {
            return true;
        };
        let is_whole = (0..=end).all(|seq| self.seen[&which].contains(&seq));
        if is_whole && self.done.insert(which) {
            let unseen = matches!(said[end], Said::End(true));
            for (path, file) in &mut self.files {
                if file.0 < place && file.2.is_some() && !(unseen && lies_in_the_first(path)) {
                    *file = (place, end, None);
                }
            }
        }
        true
    }
}

/// What happens next.
#[derive(Clone, Debug)]
enum Event {
    /// Some records of a stream come, by their place among it all.
    Request(usize, usize, usize),
    Crash,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => (0..3_usize, 0..40_usize, 1..6_usize).prop_map(|(which, from, count)| Event::Request(which, from, count)),
        1 => Just(Event::Crash),
    ]
}

async fn check(streams: Vec<Vec<Said>>, mut events: Vec<Event>) {
    // At last everything has come, whatever was lost on the way.
    for (which, said) in streams.iter().enumerate() {
        let all = (0..said.len()).step_by(4);
        events.extend(all.map(|from| Event::Request(which, from, 4)));
    }
    let mut fixture = Fixture::new();
    let agent = fixture.agent().await;
    let mut model = Model::default();
    for event in events {
        let Event::Request(which, from, count) = event else {
            fixture = fixture.restart();
            continue;
        };
        let said = &streams[which];
        let from = from % said.len();
        let to = said.len().min(from + count);
        let records: Vec<RawRecord> = (from..to).map(|n| record(n as u64 + 1, &said[n])).collect();
        let request = of(stream(u8::try_from(which).unwrap()), records);
        let answer = fixture.fleet.ingest(&agent, request, at(1)).await;
        if model.take(&streams, which, from, to) {
            assert_eq!(answer.unwrap().accepted_through, to as u64);
        } else {
            assert!(matches!(answer, Err(IngestError::SnapshotWanted)), "{answer:?}");
        }
        let held: BTreeMap<Vec<u8>, u64> = files(&fixture, &agent)
            .await
            .into_iter()
            .map(|file| (file.path, file.facts.unwrap().size))
            .collect();
        let expected: BTreeMap<Vec<u8>, u64> = model
            .files
            .iter()
            .filter_map(|(path, (_, _, size))| Some((path.clone(), (*size)?)))
            .collect();
        assert_eq!(held, expected, "after records {from}..{to} of stream {which}");
        let found = fixture.fleet.store().agent(AgentRef::Id(agent.id)).await.unwrap();
        let totals = FileTotals {
            present: expected.len() as u64,
            deleted: (model.files.len() - expected.len()) as u64,
            bytes: expected.values().sum(),
        };
        assert_eq!(found.unwrap().agent.files, totals);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn streams_that_cross_leave_what_a_plain_model_holds(
        streams in prop::collection::vec(said(), 3),
        events in prop::collection::vec(event(), 0..25),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(streams, events));
    }
}
