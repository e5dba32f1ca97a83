//! The `journal` section.
use conf::Check;
use core_model::{ByteSize, Period};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How long changes are remembered here, for `scanner changes`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct JournalSettings {
    /// Whether changes are kept. The files found by a first scan are not: that is a listing.
    pub(crate) enabled: bool,
    /// Changes older than this are forgotten.
    pub(crate) max_age: Period,
    /// The oldest changes are forgotten when all take more than this.
    pub(crate) max_bytes: ByteSize,
}

impl Default for JournalSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            max_age: Period::from_secs(30 * 24 * 60 * 60),
            max_bytes: ByteSize::new(64 << 20),
        }
    }
}

impl JournalSettings {
    pub(crate) fn check(&self, check: &mut Check<'_>) {
        if self.enabled && self.max_age.get().is_zero() {
            let help = Some("write `30d`, or `enabled: false` for no journal");
            check.problem("journal.max_age", "must be longer than nothing", help);
        }
    }
}
