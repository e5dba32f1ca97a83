//! What the controller says on the link.
use super::{Command, ConfigVersion, ErrorMessage, envelope::messages};
use chrono::{DateTime, Utc};
use core_model::{AgentId, CommandId};
use serde::{Deserialize, Serialize};

messages! {
    /// A message of the controller.
    ControllerMessage {
        /// The answer to HELLO.
        Welcome(Welcome) = "WELCOME", 1;
        /// Something to do.
        Command(Command) = "COMMAND", 1;
        /// A command is no longer wanted.
        Cancel(Cancel) = "CANCEL", 1;
        /// The result of a command is stored: the agent may forget it.
        Confirm(Confirm) = "CONFIRM", 1;
        /// The agent's configuration.
        Config(Config) = "CONFIG", 1;
        /// Send less often, or more often again.
        Throttle(Throttle) = "THROTTLE", 1;
        /// The connection is about to be closed: come back, here or elsewhere.
        GoAway(GoAway) = "GOAWAY", 1;
        /// A message of the agent could not be read or acted upon.
        Error(ErrorMessage) = "ERROR", 1;
    }
}

/// The answer to HELLO: the agent is known and may go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The agent's id.
    pub agent_id: AgentId,
    /// The agent's name at the controller, which an operator may have changed.
    pub name: String,
    /// The controller's version.
    pub version: String,
    /// The controller's clock, for the skew.
    pub time: DateTime<Utc>,
    /// How often a heartbeat is wanted.
    pub heartbeat_secs: u32,
    /// How often a sample of the host is wanted; 0: never.
    pub telemetry_secs: u32,
    /// The longest frame that the controller takes.
    pub max_message_bytes: u64,
    /// Which connection of this agent this is, ever rising: what an older one brings counts no more.
    pub epoch: u64,
    /// The controller lacks records that the agent holds for delivered.
    #[serde(default)]
    pub snapshot_wanted: bool,
    /// The configuration that the agent should run with; none where it is all its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<ConfigVersion>,
    /// The agent is to have another key: `POST /api/v1/agents/me/key`.
    #[serde(default, skip_serializing_if = "crate::enroll::is_false")]
    pub new_key_wanted: bool,
}

/// A command is no longer wanted: one that has not begun is not begun, one that runs is stopped where its verb can be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// The command.
    pub command: CommandId,
}

/// The result of a command is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirm {
    /// The command.
    pub command: CommandId,
}

/// The configuration that an agent should run with. What a controller may never set is refused by the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Its number and hash; none: what the controller had set is withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<ConfigVersion>,
    /// The document as an operator wrote it: YAML, of which JSON is a part.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

/// Send as often as this from now on, rather than as WELCOME said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttle {
    /// Seconds between two samples of the host; 0: none.
    pub telemetry_secs: u32,
    /// Seconds between two heartbeats; as before where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_secs: Option<u32>,
}

/// The connection is about to be closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoAway {
    /// Come back at a random instant within so many seconds.
    pub within_secs: u32,
    /// Why: `shutdown`, `superseded`, `revoked`, `cloned` or another word.
    pub reason: String,
    /// The same for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}
