//! Files of which nobody can say whether they are clean, by name: the first of them.
use super::account::End;
use serde::Serialize;

/// So many are kept whole; all are counted.
const KEPT: usize = 1_000;

/// A file of which nobody can say whether it is clean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Failure {
    /// How it ended.
    pub(crate) end: End,
    /// The file; bytes that are no UTF-8 are replaced.
    pub(crate) path: String,
    /// Why.
    pub(crate) reason: String,
}

/// The first files of which nobody can say whether they are clean.
#[derive(Clone, Debug, Default)]
pub(crate) struct Failures {
    first: Vec<Failure>,
}

impl Failures {
    pub(crate) fn add(&mut self, end: End, path: &[u8], reason: &str) {
        if self.first.len() < KEPT {
            self.first.push(Failure {
                end,
                path: String::from_utf8_lossy(path).into_owned(),
                reason: reason.to_owned(),
            });
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        let room = KEPT.saturating_sub(self.first.len());
        self.first.extend(other.first.into_iter().take(room));
    }

    /// Those that were kept.
    pub(crate) fn first(&self) -> &[Failure] {
        &self.first
    }
}
