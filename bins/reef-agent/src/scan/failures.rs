//! Files of which nobody can say whether they are clean, by name: the first of them.
use super::account::End;
use serde::Serialize;

/// So many are kept whole, of those over a limit and of the others each; all are counted.
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
                path: String::from_utf8_lossy(path).into_owned(),
                reason: reason.to_owned(),
            });
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for (list, others) in [(&mut self.first, other.first), (&mut self.over_limit, other.over_limit)] {
            let room = KEPT.saturating_sub(list.len());
            list.extend(others.into_iter().take(room));
        }
    }

    /// Those that were kept; those over a limit come last.
    pub(crate) fn into_first(self) -> Vec<Failure> {
        let Self { mut first, over_limit } = self;
        first.extend(over_limit);
        first
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
        assert_eq!((first.len(), first[0].path.as_str()), (KEPT + 1, "closed"));
        assert_eq!(first[KEPT].path, format!("large {}", KEPT - 1));
    }
}
