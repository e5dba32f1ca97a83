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
}

impl Default for VerdictSettings {
    fn default() -> Self {
        Self {
            path: None,
            max_size: ByteSize::new(256 << 20),
            forget_after: Period::from_secs(90 * 24 * 3600),
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
    }

    pub(crate) fn options(&self) -> VerdictOptions {
        VerdictOptions {
            max_bytes: self.max_size.bytes(),
            forget_after: self.forget_after.get(),
            ..VerdictOptions::default()
        }
    }
}
