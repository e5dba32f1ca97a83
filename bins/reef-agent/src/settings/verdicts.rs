//! The `verdicts` section.
use conf::Check;
use core_model::{ByteSize, Period};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use state_sqlite::VerdictOptions;
use std::path::PathBuf;

/// What is remembered of files, so that those that stay as they are need not be scanned again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct VerdictSettings {
    /// The file; it may be lost [default: `verdicts.db` in the data directory].
    pub(crate) path: Option<PathBuf>,
    /// How much is remembered; a million files take about 55 MB.
    pub(crate) max_size: ByteSize,
    /// A directory that was not seen for so long is forgotten.
    pub(crate) forget_after: Period,
    /// When the signatures change, a file that is as it was is judged by newer ones within so long, each at a time of its
    /// own; one that may be executed at once. `0s`: all at once.
    pub(crate) recheck_within: Period,
    /// After how many bytes one scan judges no more again for that; the rest has its turn in a later one [default: all
    /// whose turn has come].
    pub(crate) recheck_budget: Option<ByteSize>,
}

impl Default for VerdictSettings {
    fn default() -> Self {
        Self {
            path: None,
            max_size: ByteSize::new(256 << 20),
            forget_after: Period::from_secs(90 * 24 * 3600),
            recheck_within: Period::from_secs(7 * 24 * 3600),
            recheck_budget: None,
        }
    }
}

impl VerdictSettings {
    pub(super) fn check(&self, check: &mut Check<'_>) {
        if self.max_size.bytes() < 1 << 20 {
            check.problem("verdicts.max_size", "must be at least 1MB", None);
        }
        if self.forget_after.get().is_zero() {
            check.problem("verdicts.forget_after", "must be longer than zero", None);
        }
        if self.recheck_budget.is_some_and(|budget| budget.bytes() == 0) {
            let help = Some("leave it out to judge all again whose turn has come");
            check.problem("verdicts.recheck_budget", "must be more than nothing", help);
        }
    }

    pub(crate) fn split(self) -> (VerdictBoot, VerdictLive) {
        let Self {
            path,
            max_size,
            forget_after,
            recheck_within,
            recheck_budget,
        } = self;
        let boot = VerdictBoot {
            path,
            max_size,
            forget_after,
        };
        let live = VerdictLive {
            recheck_within,
            recheck_budget,
        };
        (boot, live)
    }
}

/// What takes effect when what is known is opened.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct VerdictBoot {
    pub(crate) path: Option<PathBuf>,
    pub(crate) max_size: ByteSize,
    pub(crate) forget_after: Period,
}

/// What takes effect with the next scan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct VerdictLive {
    pub(crate) recheck_within: Period,
    pub(crate) recheck_budget: Option<ByteSize>,
}

impl VerdictBoot {
    pub(crate) fn options(&self) -> VerdictOptions {
        VerdictOptions {
            max_bytes: self.max_size.bytes(),
            forget_after: self.forget_after.get(),
            ..VerdictOptions::default()
        }
    }
}
