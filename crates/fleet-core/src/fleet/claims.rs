//! Claims: asked for by agents, accepted by operators.
use super::{
    Fleet,
    registry::{check, check_name},
};
use crate::{
    Store, StoreError,
    agent::Registration,
    claim::{
        AcceptClaim, AcceptRefusal, Claim, ClaimCode, ClaimLimits, ClaimPoll, ClaimRefusal, ClaimSecret, NewClaim,
    },
    identity::Operator,
    token::{RandomError, TokenHash, random},
};
use chrono::{DateTime, TimeDelta, Utc};
use core_model::{AgentId, ClaimId, Secret};
use fleet_wire::{ClaimRequest, EnrollResponse};

/// Another code is made so often where one is taken: of 2^40 hardly ever twice.
const CODES: usize = 5;

/// No claim was opened.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OpenClaimError {
    /// What the agent told cannot be.
    #[error("{0}")]
    Invalid(String),
    /// So many claims are open that another is refused.
    #[error("too many claims are open: accept or wait out some of them, or enrol by a join token")]
    TooMany,
    /// This token's claim was accepted and its key used.
    #[error("this claim was accepted and its key used already: begin a new one with a new token")]
    Used,
    /// There were no random bytes.
    #[error("a claim could not be made")]
    Random(#[from] RandomError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A claim has nothing for whoever asks.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PollClaimError {
    /// No such claim, or not this token: nobody learns which.
    #[error("there is no such claim for this token")]
    Unknown,
    /// Nobody accepted it in time.
    #[error("nobody accepted this claim in time: begin a new one")]
    Expired,
    /// Its key was handed out and used.
    #[error("this claim was accepted and its key used already: begin a new one with a new token")]
    Used,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A claim was not accepted.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AcceptClaimError {
    /// There is no such code.
    #[error("no agent waits with the code `{0}`")]
    Unknown(String),
    /// Nobody accepted it in time.
    #[error("this claim has ended: the agent shows another code by now")]
    Expired,
    /// Somebody has accepted it already.
    #[error("this claim was accepted already")]
    Accepted,
    /// Another agent has the name.
    #[error("an agent named `{0}` is enrolled already; accept this one under another name, or revoke the other")]
    NameTaken(String),
    /// The name cannot be one.
    #[error("{0}")]
    Invalid(String),
    /// There were no random bytes.
    #[error("a key could not be made")]
    Random(#[from] RandomError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a claim has for its agent.
#[derive(Clone, Debug)]
pub enum ClaimAnswer {
    /// It waits for an operator.
    Pending(Box<Claim>),
    /// It was accepted: the agent's id and key.
    Accepted(EnrollResponse),
}

impl<S: Store> Fleet<S> {
    /// Opens a claim for an agent without credentials, or finds the one that its token has. `network` is where it came
    /// from.
    ///
    /// # Errors
    /// When what it told cannot be, too many are open, or the store fails.
    pub async fn open_claim(
        &self,
        request: ClaimRequest,
        network: &str,
        now: DateTime<Utc>,
    ) -> Result<Claim, OpenClaimError> {
        let invalid = OpenClaimError::Invalid;
        let wrong = || invalid("token_sha256 is the SHA-256 of the claim token in 64 digits of hex".to_owned());
        let token = TokenHash::from_hex(&request.token_sha256).ok_or_else(wrong)?;
        let registration = Registration {
            hostname: request.hostname,
            version: request.version,
            capabilities: request.capabilities,
            scan_paths: Vec::new(),
        };
        check_name("name", &request.name)
            .and_then(|()| check_name("kind", &request.kind))
            .and_then(|()| check(&registration))
            .map_err(invalid)?;
        let settings = self.settings();
        let limits = ClaimLimits {
            open: settings.open_claims,
            of_network: settings.open_claims_of_network,
        };
        let life = TimeDelta::from_std(settings.claim_life).unwrap_or(TimeDelta::MAX);
        let mut claim = NewClaim {
            id: ClaimId::new(now, random()?),
            code: ClaimCode::generate()?,
            token,
            network: network.to_owned(),
            name: request.name,
            kind: request.kind,
            registration,
            expires_at: now.checked_add_signed(life).unwrap_or(DateTime::<Utc>::MAX_UTC),
        };
        for _ in 0..CODES {
            match self.store().open_claim(claim.clone(), limits, now).await? {
                Ok(opened) => return Ok(opened),
                Err(ClaimRefusal::TooMany) => return Err(OpenClaimError::TooMany),
                Err(ClaimRefusal::Used) => return Err(OpenClaimError::Used),
                Err(ClaimRefusal::CodeTaken) => claim.code = ClaimCode::generate()?,
            }
        }
        Err(OpenClaimError::TooMany)
    }

    /// What a claim has for whoever holds its token. The key is the same each time, until the agent has used it.
    ///
    /// # Errors
    /// When there is no such claim for this token, it is over, or the store fails.
    pub async fn poll_claim(
        &self,
        claim: ClaimId,
        token: &Secret,
        now: DateTime<Utc>,
    ) -> Result<ClaimAnswer, PollClaimError> {
        match self
            .store()
            .poll_claim(claim, TokenHash::of(token.reveal()), now)
            .await?
        {
            ClaimPoll::Open(claim) => Ok(ClaimAnswer::Pending(claim)),
            ClaimPoll::Unknown => Err(PollClaimError::Unknown),
            ClaimPoll::Expired => Err(PollClaimError::Expired),
            ClaimPoll::Used => Err(PollClaimError::Used),
            ClaimPoll::Accepted => {
                let handed_out = self.store().hand_out_key(claim, token.clone()).await?;
                handed_out.map(ClaimAnswer::Accepted).ok_or(PollClaimError::Used)
            }
        }
    }

    /// An operator lets the agent in that shows this code, under its own name or another.
    ///
    /// # Errors
    /// When there is no such code, it is over, somebody accepted it already, the name is taken, or the store fails.
    pub async fn accept_claim(
        &self,
        operator: &Operator,
        code: &str,
        name: Option<String>,
        now: DateTime<Utc>,
    ) -> Result<Claim, AcceptClaimError> {
        let unknown = || AcceptClaimError::Unknown(code.chars().take(32).collect());
        if let Some(name) = &name {
            check_name("name", name).map_err(AcceptClaimError::Invalid)?;
        }
        let accept = AcceptClaim {
            code: ClaimCode::parse(code).ok_or_else(unknown)?,
            name,
            agent: AgentId::new(now, random()?),
            no_key: TokenHash::of_nothing()?,
            secret: ClaimSecret::generate()?,
            by: operator.user,
        };
        self.store()
            .accept_claim(accept, now)
            .await?
            .map_err(|refusal| match refusal {
                AcceptRefusal::Unknown => unknown(),
                AcceptRefusal::Expired => AcceptClaimError::Expired,
                AcceptRefusal::Accepted => AcceptClaimError::Accepted,
                AcceptRefusal::NameTaken(name) => AcceptClaimError::NameTaken(name),
            })
    }
}
