//! The agent link: sessions, what comes by them, and what goes down.
use super::{
    Fleet, HeartbeatError,
    registry::{check, check_text},
    wake::Waker,
};
use crate::{
    Store, StoreError,
    agent::{AgentIdentity, AgentRef, Registration},
    link::{HelloOutcome, NewSessionOfAgent, Outgoing, ResultTaken, SessionKey, Standing, Transport},
};
use chrono::{DateTime, Utc};
use core_model::AgentId;
use fleet_wire::{
    Heartbeat,
    link::{Ack, CommandReport, ConfigReport, Hello, HostSample, Progress},
};

/// Entries of a journal that are looked at.
const LONGEST_JOURNAL: usize = 10_000;

/// An agent did not begin a session.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HelloError {
    /// What it told cannot be.
    #[error("{0}")]
    Invalid(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<S: Store> Fleet<S> {
    /// An agent says who it is and where it stands. An older session of the same agent ends by it.
    ///
    /// # Errors
    /// When it tells what cannot be, or the store fails.
    pub async fn hello(
        &self,
        agent: AgentId,
        hello: Hello,
        transport: Transport,
        remote: String,
        now: DateTime<Utc>,
    ) -> Result<HelloOutcome, HelloError> {
        check_hello(&hello).map_err(HelloError::Invalid)?;
        let session = NewSessionOfAgent {
            agent,
            hello,
            transport,
            remote,
            live_for: self.settings().offline_after,
            keys_before: self.keys_before(now),
        };
        let outcome = self.store().hello(session, now).await?;
        if let HelloOutcome::Welcome { .. } = outcome {
            // A session that it takes over from finds out by itself.
            self.wake(agent);
        }
        Ok(outcome)
    }

    /// The heartbeat of a session's agent; whether records are missing here that it holds for delivered.
    ///
    /// # Errors
    /// When it tells what cannot be, or the store fails.
    pub async fn session_heartbeat(
        &self,
        session: SessionKey,
        agent: &AgentIdentity,
        told: Heartbeat,
        now: DateTime<Utc>,
    ) -> Result<Result<bool, Standing>, HeartbeatError> {
        match self.store().alive(session, now).await? {
            Standing::Current => Ok(Ok(self.heartbeat(agent, told, now).await?.snapshot_wanted)),
            ended => Ok(Err(ended)),
        }
    }

    /// A command is in the agent's journal.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn command_acked(
        &self,
        session: SessionKey,
        ack: Ack,
        now: DateTime<Utc>,
    ) -> Result<Standing, StoreError> {
        self.store().command_acked(session, ack.command, now).await
    }

    /// How far a command is.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn command_progressed(
        &self,
        session: SessionKey,
        progress: Progress,
        now: DateTime<Utc>,
    ) -> Result<Standing, StoreError> {
        self.store().command_progressed(session, progress, now).await
    }

    /// How a command ended. When this says that it is stored, it is on disk.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn command_ended(
        &self,
        session: SessionKey,
        report: CommandReport,
        now: DateTime<Utc>,
    ) -> Result<ResultTaken, StoreError> {
        self.store().command_ended(session, report, now).await
    }

    /// A sample of an agent's host.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn sampled(
        &self,
        session: SessionKey,
        sample: HostSample,
        now: DateTime<Utc>,
    ) -> Result<Standing, StoreError> {
        self.store().sampled(session, sample, now).await
    }

    /// What became of a configuration.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn config_reported(
        &self,
        session: SessionKey,
        report: ConfigReport,
        now: DateTime<Utc>,
    ) -> Result<Standing, StoreError> {
        self.store().config_reported(session, report, now).await
    }

    /// What goes down a session now. What was sent by `resend_before` and not answered goes again.
    ///
    /// # Errors
    /// When the store fails; nothing is marked as sent then.
    pub async fn outgoing(
        &self,
        session: SessionKey,
        now: DateTime<Utc>,
        resend_before: DateTime<Utc>,
    ) -> Result<Outgoing, StoreError> {
        self.store().outgoing(session, now, resend_before).await
    }

    /// Wakes whoever asked for it when something waits for the agent.
    pub fn waker(&self, agent: AgentId) -> Waker {
        self.wakes.subscribe(agent)
    }

    /// Wakes the sessions for whose agents something waits that nobody nudged for. To be called every few seconds: with
    /// this a nudge that was lost costs no more than that.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn wake_awaited(&self, now: DateTime<Utc>) -> Result<(), StoreError> {
        if !self.wakes.is_empty() {
            let awaited = self.store().awaited_agents(now).await?;
            awaited.into_iter().for_each(|agent| self.wake(agent));
        }
        Ok(())
    }

    pub(super) fn wake(&self, agent: AgentId) {
        self.wakes.wake(agent);
    }

    pub(super) fn dismiss(&self, agent: AgentId) {
        self.wakes.dismiss(agent);
    }

    /// Takes an agent's key away and ends its session; whether there was such an agent.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn revoke_agent(&self, agent: &str, now: DateTime<Utc>) -> Result<bool, StoreError> {
        let revoked = self.store().revoke_agent(AgentRef::from(agent), now).await?;
        revoked.iter().for_each(|agent| self.wake(*agent));
        Ok(revoked.is_some())
    }

    /// Takes an agent's key away and removes it with all that it told; whether there was such an agent. Its files go in
    /// steps ([`Fleet::purge_removed`]), but nobody sees them any more.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn remove_agent(&self, agent: &str, now: DateTime<Utc>) -> Result<bool, StoreError> {
        let removed = self.store().remove_agent(AgentRef::from(agent), now).await?;
        removed.iter().for_each(|agent| self.wake(*agent));
        if removed.is_some() {
            self.removed.notify_one();
        }
        Ok(removed.is_some())
    }

    /// Deletes a step of what removed agents left; whether there may be more. To be called again until there is none: at
    /// start, and after [`Fleet::until_more_to_purge`].
    ///
    /// # Errors
    /// When the store fails; what was deleted before stays deleted.
    pub async fn purge_removed(&self) -> Result<bool, StoreError> {
        self.store().purge_removed().await
    }

    /// Waits until an agent is removed. One that was while nobody waited counts.
    pub async fn until_more_to_purge(&self) {
        self.removed.notified().await;
    }
}

fn check_hello(hello: &Hello) -> Result<(), String> {
    let registration = Registration {
        hostname: hello.hostname.clone(),
        version: hello.version.clone(),
        capabilities: hello.capabilities.clone(),
        scan_paths: Vec::new(),
    };
    check(&registration)?;
    check_text("machine", hello.machine.as_deref().unwrap_or(""), 255)?;
    if hello.verbs.len() > 256 || hello.journal.len() > LONGEST_JOURNAL {
        return Err(format!(
            "an agent has up to 256 verbs and {LONGEST_JOURNAL} commands in its journal"
        ));
    }
    hello.verbs.iter().try_for_each(|verb| check_text("a verb", verb, 64))
}
