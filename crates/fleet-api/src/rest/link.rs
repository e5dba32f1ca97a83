//! The link of an agent and its configuration.
use chrono::{DateTime, Utc};
use core_model::InstanceId;
use fleet_core::{AgentConfig, CloneStatus, ConfigState, LinkStatus, SessionStatus, Transport};
use fleet_wire::link::{ConfigReport, HostSample};
use serde::{Deserialize, Serialize};

/// What is known of an agent's link.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LinkView {
    /// Its latest session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionView>,
    /// A copy of its machine that came with its key and was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clone: Option<CloneView>,
    /// The commands that it takes, where it told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verbs: Option<Vec<String>>,
    /// The last sample of its host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<HostSample>,
    /// The version of the configuration that it should run with; 0 for none.
    #[serde(default)]
    pub config_version: u64,
    /// Commands that have not ended at it.
    #[serde(default)]
    pub open_commands: u64,
}

impl From<LinkStatus> for LinkView {
    fn from(link: LinkStatus) -> Self {
        Self {
            session: link.session.map(Into::into),
            clone: link.clone.map(Into::into),
            verbs: link.verbs,
            sample: link.sample,
            config_version: link.config,
            open_commands: link.open_commands,
        }
    }
}

/// A session of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionView {
    /// Its place among the agent's sessions.
    pub epoch: u64,
    /// The start of the process that it is of.
    pub instance: InstanceId,
    /// `websocket` or `polling`.
    pub transport: Transport,
    /// Where it comes from.
    pub remote: String,
    /// When it began.
    pub connected_at: DateTime<Utc>,
    /// When something of it last came.
    pub last_seen: DateTime<Utc>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<DateTime<Utc>>,
}

impl From<SessionStatus> for SessionView {
    fn from(session: SessionStatus) -> Self {
        Self {
            epoch: session.epoch,
            instance: session.instance,
            transport: session.transport,
            remote: session.remote,
            connected_at: session.connected_at,
            last_seen: session.last_seen,
            ended_at: session.ended_at,
        }
    }
}

/// A copy of an agent's machine that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloneView {
    /// The copy's name.
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

impl From<CloneStatus> for CloneView {
    fn from(clone: CloneStatus) -> Self {
        Self {
            hostname: clone.hostname,
            remote: clone.remote,
            first_at: clone.first_at,
            last_at: clone.last_at,
            refusals: clone.refusals,
        }
    }
}

/// The parameters of `DELETE /api/v1/agents/{agent}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeleteQuery {
    /// Whether all that the agent told goes too; otherwise only its key does.
    #[serde(default)]
    pub purge: bool,
}

/// `PUT /api/v1/agents/{agent}/config`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigRequest {
    /// The document, YAML or JSON.
    pub text: String,
    /// What there is to say about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// Only if this is still the latest version; 0: if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<u64>,
}

/// `POST /api/v1/agents/{agent}/config/rollback`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollbackRequest {
    /// The version whose text is set anew.
    pub version: u64,
}

/// A version of an agent's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigView {
    /// Its number, from 1.
    pub version: u64,
    /// The document; none: the configuration was withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// SHA-256 of the text, in hex.
    pub sha256: String,
    /// What whoever set it says about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// When it was set.
    pub set_at: DateTime<Utc>,
    /// Who set it.
    pub set_by: String,
}

impl From<AgentConfig> for ConfigView {
    fn from(config: AgentConfig) -> Self {
        Self {
            version: config.version,
            text: config.text,
            sha256: config.sha256,
            comment: config.comment,
            set_at: config.set_at,
            set_by: config.set_by,
        }
    }
}

/// `GET /api/v1/agents/{agent}/config`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConfigStateView {
    /// The latest version, a withdrawal too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<ConfigView>,
    /// What the agent last reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<ConfigReport>,
    /// When that came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported_at: Option<DateTime<Utc>>,
}

impl From<ConfigState> for ConfigStateView {
    fn from(state: ConfigState) -> Self {
        let (report, reported_at) = state.report.unzip();
        Self {
            latest: state.latest.map(Into::into),
            report,
            reported_at,
        }
    }
}
