//! The `database` section.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Where the state lies.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct DatabaseSettings {
    /// The state file of `scanner run` [default: state.db in the data directory].
    pub(crate) path: Option<PathBuf>,
}
