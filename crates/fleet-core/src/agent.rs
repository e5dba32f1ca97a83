//! Agents as the registry knows them.
use crate::{
    profile::{AgentProfile, Assigned, Maintenance},
    selector::AgentSelector,
    token::TokenHash,
};
use chrono::{DateTime, Utc};
use core_model::{AgentId, Labels, SeqRange, Site, StreamId};
use fleet_wire::Delivered;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, time::Duration};

/// An agent by its id or by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentRef {
    /// By id; finds revoked agents too.
    Id(AgentId),
    /// By name; finds only those that are not revoked, because a name may be given again.
    Name(String),
}

impl From<&str> for AgentRef {
    /// A text that is a UUID is an id: no agent may have such a name.
    fn from(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Id)
    }
}

/// How an agent is, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentStatus {
    /// Heard of lately, and well.
    Online,
    /// Heard of lately, and not well.
    Degraded,
    /// Not heard of for a while.
    Offline,
    /// An operator said that somebody works on its host, whether it is heard of or not.
    Maintenance,
    /// Its key was taken away.
    Revoked,
}

impl AgentStatus {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Online,
        Self::Degraded,
        Self::Offline,
        Self::Maintenance,
        Self::Revoked,
    ];

    /// `online`, `degraded`, `offline`, `maintenance` or `revoked`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Degraded => "degraded",
            Self::Offline => "offline",
            Self::Maintenance => "maintenance",
            Self::Revoked => "revoked",
        }
    }
}

impl fmt::Display for AgentStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How an agent says that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// All is well.
    Healthy,
    /// It works, not as it should.
    Degraded,
    /// It does not work.
    Unhealthy,
}

impl FromStr for HealthStatus {
    type Err = std::convert::Infallible;

    /// Reads the word of a heartbeat; `error` is the file-scanner document's for `unhealthy`. A word that a later agent
    /// may bring counts as degraded: dropping its heartbeat would show it as offline, which it is not.
    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Ok(match word {
            "healthy" => Self::Healthy,
            "unhealthy" | "error" => Self::Unhealthy,
            _ => Self::Degraded,
        })
    }
}

/// What an agent last told of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthReport {
    /// In one word.
    pub status: HealthStatus,
    /// When its last round of work ended.
    #[serde(default)]
    pub last_scan_time: Option<DateTime<Utc>>,
    /// Files looked at in that round.
    #[serde(default)]
    pub files_processed: u64,
    /// Errors in that round.
    #[serde(default)]
    pub error_count: u64,
    /// Records waiting in its outbox, where it tells.
    #[serde(default)]
    pub outbox_records: Option<u64>,
    /// Records that it gave up, ever, where it tells.
    #[serde(default)]
    pub outbox_dropped: Option<u64>,
    /// Records that were damaged on its disk, ever, where it tells.
    #[serde(default)]
    pub outbox_damaged: Option<u64>,
    /// Why it is not healthy, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Resident memory in bytes, where it tells.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
}

/// A sign of life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewHeartbeat {
    /// The product's version, where it tells.
    pub version: Option<String>,
    /// How it is.
    pub health: HealthReport,
    /// What it holds for delivered, where it tells.
    pub delivered: Option<Delivered>,
    /// Where and on what it runs, where that is news.
    pub profile: Option<AgentProfile>,
}

/// What an agent says about where and what it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registration {
    /// The machine's name.
    pub hostname: String,
    /// The product's version.
    pub version: String,
    /// What it can do.
    pub capabilities: Vec<String>,
    /// What it scans, where it tells.
    pub scan_paths: Vec<String>,
}

/// An agent about to be enrolled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAgent {
    /// Its id.
    pub id: AgentId,
    /// Its name.
    pub name: String,
    /// The product.
    pub kind: String,
    /// The rest.
    pub registration: Registration,
}

/// Who an agent is, as its key or its certificate proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentIdentity {
    /// The agent's id.
    pub id: AgentId,
    /// The agent's name.
    pub name: String,
    /// Whether it was revoked: neither key nor certificate opens anything then.
    pub revoked: bool,
    /// The key that it came by; none where its certificate proves it.
    pub key: Option<TokenHash>,
    /// Whether the key came by a claim and is used for the first time.
    pub is_key_new: bool,
    /// Whether the key is one that is to take the place of another, and is used for the first time.
    pub is_key_pending: bool,
}

impl AgentIdentity {
    /// Whether `text` names this agent, by id or by name.
    pub fn is(&self, text: &str) -> bool {
        match AgentRef::from(text) {
            AgentRef::Id(id) => id == self.id,
            AgentRef::Name(name) => name == self.name,
        }
    }
}

/// How the key of an agent stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyStatus {
    /// When it was first used in the place of the one before, or the agent joined.
    pub made_at: DateTime<Utc>,
    /// Another one was handed out and not used yet. Both open until it is.
    pub is_renewal_pending: bool,
    /// When an operator asked for another one, until the agent has used it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal_asked_at: Option<DateTime<Utc>>,
}

/// Files of one agent, summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileTotals {
    /// Files that are there.
    pub present: u64,
    /// Tombstones of files that are gone.
    pub deleted: u64,
    /// Sizes of the files that are there, summed, in bytes.
    pub bytes: u64,
}

/// An agent in the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentRecord {
    /// Its id.
    pub id: AgentId,
    /// Its name.
    pub name: String,
    /// The product.
    pub kind: String,
    /// The rest of what it said at enrolment and since.
    pub registration: Registration,
    /// Where and on what it runs, as it told.
    pub profile: AgentProfile,
    /// What operators said over that.
    pub assigned: Assigned,
    /// Whether somebody works on its host; it may be over.
    pub maintenance: Option<Maintenance>,
    /// When it joined.
    pub enrolled_at: DateTime<Utc>,
    /// When it last called.
    pub last_seen: DateTime<Utc>,
    /// When its link ended, where it has one and that is not open.
    pub link_ended_at: Option<DateTime<Utc>>,
    /// When a second one that came with its key was last refused, where one was.
    pub cloned_at: Option<DateTime<Utc>>,
    /// Its last heartbeat.
    pub health: Option<HealthReport>,
    /// When its key was taken away.
    pub revoked_at: Option<DateTime<Utc>>,
    /// Its files.
    pub files: FileTotals,
}

impl AgentRecord {
    /// Where it is: as operators said, or else as it says itself.
    pub fn site(&self) -> Option<&Site> {
        self.assigned.site.as_ref().or(self.profile.site.as_ref())
    }

    /// Its labels: its own, and before them those of operators.
    pub fn labels(&self) -> Labels {
        let own = self.profile.labels.iter().chain(&self.assigned.labels);
        own.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// How it is at `now`, where nobody works on its host; it is offline when it did not call for longer than `offline_after`, and when its link ended and
    /// it did not call since.
    pub fn status(&self, now: DateTime<Utc>, offline_after: Duration) -> AgentStatus {
        match self.maintenance.as_ref() {
            Some(maintenance) if self.revoked_at.is_none() && maintenance.lasts(now) => AgentStatus::Maintenance,
            _ => self.bare_status(now, offline_after),
        }
    }

    fn bare_status(&self, now: DateTime<Utc>, offline_after: Duration) -> AgentStatus {
        let silent = (now - self.last_seen).to_std().unwrap_or_default();
        match &self.health {
            _ if self.revoked_at.is_some() => AgentStatus::Revoked,
            _ if silent > offline_after => AgentStatus::Offline,
            _ if self.link_ended_at.is_some_and(|ended| ended >= self.last_seen) => AgentStatus::Offline,
            Some(health) if health.status != HealthStatus::Healthy => AgentStatus::Degraded,
            _ => AgentStatus::Online,
        }
    }
}

/// Which agents to list. What is not set does not narrow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentFilter {
    /// Of this status; without one all but the revoked.
    pub status: Option<AgentStatus>,
    /// Of this kind, site and so on; each of them.
    pub selectors: Vec<AgentSelector>,
    /// Of a version that fits.
    pub version: Option<crate::Glob>,
    /// On an operating system whose name fits.
    pub os: Option<crate::Glob>,
    /// With a name that fits.
    pub name: Option<crate::Glob>,
}

impl AgentFilter {
    /// Whether `agent`, whose status is `status`, is wanted.
    pub fn wants(&self, agent: &AgentRecord, status: AgentStatus) -> bool {
        let right_status = match self.status {
            Some(wanted) => status == wanted,
            None => status != AgentStatus::Revoked,
        };
        right_status
            && self.selectors.iter().all(|selector| selector.fits(agent))
            && fits(&self.name, &agent.name)
            && fits(&self.version, &agent.registration.version)
            && fits(&self.os, agent.profile.os.as_deref().unwrap_or_default())
    }
}

fn fits(glob: &Option<crate::Glob>, text: &str) -> bool {
    glob.as_ref().is_none_or(|glob| glob.matches(text.as_bytes()))
}

/// How far a full snapshot has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotState {
    /// It has begun, and not all of it has arrived.
    Open,
    /// All of it has arrived, and what it did not name is being dropped.
    Dropping,
    /// It has taken effect.
    Complete,
    /// A newer stream began before it was whole: it never takes effect.
    Superseded,
}

/// A full snapshot: everything that an agent knows, told anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotStatus {
    /// How far it has come.
    pub state: SnapshotState,
    /// Why, such as `first`, `restored` or `dropped`.
    pub reason: String,
    /// The same for people.
    pub detail: String,
    /// When the agent began it.
    pub begun_at: DateTime<Utc>,
    /// When all that it did not name was dropped; `None` while some of it is still to come.
    pub complete_at: Option<DateTime<Utc>>,
    /// Files dropped because it did not name them.
    pub dropped: u64,
}

/// By which door a stream's records come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamFace {
    /// `POST /api/v1/ingest`: the agent numbers its records.
    Ingest,
    /// `POST /api/files/ingest`: the controller numbers them.
    FilesV1,
}

/// A stream as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamStatus {
    /// Its id.
    pub stream: StreamId,
    /// Its place among the agent's streams; the highest is the newest.
    pub ordinal: u64,
    /// By which door it comes.
    pub face: StreamFace,
    /// When its first record came.
    pub first_seen: DateTime<Utc>,
    /// When its last record came.
    pub last_seen: DateTime<Utc>,
    /// The highest number seen.
    pub last_seq: u64,
    /// Numbers below that which did not come, the first hundred ranges of them.
    pub gaps: Vec<SeqRange>,
    /// When it was closed because this controller went back in time: its agent is asked for a snapshot in a new one.
    pub closed_at: Option<DateTime<Utc>>,
    /// The full snapshot that it begins with, if it does.
    pub snapshot: Option<SnapshotStatus>,
}

/// An agent with all that is shown on its page.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentDetail {
    /// The agent.
    pub agent: AgentRecord,
    /// Its streams, the newest first, at most ten.
    pub streams: Vec<StreamStatus>,
    /// Its link.
    pub link: crate::link::LinkStatus,
    /// Its key; none where its certificate proves it.
    pub key: Option<KeyStatus>,
    /// Malware on its host.
    pub malware: crate::malware::MalwareStatus,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_follows_silence_and_health() {
        let at = |seconds: i64| DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap();
        let mut agent = AgentRecord {
            id: AgentId::new(at(0), [0; 10]),
            name: "a".into(),
            kind: "scanner".into(),
            registration: Registration::default(),
            profile: AgentProfile::default(),
            assigned: Assigned::default(),
            maintenance: None,
            enrolled_at: at(0),
            last_seen: at(100),
            link_ended_at: None,
            cloned_at: None,
            health: None,
            revoked_at: None,
            files: FileTotals::default(),
        };
        let status = |agent: &AgentRecord, seconds| agent.status(at(seconds), Duration::from_secs(180));
        assert_eq!(status(&agent, 280), AgentStatus::Online);
        assert_eq!(status(&agent, 281), AgentStatus::Offline);
        assert_eq!(status(&agent, 0), AgentStatus::Online, "a clock set back is no silence");
        agent.health = Some(HealthReport {
            status: "strange".parse().unwrap(),
            last_scan_time: None,
            files_processed: 0,
            error_count: 0,
            outbox_records: None,
            outbox_dropped: None,
            outbox_damaged: None,
            reason: None,
            memory_bytes: None,
        });
        assert_eq!(status(&agent, 100), AgentStatus::Degraded);
        agent.maintenance = Some(Maintenance {
            since: at(0),
            until: Some(at(300)),
            reason: String::new(),
            by: "admin".into(),
        });
        assert_eq!(status(&agent, 299), AgentStatus::Maintenance, "though it is silent");
        assert_eq!(status(&agent, 300), AgentStatus::Offline);
        agent.revoked_at = Some(at(0));
        assert_eq!(status(&agent, 100), AgentStatus::Revoked);
    }
}
