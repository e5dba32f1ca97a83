//! Thousands of random mutations, scans, stops and crashes against the oracle.
use super::{
    Captured, MemoryTree, MemoryTreeError, ModelServer, Random, ServerEncoder, ServerFile, Snapshot, expected_events,
    mutate, mutate::ANCHOR,
};
use crate::{Hold, RootRequest, ScanError, ScanRequest, scan};
use chrono::{DateTime, Utc};
use core_model::KnownTree;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

/// What a soak went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SoakReport {
    /// Mutations made.
    pub mutations: u64,
    /// Scans that went to their end and were compared with the oracle.
    pub scans: u64,
    /// Changes compared.
    pub changes: u64,
    /// Scans that were stopped or died on the way.
    pub interrupted: u64,
}

/// Mutates the empty directory `dir` for `rounds` rounds and scans it. After an undisturbed scan the changes must be
/// exactly those of the oracle; after every complete one, the model server must hold exactly what is there.
///
/// # Errors
///
/// What differed, with the seed and the round, or what could not be done.
pub fn soak(dir: &Path, seed: u64, rounds: u64) -> Result<SoakReport, String> {
    let mut soak = Soak {
        random: Random::new(seed),
        tree: MemoryTree::default(),
        server: ModelServer::default(),
        before: Snapshot::default(),
        report: SoakReport::default(),
        name_all: false,
    };
    fs::write(dir.join(ANCHOR), "").map_err(|error| error.to_string())?;
    for round in 0..rounds {
        soak.round(dir, round == 0)
            .map_err(|what| format!("seed {seed}, round {round}: {what}"))?;
    }
    Ok(soak.report)
}

/// Where the server's picture is wrong.
fn differences(held: &BTreeMap<Vec<u8>, ServerFile>, there: &BTreeMap<Vec<u8>, ServerFile>) -> String {
    let paths: BTreeSet<_> = held.keys().chain(there.keys()).collect();
    let wrong = paths.into_iter().filter(|path| held.get(*path) != there.get(*path));
    let shown = wrong.map(|path| {
        let path_shown = path.escape_ascii();
        format!(
            "`{path_shown}`: the server holds {:?}, there is {:?}",
            held.get(path),
            there.get(path)
        )
    });
    shown.collect::<Vec<_>>().join("\n")
}

struct Soak {
    random: Random,
    tree: MemoryTree,
    server: ModelServer,
    before: Snapshot,
    report: SoakReport,
    /// Everything is told anew in this round.
    name_all: bool,
}

impl Soak {
    fn round(&mut self, dir: &Path, is_first: bool) -> Result<(), String> {
        self.name_all = self.random.once_in(4);
        if self.name_all {
            self.lose_sight();
        }
        self.mutate(dir, if is_first { 60 } else { 12 })?;
        let interruptions = if self.random.once_in(3) {
            1 + self.random.below(3)
        } else {
            0
        };
        for _ in 0..interruptions {
            self.interrupted(dir)?;
            self.mutate(dir, 6)?;
        }
        let after = Snapshot::take(dir).map_err(|error| error.to_string())?;
        let captured = Captured::default();
        let summary = self
            .scan(dir, &captured, &AtomicBool::new(false))
            .map_err(|error| format!("{error:?}"))?;
        if summary.error_count() != 0 || summary.stopped || !self.tree.undecided().is_empty() {
            return Err(format!("the scan left something: {summary:?}"));
        }
        if interruptions == 0 {
            let expected = expected_events(&self.before, &after);
            if captured.events() != expected {
                return Err(format!("wanted {expected:#?}, told {:#?}", captured.events()));
            }
            self.report.changes += expected.len() as u64;
        }
        self.deliver()?;
        self.server.end_snapshot();
        if self.server.files != after.files() {
            return Err(differences(&self.server.files, &after.files()));
        }
        let known: u64 = self
            .tree
            .roots()
            .map_err(|error| error.to_string())?
            .iter()
            .map(|root| root.files)
            .sum();
        if known != after.files().len() as u64 || summary.files != known {
            return Err(format!("{known} files are counted, {} are there", after.files().len()));
        }
        self.before = after;
        self.report.scans += 1;
        Ok(())
    }

    /// The server was set back, or records were lost: it holds what is no longer true and lacks what is.
    fn lose_sight(&mut self) {
        let files = std::mem::take(&mut self.server.files);
        for (path, file) in files {
            match self.random.below(3) {
                0 => {}
                1 => drop(self.server.files.insert([path.as_slice(), b".old"].concat(), file)),
                _ => drop(self.server.files.insert(path, file)),
            }
        }
        self.server.begin_snapshot();
    }

    fn mutate(&mut self, dir: &Path, most: usize) -> Result<(), String> {
        for _ in 0..self.random.below(most + 1) {
            mutate(dir, &mut self.random).map_err(|error| error.to_string())?;
            self.report.mutations += 1;
        }
        Ok(())
    }

    /// A scan that is stopped or dies after a few commits.
    fn interrupted(&mut self, dir: &Path) -> Result<(), String> {
        let stop = Arc::new(AtomicBool::new(false));
        let commits = self.random.below(12) as u64;
        if self.random.once_in(2) {
            self.tree.stop_after(commits, Arc::clone(&stop));
        } else {
            self.tree.crash_after(Some(commits));
        }
        match self.scan(dir, &Captured::default(), &stop) {
            Ok(_) | Err(ScanError::Tree(MemoryTreeError::Crash)) => self.report.interrupted += 1,
            Err(error) => return Err(format!("{error:?}")),
        }
        self.tree.crash_after(None);
        self.tree.stop_after(0, Arc::default());
        self.deliver()
    }

    fn deliver(&mut self) -> Result<(), String> {
        self.server.apply(&self.tree.take_runs())
    }

    fn scan(
        &mut self,
        dir: &Path,
        captured: &Captured,
        stop: &AtomicBool,
    ) -> Result<crate::Summary, ScanError<MemoryTreeError>> {
        let mut request = ScanRequest::new(vec![RootRequest::new(dir)]);
        request.threads = 1 + self.random.below(4);
        request.run_records = 1 + self.random.below(5) as u32;
        request.commit_bytes = self.random.below(3000);
        request.name_all = self.name_all;
        request.hold = Hold {
            share: 1.0,
            min_files: u64::MAX,
        };
        let now = DateTime::<Utc>::UNIX_EPOCH;
        scan(&mut self.tree, &request, &mut ServerEncoder, captured, now, stop)
    }
}
