//! What the controller asks of its store about claims, commands, the agent link and agents' configuration.
use crate::{
    agent::AgentRef,
    claim::{AcceptClaim, AcceptRefusal, Claim, ClaimLimits, ClaimPoll, ClaimRefusal, NewClaim},
    command::{CommandDetail, CommandFilter, CommandRecord, NewCommand, SendRefusal, SentCommand},
    link::{
        AgentConfig, ConfigState, HelloOutcome, NewConfig, NewSessionOfAgent, Outgoing, ResultTaken, SessionKey,
        SetConfigRefusal, Standing,
    },
    page::{Page, PageRequest},
    profile::{AmendRefusal, Amendment},
    selector::Group,
    store::{StoreError, store},
    token::TokenHash,
};
use chrono::{DateTime, Utc};
use core_model::{AgentId, ClaimId, CommandId, Secret, UserId};
use fleet_wire::{
    EnrollResponse,
    link::{Command, CommandReport, ConfigReport, HostSample, Progress},
};

store! {
    /// The part of the controller's memory that the agent link lives on. Whatever comes by a session names it: what an
    /// older session of the same agent brings changes nothing, and hears so.
    trait LinkStore: Sized;

    /// Opens a claim, or finds the one that this token has.
    fn open_claim(&self, claim: NewClaim, limits: ClaimLimits, now: DateTime<Utc>) -> Result<Claim, ClaimRefusal>;

    /// Where a claim stands, for whoever holds its token.
    fn poll_claim(&self, claim: ClaimId, token: TokenHash, now: DateTime<Utc>) -> ClaimPoll;

    /// Makes the key of an accepted claim, the same each time, and lets it open; none once it was used.
    fn hand_out_key(&self, claim: ClaimId, token: Secret) -> Option<EnrollResponse>;

    /// The agent has used its key: it is never handed out again.
    fn key_used(&self, agent: AgentId, now: DateTime<Utc>) -> ();

    /// Accepts a claim and adds its agent: of several at once, one does.
    fn accept_claim(&self, accept: AcceptClaim, now: DateTime<Utc>) -> Result<Claim, AcceptRefusal>;

    /// Claims, the newest first, those that are over too.
    fn claims(&self, page: PageRequest<ClaimId>) -> Page<Claim, ClaimId>;

    /// Queues a command for every agent that it is for: all or none.
    fn send_command(&self, command: NewCommand, now: DateTime<Utc>) -> Result<SentCommand, SendRefusal>;

    /// Takes a command back wherever it has not ended; whom it was for, if there is one.
    fn cancel_command(&self, command: CommandId, now: DateTime<Utc>) -> Option<Vec<AgentId>>;

    /// Commands, the latest first.
    fn commands(&self, filter: CommandFilter, page: PageRequest<u64>) -> Page<CommandRecord, u64>;

    /// A command with what became of it at each agent.
    fn command(&self, command: CommandId) -> Option<CommandDetail>;

    /// Ends what time has ended: commands that no agent had taken by their deadline, and those due before `overdue` at
    /// agents that were not heard of after `silent_since`. Forgets what was sent before `kept_since` and has ended. How
    /// many it ended.
    fn expire_commands(
        &self,
        now: DateTime<Utc>,
        overdue: DateTime<Utc>,
        silent_since: DateTime<Utc>,
        kept_since: DateTime<Utc>,
    ) -> u64;

    /// Agents with an open socket for whom something waits.
    fn awaited_agents(&self, now: DateTime<Utc>) -> Vec<AgentId>;

    /// Begins a session, unless somebody else has the agent's: puts right what its journal tells of its commands.
    fn hello(&self, session: NewSessionOfAgent, now: DateTime<Utc>) -> HelloOutcome;

    /// The session of an agent that polls, if it has one.
    fn polling_session(&self, agent: AgentId) -> Option<u64>;

    /// What goes down a session now; it is marked as sent. What was sent by `resend_before` and not answered goes again.
    fn outgoing(&self, session: SessionKey, now: DateTime<Utc>, resend_before: DateTime<Utc>) -> Outgoing;

    /// The agent of this session is alive.
    fn alive(&self, session: SessionKey, now: DateTime<Utc>) -> Standing;

    /// The agent has a command in its journal.
    fn command_acked(&self, session: SessionKey, command: CommandId, now: DateTime<Utc>) -> Standing;

    /// How far a command is.
    fn command_progressed(&self, session: SessionKey, progress: Progress, now: DateTime<Utc>) -> Standing;

    /// How a command ended, in the agent's word, which holds over what was concluded here without it. Stored once.
    fn command_ended(&self, session: SessionKey, report: CommandReport, now: DateTime<Utc>) -> ResultTaken;

    /// A sample of the host; the latest is kept.
    fn sampled(&self, session: SessionKey, sample: HostSample, now: DateTime<Utc>) -> Standing;

    /// What became of a configuration; the latest is kept.
    fn config_reported(&self, session: SessionKey, report: ConfigReport, now: DateTime<Utc>) -> Standing;

    /// The connection of a session is closed.
    fn session_ended(&self, session: SessionKey, now: DateTime<Utc>) -> ();

    /// Adds a version of an agent's configuration, if the latest is still the one that it is meant to follow.
    fn set_config(
        &self,
        agent: AgentRef,
        config: NewConfig,
        comment: String,
        follows: Option<u64>,
        by: UserId,
        now: DateTime<Utc>,
    ) -> Result<(AgentId, AgentConfig), SetConfigRefusal>;

    /// What an agent should run with, and what it says about that.
    fn config(&self, agent: AgentRef) -> Option<ConfigState>;

    /// Versions of an agent's configuration, the latest first.
    fn config_history(&self, agent: AgentRef, page: PageRequest<u64>) -> Option<Page<AgentConfig, u64>>;

    /// Changes what operators say of an agent: all of it or nothing.
    fn amend_agent(&self, agent: AgentRef, amendment: Amendment) -> Result<AgentId, AmendRefusal>;

    /// All groups by name.
    fn groups(&self) -> Vec<Group>;

    /// The group of this name.
    fn group(&self, name: String) -> Option<Group>;

    /// Puts a group in the place of the one of its name; whether there was none.
    fn put_group(&self, group: Group) -> bool;

    /// Forgets a group; whether there was one.
    fn remove_group(&self, name: String) -> bool;

    /// Begins to remove agents that were not heard of since `before`, but for those in maintenance; who they were, at most
    /// a thousand.
    fn remove_silent(&self, before: DateTime<Utc>, now: DateTime<Utc>) -> Vec<(AgentId, String)>;

    /// For an agent of the file-scanner document: the text of its configuration, if one stands, and the scan paths that it
    /// registered.
    fn document_config(&self, agent: AgentId) -> (Option<String>, Vec<String>);

    /// The commands of these verbs that such an agent may still begin, the most urgent first, marked as given to it. They
    /// are listed until their deadline: no agent of the document tells that it has one, nor what became of it.
    fn document_commands(&self, agent: AgentId, verbs: &'static [&'static str], now: DateTime<Utc>) -> Vec<Command>;

    /// Takes an agent's key away and begins to remove it: nobody sees it any more. Who it was, if there was one.
    fn remove_agent(&self, agent: AgentRef, now: DateTime<Utc>) -> Option<AgentId>;

    /// Deletes a step of what removed agents left; whether there may be more.
    fn purge_removed(&self) -> bool;
}
