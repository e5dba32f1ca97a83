//! Agents that their certificates prove, and keys that take the place of others.
use super::{Fleet, registry::new_agent};
use crate::{
    Store, StoreError,
    agent::{AgentIdentity, AgentRef},
    store::{CertifiedRefusal, KeyWishRefusal},
    token::{RandomError, TokenHash, TokenKind, random},
};
use chrono::{DateTime, TimeDelta, Utc};
use core_model::{AgentId, Secret};
use fleet_wire::{EnrollRequest, EnrollResponse};

/// An agent did not join by its certificate.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EnrollCertifiedError {
    /// The certificate is of another name.
    #[error(
        "this certificate is for the agent `{certified}`, and not for `{name}`: set `agent.id` to `{certified}`, or have a \
         certificate issued for `{name}`"
    )]
    OtherName {
        /// The name that the agent gives.
        name: String,
        /// The certificate's.
        certified: String,
    },
    /// An agent of another product has the name.
    #[error("an agent named `{name}` of another kind is enrolled already: have a certificate issued for another name")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// The agent of the name was revoked.
    #[error("this agent was revoked; remove it at the controller to let it join again by its certificate")]
    Revoked,
    /// What the agent told cannot be.
    #[error("{0}")]
    Invalid(String),
    /// There were no random bytes.
    #[error("an id could not be made")]
    Random(#[from] RandomError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An agent was given no other key.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RenewKeyError {
    /// It did not come by a key.
    #[error("a key is renewed by the agent that has it: this one came by its certificate")]
    NoKey,
    /// The key that it came by has been replaced meanwhile, or the agent revoked.
    #[error("this key was replaced meanwhile")]
    Replaced,
    /// There were no random bytes.
    #[error("a key could not be made")]
    Random(#[from] RandomError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An agent is not asked for another key.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RotateKeyError {
    /// There is no such agent.
    #[error("there is no agent `{0}`")]
    NoAgent(String),
    /// It was revoked.
    #[error("the agent `{0}` was revoked: its key opens nothing")]
    Revoked(String),
    /// It has no key.
    #[error("the agent `{0}` has no key: its certificate proves it, and is renewed where it is issued")]
    NoKey(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<S: Store> Fleet<S> {
    /// Lets an agent join whose certificate is for `certified`; it gets no key. One that has joined already is found
    /// again, so that an answer that was lost can be asked for again: the flag says whether it is new.
    ///
    /// # Errors
    /// When it gives another name than the certificate's, the name is of another product or of a revoked agent, what it
    /// told cannot be, or the store fails.
    pub async fn enroll_certified(
        &self,
        certified: &str,
        request: EnrollRequest,
        now: DateTime<Utc>,
    ) -> Result<(EnrollResponse, bool), EnrollCertifiedError> {
        let name = request.name.clone();
        if name != certified {
            let certified = certified.to_owned();
            return Err(EnrollCertifiedError::OtherName { name, certified });
        }
        let agent = new_agent(request, AgentId::new(now, random()?)).map_err(EnrollCertifiedError::Invalid)?;
        let new = agent.id;
        match self
            .store()
            .enroll_certified(agent, TokenHash::of_nothing()?, now)
            .await?
        {
            Ok(agent_id) => {
                let answer = EnrollResponse {
                    agent_id,
                    api_key: None,
                };
                Ok((answer, agent_id == new))
            }
            Err(CertifiedRefusal::NameTaken) => Err(EnrollCertifiedError::NameTaken { name }),
            Err(CertifiedRefusal::Revoked) => Err(EnrollCertifiedError::Revoked),
        }
    }

    /// The agent whose certificate is for `certified`, a revoked one too.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn agent_certified(&self, certified: &str) -> Result<Option<AgentIdentity>, StoreError> {
        self.store().agent_by_name(certified.to_owned()).await
    }

    /// Makes a key that takes the place of the one that the agent came by when it is first used. Until then both open,
    /// and another one asked for takes this one's place.
    ///
    /// # Errors
    /// When the agent did not come by a key, it was replaced meanwhile, or the store fails.
    pub async fn renew_key(&self, agent: &AgentIdentity) -> Result<Secret, RenewKeyError> {
        let current = agent.key.ok_or(RenewKeyError::NoKey)?;
        let key = TokenKind::AgentKey.generate()?;
        let new = TokenHash::of(key.reveal());
        if self.store().renew_key(agent.id, current, new).await? {
            Ok(key)
        } else {
            Err(RenewKeyError::Replaced)
        }
    }

    /// Asks an agent for another key: it hears so by its next heartbeat or session, until it has used one. A session that
    /// is open here ends for it.
    ///
    /// # Errors
    /// When there is no such agent, it was revoked or has no key, or the store fails.
    pub async fn rotate_key(&self, agent: &str, now: DateTime<Utc>) -> Result<(), RotateKeyError> {
        match self.store().want_new_key(AgentRef::from(agent), now).await? {
            Ok(agent) => {
                self.dismiss(agent);
                Ok(())
            }
            Err(KeyWishRefusal::NoAgent) => Err(RotateKeyError::NoAgent(agent.to_owned())),
            Err(KeyWishRefusal::Revoked) => Err(RotateKeyError::Revoked(agent.to_owned())),
            Err(KeyWishRefusal::NoKey) => Err(RotateKeyError::NoKey(agent.to_owned())),
        }
    }

    /// A key made before this is too old.
    pub(super) fn keys_before(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let after = TimeDelta::from_std(self.settings().rotate_keys_after?).ok()?;
        now.checked_sub_signed(after)
    }
}
