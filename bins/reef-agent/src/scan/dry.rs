//! What a scan would look at, without asking clamd.
use super::{
    account::{Account, End},
    failures::Failures,
    visit::{enter, over_limit},
};
use fsscan::{Coverage, Directory, Enter, Entering, NotWalked, PathError, Visitor};

/// Counts what would be scanned as clean, for want of a verdict.
pub(super) struct Dry {
    is_recursive: bool,
    most: u64,
    pub(super) coverage: Coverage,
    pub(super) account: Account,
    pub(super) failures: Failures,
}

impl Dry {
    /// Files longer than `most` bytes would not be judged.
    pub(super) fn new(is_recursive: bool, most: u64) -> Self {
        Self {
            is_recursive,
            most,
            coverage: Coverage::default(),
            account: Account::default(),
            failures: Failures::default(),
        }
    }
}

impl Visitor for Dry {
    fn enter(&mut self, dir: &Entering<'_>) -> Enter {
        enter(self.is_recursive, dir)
    }

    fn directory(&mut self, dir: &Directory<'_>) {
        self.coverage.add(dir);
        for file in dir.files() {
            self.account.count(End::Clean, file.stat.size);
        }
        over_limit(dir, self.most, |path, reason| {
            self.failures.add(End::OverLimit, path, reason)
        });
    }

    fn not_walked(&mut self, dir: &NotWalked<'_>) {
        self.coverage.add_not_walked(dir);
        self.failures.not_walked(dir);
    }

    fn error(&mut self, error: &PathError) {
        self.failures.unread(error);
    }
}
