//! The endpoints of the file-scanner document, in its own camel case: `POST /api/files/ingest`,
//! `POST /api/agents/register`, `POST /api/agents/heartbeat[/{agentId}]`, `GET /api/agents/{agentId}/config`,
//! `GET /api/agents/{agentId}/commands`.
use crate::WirePath;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// `POST /api/files/ingest`, with an `Idempotency-Key` header. `deleted` and `moved` stand beside the document's
/// `files`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingest {
    /// Files created or updated.
    #[serde(default)]
    pub files: Vec<File>,
    /// Files that are gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deleted: Vec<WirePath>,
    /// Files with another path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moved: Vec<Moved>,
}

/// A file of the document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct File {
    /// The last component of its path.
    pub filename: String,
    /// Its MIME type.
    pub file_type: String,
    /// Its absolute path (`path`, and `path_raw` where that is not UTF-8).
    #[serde(flatten)]
    pub path: WirePath,
    /// Length in bytes.
    pub size: u64,
    /// When it was last indexed, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_indexed_at: Option<String>,
    /// Last modification, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified_at: Option<String>,
    /// Free words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// A file with another path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// The path it had.
    pub from: WirePath,
    /// The path it has.
    pub to: WirePath,
}

/// `POST /api/agents/register`, small or full form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Register {
    /// The agent's name.
    pub agent_id: String,
    /// The machine's name.
    pub hostname: String,
    /// The agent's version.
    pub version: String,
    /// What it scans.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scan_paths: Vec<String>,
    /// What it can do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
}

/// `POST /api/agents/heartbeat` (with `agentId` in the body) and `/api/agents/heartbeat/{agentId}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Heartbeat {
    /// The agent's name, in the form without it in the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// `healthy`, `degraded` or `error`.
    pub status: String,
    /// When its last scan ended, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_scan_time: Option<String>,
    /// Files looked at in it.
    #[serde(default)]
    pub files_processed: u64,
    /// Errors in it.
    #[serde(default)]
    pub error_count: u64,
    /// Resident memory in bytes.
    #[serde(default)]
    pub memory_usage: u64,
}

/// What `GET /api/agents/{agentId}/config` answers: how the agent is to scan. What is empty, zero, `null` or absent is not
/// set, and the agent goes on with its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// What it scans.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub scan_paths: Vec<String>,
    /// What it leaves out.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub ignore_patterns: Vec<String>,
    /// How often it scans, such as `6h`.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub scan_interval: String,
    /// Records in one request.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_zero")]
    pub batch_size: u64,
}

/// What `GET /api/agents/{agentId}/commands` answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commands {
    /// What the agent is to do.
    #[serde(default, deserialize_with = "or_default")]
    pub commands: Vec<Command>,
}

/// Something that an agent is to do. The document has no way to tell what became of it: it may be listed again and again,
/// and is done once by its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// What tells it from any other.
    pub id: String,
    /// `scan`, `stop` or `restart`.
    #[serde(rename = "type")]
    pub verb: String,
    /// How; the document's three take nothing.
    #[serde(default, deserialize_with = "or_default")]
    pub parameters: Map<String, Value>,
    /// Which of several is done first.
    #[serde(default, deserialize_with = "or_default")]
    pub priority: Priority,
}

/// The order among commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// When nothing else is to be done.
    Low,
    /// Before the usual.
    High,
    /// The usual; what a word means that is none of these.
    #[default]
    #[serde(other)]
    Normal,
}

/// Many servers write `null` for a list that was never filled.
fn or_default<'de, T: Deserialize<'de> + Default, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_configuration_has_the_document_s_names_and_leaves_out_what_is_not_set() {
        let config = Config {
            scan_paths: vec!["/srv".to_owned()],
            ignore_patterns: vec!["*.tmp".to_owned()],
            scan_interval: "6h".to_owned(),
            batch_size: 100,
        };
        let text = r#"{"scanPaths":["/srv"],"ignorePatterns":["*.tmp"],"scanInterval":"6h","batchSize":100}"#;
        assert_eq!(serde_json::to_string(&config).unwrap(), text);
        assert_eq!(serde_json::from_str::<Config>(text).unwrap(), config);
        assert_eq!(serde_json::to_string(&Config::default()).unwrap(), "{}");
        let unset = json!({"scanPaths": null, "ignorePatterns": [], "scanInterval": "", "batchSize": 0, "more": 1});
        assert_eq!(serde_json::from_value::<Config>(unset).unwrap(), Config::default());
        for wrong in [
            json!({"scanPaths": "/srv"}),
            json!({"batchSize": -1}),
            json!({"batchSize": 1.5}),
        ] {
            assert!(serde_json::from_value::<Config>(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn commands_have_the_document_s_names_and_only_the_id_and_the_type_are_needed() {
        let commands = Commands {
            commands: vec![Command {
                id: "c-1".to_owned(),
                verb: "scan".to_owned(),
                parameters: Map::new(),
                priority: Priority::High,
            }],
        };
        let text = r#"{"commands":[{"id":"c-1","type":"scan","parameters":{},"priority":"high"}]}"#;
        assert_eq!(serde_json::to_string(&commands).unwrap(), text);
        assert_eq!(serde_json::from_str::<Commands>(text).unwrap(), commands);
        let small = json!({"commands": [{"id": "c-1", "type": "scan", "parameters": null, "priority": "urgent"}]});
        let small: Commands = serde_json::from_value(small).unwrap();
        assert_eq!(small.commands[0].priority, Priority::Normal);
        for none in [json!({}), json!({"commands": null})] {
            assert_eq!(serde_json::from_value::<Commands>(none).unwrap(), Commands::default());
        }
    }
}
