//! How an agent becomes one of the fleet, and how it says that it is alive.
use crate::Profile;
use chrono::{DateTime, Utc};
use core_model::{AgentId, ClaimId, Secret, StreamId};
use serde::{Deserialize, Serialize};

/// `POST /api/v1/agents/enroll`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EnrollRequest {
    /// The join token, as the operator gave it. Without one the client certificate of the connection proves who asks.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "reveal_some")]
    pub join_token: Option<Secret>,
    /// The agent's name, unique at the controller.
    pub name: String,
    /// The product: `scanner`, `reef-agent` …
    pub kind: String,
    /// The machine's name.
    pub hostname: String,
    /// The product's version.
    pub version: String,
    /// What it can do.
    #[serde(default)]
    pub capabilities: Vec<String>,
}

/// The answer, 201: the key is said this once and never again. To an agent that its certificate proves, and that is
/// enrolled already, it is 200.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EnrollResponse {
    /// The agent's id.
    pub agent_id: AgentId,
    /// What it sends as `X-API-KEY` from now on; none for an agent that its certificate proves.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "reveal_some")]
    pub api_key: Option<Secret>,
}

/// The answer to `POST /api/v1/agents/me/key`, 201: a key to take the place of the one that asked. Both open until this
/// one is first used; asked again, the controller makes another, and this one never opens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeyResponse {
    /// What to send as `X-API-KEY` once it is stored.
    #[serde(serialize_with = "reveal")]
    pub api_key: Secret,
}

/// `POST /api/v1/agents/me/heartbeat`: alive, and how it goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// `healthy`, `degraded` or `unhealthy`.
    pub status: String,
    /// The product's version.
    pub version: String,
    /// When its last round of work ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_scan_time: Option<DateTime<Utc>>,
    /// Files looked at in that round.
    #[serde(default)]
    pub files_processed: u64,
    /// Errors in that round.
    #[serde(default)]
    pub error_count: u64,
    /// Records waiting in the agent's outbox.
    #[serde(default)]
    pub outbox_records: u64,
    /// Records that the agent gave up because its outbox was full or they were too old, ever.
    #[serde(default)]
    pub outbox_dropped: u64,
    /// Records that were damaged on the agent's disk, ever.
    #[serde(default)]
    pub outbox_damaged: u64,
    /// Why it is not healthy, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the agent holds for delivered: a controller that went back in time sees by it what it lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered: Option<Delivered>,
    /// Where and on what it runs; on the link only where that is news since HELLO.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
}

/// Every record of a stream up to a number was accepted or refused by the controller, as the agent was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// The stream of the agent's outbox.
    pub stream: StreamId,
    /// The number; 0 where the first record still waits.
    pub through: u64,
}

/// The answer to a heartbeat, 200.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatResponse {
    /// The controller lacks records that the agent holds for delivered: it wants a full snapshot in a new stream.
    #[serde(default)]
    pub snapshot_wanted: bool,
    /// The agent is to have another key: [`KeyResponse`]. Said again until it has used one.
    #[serde(default, skip_serializing_if = "is_false")]
    pub new_key_wanted: bool,
    /// The highest number that the controller has seen of the stream that the heartbeat named. An agent that has given no
    /// such number yet was put back in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Delivered>,
}

/// `POST /api/v1/claims`: an agent without credentials asks to be taken in. The token itself never leaves the agent but
/// as `X-Claim-Token` of its own polls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimRequest {
    /// SHA-256 of the claim token's text, in hex.
    pub token_sha256: String,
    /// The agent's name, unique at the controller.
    pub name: String,
    /// The product: `scanner`, `reef-agent` …
    pub kind: String,
    /// The machine's name.
    pub hostname: String,
    /// The product's version.
    pub version: String,
    /// What it can do.
    #[serde(default)]
    pub capabilities: Vec<String>,
}

/// The answer, 201. The same request with the same token is answered by the same claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimResponse {
    /// The claim, for polls.
    pub claim_id: ClaimId,
    /// What an operator types: short, without characters that look alike.
    pub code: String,
    /// Where an operator types it.
    pub url: String,
    /// When the claim ends unless it is accepted.
    pub expires_at: DateTime<Utc>,
    /// When to ask for the first time.
    pub poll_after_secs: u32,
}

/// `GET /api/v1/claims/{claim_id}` before an operator has accepted it: 202. After that the answer is an
/// [`EnrollResponse`], 200, until the agent has used the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimPending {
    /// When the claim ends unless it is accepted.
    pub expires_at: DateTime<Utc>,
    /// When to ask again.
    pub poll_after_secs: u32,
}

// A secret prints as `***` everywhere but in the one message whose purpose is to hand it over.
fn reveal<S: serde::Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.reveal())
}

fn reveal_some<S: serde::Serializer>(secret: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    match secret {
        Some(secret) => reveal(secret, serializer),
        None => serializer.serialize_none(),
    }
}

/// For fields that older readers do not know and that are left out where they say nothing.
pub(crate) fn is_false(value: &bool) -> bool {
    !value
}
