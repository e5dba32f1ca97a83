//! Sessions of agents: who holds the link, what goes down it, and what comes up.
use chrono::{DateTime, Utc};
use core_model::{AgentId, CommandId, InstanceId};
use fleet_wire::link::{Command, Config, ConfigReport, ConfigVersion, Hello, HostSample};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What carries a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// `/ws/agent`.
    Websocket,
    /// `POST /api/v1/agents/me/messages`.
    Polling,
}

/// A session: what an older one of the same agent says counts no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionKey {
    /// The agent.
    pub agent: AgentId,
    /// Its place among the sessions of this agent, from 1, ever rising.
    pub epoch: u64,
}

/// An agent says who it is.
#[derive(Clone, Debug)]
pub struct NewSessionOfAgent {
    /// The agent, by its key.
    pub agent: AgentId,
    /// What it says.
    pub hello: Hello,
    /// By what it came.
    pub transport: Transport,
    /// Where it came from.
    pub remote: String,
    /// A session that was silent for longer is not alive: another machine may take the agent over.
    pub live_for: Duration,
    /// A key made before this is too old.
    pub keys_before: Option<DateTime<Utc>>,
}

/// What came of a HELLO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HelloOutcome {
    /// It is let in.
    Welcome {
        /// The session.
        epoch: u64,
        /// The agent's name here.
        name: String,
        /// Records are missing here that the agent holds for delivered.
        snapshot_wanted: bool,
        /// The configuration that it should run with.
        config: Option<ConfigVersion>,
        /// It should have another key.
        new_key_wanted: bool,
    },
    /// Somebody else with this key is there: another machine, or another process.
    Cloned {
        /// The name of the machine that the agent runs on.
        hostname: String,
        /// The product, whose program has the remedy.
        kind: String,
    },
    /// The agent was revoked or removed meanwhile.
    Gone,
}

/// Whether a session may still speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may.
    Current,
    /// A newer one has begun.
    Superseded,
    /// The agent's key was taken away, or the agent removed.
    Revoked,
}

/// What goes down to an agent now.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    /// Whether the session may still speak; if not, there is nothing else.
    pub standing: Standing,
    /// Commands, the most urgent first.
    pub commands: Vec<Command>,
    /// Commands no longer wanted.
    pub cancels: Vec<CommandId>,
    /// The configuration to run with, where the agent does not know of it.
    pub config: Option<Config>,
    /// There is more: ask again.
    pub has_more: bool,
}

impl Outgoing {
    pub(crate) const fn nothing(standing: Standing) -> Self {
        Self {
            standing,
            commands: Vec::new(),
            cancels: Vec::new(),
            config: None,
            has_more: false,
        }
    }
}

/// The session of an agent, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionStatus {
    /// Its place among the agent's sessions.
    pub epoch: u64,
    /// The start of the process that it is of.
    pub instance: InstanceId,
    /// What carries it.
    pub transport: Transport,
    /// Where it comes from.
    pub remote: String,
    /// When it began.
    pub connected_at: DateTime<Utc>,
    /// When something of it last came.
    pub last_seen: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
}

/// Somebody else came with an agent's key while the agent was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloneStatus {
    /// The other machine's name.
    pub hostname: String,
    /// Where it came from.
    pub remote: String,
    /// When it first came.
    pub first_at: DateTime<Utc>,
    /// When it last came.
    pub last_at: DateTime<Utc>,
    /// How often it was refused.
    pub refusals: u64,
}

/// A version of the configuration that the controller keeps for an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentConfig {
    /// Its number, from 1.
    pub version: u64,
    /// The document; none: the configuration was withdrawn.
    pub text: Option<String>,
    /// SHA-256 of the text, in hex.
    pub sha256: String,
    /// What whoever set it says about it.
    pub comment: String,
    /// When it was set.
    pub set_at: DateTime<Utc>,
    /// The name of the user who set it.
    pub set_by: String,
}

/// What an agent should run with, and what it says about that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigState {
    /// The latest version, a withdrawal too.
    pub latest: Option<AgentConfig>,
    /// What the agent last reported, and when that came.
    pub report: Option<(ConfigReport, DateTime<Utc>)>,
}

/// Why no version was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetConfigRefusal {
    /// There is no such agent.
    NoAgent,
    /// There is no such version to go back to, or it is a withdrawal.
    NoVersion,
    /// Somebody set another version meanwhile than the one this was meant to follow.
    Changed {
        /// The latest version; 0 for none.
        latest: u64,
    },
}

/// What is about to be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewConfig {
    /// A document.
    Text(String),
    /// That of an earlier version.
    Version(u64),
    /// Nothing more.
    Withdrawn,
}

/// All about the link of an agent, for operators.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LinkStatus {
    /// Its latest session.
    pub session: Option<SessionStatus>,
    /// The clone that was refused, if one was.
    pub clone: Option<CloneStatus>,
    /// The commands that it said it takes.
    pub verbs: Option<Vec<String>>,
    /// Its last sample of the host.
    pub sample: Option<HostSample>,
    /// The configuration that it should run with: its number; 0 for none.
    pub config: u64,
    /// Commands that have not ended at it.
    pub open_commands: u64,
}

/// How a result was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultTaken {
    /// It is stored now, or was before: the agent may forget it.
    Stored,
    /// It came by a session that is no longer the agent's: nothing was stored.
    Fenced(Standing),
}
