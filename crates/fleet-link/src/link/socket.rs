//! A conversation over a WebSocket.
use super::{
    Inner, LinkError,
    connection::End,
    status::Transport,
    talk::{Heard, Talk},
};
use core_model::Secret;
use fleet_wire::link::AgentMessage;
use std::sync::Arc;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use transport_http::{ApiKey, WebSocket};

const PATH: &str = "/ws/agent";

/// An ordinary end, and "going away" (RFC 6455, section 7.4).
const NORMAL: u16 = 1000;
const GOING_AWAY: u16 = 1001;

impl Inner {
    pub(super) async fn by_socket(self: &Arc<Self>, stop: &CancellationToken, drained: &CancellationToken) -> End {
        // Before the socket is opened, so that no exchange of the key falls in between.
        let mut key = self.socket.api_key().map(ApiKey::subscribe);
        let mut socket = match stop.run_until_cancelled(self.socket.open(PATH)).await {
            None => return End::Stopped,
            Some(Err(error)) => return End::Failed(LinkError::of_upgrade(error)),
            Some(Ok(socket)) => socket,
        };
        let mut talk = Talk::new(self, Transport::WebSocket);
        let end = match self.converse(&mut socket, &mut talk, key.as_mut(), drained).await {
            Ok(end) | Err(end) => end,
        };
        match &end {
            End::Stopped => socket.close(GOING_AWAY, "the agent stops").await,
            End::SentAway(_) | End::HelloWanted | End::SocketDue | End::KeyRenewed => socket.close(NORMAL, "").await,
            End::Failed(_) => drop(socket),
        }
        end
    }

    async fn converse(
        &self,
        socket: &mut WebSocket,
        talk: &mut Talk<'_>,
        mut key: Option<&mut watch::Receiver<Secret>>,
        drained: &CancellationToken,
    ) -> Result<End, End> {
        let hello = talk
            .hello()
            .await
            .map_err(|error| End::Failed(LinkError::Journal(error)))?;
        send(socket, talk, hello).await?;
        let within = self.settings.borrow().welcome_within;
        let welcome_by = Instant::now() + within;
        loop {
            tokio::select! {
                () = drained.cancelled() => {
                    send(socket, talk, self.outgoing.take()).await?;
                    return Ok(End::Stopped);
                }
                text = socket.receive() => {
                    let text = text.map_err(|error| End::Failed(LinkError::Socket(error)))?;
                    let Heard { replies, goaway, is_hello_wanted } = talk.hear_text(&text).await;
                    send(socket, talk, replies).await?;
                    if let Some(goaway) = goaway {
                        return Ok(End::SentAway(goaway));
                    }
                    if is_hello_wanted {
                        return Ok(End::HelloWanted);
                    }
                }
                () = replaced(key.as_deref_mut()) => return Ok(End::KeyRenewed),
                () = self.outgoing.ready(), if talk.is_welcome() => send(socket, talk, self.outgoing.take()).await?,
                messages = talk.timely(), if talk.is_welcome() => send(socket, talk, messages).await?,
                () = sleep_until(welcome_by), if !talk.is_welcome() => {
                    return Ok(End::Failed(LinkError::NoWelcome { within }));
                }
            }
        }
    }
}

/// Waits until the key is another.
pub(super) async fn replaced(key: Option<&mut watch::Receiver<Secret>>) {
    if let Some(key) = key
        && key.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

async fn send(socket: &mut WebSocket, talk: &mut Talk<'_>, messages: Vec<AgentMessage>) -> Result<(), End> {
    for message in messages {
        let Some((envelope, _)) = talk.pack(message) else {
            continue;
        };
        // What was made of JSON just now is JSON again.
        let Ok(text) = serde_json::to_string(&envelope) else {
            continue;
        };
        let sent = socket.send(text).await;
        sent.map_err(|error| End::Failed(LinkError::Socket(error)))?;
    }
    Ok(())
}
