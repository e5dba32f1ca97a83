//! Files of which nobody can say whether they are clean, by name: the first of them.
use super::account::End;
use fleet_wire::WirePath;
use fsscan::{NotWalked, PathError, Reason};
use serde::Serialize;

/// So many are kept whole, of directories, of files over a limit and of the others each; all are counted.
const KEPT: usize = 1_000;

/// A file of which nobody can say whether it is clean, or a directory of which nobody knows what is below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Failure {
    /// How it ended.
    pub(crate) end: End,
    /// It.
    #[serde(flatten)]
    pub(crate) path: WirePath,
    /// Why.
    pub(crate) reason: String,
    /// Whether it is a directory.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_directory: bool,
}

/// The first files of which nobody can say whether they are clean.
#[derive(Clone, Debug, Default)]
pub(crate) struct Failures {
    first: Vec<Failure>,
    /// Apart, since one that is closed hides more than many files.
    directories: Vec<Failure>,
    /// Apart, since many of them must not keep out what could not be read.
    over_limit: Vec<Failure>,
}

impl Failures {
    pub(crate) fn add(&mut self, end: End, path: &[u8], reason: &str) {
        let list = if end == End::OverLimit {
            &mut self.over_limit
        } else {
            &mut self.first
        };
        if list.len() < KEPT {
            list.push(Failure {
                end,
                path: WirePath::from_bytes(path),
                reason: reason.to_owned(),
                is_directory: false,
            });
        }
    }

    /// Something that the walk could not read.
    pub(crate) fn unread(&mut self, error: &PathError) {
        self.add(End::Unreadable, &error.path, &error.detail);
    }

    /// A directory that is not walked. Of one that could not be read, [`unread`](Self::unread) was told just before.
    pub(crate) fn not_walked(&mut self, dir: &NotWalked<'_>) {
        let Reason::Unreadable(kind) = dir.reason else { return };
        let told = self.first.pop_if(|last| last.path.as_bytes() == dir.path);
        if self.directories.len() < KEPT {
            self.directories.push(Failure {
                end: End::Unreadable,
                path: WirePath::from_bytes(dir.path),
                reason: told.map_or_else(|| kind.name().to_owned(), |told| told.reason),
                is_directory: true,
            });
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for (list, others) in [
            (&mut self.directories, other.directories),
            (&mut self.first, other.first),
            (&mut self.over_limit, other.over_limit),
        ] {
            let room = KEPT.saturating_sub(list.len());
            list.extend(others.into_iter().take(room));
        }
    }

    /// Those that were kept: directories first, and last those over a limit.
    pub(crate) fn into_first(self) -> Vec<Failure> {
        let Self {
            first,
            mut directories,
            over_limit,
        } = self;
        directories.extend(first);
        directories.extend(over_limit);
        directories
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_over_a_limit_keep_out_none_that_could_not_be_read() {
        let mut failures = Failures::default();
        for n in 0..=KEPT {
            failures.add(End::OverLimit, format!("large {n}").as_bytes(), "too long");
        }
        let mut others = Failures::default();
        others.add(End::OverLimit, b"another", "too long");
        others.add(End::Unreadable, b"closed", "denied");
        failures.merge(others);
        let first = failures.into_first();
        assert_eq!((first.len(), first[0].path.as_bytes()), (KEPT + 1, &b"closed"[..]));
        assert_eq!(first[KEPT].path.display(), format!("large {}", KEPT - 1));
    }
}
