//! Files with several names: judged once, and told by every name.
use super::account::End;
use fsscan::FileStat;
use state_sqlite::{DirKey, FileFacts, Judged};
use std::{
    collections::{HashMap, hash_map::Entry},
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// So many files with several names are known at a time; what is met beyond is judged by each of its names.
const MOST: usize = 100_000;

/// Another name of a file that is being judged.
#[derive(Debug)]
pub(super) struct Other {
    pub(super) path: Box<[u8]>,
    /// Where its verdict may be remembered.
    pub(super) dir: Option<DirKey>,
}

impl Other {
    pub(super) fn into_path(self) -> Box<[u8]> {
        self.path
    }
}

/// What a name is to be done with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// It is the first: judge it, and say what came of it.
    First,
    /// Another name of it is being judged, and this one ends with it.
    Joined,
    /// Another name of it was judged, and ended so.
    Ended(End, Option<String>),
    /// Judge it by itself.
    Alone,
}

/// Files with several names that were met in one scan.
#[derive(Debug, Default)]
pub(super) struct Links(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    files: HashMap<(u64, u64), OneFile>,
    /// Verdicts for directories in which a name was met after the file was judged.
    judged: Vec<(DirKey, Judged)>,
}

#[derive(Debug)]
struct OneFile {
    facts: FileFacts,
    /// Names that were not met yet.
    left: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    Asked(Vec<Other>),
    Ended {
        end: End,
        reason: Option<String>,
        judged: Option<Judged>,
    },
}

impl Links {
    /// A name of a file was met. `opened` says that it was opened for judging, which it is where it is the first.
    pub(super) fn claim(&self, stat: &FileStat, is_opened: bool, other: impl FnOnce() -> Other) -> Claim {
        let mut known = self.lock();
        let Known { files, judged: late } = &mut *known;
        let is_full = files.len() >= MOST;
        match files.entry((stat.device, stat.inode)) {
            Entry::Vacant(_) if is_full => Claim::Alone,
            Entry::Vacant(vacant) => {
                if is_opened {
                    vacant.insert(OneFile {
                        facts: super::job::facts(stat),
                        left: stat.links.saturating_sub(1),
                        state: State::Asked(Vec::new()),
                    });
                }
                Claim::First
            }
            // It changed since the other name was opened.
            Entry::Occupied(found) if found.get().facts != super::job::facts(stat) => Claim::Alone,
            Entry::Occupied(mut found) => {
                let file = found.get_mut();
                file.left = file.left.saturating_sub(1);
                match &mut file.state {
                    State::Asked(others) => {
                        others.push(other());
                        Claim::Joined
                    }
                    State::Ended { end, reason, judged } => {
                        if let (Some(dir), Some(judged)) = (other().dir, *judged) {
                            late.push((dir, judged));
                        }
                        let claim = Claim::Ended(*end, reason.clone());
                        if file.left == 0 {
                            found.remove();
                        }
                        claim
                    }
                }
            }
        }
    }

    /// The first name ended so; gives the others that wait for it.
    pub(super) fn settle(&self, stat: &FileStat, end: End, reason: Option<&str>, judged: Option<Judged>) -> Vec<Other> {
        let mut known = self.lock();
        let Entry::Occupied(mut found) = known.files.entry((stat.device, stat.inode)) else {
            return Vec::new();
        };
        let file = found.get_mut();
        let ended = State::Ended {
            end,
            reason: reason.map(ToOwned::to_owned),
            judged,
        };
        let others = match mem::replace(&mut file.state, ended) {
            State::Asked(others) => others,
            State::Ended { .. } => Vec::new(),
        };
        if file.left == 0 {
            found.remove();
        }
        others
    }

    /// The first name is malware; gives the others that wait. Those that are met later are judged by themselves, since what
    /// is done about the first changes the file.
    pub(super) fn infected(&self, stat: &FileStat) -> Vec<Other> {
        let removed = self.lock().files.remove(&(stat.device, stat.inode));
        match removed.map(|file| file.state) {
            Some(State::Asked(others)) => others,
            _ => Vec::new(),
        }
    }

    /// Verdicts for directories in which a name was met after the file was judged.
    pub(super) fn take_judged(&self) -> Vec<(DirKey, Judged)> {
        mem::take(&mut self.lock().judged)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(inode: u64, links: u32) -> FileStat {
        FileStat {
            device: 1,
            inode,
            links,
            size: 5,
            ..FileStat::default()
        }
    }

    fn other(name: &str) -> Other {
        Other {
            path: name.as_bytes().into(),
            dir: None,
        }
    }

    #[test]
    fn names_met_before_the_verdict_end_with_it_and_those_after_at_once() {
        let links = Links::default();
        let stat = stat(7, 4);
        assert_eq!(
            links.claim(&stat, false, || other("a")),
            Claim::First,
            "nobody judges it yet"
        );
        assert_eq!(links.claim(&stat, true, || other("a")), Claim::First);
        assert_eq!(links.claim(&stat, true, || other("b")), Claim::Joined);
        let waited = links.settle(&stat, End::Clean, None, None);
        assert_eq!(
            waited.into_iter().map(Other::into_path).collect::<Vec<_>>(),
            [(*b"b").into()]
        );
        assert_eq!(links.claim(&stat, false, || other("c")), Claim::Ended(End::Clean, None));
        // With its last name it is forgotten.
        assert_eq!(links.claim(&stat, false, || other("d")), Claim::Ended(End::Clean, None));
        assert!(links.lock().files.is_empty());
    }

    #[test]
    fn a_file_that_changed_or_is_malware_is_judged_by_each_name() {
        let links = Links::default();
        let before = stat(7, 3);
        assert_eq!(links.claim(&before, true, || other("a")), Claim::First);
        let after = FileStat { ctime_ns: 9, ..before };
        assert_eq!(links.claim(&after, true, || other("b")), Claim::Alone);
        assert_eq!(links.claim(&before, true, || other("c")), Claim::Joined);
        assert_eq!(links.infected(&before).len(), 1);
        assert_eq!(links.claim(&before, true, || other("d")), Claim::First);
    }
}
