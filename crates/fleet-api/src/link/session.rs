//! One session of one agent, whatever carries it: what comes in, what is answered, what goes out.
use super::{LinkSettings, Rhythm};
use chrono::{DateTime, TimeDelta, Utc};
use fleet_core::{
    AgentIdentity, Fleet, HelloError, HelloOutcome, ResultTaken, SessionKey, Standing, Store, StoreError, Transport,
    message_id,
};
use fleet_wire::link::{
    AgentMessage, Cancel, Confirm, ControllerMessage, Envelope, ErrorMessage, GoAway, Hello, ReadError, Throttle,
    Welcome,
};
use std::{sync::Arc, time::Duration};

/// On a socket nothing is lost while it stands, so what is not answered goes again only after a while.
const RESEND_ON_SOCKET: Duration = Duration::from_secs(60);
/// A host whose key was taken away changes by the hand of people only.
const AFTER_PEOPLE: u32 = 3600;

/// A session that was let in.
pub(super) struct Session<S> {
    fleet: Arc<Fleet<S>>,
    agent: AgentIdentity,
    key: SessionKey,
    transport: Transport,
    settings: LinkSettings,
}

/// What goes to the agent, and whether that was the last.
#[derive(Debug, Default)]
pub(super) struct Step {
    pub(super) messages: Vec<ControllerMessage>,
    /// The session is over.
    pub(super) is_end: bool,
    /// There is more: ask again.
    pub(super) has_more: bool,
}

impl Step {
    fn say(message: ControllerMessage) -> Self {
        Self {
            messages: vec![message],
            ..Self::default()
        }
    }

    fn end(messages: Vec<ControllerMessage>) -> Self {
        Self {
            messages,
            is_end: true,
            has_more: false,
        }
    }
}

/// Who comes, and by what.
pub(super) struct Caller {
    pub(super) agent: AgentIdentity,
    pub(super) transport: Transport,
    pub(super) remote: String,
}

impl<S: Store> Session<S> {
    /// Lets an agent in by its first message, or says why not.
    pub(super) async fn begin(
        fleet: &Arc<Fleet<S>>,
        settings: LinkSettings,
        caller: Caller,
        first: &Envelope,
        now: DateTime<Utc>,
    ) -> Result<(Self, Step), Step> {
        let hello = match AgentMessage::of_envelope(first) {
            Ok(AgentMessage::Hello(hello)) => hello,
            Ok(_) => return Err(Step::end(vec![hello_wanted(first)])),
            Err(error) => return Err(Step::end(vec![unreadable(first, &error)])),
        };
        let Caller {
            agent,
            transport,
            remote,
        } = caller;
        let instance = hello.instance;
        match greet(fleet, settings, &agent, hello, transport, remote, now).await {
            Ok(Ok(welcome)) => {
                let key = SessionKey {
                    agent: agent.id,
                    epoch: welcome.epoch,
                };
                tracing::debug!(agent = agent.name, epoch = key.epoch, %instance, ?transport, "an agent is there");
                let session = Self {
                    fleet: Arc::clone(fleet),
                    agent,
                    key,
                    transport,
                    settings,
                };
                Ok((session, Step::say(ControllerMessage::Welcome(welcome))))
            }
            Ok(Err(refusal)) => Err(Step::end(refusal)),
            Err(HelloError::Invalid(detail)) => Err(Step::end(vec![error("invalid_payload", detail, Some(first))])),
            Err(HelloError::Store(store)) => Err(Step::end(vec![unavailable(&store, first)])),
        }
    }

    /// What the agent was told of how often to be heard of.
    pub(super) fn told(&self) -> Rhythm {
        self.settings.rhythm()
    }

    /// A session that was let in before, by polling.
    pub(super) fn resume(fleet: &Arc<Fleet<S>>, settings: LinkSettings, agent: AgentIdentity, epoch: u64) -> Self {
        Self {
            fleet: Arc::clone(fleet),
            key: SessionKey { agent: agent.id, epoch },
            agent,
            transport: Transport::Polling,
            settings,
        }
    }

    /// The agent of a session is there, whether or not it has something to say.
    pub(super) async fn alive(&self, now: DateTime<Utc>) -> Result<Step, StoreError> {
        Ok(self.stands(self.fleet.store().alive(self.key, now).await?))
    }

    /// Takes a message of the agent; what is to be answered.
    pub(super) async fn receive(&self, envelope: &Envelope, now: DateTime<Utc>) -> Step {
        let message = match AgentMessage::of_envelope(envelope) {
            Ok(message) => message,
            Err(read) => return Step::say(unreadable(envelope, &read)),
        };
        match self.take(message, envelope, now).await {
            Ok(step) => step,
            Err(store) => Step::say(unavailable(&store, envelope)),
        }
    }

    async fn take(&self, message: AgentMessage, envelope: &Envelope, now: DateTime<Utc>) -> Result<Step, StoreError> {
        let (fleet, key) = (&self.fleet, self.key);
        let standing = match message {
            AgentMessage::Ack(ack) => fleet.command_acked(key, ack, now).await?,
            AgentMessage::Progress(progress) => fleet.command_progressed(key, progress, now).await?,
            AgentMessage::Telemetry(sample) => fleet.sampled(key, sample, now).await?,
            AgentMessage::ConfigReport(report) => fleet.config_reported(key, report, now).await?,
            AgentMessage::Result(report) => {
                let command = report.command;
                match fleet.command_ended(key, report, now).await? {
                    ResultTaken::Stored => return Ok(Step::say(ControllerMessage::Confirm(Confirm { command }))),
                    ResultTaken::Fenced(standing) => standing,
                }
            }
            AgentMessage::Heartbeat(told) => match fleet.session_heartbeat(key, &self.agent, told, now).await {
                Ok(Ok(_)) => Standing::Current,
                Ok(Err(ended)) => ended,
                Err(fleet_core::HeartbeatError::Store(store)) => return Err(store),
                Err(wrong) => return Ok(Step::say(error("invalid_payload", wrong.to_string(), Some(envelope)))),
            },
            AgentMessage::Error(told) => {
                let ErrorMessage { code, detail, .. } = told;
                tracing::warn!(
                    agent = self.agent.name,
                    code,
                    detail,
                    "an agent could not act upon a message"
                );
                Standing::Current
            }
            AgentMessage::Hello(_) => {
                let detail = "HELLO begins a session: this one has begun";
                return Ok(Step::say(error("unexpected_hello", detail, Some(envelope))));
            }
            other => {
                let detail = format!("messages of type `{}` are not taken here", other.kind());
                return Ok(Step::say(error("unknown_type", detail, Some(envelope))));
            }
        };
        Ok(self.stands(standing))
    }

    /// What goes down now.
    pub(super) async fn outgoing(&self, now: DateTime<Utc>) -> Result<Step, StoreError> {
        let resend_after = match self.transport {
            Transport::Websocket => TimeDelta::from_std(RESEND_ON_SOCKET).unwrap_or(TimeDelta::MAX),
            // The answer to the last poll may have been lost: what the agent did not answer goes again with each.
            Transport::Polling => TimeDelta::zero(),
        };
        let outgoing = self.fleet.outgoing(self.key, now, now - resend_after).await?;
        let ended = self.stands(outgoing.standing);
        if ended.is_end {
            return Ok(ended);
        }
        let config = outgoing.config.map(ControllerMessage::Config);
        let cancels = outgoing
            .cancels
            .into_iter()
            .map(|command| ControllerMessage::Cancel(Cancel { command }));
        let commands = outgoing.commands.into_iter().map(ControllerMessage::Command);
        Ok(Step {
            messages: config.into_iter().chain(cancels).chain(commands).collect(),
            is_end: false,
            has_more: outgoing.has_more,
        })
    }

    /// After how long what was sent is looked at again.
    pub(super) const fn resend_after(&self) -> Duration {
        RESEND_ON_SOCKET
    }

    /// The controller goes.
    pub(super) fn leaving(&self) -> Step {
        Step::end(vec![leaving(&self.settings)])
    }

    /// The agent is to begin another session.
    pub(super) fn come_again() -> Step {
        let detail = "the controller has something to tell that only a new session hears";
        Step::end(vec![go_away("hello_wanted", 1, detail)])
    }

    /// The connection is closed.
    pub(super) async fn ended(&self, now: DateTime<Utc>) {
        if let Err(error) = self.fleet.store().session_ended(self.key, now).await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "the end of a session could not be noted"
            );
        }
    }

    fn stands(&self, standing: Standing) -> Step {
        match standing {
            Standing::Current => Step::default(),
            Standing::Superseded => {
                tracing::debug!(
                    agent = self.agent.name,
                    epoch = self.key.epoch,
                    "a newer session took over"
                );
                let detail = "a newer session of this agent has begun";
                let within = seconds(self.settings.come_back_within);
                Step::end(vec![go_away("superseded", within, detail)])
            }
            Standing::Revoked => Step::end(revoked()),
        }
    }
}

async fn greet<S: Store>(
    fleet: &Fleet<S>,
    settings: LinkSettings,
    agent: &AgentIdentity,
    hello: Hello,
    transport: Transport,
    remote: String,
    now: DateTime<Utc>,
) -> Result<Result<Welcome, Vec<ControllerMessage>>, HelloError> {
    let from = remote.clone();
    Ok(match fleet.hello(agent.id, hello, transport, remote, now).await? {
        HelloOutcome::Welcome {
            epoch,
            name,
            snapshot_wanted,
            config,
            new_key_wanted,
        } => Ok(Welcome {
            agent_id: agent.id,
            name,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            time: now,
            heartbeat_secs: seconds(settings.heartbeat),
            telemetry_secs: seconds(settings.telemetry),
            max_message_bytes: settings.max_message as u64,
            epoch,
            snapshot_wanted,
            config,
            new_key_wanted,
        }),
        HelloOutcome::Cloned { hostname, kind } => {
            tracing::error!(
                agent = agent.name,
                from,
                "a second one with this agent's key was refused: one of the two is a copy"
            );
            // An original that goes now is silent for long enough by then, and a host that was moved is let in.
            let after_a_clone = seconds(fleet.settings().offline_after * 5 / 4);
            let detail = format!(
                "another one with these credentials is on the link, from the machine `{hostname}`: one of the two is a copy \
                 of the other. A copy on a machine of its own joins for itself in some minutes; where both have the same \
                 machine id, stop the copy, run `{kind} leave --forget` there, and let it join anew"
            );
            Err(vec![
                error("cloned", detail.clone(), None),
                go_away("cloned", after_a_clone, &detail),
            ])
        }
        HelloOutcome::Gone => Err(revoked()),
    })
}

/// The controller goes, and the agent comes back by itself.
pub(super) fn leaving(settings: &LinkSettings) -> ControllerMessage {
    let within = seconds(settings.come_back_within);
    go_away("shutdown", within, "the controller is shutting down or starting anew")
}

/// How often the agent is wanted to be heard of from now on.
pub(super) fn throttle(settings: &LinkSettings) -> ControllerMessage {
    ControllerMessage::Throttle(Throttle {
        telemetry_secs: seconds(settings.telemetry),
        heartbeat_secs: Some(seconds(settings.heartbeat)),
    })
}

/// A message came before any HELLO.
pub(super) fn hello_wanted(about: &Envelope) -> ControllerMessage {
    error("hello_wanted", "a session begins with HELLO", Some(about))
}

/// What came is no message at all.
pub(super) fn no_message(read: &serde_json::Error) -> ControllerMessage {
    error("invalid_message", read.to_string(), None)
}

/// Messages in their frames. One that cannot be written is left out, with a word in the log: none of ours is such.
pub(super) fn envelopes(messages: &[ControllerMessage], now: DateTime<Utc>) -> Vec<Envelope> {
    let framed = messages.iter().filter_map(|message| {
        let id = message_id(now).inspect_err(|error| tracing::error!(%error, "a message got no id"));
        let envelope = message.to_envelope(id.ok()?);
        envelope
            .inspect_err(|error| tracing::error!(%error, "a message could not be written"))
            .ok()
    });
    framed.collect()
}

fn revoked() -> Vec<ControllerMessage> {
    let detail = "this agent was revoked; enrol it again with a new join token or claim";
    vec![go_away("revoked", AFTER_PEOPLE, detail)]
}

fn unreadable(envelope: &Envelope, read: &ReadError) -> ControllerMessage {
    let source = std::error::Error::source(read).map(|source| format!(": {source}"));
    error(
        read.code(),
        format!("{read}{}", source.unwrap_or_default()),
        Some(envelope),
    )
}

/// What the agent brought is not stored, and it may bring it again.
fn unavailable(store: &StoreError, about: &Envelope) -> ControllerMessage {
    tracing::warn!(
        error = store as &dyn std::error::Error,
        "a message of an agent could not be stored"
    );
    error(
        "unavailable",
        "the controller could not store this; bring it again",
        Some(about),
    )
}

fn error(code: &str, detail: impl Into<String>, about: Option<&Envelope>) -> ControllerMessage {
    ControllerMessage::Error(ErrorMessage {
        code: code.to_owned(),
        detail: detail.into(),
        about: about.map(|envelope| envelope.id),
    })
}

fn go_away(reason: &str, within_secs: u32, detail: &str) -> ControllerMessage {
    ControllerMessage::GoAway(GoAway {
        within_secs,
        reason: reason.to_owned(),
        detail: detail.to_owned(),
    })
}

fn seconds(span: Duration) -> u32 {
    u32::try_from(span.as_secs()).unwrap_or(u32::MAX)
}
