//! Claims as operators see them.
use chrono::{DateTime, Utc};
use core_model::{AgentId, ClaimId};
use fleet_core::{Claim, ClaimState};
use serde::{Deserialize, Serialize};

/// `POST /api/v1/claims/accept`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptRequest {
    /// What the agent shows.
    pub code: String,
    /// The name that the agent gets instead of the one it asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimView {
    /// Its id.
    pub id: ClaimId,
    /// What the agent shows.
    pub code: String,
    /// Where it stands.
    pub state: ClaimState,
    /// The agent's name.
    pub name: String,
    /// The product.
    pub kind: String,
    /// The machine's name, as the agent told it.
    pub hostname: String,
    /// The product's version.
    pub version: String,
    /// The network it came from.
    pub network: String,
    /// When it was opened.
    pub created_at: DateTime<Utc>,
    /// When it ends unless it is accepted.
    pub expires_at: DateTime<Utc>,
    /// When it was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_at: Option<DateTime<Utc>>,
    /// By whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_by: Option<String>,
    /// The agent that came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<AgentId>,
    /// When that agent first used its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_at: Option<DateTime<Utc>>,
}

impl ClaimView {
    pub(crate) fn new(claim: Claim, now: DateTime<Utc>) -> Self {
        Self {
            state: claim.state(now),
            id: claim.id,
            code: claim.code.to_string(),
            name: claim.name,
            kind: claim.kind,
            hostname: claim.hostname,
            version: claim.version,
            network: claim.network,
            created_at: claim.created_at,
            expires_at: claim.expires_at,
            accepted_at: claim.accepted_at,
            accepted_by: claim.accepted_by,
            agent_id: claim.agent,
            used_at: claim.used_at,
        }
    }
}
