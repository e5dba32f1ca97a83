//! What an agent says on the link.
use super::{CommandReport, ErrorMessage, envelope::messages};
use crate::{Delivered, Heartbeat, Profile};
use chrono::{DateTime, Utc};
use core_model::{CommandId, InstanceId};
use serde::{Deserialize, Serialize};

messages! {
    /// A message of an agent.
    AgentMessage {
        /// The first message: who is there and where it stands.
        Hello(Hello) = "HELLO", 1;
        /// A command was written into the journal: from here on it runs at most once, however often it comes.
        Ack(Ack) = "ACK", 1;
        /// How far a command is.
        Progress(Progress) = "PROGRESS", 1;
        /// How a command ended.
        Result(CommandReport) = "RESULT", 1;
        /// How the host is.
        Telemetry(HostSample) = "TELEMETRY", 1;
        /// The agent is alive, and how it goes.
        Heartbeat(Heartbeat) = "HEARTBEAT", 1;
        /// What became of a configuration.
        ConfigReport(ConfigReport) = "CONFIG_REPORT", 1;
        /// A message of the controller could not be read or acted upon.
        Error(ErrorMessage) = "ERROR", 1;
    }
}

/// Who is there. The key that it came with has said which agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The product: `scanner`, `reef-agent` …
    pub kind: String,
    /// The product's version.
    pub version: String,
    /// The machine's name.
    pub hostname: String,
    /// The machine's own lasting id (`/etc/machine-id`), hashed: with it the controller tells a host that moved from one
    /// that was cloned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// This start of the process.
    pub instance: InstanceId,
    /// What it can do.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// The commands it takes.
    #[serde(default)]
    pub verbs: Vec<String>,
    /// Commands in its journal that have no result yet, or whose result was not yet confirmed.
    #[serde(default)]
    pub journal: Vec<JournalEntry>,
    /// The configuration of the controller that it runs with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<ConfigVersion>,
    /// What of its outbox it holds for delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered: Option<Delivered>,
    /// Where and on what it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
}

/// A command in an agent's journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// The command.
    pub command: CommandId,
    /// Where it stands.
    pub state: JournalState,
}

/// Where a command stands in an agent's journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JournalState {
    /// Written down, not begun.
    Accepted,
    /// Begun. After a restart of the agent nobody knows how far it came, unless its verb can tell.
    Started,
    /// Ended; the result follows.
    Ended,
}

/// A version of the configuration that the controller keeps for an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigVersion {
    /// Its number, from 1.
    pub version: u64,
    /// SHA-256 of its text, in hex.
    pub sha256: String,
}

/// A command was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The command.
    pub command: CommandId,
}

/// How far a command is. The latest one counts; one that is lost does no harm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The command.
    pub command: CommandId,
    /// Units of work that are done, such as files.
    pub done: u64,
    /// Units of work in all, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// The same for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// A sample of the host and of the agent's own process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostSample {
    /// When it was taken.
    pub at: DateTime<Utc>,
    /// Share of all processors in use, 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<f64>,
    /// Load of the last minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_1m: Option<f64>,
    /// Memory in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_used_bytes: Option<u64>,
    /// Memory in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_total_bytes: Option<u64>,
    /// Resident memory of the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process_resident_bytes: Option<u64>,
    /// Processor time of the agent since its start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process_cpu_secs: Option<f64>,
    /// How long the host has been up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime_secs: Option<u64>,
}

/// What became of a configuration that the controller sent, or of the file on the agent's machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigReport {
    /// The version from the controller that runs now, if any does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<ConfigVersion>,
    /// The version that this is about, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<ConfigVersion>,
    /// What became of it.
    pub outcome: ConfigOutcome,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<ConfigProblem>,
    /// Keys that changed and take effect at the agent's next start only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs_restart: Vec<String>,
    /// When.
    pub at: DateTime<Utc>,
}

/// What became of a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfigOutcome {
    /// It runs.
    Applied,
    /// Nothing changed: it has mistakes, or asks for what a controller may not set.
    Refused,
    /// An outcome that this version does not know.
    #[serde(other)]
    Other,
}

/// A mistake in a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigProblem {
    /// The key, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The file or the document of the controller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Line, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Column, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// What is wrong, and the remedy.
    pub text: String,
}
