//! What became of every file that was met: each is counted once, in files and in bytes.
use fsscan::{Coverage, Ledger, Reason, Tally};
use serde::Serialize;

/// How a file ended. There is nothing else that can become of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum End {
    /// clamd read it and found nothing.
    Clean,
    /// It is as it was when clamd found nothing, by the same signatures.
    Remembered,
    /// It is as it was when clamd found nothing, by signatures that are not in use any more; its turn to be judged again
    /// has not come.
    RememberedAged,
    /// clamd found malware.
    Infected,
    /// It is more than clamd looks at, or than the rule lets through: nobody can say what is in it.
    OverLimit,
    /// A rule leaves it out.
    Excluded,
    /// It is a symbolic link: what it points at is scanned where it lies.
    Symlink,
    /// It is a pipe, a socket or a device.
    Special,
    /// It could not be read.
    Unreadable,
    /// It was listed, and gone when it was to be read.
    Vanished,
    /// clamd gave no verdict.
    Failed,
}

impl End {
    /// All of them, in the order in which they are shown.
    pub(crate) const ALL: [Self; 11] = [
        Self::Clean,
        Self::Remembered,
        Self::RememberedAged,
        Self::Infected,
        Self::OverLimit,
        Self::Excluded,
        Self::Symlink,
        Self::Special,
        Self::Unreadable,
        Self::Vanished,
        Self::Failed,
    ];

    /// For people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Remembered => "clean as before",
            Self::RememberedAged => "clean by older signatures",
            Self::Infected => "infected",
            Self::OverLimit => "over a limit",
            Self::Excluded => "excluded",
            Self::Symlink => "symbolic links",
            Self::Special => "special",
            Self::Unreadable => "unreadable",
            Self::Vanished => "vanished",
            Self::Failed => "failed",
        }
    }

    /// Its key in reports, also in those to a controller.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Remembered => "remembered",
            Self::RememberedAged => "remembered_aged",
            Self::Infected => "infected",
            Self::OverLimit => "over_limit",
            Self::Excluded => "excluded",
            Self::Symlink => "symlink",
            Self::Special => "special",
            Self::Unreadable => "unreadable",
            Self::Vanished => "vanished",
            Self::Failed => "failed",
        }
    }

    /// How a file ended that the walk left out.
    pub(crate) const fn of(reason: &Reason) -> Self {
        match reason {
            Reason::Excluded(_) | Reason::OtherFileSystem => Self::Excluded,
            Reason::TooLarge => Self::OverLimit,
            Reason::Symlink => Self::Symlink,
            Reason::Special(_) => Self::Special,
            Reason::Unreadable(_) => Self::Unreadable,
            Reason::Vanished => Self::Vanished,
        }
    }
}

/// The files of a scan by how they ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    ends: Ledger<End>,
}

impl Account {
    /// A file of `bytes` ended so.
    pub(crate) fn count(&mut self, end: End, bytes: u64) {
        self.ends.count(end, bytes);
    }

    /// So many ended so.
    pub(crate) fn get(&self, end: End) -> Tally {
        self.ends.get(&end)
    }

    /// Counts all of `other` too.
    pub(crate) fn merge(&mut self, other: Self) {
        self.ends.merge(other.ends);
    }

    /// Counts what the walk left out.
    pub(crate) fn left_out(&mut self, coverage: &Coverage) {
        for (reason, tally) in coverage.left_out.iter() {
            self.ends.add(End::of(reason), tally);
        }
    }

    /// Files that were met and ended in no way: always none, and shown so that somebody would see.
    pub(crate) fn unaccounted(&self, met: Tally) -> i64 {
        i64::try_from(met.files).unwrap_or(i64::MAX) - i64::try_from(self.ends.total().files).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_met_and_not_counted_shows() {
        let mut account = Account::default();
        account.count(End::Clean, 10);
        account.count(End::Infected, 68);
        let met = Tally { files: 3, bytes: 100 };
        assert_eq!(account.unaccounted(met), 1);
        account.count(End::Failed, 22);
        assert_eq!((account.unaccounted(met), account.get(End::Clean).bytes), (0, 10));
    }
}
