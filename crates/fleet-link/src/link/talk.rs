//! One conversation with the controller, whatever carries it: HELLO, what is answered to what, and what is due when.
use super::{Inner, JournalError, desk::Cancelled, report, status::Connected, status::Transport};
use chrono::Utc;
use core_model::{CommandId, MessageId};
use fleet_wire::{
    Heartbeat, Profile,
    link::{
        Ack, AgentMessage, Cancel, Command, Config, ControllerMessage, Envelope, ErrorMessage, GoAway, Hello,
        JournalEntry, Welcome,
    },
};
use state_sqlite::{CommandState, Seen};
use std::{pin::Pin, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};
use tracing::{debug, info, warn};

/// How long the product may take to say how it is: what comes later is left out this time.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Bounds for what a controller asks.
const LONGEST_INTERVAL: u32 = 24 * 3600;

/// What follows from a message.
#[derive(Default)]
pub(super) struct Heard {
    pub(super) replies: Vec<AgentMessage>,
    /// The controller closes this conversation.
    pub(super) goaway: Option<GoAway>,
    /// The controller has forgotten who this is.
    pub(super) is_hello_wanted: bool,
}

pub(super) struct Talk<'a> {
    inner: &'a Arc<Inner>,
    transport: Transport,
    /// WELCOME's epoch, once it came.
    epoch: Option<u64>,
    heartbeat: Due,
    telemetry: Option<Due>,
    /// The product was asked how it is, and has not answered yet.
    asked: Option<Asked>,
    /// Where and on what the agent runs, and whether it has changed since it was said.
    profile: Option<watch::Receiver<Profile>>,
    is_profile_news: bool,
    max_message: u64,
}

type Asked = Pin<Box<dyn Future<Output = Vec<AgentMessage>> + Send>>;

#[derive(Clone, Copy)]
struct Due {
    every: Duration,
    at: Instant,
}

impl<'a> Talk<'a> {
    pub(super) fn new(inner: &'a Arc<Inner>, transport: Transport) -> Self {
        let every = Duration::from_secs(30);
        Self {
            inner,
            transport,
            epoch: None,
            heartbeat: Due {
                every,
                at: Instant::now() + every,
            },
            telemetry: None,
            asked: None,
            profile: inner.hooks.profile.clone(),
            is_profile_news: false,
            // What any controller takes; WELCOME says how much more.
            max_message: 64 << 10,
        }
    }

    /// HELLO, and every result that was not confirmed.
    pub(super) async fn hello(&mut self) -> Result<Vec<AgentMessage>, JournalError> {
        let inner = self.inner;
        inner.outgoing.open();
        let noted = inner.executor.ledger.unconfirmed().await?;
        let journal = noted.iter().map(|noted| JournalEntry {
            command: noted.id,
            state: noted.state,
        });
        let profile = self.profile.as_mut().map(|profile| profile.borrow_and_update().clone());
        self.is_profile_news = false;
        let delivered = timeout(ANSWER_WITHIN, (inner.hooks.heartbeat)()).await;
        let hello = Hello {
            kind: inner.introduction.kind.clone(),
            version: inner.introduction.version.clone(),
            hostname: inner.introduction.hostname.clone(),
            machine: inner.introduction.machine.clone(),
            instance: inner.executor.ledger.instance,
            capabilities: inner.introduction.capabilities.clone(),
            verbs: inner.executor.verbs.names(),
            journal: journal.collect(),
            config: (inner.hooks.config_in_force)(),
            delivered: delivered.ok().and_then(|heartbeat| heartbeat.delivered),
            profile,
        };
        let results = noted
            .into_iter()
            .filter_map(|noted| noted.report)
            .map(AgentMessage::Result);
        Ok(std::iter::once(AgentMessage::Hello(hello)).chain(results).collect())
    }

    pub(super) const fn is_welcome(&self) -> bool {
        self.epoch.is_some()
    }

    /// Which of the agent's sessions this is, as WELCOME said.
    pub(super) const fn epoch(&self) -> Option<u64> {
        self.epoch
    }

    /// A message as text.
    pub(super) async fn hear_text(&mut self, text: &str) -> Heard {
        match serde_json::from_str::<Envelope>(text) {
            Ok(envelope) => self.hear(&envelope).await,
            Err(error) => {
                warn!(%error, "the controller sent something that is no message");
                answer(complaint("invalid_envelope", error.to_string(), None))
            }
        }
    }

    pub(super) async fn hear(&mut self, envelope: &Envelope) -> Heard {
        let about = Some(envelope.id);
        match ControllerMessage::of_envelope(envelope) {
            Ok(ControllerMessage::Welcome(welcome)) => self.welcome(&welcome),
            Ok(ControllerMessage::Command(command)) => self.command(command, envelope.id).await,
            Ok(ControllerMessage::Cancel(Cancel { command })) => self.cancel(command, envelope.id).await,
            Ok(ControllerMessage::Confirm(confirm)) => self.confirm(confirm.command).await,
            Ok(ControllerMessage::Config(config)) => self.config(config, envelope.id),
            Ok(ControllerMessage::Throttle(throttle)) => {
                self.every(throttle.telemetry_secs);
                if let Some(heartbeat_secs) = throttle.heartbeat_secs {
                    debug!(heartbeat_secs, "the controller wants heartbeats at another interval");
                    self.beat_every(heartbeat_secs);
                }
                Heard::default()
            }
            Ok(ControllerMessage::GoAway(goaway)) => Heard {
                goaway: Some(goaway),
                ..Heard::default()
            },
            Ok(ControllerMessage::Error(error)) => {
                warn!(code = error.code, detail = error.detail, about = ?error.about, "the controller could not use a message");
                Heard {
                    is_hello_wanted: error.code == "hello_wanted",
                    ..Heard::default()
                }
            }
            // A type that the wire knows and this link does not yet.
            Ok(other) => answer(complaint(
                "unknown_type",
                format!("`{}` is not acted upon", other.kind()),
                about,
            )),
            Err(error) => {
                let detail = core_model::chain(&error);
                // A later controller may well say what this agent does not know: that is foreseen.
                debug!(error = detail, "a message of the controller could not be read");
                answer(complaint(error.code(), detail, about))
            }
        }
    }

    fn welcome(&mut self, welcome: &Welcome) -> Heard {
        self.epoch = Some(welcome.epoch);
        self.max_message = welcome.max_message_bytes.max(4096);
        self.beat_every(welcome.heartbeat_secs);
        self.every(welcome.telemetry_secs);
        self.inner.welcomed(Connected::new(self.transport, welcome, Utc::now()));
        if welcome.snapshot_wanted {
            info!("the controller lacks records that were delivered: it gets a full snapshot");
            (self.inner.hooks.snapshot_wanted)();
        }
        if welcome.new_key_wanted {
            (self.inner.hooks.new_key_wanted)();
        }
        Heard::default()
    }

    /// Due counts from the last sample, so that being asked again and again starves nothing.
    fn every(&mut self, telemetry_secs: u32) {
        let every = Duration::from_secs(telemetry_secs.min(LONGEST_INTERVAL).into());
        let last = self.telemetry.map(|due| due.at - due.every);
        self.telemetry = (!every.is_zero() && self.inner.hooks.sample.is_some()).then(|| Due {
            every,
            at: last.map_or_else(Instant::now, |last| last + every),
        });
    }

    fn beat_every(&mut self, heartbeat_secs: u32) {
        self.heartbeat.every = Duration::from_secs(heartbeat_secs.clamp(1, LONGEST_INTERVAL).into());
        self.heartbeat.at = Instant::now() + self.heartbeat.every;
    }

    async fn command(&mut self, command: Command, message: MessageId) -> Heard {
        let inner = self.inner;
        let id = command.command;
        let max_open = inner.settings.borrow().max_open_commands;
        let seen = match inner.executor.ledger.accept(&command, max_open).await {
            Ok(seen) => seen,
            Err(error) => {
                let detail = core_model::chain(&error);
                warn!(command = %id, error = detail, "a command is not taken, for it cannot be written down");
                return answer(complaint("journal_unavailable", detail, Some(message)));
            }
        };
        let ack = AgentMessage::Ack(Ack { command: id });
        match seen {
            Seen::New => {
                info!(command = %id, verb = command.verb, "a command came");
                inner.executor.desk.wait(command, false);
                answer(ack)
            }
            Seen::Before(state) => {
                debug!(command = %id, "a command came again");
                if state == CommandState::Accepted {
                    inner.executor.desk.wait_unless_known(command);
                }
                let mut heard = answer(ack);
                heard.replies.extend(self.known_result(id).await);
                heard
            }
            Seen::Full => {
                let detail = format!("{max_open} commands wait for their end or a confirmation; no more are taken");
                answer(complaint("too_many_commands", detail, Some(message)))
            }
        }
    }

    async fn cancel(&mut self, id: CommandId, message: MessageId) -> Heard {
        let inner = self.inner;
        match inner.executor.desk.cancel(id) {
            Cancelled::Running => Heard::default(),
            Cancelled::Waiting(command) => {
                let report = report::cancelled_before_it_began(id);
                match inner.executor.ledger.end(&report).await {
                    Ok(_) => answer(AgentMessage::Result(report)),
                    Err(error) => {
                        // It is neither begun nor forgotten: the next CANCEL or its deadline ends it.
                        inner.executor.desk.wait(command, false);
                        answer(complaint(
                            "journal_unavailable",
                            core_model::chain(&error),
                            Some(message),
                        ))
                    }
                }
            }
            Cancelled::Absent => match inner.executor.ledger.knows(id).await {
                Ok(true) => Heard {
                    replies: self.known_result(id).await.into_iter().collect(),
                    ..Heard::default()
                },
                Ok(false) => answer(complaint(
                    "unknown_command",
                    format!("{id} is not in the journal"),
                    Some(message),
                )),
                Err(error) => answer(complaint(
                    "journal_unavailable",
                    core_model::chain(&error),
                    Some(message),
                )),
            },
        }
    }

    async fn known_result(&mut self, id: CommandId) -> Option<AgentMessage> {
        match self.inner.executor.ledger.report(id).await {
            Ok(report) => report.map(AgentMessage::Result),
            Err(error) => {
                warn!(command = %id, error = core_model::chain(&error), "the result of a command cannot be read");
                None
            }
        }
    }

    async fn confirm(&mut self, id: CommandId) -> Heard {
        let keep = self.inner.settings.borrow().kept_commands;
        match self.inner.executor.ledger.confirm(id, keep).await {
            Ok(true) => {}
            Ok(false) => debug!(command = %id, "a result was confirmed that is not in the journal"),
            // The result is told again with the next HELLO, and confirmed again.
            Err(error) => {
                warn!(command = %id, error = core_model::chain(&error), "a confirmation cannot be written down")
            }
        }
        Heard::default()
    }

    fn config(&self, config: Config, message: MessageId) -> Heard {
        if self.inner.hooks.apply_config.is_none() {
            let detail = "this agent takes no configuration from a controller".to_owned();
            return answer(complaint("not_configurable", detail, Some(message)));
        }
        self.inner.config.send_replace(Some(config));
        Heard::default()
    }

    /// Waits for what is due, and for what the product then says. It may be dropped at any time: the question stays asked.
    pub(super) async fn timely(&mut self) -> Vec<AgentMessage> {
        loop {
            if let Some(asked) = &mut self.asked {
                let messages = asked.await;
                self.asked = None;
                if !messages.is_empty() {
                    return messages;
                }
            }
            let telemetry = self.telemetry.map(|due| due.at);
            let due = telemetry.map_or(self.heartbeat.at, |at| at.min(self.heartbeat.at));
            tokio::select! {
                () = sleep_until(due) => {}
                () = changed(&mut self.profile) => {
                    self.is_profile_news = true;
                    self.heartbeat.at = Instant::now();
                }
            }
            self.asked = Some(self.ask());
        }
    }

    fn ask(&mut self) -> Asked {
        let hooks = &self.inner.hooks;
        let heartbeat = is_due(&mut self.heartbeat).then(|| (hooks.heartbeat)());
        let mut profile = None;
        if heartbeat.is_some() && std::mem::take(&mut self.is_profile_news) {
            profile = self.profile.as_ref().map(|profile| profile.borrow().clone());
        }
        let is_sample_due = self.telemetry.as_mut().is_some_and(is_due);
        let sample = hooks.sample.as_ref().filter(|_| is_sample_due).map(|sample| sample());
        Box::pin(async move {
            let mut messages = Vec::new();
            if let Some(heartbeat) = heartbeat {
                match timeout(ANSWER_WITHIN, heartbeat).await {
                    Ok(heartbeat) => messages.push(AgentMessage::Heartbeat(Heartbeat { profile, ..heartbeat })),
                    Err(_) => warn!("the agent could not say in time how it is; one heartbeat is left out"),
                }
            }
            if let Some(sample) = sample {
                let sample = timeout(ANSWER_WITHIN, sample).await.unwrap_or_default();
                messages.extend(sample.map(AgentMessage::Telemetry));
            }
            messages
        })
    }

    /// A message in its frame, where it fits into one that the controller takes.
    pub(super) fn pack(&self, message: AgentMessage) -> Option<(Envelope, usize)> {
        let first = frame(&message)?;
        // HELLO comes before WELCOME has said what is too long.
        if first.1 as u64 <= self.max_message || matches!(message, AgentMessage::Hello(_)) {
            return Some(first);
        }
        let AgentMessage::Result(report) = message else {
            warn!(
                kind = message.kind(),
                bytes = first.1,
                "a message is left out: the controller takes no longer ones than {}",
                self.max_message
            );
            return None;
        };
        frame(&AgentMessage::Result(report::within(report, 0)))
    }
}

fn frame(message: &AgentMessage) -> Option<(Envelope, usize)> {
    match message.to_envelope(crate::link::message_id()) {
        // What stands around the payload is an id and some words.
        Ok(envelope) => {
            let bytes = envelope.payload.get().len() + 128;
            Some((envelope, bytes))
        }
        Err(error) => {
            warn!(kind = message.kind(), %error, "a message cannot be written as JSON and is left out");
            None
        }
    }
}

/// Until it changes; for good where it never will.
async fn changed(profile: &mut Option<watch::Receiver<Profile>>) {
    if let Some(profile) = profile
        && profile.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

fn is_due(due: &mut Due) -> bool {
    let now = Instant::now();
    let is_due = due.at <= now;
    if is_due {
        due.at = now + due.every;
    }
    is_due
}

fn answer(message: AgentMessage) -> Heard {
    Heard {
        replies: vec![message],
        ..Heard::default()
    }
}

fn complaint(code: &str, detail: String, about: Option<MessageId>) -> AgentMessage {
    AgentMessage::Error(ErrorMessage {
        code: code.to_owned(),
        detail,
        about,
    })
}
