//! Runs commands: what was written into the journal, once each, whatever the connection does meanwhile.
use super::{
    desk::Next,
    executor::{Ends, Executor},
    ledger::Noted,
    report,
    verb::{CommandContext, CommandError, CommandProgress, InterruptedCommand, Verb},
};
use chrono::{DateTime, Utc};
use core_model::CommandId;
use daemon_kit::telemetry::RUN;
use fleet_wire::link::{Command, CommandReport, JournalState};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{
    task::{Id, JoinError, JoinSet},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, error, info, info_span, warn};

/// How long until what the disk did not take is offered to it again.
const RETRY_STORE: Duration = Duration::from_secs(5);

/// The longest sleep until a deadline: a clock that is set meanwhile is noticed after it.
const LOOK_AT_CLOCK: Duration = Duration::from_secs(30);

/// What a task of a command came to.
enum Came {
    /// To its end.
    Ended(CommandReport),
    /// To the end of the agent; it is decided about after the restart.
    Left(CommandId),
    /// To the decision that it runs again.
    Again(Command),
}

pub(crate) struct Runner<'a> {
    executor: &'a Arc<Executor>,
    tasks: JoinSet<Came>,
    names: HashMap<Id, (CommandId, DateTime<Utc>)>,
    /// Ends that the disk did not take yet, and when they are offered to it again.
    unsaved: Vec<CommandReport>,
    save_at: Instant,
    /// After the disk did not take a beginning: nothing is begun before.
    begin_from: Option<Instant>,
}

impl<'a> Runner<'a> {
    pub(crate) fn new(executor: &'a Arc<Executor>) -> Self {
        executor.desk.clear();
        Self {
            executor,
            tasks: JoinSet::new(),
            names: HashMap::new(),
            unsaved: Vec::new(),
            save_at: Instant::now(),
            begin_from: None,
        }
    }

    /// Takes up what the journal has of before. Until it is done no command may come, or it would be taken up twice.
    pub(crate) async fn recover(&mut self, stop: &CancellationToken) {
        let noted = loop {
            match self.executor.ledger.unconfirmed().await {
                Ok(noted) => break noted,
                Err(error) => error!(
                    error = core_model::chain(&error),
                    "the journal of commands cannot be read; waiting"
                ),
            }
            if stop.run_until_cancelled(sleep(RETRY_STORE)).await.is_none() {
                return;
            }
        };
        for noted in noted {
            self.take_up(noted).await;
        }
    }

    async fn take_up(&mut self, noted: Noted) {
        match (noted.state, noted.command) {
            (JournalState::Ended, _) => {}
            (_, None) => self.end(report::damaged(noted.id)).await,
            (JournalState::Accepted, Some(command)) => self.executor.desk.wait(command, false),
            (JournalState::Started, Some(command)) => {
                let begun = noted.started;
                let verb = self.executor.verbs.get(&command.verb);
                match (verb.and_then(|verb| verb.after_restart.clone()), begun) {
                    (Some(decide), Some((started_at, by))) => {
                        let interrupted = InterruptedCommand {
                            is_same_process: by == self.executor.ledger.instance,
                            started_at,
                            command: command.clone(),
                        };
                        let (deciding, max) = (decide(interrupted), self.executor.settings.borrow().max_result);
                        let decided = async move {
                            let decision = deciding.await;
                            report::decided(command.command, started_at, decision, max)
                                .map_or_else(|| Came::Again(command), Came::Ended)
                        };
                        self.executor.desk.run_aside(noted.id);
                        self.spawn(noted.id, started_at, decided);
                    }
                    _ => self.end(report::interrupted(noted.id, begun.map(|(at, _)| at))).await,
                }
            }
        }
    }

    /// Runs commands until `stop` is cancelled, and then until those that run have come to an end.
    pub(crate) async fn run(mut self, stop: &CancellationToken) {
        loop {
            if stop.is_cancelled() {
                self.executor.desk.stop();
                if self.tasks.is_empty() {
                    return;
                }
            } else {
                self.begin().await;
            }
            self.tell();
            let until_deadline = if stop.is_cancelled() {
                LOOK_AT_CLOCK
            } else {
                self.until_deadline()
            };
            tokio::select! {
                () = stop.cancelled(), if !stop.is_cancelled() => {}
                Some(came) = self.tasks.join_next_with_id() => self.came(came, stop).await,
                () = self.executor.desk.changed() => {}
                () = sleep(until_deadline) => {}
                () = sleep_until(self.save_at), if !self.unsaved.is_empty() => self.save_again().await,
            }
        }
    }

    /// Begins what may begin, and ends what is too late for it.
    async fn begin(&mut self) {
        loop {
            // After the disk refused one it would refuse the next.
            let may_begin = self.begin_from.is_none_or(|from| from <= Instant::now());
            let (desk, now) = (&self.executor.desk, self.executor.controller_now());
            match desk.next(&self.executor.verbs, now, may_begin) {
                None => return,
                Some(Next::Expire(command)) => self.end(report::expired(command.command, command.deadline)).await,
                Some(Next::Begin {
                    command,
                    is_again,
                    cancel,
                }) => self.begin_one(command, is_again, cancel).await,
            }
        }
    }

    async fn begin_one(&mut self, command: Command, is_again: bool, cancel: CancellationToken) {
        let id = command.command;
        let Some(verb) = self.executor.verbs.get(&command.verb).cloned() else {
            let known = self.executor.verbs.names();
            return self.end(report::unknown_verb(id, &command.verb, &known)).await;
        };
        match self.executor.ledger.start(id).await {
            Ok(true) => {}
            // It is damaged, or ended by other means.
            Ok(false) => return self.end(report::damaged(id)).await,
            Err(failure) => {
                error!(command = %id, error = core_model::chain(&failure), "a command waits, for its beginning cannot be noted");
                self.begin_from = Some(Instant::now() + RETRY_STORE);
                if !self.executor.desk.is_unwanted(id) {
                    return self.executor.desk.put_back(command, is_again);
                }
            }
        }
        if self.executor.desk.is_unwanted(id) {
            return self.end(report::cancelled_before_it_began(id)).await;
        }
        let span = info_span!(target: RUN, "command", %id, verb = command.verb);
        span.in_scope(|| info!("begun"));
        let started_at = Utc::now();
        let task = self.task(command, &verb, is_again, cancel, started_at).instrument(span);
        self.spawn(id, started_at, task);
    }

    fn task(
        &self,
        command: Command,
        verb: &Verb,
        is_again: bool,
        cancel: CancellationToken,
        started_at: DateTime<Utc>,
    ) -> impl Future<Output = Came> + Send + use<> {
        let id = command.command;
        let context = CommandContext {
            command: id,
            deadline: command.deadline,
            cancel: cancel.clone(),
            is_again,
            progress: CommandProgress {
                command: id,
                outgoing: Arc::clone(&self.executor.outgoing),
            },
        };
        let running = (verb.handler)(command.args, context);
        let executor = Arc::clone(self.executor);
        let deadline = command.deadline;
        async move {
            tokio::pin!(running);
            let in_time = tokio::select! {
                result = &mut running => Some(result),
                () = passed(&executor, deadline) => None,
            };
            let is_late = in_time.is_none();
            let result = match in_time {
                Some(result) => result,
                None => {
                    warn!("stopped, for its deadline has passed");
                    cancel.cancel();
                    running.await
                }
            };
            let max = executor.settings.borrow().max_result;
            if let (true, Err(CommandError::Cancelled { body })) = (is_late, &result) {
                return Came::Ended(report::overdue(id, started_at, body.clone(), max));
            }
            let was_stopped = cancel.is_cancelled() && !executor.desk.is_unwanted(id);
            if was_stopped && matches!(result, Err(CommandError::Cancelled { .. })) {
                info!("left, for the agent stops");
                return Came::Left(id);
            }
            Came::Ended(report::ended(id, started_at, result, max))
        }
    }

    fn spawn(&mut self, id: CommandId, started_at: DateTime<Utc>, task: impl Future<Output = Came> + Send + 'static) {
        let handle = self.tasks.spawn(task);
        self.names.insert(handle.id(), (id, started_at));
    }

    async fn came(&mut self, came: Result<(Id, Came), JoinError>, stop: &CancellationToken) {
        match came {
            Ok((task, came)) => {
                self.names.remove(&task);
                match came {
                    Came::Ended(report) => self.end(report).await,
                    Came::Left(id) => self.executor.desk.done(id),
                    Came::Again(command) => self.again(command, stop).await,
                }
            }
            Err(failure) => {
                let Some((id, started_at)) = self.names.remove(&failure.id()) else {
                    return;
                };
                error!(command = %id, error = %failure, "what runs a command panicked");
                self.end(report::panicked(id, started_at)).await;
            }
        }
    }

    async fn again(&mut self, command: Command, stop: &CancellationToken) {
        let id = command.command;
        if self.executor.desk.is_unwanted(id) {
            return self.end(report::cancelled_before_it_began(id)).await;
        }
        self.executor.desk.done(id);
        // In the journal it stays begun, so the next start of the agent asks again.
        if !stop.is_cancelled() {
            self.executor.desk.wait(command, true);
        }
    }

    /// Notes how a command ended, and has it told.
    async fn end(&mut self, report: CommandReport) {
        info!(command = %report.command, outcome = report.outcome.name(), code = report.code, "a command ended");
        match self.executor.ledger.end(&report).await {
            Ok(true) => self.told(&report).await,
            Ok(false) => {
                warn!(command = %report.command, "a command ended that had ended before; the first end counts")
            }
            Err(failure) => {
                error!(command = %report.command, error = core_model::chain(&failure), "the end of a command cannot be noted; it is tried again");
                // The controller can know it all the same. After a crash the journal says that nobody knows, and the
                // controller holds on to what it heard first.
                self.executor.outgoing.result(report.clone());
                self.unsaved.push(report.clone());
                self.save_at = Instant::now() + RETRY_STORE;
            }
        }
        self.executor.desk.done(report.command);
    }

    /// Has whoever hears of it hear how a command ended.
    async fn told(&self, report: &CommandReport) {
        match self.executor.ends {
            Ends::Confirmed => self.executor.outgoing.result(report.clone()),
            Ends::Untold => {
                let keep = self.executor.settings.borrow().kept_commands;
                if let Err(failure) = self.executor.ledger.confirm(report.command, keep).await {
                    // It has ended, and does not run again; only its place among the open ones stays taken.
                    warn!(command = %report.command, error = core_model::chain(&failure), "the end of a command stays open");
                }
            }
        }
    }

    async fn save_again(&mut self) {
        self.save_at = Instant::now() + RETRY_STORE;
        for report in std::mem::take(&mut self.unsaved) {
            match self.executor.ledger.end(&report).await {
                Err(_) => self.unsaved.push(report),
                // A controller was told at once.
                Ok(_) if self.executor.ends == Ends::Untold => self.told(&report).await,
                Ok(_) => {}
            }
        }
    }

    fn until_deadline(&self) -> Duration {
        let next = self.executor.desk.next_deadline();
        let left = next.map(|deadline| (deadline - self.executor.controller_now()).to_std().unwrap_or_default());
        let begin_from = self.begin_from.filter(|from| *from > Instant::now());
        let until_begin = begin_from.map_or(LOOK_AT_CLOCK, |from| from - Instant::now());
        // At least a little: a deadline that is here was dealt with, or could not be.
        let shortest = Duration::from_millis(5);
        left.unwrap_or(LOOK_AT_CLOCK).clamp(shortest, until_begin.max(shortest))
    }

    fn tell(&self) {
        let (waiting, running) = self.executor.desk.counts();
        (self.executor.tell)(waiting, running);
    }
}

/// Waits until the controller's clock says that a deadline is here.
async fn passed(executor: &Executor, deadline: DateTime<Utc>) {
    loop {
        match (deadline - executor.controller_now()).to_std() {
            Ok(left) if !left.is_zero() => sleep(left.min(LOOK_AT_CLOCK)).await,
            _ => return,
        }
    }
}
