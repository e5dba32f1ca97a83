//! The `quarantine` section.
use conf::Check;
use core_model::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Where malware is kept that is taken away.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct QuarantineSettings {
    /// The directory [default: `quarantine` in the data directory].
    pub(crate) path: Option<PathBuf>,
    /// What lies there for longer is deleted by the next scan that takes something away [default: never].
    pub(crate) keep: Option<Period>,
}

impl QuarantineSettings {
    pub(super) fn check(&self, check: &mut Check<'_>) {
        if self.path.as_ref().is_some_and(|path| path.is_relative()) {
            check.problem("quarantine.path", "must be absolute", None);
        }
        if self.keep.is_some_and(|keep| keep.get().is_zero()) {
            let help = Some("leave it out to keep all");
            check.problem("quarantine.keep", "must be longer than zero", help);
        }
    }
}

/// Where it lies takes effect at a start.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct QuarantineBoot {
    pub(crate) path: Option<PathBuf>,
}

/// What takes effect with the next scan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct QuarantineLive {
    pub(crate) keep: Option<Period>,
}

impl QuarantineSettings {
    pub(crate) fn split(self) -> (QuarantineBoot, QuarantineLive) {
        let Self { path, keep } = self;
        (QuarantineBoot { path }, QuarantineLive { keep })
    }
}
