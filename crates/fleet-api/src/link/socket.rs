//! A session by WebSocket.
use super::{
    Links,
    bucket::Bucket,
    hub::Place,
    session::{Caller, Session, Step, envelopes, no_message, throttle},
};
use crate::{auth, error::ApiError, state::Shared};
use axum::{
    Extension,
    extract::{
        State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket, close_code, rejection::WebSocketUpgradeRejection},
    },
    http::{Extensions, StatusCode},
    response::Response,
};
use chrono::Utc;
use fleet_core::{AgentIdentity, Fleet, Store, Transport, Waker};
use fleet_wire::link::{ControllerMessage, Envelope};
use std::{sync::Arc, time::Duration};
use tokio::time::{self, Instant};

/// What is read from a socket at once. An idle agent costs little more than this.
const READ_BUFFER: usize = 4 << 10;

/// `GET /ws/agent`. The key was looked at before this.
pub(crate) async fn connect<S: Store>(
    State(shared): State<Shared<S>>,
    Extension(agent): Extension<AgentIdentity>,
    extensions: Extensions,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let upgrade = upgrade
        .map_err(|rejection| ApiError::new(StatusCode::UPGRADE_REQUIRED, "websocket_wanted", rejection.body_text()))?;
    let links = shared.links.clone();
    let full = || ApiError::too_busy("no more agents are let in by this controller at the moment");
    let place = links.place().ok_or_else(full)?;
    let caller = Caller {
        agent,
        transport: Transport::Websocket,
        remote: auth::peer(&extensions).to_string(),
    };
    let longest = links.settings().max_message;
    let upgrade = upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(longest)
        .max_frame_size(longest);
    let fleet = Arc::clone(&shared.fleet);
    Ok(upgrade.on_upgrade(move |socket| async move {
        let wire = Wire { socket, links, place };
        wire.serve(fleet, caller).await;
    }))
}

/// A socket with its place among the others.
struct Wire {
    socket: WebSocket,
    links: Links,
    place: Place,
}

/// Why nothing more is read.
#[derive(Debug)]
enum Broken {
    /// The agent closed it, or it is gone.
    Closed,
    /// What came is longer than agreed.
    TooLong,
    /// Nothing came for too long.
    Silent,
}

impl Wire {
    async fn serve<S: Store>(mut self, fleet: Arc<Fleet<S>>, caller: Caller) {
        let name = caller.agent.name.clone();
        // Before WELCOME: what is wanted after it was made must find somebody to wake.
        let waker = fleet.waker(caller.agent.id);
        match self.let_in(&fleet, caller).await {
            Ok(session) => {
                let why = self.talk(&session, &waker).await;
                if let Err(why) = why {
                    tracing::debug!(agent = name, ?why, "a socket of an agent ended");
                    self.farewell(&why).await;
                }
                session.ended(Utc::now()).await;
            }
            Err(why) => {
                tracing::debug!(agent = name, ?why, "an agent was not let in");
                self.farewell(&why).await;
            }
        }
        // Only now the controller may end, and another agent take the place.
        drop(self.place);
    }

    /// HELLO and WELCOME. Many at a time would only wait for one another, so some wait before the door.
    async fn let_in<S: Store>(&mut self, fleet: &Arc<Fleet<S>>, caller: Caller) -> Result<Session<S>, Broken> {
        let turn = self.links.turn().await;
        let settings = self.links.settings();
        let first = time::timeout(settings.patience, self.envelope()).await;
        let first = match first.map_err(|_| Broken::Silent)?? {
            Ok(first) => first,
            Err(unreadable) => {
                self.say(&[unreadable]).await?;
                return Err(Broken::Closed);
            }
        };
        let begun = Session::begin(fleet, settings, caller, &first, Utc::now()).await;
        let session = match begun {
            Ok((session, welcome)) => {
                self.say(&welcome.messages).await?;
                session
            }
            Err(refused) => {
                self.say(&refused.messages).await?;
                return Err(Broken::Closed);
            }
        };
        drop(turn);
        Ok(session)
    }

    /// Until either side ends it.
    async fn talk<S: Store>(&mut self, session: &Session<S>, waker: &Waker) -> Result<(), Broken> {
        let mut changes = self.links.changes();
        let mut settings = *changes.borrow_and_update();
        // It may have changed since WELCOME told the agent.
        let mut told = session.told();
        let mut bucket = Bucket::new(settings.messages_per_second, settings.burst);
        let mut heard_at = Instant::now();
        let mut is_pinged = false;
        let mut look_at = self.send_waiting(session).await?;
        loop {
            if settings.rhythm() != told {
                told = settings.rhythm();
                self.say(&[throttle(&settings)]).await?;
            }
            let silence = if is_pinged {
                settings.stale_after
            } else {
                settings.heartbeat.min(settings.stale_after)
            };
            let step = tokio::select! {
                () = self.links.leaving() => session.leaving(),
                () = std::future::ready(()), if waker.is_dismissed() => Session::<S>::come_again(),
                Ok(()) = changes.changed() => {
                    settings = *changes.borrow_and_update();
                    bucket = Bucket::new(settings.messages_per_second, settings.burst);
                    continue;
                }
                () = waker.woken(), if !waker.is_dismissed() => {
                    look_at = self.send_waiting(session).await?;
                    continue;
                }
                () = until(look_at) => {
                    look_at = self.send_waiting(session).await?;
                    continue;
                }
                () = time::sleep_until(heard_at + silence) => {
                    if is_pinged {
                        return Err(Broken::Silent);
                    }
                    is_pinged = true;
                    self.send(Message::Ping(Vec::new().into())).await?;
                    continue;
                }
                received = self.socket.recv() => {
                    (heard_at, is_pinged) = (Instant::now(), false);
                    let Some(envelope) = envelope(received)? else { continue };
                    bucket.take().await;
                    match envelope {
                        Ok(envelope) => session.receive(&envelope, Utc::now()).await,
                        Err(unreadable) => Step { messages: vec![unreadable], ..Step::default() },
                    }
                }
            };
            self.say(&step.messages).await?;
            if step.is_end {
                return Err(Broken::Closed);
            }
        }
    }

    /// Sends what waits for the agent; when to look again, where something was sent.
    async fn send_waiting<S: Store>(&mut self, session: &Session<S>) -> Result<Option<Instant>, Broken> {
        let mut look_at = None;
        loop {
            let step = match session.outgoing(Utc::now()).await {
                Ok(step) => step,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "what waits for an agent could not be read"
                    );
                    return Ok(Some(Instant::now() + Duration::from_secs(1)));
                }
            };
            if !step.messages.is_empty() {
                look_at = Some(Instant::now() + session.resend_after());
            }
            self.say(&step.messages).await?;
            if step.is_end {
                return Err(Broken::Closed);
            }
            if !step.has_more {
                return Ok(look_at);
            }
        }
    }

    /// The next message, whatever else comes before it.
    async fn envelope(&mut self) -> Result<Result<Envelope, ControllerMessage>, Broken> {
        loop {
            let received = self.socket.recv().await;
            if let Some(envelope) = envelope(received)? {
                return Ok(envelope);
            }
        }
    }

    async fn say(&mut self, messages: &[ControllerMessage]) -> Result<(), Broken> {
        for envelope in envelopes(messages, Utc::now()) {
            let text = serde_json::to_string(&envelope).map_err(|_| Broken::Closed)?;
            self.send(Message::Text(text.into())).await?;
        }
        Ok(())
    }

    /// A peer that takes nothing must not hold on to what waits for it for ever.
    async fn send(&mut self, message: Message) -> Result<(), Broken> {
        let sent = time::timeout(self.links.settings().patience, self.socket.send(message)).await;
        sent.map_err(|_| Broken::Silent)?.map_err(|_| Broken::Closed)
    }

    async fn farewell(&mut self, why: &Broken) {
        let (code, reason) = match why {
            Broken::Closed => (close_code::NORMAL, ""),
            Broken::TooLong => (close_code::SIZE, "a message is longer than max_message_bytes"),
            Broken::Silent => (close_code::POLICY, "nothing came for too long"),
        };
        let reason = reason.into();
        // It may be gone already.
        self.send(Message::Close(Some(CloseFrame { code, reason }))).await.ok();
    }
}

/// What came, if it is a message.
fn envelope(
    received: Option<Result<Message, axum::Error>>,
) -> Result<Option<Result<Envelope, ControllerMessage>>, Broken> {
    let message = match received {
        Some(Ok(message)) => message,
        Some(Err(error)) => return Err(broken(&error)),
        None => return Err(Broken::Closed),
    };
    match message {
        Message::Text(text) => Ok(Some(serde_json::from_str(&text).map_err(|error| no_message(&error)))),
        Message::Binary(bytes) => Ok(Some(serde_json::from_slice(&bytes).map_err(|error| no_message(&error)))),
        Message::Ping(_) | Message::Pong(_) => Ok(None),
        Message::Close(_) => Err(Broken::Closed),
    }
}

fn broken(error: &axum::Error) -> Broken {
    // The type behind it is of a crate that axum does not show.
    let text = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    if text.contains("too long") || text.contains("too large") {
        Broken::TooLong
    } else {
        Broken::Closed
    }
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
