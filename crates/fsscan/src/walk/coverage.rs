//! What became of every file, in files and in bytes.
use super::{Directory, NotWalked, Reason};
use std::collections::BTreeMap;

/// A number of files, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Tally {
    /// Counts `other` too.
    pub fn add(&mut self, other: Self) {
        self.files += other.files;
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// Files and bytes by what became of them. Whoever makes sure that each file is counted under one key only has
/// accounted for all when the total is what the walk met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger<K>(BTreeMap<K, Tally>);

impl<K> Default for Ledger<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord> Ledger<K> {
    /// Counts one file of `bytes` under `key`.
    pub fn count(&mut self, key: K, bytes: u64) {
        self.add(key, Tally { files: 1, bytes });
    }

    /// Counts `tally` under `key`.
    pub fn add(&mut self, key: K, tally: Tally) {
        self.0.entry(key).or_default().add(tally);
    }

    /// Counts all of `other` too.
    pub fn merge(&mut self, other: Self) {
        for (key, tally) in other.0 {
            self.add(key, tally);
        }
    }

    /// What is counted under `key`.
    pub fn get(&self, key: &K) -> Tally {
        self.0.get(key).copied().unwrap_or_default()
    }

    /// All that is counted.
    pub fn total(&self) -> Tally {
        let mut total = Tally::default();
        self.0.values().for_each(|tally| total.add(*tally));
        total
    }

    /// What is counted, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&K, Tally)> {
        self.0.iter().map(|(key, tally)| (key, *tally))
    }
}

/// What a walk met: each name that is no walked directory is counted once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Files given to visitors. What became of them is for the visitor to tell.
    pub visited: Tally,
    /// What was left out of the directories visited.
    pub left_out: Ledger<Reason>,
    /// Directories visited.
    pub dirs: u64,
    /// Directories left out. What lies below was not met, and is counted nowhere.
    pub dirs_left_out: BTreeMap<Reason, u64>,
}

impl Coverage {
    /// Counts a directory with everything in it.
    pub fn add(&mut self, dir: &Directory<'_>) {
        self.dirs += 1;
        for file in dir.files() {
            let bytes = file.stat.size;
            self.visited.add(Tally { files: 1, bytes });
        }
        for left in dir.left_out() {
            if left.is_directory() {
                *self.dirs_left_out.entry(left.reason()).or_default() += 1;
            } else {
                self.left_out.count(left.reason(), left.bytes());
            }
        }
    }

    /// Counts a directory that is not walked.
    pub fn add_not_walked(&mut self, dir: &NotWalked<'_>) {
        *self.dirs_left_out.entry(dir.reason.clone()).or_default() += 1;
    }

    /// Counts all of `other` too.
    pub fn merge(&mut self, other: Self) {
        self.visited.add(other.visited);
        self.left_out.merge(other.left_out);
        self.dirs += other.dirs;
        for (reason, count) in other.dirs_left_out {
            *self.dirs_left_out.entry(reason).or_default() += count;
        }
    }

    /// Every file met, visited or left out.
    pub fn met(&self) -> Tally {
        let mut met = self.visited;
        met.add(self.left_out.total());
        met
    }
}
