//! Agents: joining, being known by their keys, telling how they are.
use super::Fleet;
use crate::{
    Store, StoreError,
    agent::{
        AgentIdentity, AgentRecord, AgentStatus, HealthReport, HealthStatus, NewAgent, NewHeartbeat, Registration,
    },
    profile::AgentProfile,
    store::EnrollRefusal,
    token::{RandomError, TokenHash, TokenKind, random},
};
use chrono::{DateTime, Utc};
use core_model::AgentId;
use fleet_wire::{EnrollRequest, EnrollResponse, Heartbeat, HeartbeatResponse, files_v1};

/// Characters of the reason for which an agent is not healthy.
const LONGEST_REASON: usize = 500;

/// An agent did not join.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EnrollError {
    /// The token opens nothing: nobody learns why not.
    #[error("the join token is not valid")]
    Token,
    /// Another agent has the name.
    #[error("an agent named `{name}` is enrolled already; give this one another name, or revoke the other")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// What the agent told cannot be.
    #[error("{0}")]
    Invalid(String),
    /// There were no random bytes.
    #[error("a key could not be made")]
    Random(#[from] RandomError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What an agent told of itself was not taken.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RegisterError {
    /// It spoke for another agent.
    #[error("this key does not belong to the agent named")]
    OtherAgent,
    /// What it told cannot be.
    #[error("{0}")]
    Invalid(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A heartbeat was not taken.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HeartbeatError {
    /// It spoke for another agent.
    #[error("this key does not belong to the agent named")]
    OtherAgent,
    /// What it told cannot be.
    #[error("{0}")]
    Invalid(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<S: Store> Fleet<S> {
    /// Lets an agent join by a token, and gives it its id and key.
    ///
    /// # Errors
    /// When the token opens nothing, the name is taken, what the agent told cannot be, or the store fails.
    pub async fn enroll(&self, request: EnrollRequest, now: DateTime<Utc>) -> Result<EnrollResponse, EnrollError> {
        let (name, token) = (request.name.clone(), request.join_token.clone());
        let agent = new_agent(request, AgentId::new(now, random()?)).map_err(EnrollError::Invalid)?;
        let (agent_id, api_key) = (agent.id, TokenKind::AgentKey.generate()?);
        let token = TokenHash::of(token.ok_or(EnrollError::Token)?.reveal());
        let key = TokenHash::of(api_key.reveal());
        match self.store.enroll(token, agent, key, now).await? {
            Ok(()) => Ok(EnrollResponse {
                agent_id,
                api_key: Some(api_key),
            }),
            Err(EnrollRefusal::Token) => Err(EnrollError::Token),
            Err(EnrollRefusal::NameTaken) => Err(EnrollError::NameTaken { name }),
        }
    }

    /// Whose key this is, a revoked one's too. The first use of a key that came by a claim is the last moment at which
    /// the claim hands it out; that of a key that takes the place of another ends the other.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn authenticate_agent(&self, key: &str, now: DateTime<Utc>) -> Result<Option<AgentIdentity>, StoreError> {
        let hash = TokenHash::of(key);
        let mut agent = self.store.agent_by_key(hash).await?;
        if agent
            .as_ref()
            .is_some_and(|agent| agent.is_key_pending && !agent.revoked)
        {
            // Where it is not pending any more, another request has just taken it up, or another key has its place.
            if let Some(agent) = self.store.take_up_key(hash, now).await? {
                // A socket that was opened with the key before finds out that it is over.
                self.wake(agent);
            }
            agent = self.store.agent_by_key(hash).await?;
        }
        if let Some(agent) = agent.as_ref().filter(|agent| agent.is_key_new) {
            self.store.key_used(agent.id, now).await?;
        }
        Ok(agent)
    }

    /// An agent of the file-scanner document tells where and what it is.
    ///
    /// # Errors
    /// When it names another agent, tells what cannot be, or the store fails.
    pub async fn register(
        &self,
        agent: &AgentIdentity,
        told: files_v1::Register,
        now: DateTime<Utc>,
    ) -> Result<(), RegisterError> {
        if !agent.is(&told.agent_id) {
            return Err(RegisterError::OtherAgent);
        }
        let registration = Registration {
            hostname: told.hostname,
            version: told.version,
            capabilities: told.capabilities,
            scan_paths: told.scan_paths,
        };
        check(&registration).map_err(RegisterError::Invalid)?;
        Ok(self.store.register(agent.id, registration, now).await?)
    }

    /// An agent is alive, and tells how it goes; it hears whether records are missing here that it holds for delivered.
    ///
    /// # Errors
    /// When it tells what cannot be, or the store fails.
    pub async fn heartbeat(
        &self,
        agent: &AgentIdentity,
        told: Heartbeat,
        now: DateTime<Utc>,
    ) -> Result<HeartbeatResponse, HeartbeatError> {
        check_text("version", &told.version, 255).map_err(HeartbeatError::Invalid)?;
        let health = HealthReport {
            status: health(&told.status),
            last_scan_time: told.last_scan_time,
            files_processed: told.files_processed,
            error_count: told.error_count,
            outbox_records: Some(told.outbox_records),
            outbox_dropped: Some(told.outbox_dropped),
            outbox_damaged: Some(told.outbox_damaged),
            reason: told.reason.as_deref().map(shortened),
            memory_bytes: None,
        };
        let heartbeat = NewHeartbeat {
            version: Some(told.version),
            health,
            delivered: told.delivered,
            profile: told.profile.map(AgentProfile::from),
        };
        let keys_before = self.keys_before(now);
        let noted = self.store.heartbeat(agent.id, heartbeat, keys_before, now).await?;
        Ok(HeartbeatResponse {
            snapshot_wanted: noted.snapshot_wanted,
            new_key_wanted: noted.new_key_wanted,
            seen: noted.seen,
        })
    }

    /// The same in the file-scanner document's words; `named` is the agent in the address, where there is one.
    ///
    /// # Errors
    /// When it names another agent, tells what cannot be, or the store fails.
    pub async fn heartbeat_v1(
        &self,
        agent: &AgentIdentity,
        named: Option<&str>,
        told: files_v1::Heartbeat,
        now: DateTime<Utc>,
    ) -> Result<(), HeartbeatError> {
        if named.is_none() && told.agent_id.is_none() {
            return Err(HeartbeatError::Invalid("agentId is missing".to_owned()));
        }
        if [named, told.agent_id.as_deref()]
            .into_iter()
            .flatten()
            .any(|name| !agent.is(name))
        {
            return Err(HeartbeatError::OtherAgent);
        }
        let last_scan_time = told
            .last_scan_time
            .filter(|text| !text.is_empty())
            .map(|text| DateTime::parse_from_rfc3339(&text))
            .transpose()
            .map_err(|error| HeartbeatError::Invalid(format!("lastScanTime is not a time (RFC 3339): {error}")))?;
        let health = HealthReport {
            status: health(&told.status),
            last_scan_time: last_scan_time.map(|time| time.to_utc()),
            files_processed: told.files_processed,
            error_count: told.error_count,
            outbox_records: None,
            outbox_dropped: None,
            outbox_damaged: None,
            reason: None,
            memory_bytes: Some(told.memory_usage).filter(|bytes| *bytes > 0),
        };
        let heartbeat = NewHeartbeat {
            version: None,
            health,
            delivered: None,
            profile: None,
        };
        self.store.heartbeat(agent.id, heartbeat, None, now).await?;
        Ok(())
    }

    /// How an agent is at `now`.
    pub fn status(&self, agent: &AgentRecord, now: DateTime<Utc>) -> AgentStatus {
        agent.status(now, self.settings().offline_after)
    }
}

/// What an agent told of itself as it asks to be enrolled, if that can be.
pub(super) fn new_agent(request: EnrollRequest, id: AgentId) -> Result<NewAgent, String> {
    let registration = Registration {
        hostname: request.hostname,
        version: request.version,
        capabilities: request.capabilities,
        scan_paths: Vec::new(),
    };
    check_name("name", &request.name)?;
    check_name("kind", &request.kind)?;
    check(&registration)?;
    Ok(NewAgent {
        id,
        name: request.name,
        kind: request.kind,
        registration,
    })
}

/// Control characters and great length are of no use to a reader.
fn shortened(reason: &str) -> String {
    let plain = reason.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(LONGEST_REASON).collect()
}

fn health(word: &str) -> HealthStatus {
    let Ok(status) = word.parse();
    status
}

pub(super) fn check_name(what: &str, name: &str) -> Result<(), String> {
    check_text(what, name, 255)?;
    match name.parse::<AgentId>() {
        _ if name.trim().is_empty() => Err(format!("{what} is empty")),
        // Routes take an id or a name: a name must not look like an id.
        Ok(_) => Err(format!("{what} is a UUID; give it a name that tells people what it is")),
        Err(_) => Ok(()),
    }
}

pub(super) fn check_text(what: &str, text: &str, longest: usize) -> Result<(), String> {
    if text.len() > longest || text.chars().any(char::is_control) {
        return Err(format!("{what} has up to {longest} bytes and no control characters"));
    }
    Ok(())
}

pub(super) fn check(registration: &Registration) -> Result<(), String> {
    check_text("hostname", &registration.hostname, 255)?;
    check_text("version", &registration.version, 255)?;
    if registration.capabilities.len() > 256 || registration.scan_paths.len() > 256 {
        return Err("an agent has up to 256 capabilities and 256 scan paths".to_owned());
    }
    for capability in &registration.capabilities {
        check_text("a capability", capability, 255)?;
    }
    // A path may hold anything, a line break too.
    match registration
        .scan_paths
        .iter()
        .find(|path| path.len() > crate::MAX_PATH_BYTES)
    {
        Some(_) => Err(format!("a scan path has up to {} bytes", crate::MAX_PATH_BYTES)),
        None => Ok(()),
    }
}
