//! Whether hosts were scanned as they should be.
use chrono::{DateTime, Utc};
use core_model::{AgentId, EventId, Period, Site};
use fleet_core::RuleScans;
use fleet_wire::{MalwareScan, OlderSignatures, ScanStatus, SignatureVersion};
use serde::{Deserialize, Serialize};

/// The parameters of `GET /api/v1/compliance`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComplianceQuery {
    /// A complete scan has to have ended within so long, such as `7d`, which is what holds when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Period>,
    /// Of this agent: id or name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Of agents at this site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Site>,
    /// Of agents with all of these labels: `tier=web`, or `tier` for any value, with commas between them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<String>,
    /// Of agents of this group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// This rule alone, where an agent has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Where the page before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// At most so many agents, 1 to 1000, each with all of its rules; 100 when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// Whether a host was scanned by a rule as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComplianceView {
    /// Whose rule.
    pub agent_id: AgentId,
    /// The agent's name.
    pub agent: String,
    /// The rule; none where the agent has told of no rule and of no scan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Whether a scan of all of it that looked at everything has ended within the time.
    pub ok: bool,
    /// Why not: `no_scan`, `never_scanned`, `too_old`, `partial`, `stopped`, `failed`, `other` or `unaccounted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When the last complete one ended, by the agent's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_complete_at: Option<DateTime<Utc>>,
    /// When the last one of all of it ended, however it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_at: Option<DateTime<Utc>>,
    /// How that one ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_status: Option<ScanStatus>,
    /// The last complete scan; where there is none, the last of all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scan: Option<ScanGist>,
}

/// What a scan went by, and what it left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanGist {
    /// Its id: `/api/v1/scans/{id}` has the whole account.
    pub id: EventId,
    /// What judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// The signatures in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signatures: Option<SignatureVersion>,
    /// The oldest signatures that a file was clean by; none where all were clean by those in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_verdict: Option<OlderSignatures>,
    /// Files that were met.
    pub files: u64,
    /// Directories that the rule left out, with all below.
    pub left_out_directories: u64,
    /// Files that the rule left out.
    pub left_out_files: u64,
    /// Files over a limit.
    pub over_limit: u64,
    /// Directories that could not be looked into.
    pub unreadable_directories: u64,
    /// Files that could not be read or got no verdict.
    pub unreadable_files: u64,
    /// Detections.
    pub detections: u64,
}

impl ScanGist {
    fn new(scan: &MalwareScan) -> Self {
        let files = |end: &str| scan.account.get(end).map_or(0, |count| count.files);
        let left_out = scan.proof.left_out.iter();
        Self {
            id: scan.id,
            engine: scan.engine.clone(),
            signatures: scan.proof.signatures.clone(),
            oldest_verdict: scan.proof.oldest_verdict.clone(),
            files: scan.met.files,
            left_out_directories: left_out.fold(0, |sum: u64, left| sum.saturating_add(left.directories)),
            left_out_files: files("excluded"),
            over_limit: files("over_limit"),
            unreadable_directories: scan.proof.unreadable_directories,
            unreadable_files: files("unreadable").saturating_add(files("failed")),
            detections: scan.detections,
        }
    }
}

impl ComplianceView {
    /// What holds of these scans where a complete one has to have ended at `since` or later.
    pub fn new(scans: RuleScans, since: DateTime<Utc>) -> Self {
        let shortfall = scans.shortfall(since);
        let scan = scans.shown().map(ScanGist::new);
        let last = scans.last.map(|stored| stored.scan);
        Self {
            agent_id: scans.agent,
            agent: scans.agent_name,
            rule: scans.rule,
            ok: shortfall.is_none(),
            reason: shortfall.map(|why| why.name().to_owned()),
            last_complete_at: scans.last_complete.map(|stored| stored.scan.ended_at),
            last_at: last.as_ref().map(|scan| scan.ended_at),
            last_status: last.map(|scan| scan.status),
            scan,
        }
    }
}
