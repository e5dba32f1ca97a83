//! Agents and the fleet in figures.
use chrono::{DateTime, Utc};
use core_model::{AgentId, Labels, SeqRange, Site, StreamId};
use fleet_core::{
    AgentRecord, AgentStatus, Assigned, FileTotals, HealthReport, KeyStatus, Maintenance, SnapshotState,
    SnapshotStatus, Statistics, StreamFace, StreamStatus,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The parameters of `GET /api/v1/agents`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentQuery {
    /// Agents of this product.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Agents at this site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Site>,
    /// Agents with all of these labels: `tier=web`, or `tier` for any value, with commas between them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<String>,
    /// Agents that can do this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capability: Option<String>,
    /// Agents on a machine with this container engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_engine: Option<String>,
    /// Agents of this group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Agents of a version that fits, with `*` and `?`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Agents on an operating system whose name fits, with `*` and `?`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// Agents of this status; all but the revoked when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<AgentStatus>,
    /// Agents whose name fits, with `*` and `?`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where the page before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// At most so many rows, 1 to 1000; 100 when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// An agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentView {
    /// Its id.
    pub id: AgentId,
    /// Its name.
    pub name: String,
    /// The product.
    pub kind: String,
    /// How it is.
    pub status: AgentStatus,
    /// The machine's name.
    pub hostname: String,
    /// The product's version.
    pub version: String,
    /// What it can do.
    pub capabilities: Vec<String>,
    /// What it scans, where it told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scan_paths: Vec<String>,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Site>,
    /// Its labels: its own, and before them those of operators.
    #[serde(default)]
    pub labels: Labels,
    /// What of that operators said.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub assigned: Assigned,
    /// Its operating system, where it told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// The kernel's version, where it told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// The processor's architecture, where it told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// Container engines that run on its machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub container_engines: Vec<String>,
    /// Somebody works on its host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<Maintenance>,
    /// When it joined.
    pub enrolled_at: DateTime<Utc>,
    /// When it last called.
    pub last_seen: DateTime<Utc>,
    /// When a second one that came with its key was last refused, where one was: one of the two is a copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloned_at: Option<DateTime<Utc>>,
    /// Its last heartbeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthReport>,
    /// When its key was taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<DateTime<Utc>>,
    /// Its files, summed up.
    pub files: FileTotals,
}

impl AgentView {
    pub(crate) fn new(agent: AgentRecord, status: AgentStatus) -> Self {
        let (site, labels) = (agent.site().cloned(), agent.labels());
        Self {
            id: agent.id,
            name: agent.name,
            kind: agent.kind,
            status,
            hostname: agent.registration.hostname,
            version: agent.registration.version,
            capabilities: agent.registration.capabilities,
            scan_paths: agent.registration.scan_paths,
            site,
            labels,
            assigned: agent.assigned,
            os: agent.profile.os,
            kernel: agent.profile.kernel,
            architecture: agent.profile.architecture,
            container_engines: agent.profile.container_engines,
            // One that is over is of no interest.
            maintenance: agent.maintenance.filter(|_| status == AgentStatus::Maintenance),
            enrolled_at: agent.enrolled_at,
            last_seen: agent.last_seen,
            cloned_at: agent.cloned_at,
            health: agent.health,
            revoked_at: agent.revoked_at,
            files: agent.files,
        }
    }
}

fn is_nothing(assigned: &Assigned) -> bool {
    *assigned == Assigned::default()
}

/// `GET /api/v1/agents/{agent}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentDetailView {
    /// The agent.
    #[serde(flatten)]
    pub agent: AgentView,
    /// Its streams of records, the newest first, at most ten.
    pub streams: Vec<StreamView>,
    /// Its link.
    #[serde(default)]
    pub link: super::LinkView,
    /// Its key; none where its certificate proves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyStatus>,
    /// Malware on its host.
    #[serde(default)]
    pub malware: super::MalwareStatusView,
}

/// A stream of records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamView {
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
    /// Numbers below that which did not come: the first hundred ranges.
    pub gaps: Vec<GapView>,
    /// When it was closed because the controller went back in time: the agent is asked for a snapshot in a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<DateTime<Utc>>,
    /// The full snapshot that it begins with, where it begins with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotView>,
}

/// A full snapshot: an agent tells everything anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotView {
    /// How far it has come: `open`, `dropping`, `complete` or `superseded`.
    pub state: SnapshotState,
    /// Why: `first`, `restored`, `rebuilt`, `rolled_back`, `dropped`, `damaged`, `wanted`, `asked` or `other`.
    pub reason: String,
    /// The same for people.
    pub detail: String,
    /// When the agent began it.
    pub begun_at: DateTime<Utc>,
    /// When the last file that it did not name was dropped.
    pub complete_at: Option<DateTime<Utc>>,
    /// Files dropped because it did not name them.
    pub dropped: u64,
}

impl From<SnapshotStatus> for SnapshotView {
    fn from(snapshot: SnapshotStatus) -> Self {
        let SnapshotStatus {
            state,
            reason,
            detail,
            begun_at,
            complete_at,
            dropped,
        } = snapshot;
        Self {
            state,
            reason,
            detail,
            begun_at,
            complete_at,
            dropped,
        }
    }
}

/// Numbers that did not come, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapView {
    /// The lowest.
    pub first: u64,
    /// The highest.
    pub last: u64,
}

impl From<StreamStatus> for StreamView {
    fn from(stream: StreamStatus) -> Self {
        let gap = |SeqRange { first, last }| GapView { first, last };
        Self {
            stream: stream.stream,
            ordinal: stream.ordinal,
            face: stream.face,
            first_seen: stream.first_seen,
            last_seen: stream.last_seen,
            last_seq: stream.last_seq,
            gaps: stream.gaps.into_iter().map(gap).collect(),
            closed_at: stream.closed_at,
            snapshot: stream.snapshot.map(Into::into),
        }
    }
}

/// `GET /api/v1/statistics`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatisticsView {
    /// Agents by status.
    pub agents: AgentCounts,
    /// Agents that are not revoked, by product.
    pub kinds: BTreeMap<String, u64>,
    /// The same by site; those without one are not among them.
    #[serde(default)]
    pub sites: BTreeMap<String, u64>,
    /// The same by product and version.
    #[serde(default)]
    pub versions: BTreeMap<String, u64>,
    /// The same by operating system, where they told it.
    #[serde(default)]
    pub systems: BTreeMap<String, u64>,
    /// The same by container engine.
    #[serde(default)]
    pub container_engines: BTreeMap<String, u64>,
    /// Files of those agents.
    pub files: FileTotals,
    /// Records that those agents' outboxes still hold, as they last told.
    pub outbox_records: u64,
    /// Streams in which a record is missing.
    pub streams_with_gaps: u64,
    /// Agents that are asked for a snapshot, because the controller went back in time, and have not begun one yet.
    #[serde(default)]
    pub agents_owing_snapshot: u64,
    /// Malware that is, or may be, where it was found.
    #[serde(default)]
    pub open_detections: super::OpenDetectionsView,
}

/// Agents by status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentCounts {
    /// All but the revoked.
    pub total: u64,
    /// Heard of lately, and well.
    pub online: u64,
    /// Heard of lately, and not well.
    pub degraded: u64,
    /// Not heard of for a while.
    pub offline: u64,
    /// Somebody works on their hosts.
    #[serde(default)]
    pub maintenance: u64,
    /// Keys taken away.
    pub revoked: u64,
}

impl From<Statistics> for StatisticsView {
    fn from(sums: Statistics) -> Self {
        Self {
            agents: AgentCounts {
                total: sums.online + sums.degraded + sums.offline + sums.maintenance,
                online: sums.online,
                degraded: sums.degraded,
                offline: sums.offline,
                maintenance: sums.maintenance,
                revoked: sums.revoked,
            },
            kinds: sums.kinds,
            sites: sums.sites,
            versions: sums.versions,
            systems: sums.systems,
            container_engines: sums.container_engines,
            files: sums.files,
            outbox_records: sums.outbox_records,
            streams_with_gaps: sums.streams_with_gaps,
            agents_owing_snapshot: sums.agents_owing_snapshot,
            open_detections: sums.detections.into(),
        }
    }
}
