//! The `canary` section.
use conf::Check;
use core_model::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A harmless test file that clamd must find: proof that it detects, and does not merely answer. clamd logs each as found,
/// and runs its `VirusEvent` for it: such a script should leave `memfd:reef-canary` and `instream(local)` out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct CanarySettings {
    /// Whether clamd is tried at all.
    pub(crate) enabled: bool,
    /// How often, besides at the start, after clamd was away, and after its signatures changed.
    pub(crate) every: Period,
    /// Whether it is found out that clamd looks at files of `clamd.max_file_size`: at the start, after clamd was away, and by
    /// `scan` before the first verdict on a file of more than 1 MB.
    /// By a Unix socket only, and up to 512 MB. It costs clamd what one clean file of that size does: about 0.3 s of its
    /// processor for 100 MB.
    pub(crate) limits: bool,
}

impl Default for CanarySettings {
    fn default() -> Self {
        Self {
            enabled: true,
            every: Period::from_secs(3600),
            limits: true,
        }
    }
}

impl CanarySettings {
    pub(super) fn check(&self, check: &mut Check<'_>) {
        if self.every.get().as_secs() < 60 {
            let help = Some("write `1h`, or `enabled = false` for no canary at all");
            check.problem("canary.every", "must be at least a minute", help);
        }
    }
}
