//! Claims, commands, sessions and configurations, as the store's users ask for them.
use super::{SqliteStore, amend, claims, commands, configs, deliveries, document, removal, sessions};
use crate::{
    agent::AgentRef,
    claim::{AcceptClaim, AcceptRefusal, Claim, ClaimLimits, ClaimPoll, ClaimRefusal, NewClaim},
    command::{CommandDetail, CommandFilter, CommandRecord, NewCommand, SendRefusal, SentCommand},
    link::{
        AgentConfig, ConfigState, HelloOutcome, NewConfig, NewSessionOfAgent, Outgoing, ResultTaken, SessionKey,
        SetConfigRefusal, Standing,
    },
    link_store::LinkStore,
    page::{Page, PageRequest},
    profile::{AmendRefusal, Amendment},
    selector::Group,
    store::StoreError,
    token::TokenHash,
};
use chrono::{DateTime, Utc};
use core_model::{AgentId, ClaimId, CommandId, Secret, UserId};
use fleet_wire::{
    EnrollResponse,
    link::{Command, CommandReport, ConfigReport, HostSample, Progress},
};

type Asked<T> = Result<T, StoreError>;

impl LinkStore for SqliteStore {
    async fn open_claim(
        &self,
        claim: NewClaim,
        limits: ClaimLimits,
        now: DateTime<Utc>,
    ) -> Asked<Result<Claim, ClaimRefusal>> {
        let work = move |db: &_| claims::open(db, &claim, limits, now);
        self.writer.run("open a claim", work).await
    }

    async fn poll_claim(&self, claim: ClaimId, token: TokenHash, now: DateTime<Utc>) -> Asked<ClaimPoll> {
        let read = move |db: &_| claims::poll(db, claim, token, now);
        self.readers.run("look after a claim", read).await
    }

    async fn hand_out_key(&self, claim: ClaimId, token: Secret) -> Asked<Option<EnrollResponse>> {
        let work = move |db: &_| claims::hand_out(db, claim, &token);
        self.writer.run("hand out a key", work).await
    }

    async fn key_used(&self, agent: AgentId, now: DateTime<Utc>) -> Asked<()> {
        let work = move |db: &_| claims::used(db, agent, now);
        self.writer.run("note that a key was used", work).await
    }

    async fn accept_claim(&self, accept: AcceptClaim, now: DateTime<Utc>) -> Asked<Result<Claim, AcceptRefusal>> {
        let work = move |db: &_| claims::accept(db, &accept, now);
        self.writer.run("accept a claim", work).await
    }

    async fn claims(&self, page: PageRequest<ClaimId>) -> Asked<Page<Claim, ClaimId>> {
        let read = move |db: &_| claims::list(db, &page);
        self.readers.run("list claims", read).await
    }

    async fn send_command(&self, command: NewCommand, now: DateTime<Utc>) -> Asked<Result<SentCommand, SendRefusal>> {
        let work = move |db: &_| commands::send(db, &command, now);
        self.writer.run("queue a command", work).await
    }

    async fn cancel_command(&self, command: CommandId, now: DateTime<Utc>) -> Asked<Option<Vec<AgentId>>> {
        let work = move |db: &_| commands::cancel(db, command, now);
        self.writer.run("cancel a command", work).await
    }

    async fn commands(&self, filter: CommandFilter, page: PageRequest<u64>) -> Asked<Page<CommandRecord, u64>> {
        let read = move |db: &_| commands::list(db, &filter, &page);
        self.readers.run("list commands", read).await
    }

    async fn command(&self, command: CommandId) -> Asked<Option<CommandDetail>> {
        let read = move |db: &_| commands::detail(db, command);
        self.readers.run("look up a command", read).await
    }

    async fn expire_commands(
        &self,
        now: DateTime<Utc>,
        overdue: DateTime<Utc>,
        silent_since: DateTime<Utc>,
        kept_since: DateTime<Utc>,
    ) -> Asked<u64> {
        // Mostly there is nothing to do, and then nothing is written.
        let read = move |db: &_| deliveries::is_any_due(db, now, overdue, kept_since);
        if !self.readers.run("look for overdue commands", read).await? {
            return Ok(0);
        }
        let work = move |db: &_| {
            deliveries::forget(db, kept_since)?;
            deliveries::expire(db, now, overdue, silent_since)
        };
        self.writer.run("end overdue commands", work).await
    }

    async fn awaited_agents(&self, now: DateTime<Utc>) -> Asked<Vec<AgentId>> {
        let read = move |db: &_| deliveries::awaited(db, now);
        self.readers.run("look for waiting commands", read).await
    }

    async fn hello(&self, session: NewSessionOfAgent, now: DateTime<Utc>) -> Asked<HelloOutcome> {
        let work = move |db: &_| sessions::hello(db, &session, now);
        self.writer.run("begin a session", work).await
    }

    async fn polling_session(&self, agent: AgentId) -> Asked<Option<u64>> {
        let read = move |db: &_| sessions::polling(db, agent);
        self.readers.run("look up a session", read).await
    }

    async fn outgoing(&self, session: SessionKey, now: DateTime<Utc>, resend_before: DateTime<Utc>) -> Asked<Outgoing> {
        let work = move |db: &_| deliveries::outgoing(db, session, now, resend_before);
        self.writer.run("take what waits for an agent", work).await
    }

    async fn alive(&self, session: SessionKey, now: DateTime<Utc>) -> Asked<Standing> {
        let work = move |db: &_| Ok(sessions::heard(db, session, now)?.err().unwrap_or(Standing::Current));
        self.writer.run("note that an agent is alive", work).await
    }

    async fn command_acked(&self, session: SessionKey, command: CommandId, now: DateTime<Utc>) -> Asked<Standing> {
        let work = move |db: &_| deliveries::acked(db, session, command, now);
        self.writer.run("note that a command was taken", work).await
    }

    async fn command_progressed(&self, session: SessionKey, progress: Progress, now: DateTime<Utc>) -> Asked<Standing> {
        let work = move |db: &_| deliveries::progressed(db, session, &progress, now);
        self.writer.run("note the progress of a command", work).await
    }

    async fn command_ended(
        &self,
        session: SessionKey,
        report: CommandReport,
        now: DateTime<Utc>,
    ) -> Asked<ResultTaken> {
        let work = move |db: &_| deliveries::reported(db, session, &report, now);
        self.writer.run("store a result", work).await
    }

    async fn sampled(&self, session: SessionKey, sample: HostSample, now: DateTime<Utc>) -> Asked<Standing> {
        let work = move |db: &_| sessions::sampled(db, session, &sample, now);
        self.writer.run("store a sample", work).await
    }

    async fn config_reported(&self, session: SessionKey, report: ConfigReport, now: DateTime<Utc>) -> Asked<Standing> {
        let work = move |db: &_| configs::reported(db, session, &report, now);
        self.writer.run("store what became of a configuration", work).await
    }

    async fn session_ended(&self, session: SessionKey, now: DateTime<Utc>) -> Asked<()> {
        let work = move |db: &_| sessions::ended(db, session, now);
        self.writer.run("end a session", work).await
    }

    async fn set_config(
        &self,
        agent: AgentRef,
        config: NewConfig,
        comment: String,
        follows: Option<u64>,
        by: UserId,
        now: DateTime<Utc>,
    ) -> Asked<Result<(AgentId, AgentConfig), SetConfigRefusal>> {
        let work = move |db: &_| configs::set(db, &agent, &config, &comment, follows, by, now);
        self.writer.run("set a configuration", work).await
    }

    async fn config(&self, agent: AgentRef) -> Asked<Option<ConfigState>> {
        let read = move |db: &_| configs::state(db, &agent);
        self.readers.run("look up a configuration", read).await
    }

    async fn config_history(&self, agent: AgentRef, page: PageRequest<u64>) -> Asked<Option<Page<AgentConfig, u64>>> {
        let read = move |db: &_| configs::history(db, &agent, &page);
        self.readers.run("list configurations", read).await
    }

    async fn amend_agent(&self, agent: AgentRef, amendment: Amendment) -> Asked<Result<AgentId, AmendRefusal>> {
        let work = move |db: &_| amend::amend(db, &agent, &amendment);
        self.writer.run("amend an agent", work).await
    }

    async fn groups(&self) -> Asked<Vec<Group>> {
        self.readers.run("list groups", amend::groups).await
    }

    async fn group(&self, name: String) -> Asked<Option<Group>> {
        self.readers
            .run("look up a group", move |db: &_| amend::group(db, &name))
            .await
    }

    async fn put_group(&self, group: Group) -> Asked<bool> {
        self.writer
            .run("put a group", move |db: &_| amend::put_group(db, &group))
            .await
    }

    async fn remove_group(&self, name: String) -> Asked<bool> {
        self.writer
            .run("remove a group", move |db: &_| amend::remove_group(db, &name))
            .await
    }

    async fn remove_silent(&self, before: DateTime<Utc>, now: DateTime<Utc>) -> Asked<Vec<(AgentId, String)>> {
        let work = move |db: &_| removal::begin_silent(db, before, now);
        self.writer.run("remove silent agents", work).await
    }

    async fn document_config(&self, agent: AgentId) -> Asked<(Option<String>, Vec<String>)> {
        let read = move |db: &_| document::config(db, agent);
        self.readers.run("look up what an agent scans", read).await
    }

    async fn document_commands(
        &self,
        agent: AgentId,
        verbs: &'static [&'static str],
        now: DateTime<Utc>,
    ) -> Asked<Vec<Command>> {
        // They are asked for again and again, and mostly nothing is new: then nothing is written.
        let read = move |db: &_| document::open(db, agent, verbs, now);
        let (commands, are_listed) = self.readers.run("look for commands of an agent", read).await?;
        if are_listed {
            return Ok(commands);
        }
        let work = move |db: &_| document::list(db, agent, verbs, now);
        self.writer.run("list the commands of an agent", work).await
    }

    async fn remove_agent(&self, agent: AgentRef, now: DateTime<Utc>) -> Asked<Option<AgentId>> {
        let work = move |db: &_| removal::begin(db, &agent, now);
        self.writer.run("remove an agent", work).await
    }

    async fn purge_removed(&self) -> Asked<bool> {
        self.writer.run("delete what a removed agent left", removal::step).await
    }
}
