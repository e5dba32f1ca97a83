//! What agents of the file-scanner document ask for: their configuration and their commands, in the document's words.
use super::Fleet;
use crate::{Store, StoreError, agent::AgentIdentity};
use chrono::{DateTime, Utc};
use fleet_wire::{
    files_v1,
    link::{Command, Priority},
};
use serde_json::{Map, Value};

/// The commands that the document knows; any other is not for its agents.
const VERBS: &[&str] = &["scan", "stop", "restart"];

/// An agent of the document was not answered.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FilesV1AskError {
    /// It asked for another agent.
    #[error("this key does not belong to the agent named")]
    OtherAgent,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<S: Store> Fleet<S> {
    /// How an agent is to scan: what an operator set for it (see [`Fleet::set_config`]), as far as the document has a
    /// place for it. Where no scan paths were set, those that the agent registered; what else nobody set is left out.
    /// `read` makes JSON of the operator's text.
    ///
    /// # Errors
    /// When `named` is another agent, or the store fails.
    pub async fn config_v1(
        &self,
        agent: &AgentIdentity,
        named: &str,
        read: impl Fn(&str) -> Option<Value>,
    ) -> Result<files_v1::Config, FilesV1AskError> {
        own(agent, named)?;
        let (text, registered) = self.store().document_config(agent.id).await?;
        let set = text.and_then(|text| read(&text)).unwrap_or_default();
        Ok(config(&set, registered))
    }

    /// What an agent is to do: its commands that have not ended and whose deadline is to come, the most urgent first. They
    /// are listed until they end, which for such an agent is their deadline: nobody tells us of it.
    ///
    /// # Errors
    /// When `named` is another agent, or the store fails.
    pub async fn commands_v1(
        &self,
        agent: &AgentIdentity,
        named: &str,
        now: DateTime<Utc>,
    ) -> Result<files_v1::Commands, FilesV1AskError> {
        own(agent, named)?;
        let commands = self.store().document_commands(agent.id, VERBS, now).await?;
        Ok(files_v1::Commands {
            commands: commands.into_iter().map(command).collect(),
        })
    }
}

fn own(agent: &AgentIdentity, named: &str) -> Result<(), FilesV1AskError> {
    if agent.is(named) {
        Ok(())
    } else {
        Err(FilesV1AskError::OtherAgent)
    }
}

fn command(command: Command) -> files_v1::Command {
    files_v1::Command {
        id: command.command.to_string(),
        verb: command.verb,
        parameters: match command.args {
            Value::Object(args) => args,
            _ => Map::new(),
        },
        priority: match command.priority {
            Priority::Low => files_v1::Priority::Low,
            Priority::Normal => files_v1::Priority::Normal,
            Priority::High | Priority::Critical => files_v1::Priority::High,
        },
    }
}

/// The document's part of an operator's configuration. Of a scan path with rules of its own the document has room for the
/// path alone.
fn config(set: &Value, registered: Vec<String>) -> files_v1::Config {
    let scanner = &set["scanner"];
    let texts = |key: &str| -> Vec<String> {
        let list = scanner[key].as_array().into_iter().flatten();
        list.filter_map(|item| item.as_str().or_else(|| item["path"].as_str()))
            .map(str::to_owned)
            .collect()
    };
    let scan_paths = texts("scan_paths");
    files_v1::Config {
        scan_paths: if scan_paths.is_empty() { registered } else { scan_paths },
        ignore_patterns: texts("ignore_patterns"),
        scan_interval: scanner["scan_interval"].as_str().unwrap_or_default().to_owned(),
        batch_size: scanner["batch_size"].as_u64().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_was_set_goes_out_and_what_was_not_is_left_out() {
        let set = json!({"scanner": {
            "scan_paths": ["/srv/a", {"path": "/srv/b", "hidden": false}],
            "ignore_patterns": ["*.tmp"], "scan_interval": "30m", "batch_size": 50, "hidden": false,
        }, "logging": {"level": "debug"}});
        let text = serde_json::to_string(&config(&set, vec!["/own".to_owned()])).unwrap();
        assert_eq!(
            text,
            r#"{"scanPaths":["/srv/a","/srv/b"],"ignorePatterns":["*.tmp"],"scanInterval":"30m","batchSize":50}"#
        );
        for nothing in [
            json!(null),
            json!({}),
            json!({"logging": {}}),
            json!({"scanner": {"scan_paths": []}}),
        ] {
            let text = serde_json::to_string(&config(&nothing, vec!["/own".to_owned()])).unwrap();
            assert_eq!(text, r#"{"scanPaths":["/own"]}"#, "{nothing}");
        }
    }
}
