//! What a recorder keeps: of each record a hash and what it says, some twenty bytes.
use super::wire::{Ingest, Record, Said};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Of an agent, and the stream's id, which sorts by time.
pub(super) type Key = (String, String);

/// No agent of a test counts further; a place is kept for every number below the highest.
const MOST: u64 = 100_000_000;

#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) streams: BTreeMap<Key, Stream>,
    pub(super) requests: u64,
    pub(super) records: u64,
    pub(super) repeats: u64,
    pub(super) heartbeats: BTreeMap<String, u64>,
    /// Records that came again with other contents, in words.
    conflicts: Vec<String>,
    paths: Paths,
    unseen: Vec<Vec<Vec<u8>>>,
}

#[derive(Debug, Default)]
pub(super) struct Stream {
    /// By number, from 1 on; 0 for what is missing.
    hashes: Vec<u64>,
    ops: Vec<Op>,
    pub(super) repeats: u64,
}

#[derive(Clone, Copy, Debug, Default)]
enum Op {
    #[default]
    Nothing,
    Put(u32),
    Create(u32),
    Delete(u32),
    Move(u32, u32),
    Begin,
    /// With its place among the lists of unseen paths.
    End(u32),
}

/// Each path once.
#[derive(Debug, Default)]
struct Paths {
    numbers: HashMap<Box<[u8]>, u32>,
    texts: Vec<Box<[u8]>>,
}

impl Paths {
    fn number(&mut self, path: Vec<u8>) -> u32 {
        let path = path.into_boxed_slice();
        if let Some(number) = self.numbers.get(&path) {
            return *number;
        }
        // Four thousand million paths do not fit into the memory of any test.
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.texts.push(path.clone());
        self.numbers.insert(path, number);
        number
    }

    fn text(&self, number: u32) -> &[u8] {
        self.texts.get(number as usize).map_or(&[], |path| path)
    }
}

/// Why a request is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Untaken {
    SnapshotWanted,
    Invalid(&'static str),
}

impl Book {
    /// Keeps the records of a request and gives the last number, or keeps nothing.
    pub(super) fn take(&mut self, agent: &str, request: &Ingest<'_>) -> Result<u64, Untaken> {
        self.requests += 1;
        let key = (agent.to_owned(), request.stream.clone());
        let first = request.records.first().ok_or(Untaken::Invalid("no records"))?.seq;
        if first > MOST {
            return Err(Untaken::Invalid("a number beyond reason"));
        }
        if first == 0 || !(first..).zip(&request.records).all(|(seq, record)| record.seq == seq) {
            return Err(Untaken::Invalid("the records are not consecutive"));
        }
        if first != 1 && !self.streams.contains_key(&key) {
            return Err(Untaken::SnapshotWanted);
        }
        let said: Option<Vec<Said>> = request.records.iter().map(Record::said).collect();
        let said = said.ok_or(Untaken::Invalid("a body is not what its kind says"))?;
        let hashes: Vec<u64> = request.records.iter().map(Record::hash).collect();
        let ops: Vec<Op> = said.into_iter().map(|said| self.op(said)).collect();
        let stream = self.streams.entry(key).or_default();
        let mut last = first;
        for ((seq, hash), op) in (first..).zip(hashes).zip(ops) {
            last = seq;
            match stream.keep(seq, hash, op) {
                Kept::New => self.records += 1,
                Kept::Again => self.repeats += 1,
                Kept::Otherwise => {
                    self.repeats += 1;
                    let stream = &request.stream;
                    self.conflicts
                        .push(format!("{agent}: {stream} {seq} came again with other contents"));
                }
            }
        }
        Ok(last)
    }

    fn op(&mut self, said: Said) -> Op {
        match said {
            Said::Present(path) | Said::Updated(path) => Op::Put(self.paths.number(path)),
            Said::Created(path) => Op::Create(self.paths.number(path)),
            Said::Deleted(path) => Op::Delete(self.paths.number(path)),
            Said::Moved { from, to } => Op::Move(self.paths.number(from), self.paths.number(to)),
            Said::Begin => Op::Begin,
            Said::End { unseen } => {
                self.unseen.push(unseen);
                Op::End(u32::try_from(self.unseen.len() - 1).unwrap_or(u32::MAX))
            }
            Said::Other => Op::Nothing,
        }
    }

    /// The paths that are there after everything that `agent` said.
    pub(super) fn live(&self, agent: &str) -> BTreeSet<Vec<u8>> {
        let mut live = HashSet::new();
        for stream in self.of(agent) {
            stream.1.apply(self, &mut live);
        }
        live.into_iter().map(|path| self.paths.text(path).to_vec()).collect()
    }

    /// What came twice, in words: a number with other contents, and a path created while it was there.
    pub(super) fn doubled(&self) -> Vec<String> {
        let twice = self.streams.iter().flat_map(|((agent, stream), records)| {
            let paths = records.created_twice().into_iter();
            paths.map(move |path| {
                let path = String::from_utf8_lossy(self.paths.text(path));
                format!("{agent}: {path} was created twice in {stream}")
            })
        });
        self.conflicts.iter().cloned().chain(twice).collect()
    }

    fn of(&self, agent: &str) -> impl Iterator<Item = (&Key, &Stream)> {
        let agent = agent.to_owned();
        self.streams.iter().filter(move |((of, _), _)| *of == agent)
    }
}

enum Kept {
    New,
    Again,
    Otherwise,
}

impl Stream {
    fn keep(&mut self, seq: u64, hash: u64, op: Op) -> Kept {
        let place = usize::try_from(seq.saturating_sub(1)).unwrap_or(usize::MAX);
        if place >= self.hashes.len() {
            self.hashes.resize(place + 1, 0);
            self.ops.resize(place + 1, Op::Nothing);
        }
        let before = self.hashes[place];
        if before == 0 {
            self.hashes[place] = hash;
            self.ops[place] = op;
            return Kept::New;
        }
        self.repeats += 1;
        if before == hash { Kept::Again } else { Kept::Otherwise }
    }

    pub(super) fn records(&self) -> u64 {
        self.hashes.iter().filter(|hash| **hash != 0).count() as u64
    }

    pub(super) fn last_seq(&self) -> u64 {
        self.hashes.len() as u64
    }

    /// Numbers that never came, first and last of each stretch.
    pub(super) fn gaps(&self) -> Vec<(u64, u64)> {
        let mut gaps: Vec<(u64, u64)> = Vec::new();
        for (seq, _) in (1..).zip(&self.hashes).filter(|(_, hash)| **hash == 0) {
            match gaps.last_mut() {
                Some((_, last)) if *last + 1 == seq => *last = seq,
                _ => gaps.push((seq, seq)),
            }
        }
        gaps
    }

    /// What this stream says, in its order, of what is there. A snapshot takes effect only when all of it has come.
    fn apply(&self, book: &Book, live: &mut HashSet<u32>) {
        let mut named: Option<HashSet<u32>> = None;
        for (hash, op) in self.hashes.iter().zip(&self.ops) {
            if *hash == 0 {
                named = None;
            }
            let mut put = |path: u32| {
                live.insert(path);
                if let Some(named) = &mut named {
                    named.insert(path);
                }
            };
            match *op {
                Op::Nothing => {}
                Op::Put(path) | Op::Create(path) => put(path),
                Op::Move(from, to) => {
                    put(to);
                    if from != to {
                        live.remove(&from);
                    }
                }
                Op::Delete(path) => {
                    live.remove(&path);
                }
                Op::Begin => named = Some(HashSet::new()),
                Op::End(unseen) => {
                    let unseen = book.unseen.get(unseen as usize).map_or(&[][..], Vec::as_slice);
                    if let Some(named) = named.take() {
                        live.retain(|path| named.contains(path) || is_below(book.paths.text(*path), unseen));
                    }
                }
            }
        }
    }

    fn created_twice(&self) -> Vec<u32> {
        let (mut there, mut twice) = (HashSet::new(), Vec::new());
        for op in &self.ops {
            match *op {
                Op::Create(path) if !there.insert(path) => twice.push(path),
                Op::Delete(path) | Op::Move(path, _) => {
                    there.remove(&path);
                }
                _ => {}
            }
        }
        twice
    }
}

fn is_below(path: &[u8], places: &[Vec<u8>]) -> bool {
    places.iter().any(|place| {
        let rest = path.strip_prefix(place.as_slice());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/") || place.ends_with(b"/"))
    })
}
