//! The configuration that operators set for agents.
use super::{Fleet, registry::check_text};
use crate::{
    Store, StoreError,
    agent::AgentRef,
    identity::Operator,
    link::{AgentConfig, NewConfig, SetConfigRefusal},
};
use chrono::{DateTime, Utc};

/// No version was set.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SetConfigError {
    /// There is no such agent.
    #[error("there is no agent `{0}`")]
    NoAgent(String),
    /// There is nothing to go back to by this number.
    #[error("there is no version {0} of this agent's configuration to go back to")]
    NoVersion(u64),
    /// Somebody set another version meanwhile.
    #[error("the configuration is at version {latest} by now: look at it, then set yours again")]
    Changed {
        /// The latest version; 0 for none.
        latest: u64,
    },
    /// What was asked cannot be.
    #[error("{0}")]
    Invalid(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<S: Store> Fleet<S> {
    /// Adds a version of an agent's configuration and tells the agent, if it is there. With `follows` only if that is
    /// still the latest. Whether the text is a document is for the caller to look at, who knows the format.
    ///
    /// # Errors
    /// When there is no such agent or version, somebody was quicker, the text is too long, or the store fails.
    pub async fn set_config(
        &self,
        operator: &Operator,
        agent: &str,
        config: NewConfig,
        comment: String,
        follows: Option<u64>,
        now: DateTime<Utc>,
    ) -> Result<AgentConfig, SetConfigError> {
        let longest = self.settings().longest_config;
        if let NewConfig::Text(text) = &config
            && text.len() > longest
        {
            return Err(SetConfigError::Invalid(format!(
                "a configuration has up to {longest} bytes"
            )));
        }
        check_text("comment", &comment, 255).map_err(SetConfigError::Invalid)?;
        let wanted = match config {
            NewConfig::Version(version) => version,
            NewConfig::Text(_) | NewConfig::Withdrawn => 0,
        };
        let set = self
            .store()
            .set_config(AgentRef::from(agent), config, comment, follows, operator.user, now)
            .await?;
        match set {
            Ok((agent, config)) => {
                self.wake(agent);
                Ok(config)
            }
            Err(SetConfigRefusal::NoAgent) => Err(SetConfigError::NoAgent(agent.to_owned())),
            Err(SetConfigRefusal::NoVersion) => Err(SetConfigError::NoVersion(wanted)),
            Err(SetConfigRefusal::Changed { latest }) => Err(SetConfigError::Changed { latest }),
        }
    }
}
