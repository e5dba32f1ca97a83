//! What operators say of agents: names, sites, labels, maintenance, groups; and agents that are silent for too long.
use super::{
    Fleet,
    registry::{check_name, check_text},
};
use crate::{
    Store, StoreError,
    agent::AgentRef,
    profile::{AmendRefusal, Amendment},
    selector::Group,
};
use chrono::{DateTime, TimeDelta, Utc};
use core_model::{AgentId, MOST_LABELS};
use std::time::Duration;

/// Words about a group or a maintenance.
const LONGEST_REMARK: usize = 1_000;

/// An agent was not changed; nothing of it was.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AmendError {
    /// There is no such agent.
    #[error("there is no agent `{0}`")]
    NoAgent(String),
    /// Another agent has the name.
    #[error("an agent named `{0}` is enrolled already")]
    NameTaken(String),
    /// What was asked cannot be.
    #[error("{0}")]
    Invalid(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A group was not put.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PutGroupError {
    /// What was asked cannot be.
    #[error("{0}")]
    Invalid(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<S: Store> Fleet<S> {
    /// Changes what operators say of an agent. Another name it hears with its next session.
    ///
    /// # Errors
    /// When there is no such agent, the name is taken, what was asked cannot be, or the store fails.
    pub async fn amend_agent(&self, agent: &str, amendment: Amendment) -> Result<(), AmendError> {
        let name = amendment.name.clone();
        if let Some(name) = &name {
            check_name("name", name).map_err(AmendError::Invalid)?;
        }
        if let Some(Some(maintenance)) = &amendment.maintenance {
            check_text("reason", &maintenance.reason, LONGEST_REMARK).map_err(AmendError::Invalid)?;
            if !maintenance.lasts(maintenance.since) {
                return Err(AmendError::Invalid(
                    "the maintenance would end before it begins".to_owned(),
                ));
            }
        }
        let amended = self.store().amend_agent(AgentRef::from(agent), amendment).await?;
        amended.map(drop).map_err(|refusal| match refusal {
            AmendRefusal::NoAgent => AmendError::NoAgent(agent.to_owned()),
            AmendRefusal::NameTaken => AmendError::NameTaken(name.unwrap_or_default()),
            AmendRefusal::TooManyLabels => AmendError::Invalid(format!("an agent bears up to {MOST_LABELS} labels")),
        })
    }

    /// Puts a group in the place of the one of its name; whether there was none.
    ///
    /// # Errors
    /// When it cannot be, or the store fails.
    pub async fn put_group(&self, group: Group) -> Result<bool, PutGroupError> {
        check_name("name", &group.name).map_err(PutGroupError::Invalid)?;
        check_text("comment", &group.comment, LONGEST_REMARK).map_err(PutGroupError::Invalid)?;
        if group.selector.is_everybody() {
            let text = "a group needs a kind, site, label, capability or container engine: everybody is `all`";
            return Err(PutGroupError::Invalid(text.to_owned()));
        }
        if group.selector.labels.len() > MOST_LABELS {
            return Err(PutGroupError::Invalid(format!(
                "a group asks for up to {MOST_LABELS} labels"
            )));
        }
        Ok(self.store().put_group(group).await?)
    }

    /// Removes the agents that were not heard of for so long, but for those in maintenance; who they were.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn remove_silent(
        &self,
        silent_for: Duration,
        now: DateTime<Utc>,
    ) -> Result<Vec<(AgentId, String)>, StoreError> {
        let silent_for = TimeDelta::from_std(silent_for).unwrap_or(TimeDelta::MAX);
        let Some(before) = now.checked_sub_signed(silent_for) else {
            return Ok(Vec::new());
        };
        let removed = self.store().remove_silent(before, now).await?;
        removed.iter().for_each(|(agent, _)| self.wake(*agent));
        if !removed.is_empty() {
            self.removed.notify_one();
        }
        Ok(removed)
    }
}
