//! One end of an agent's link, spoken word for word: what later versions say cannot be said by this version's own types.
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::{
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};
use testkit::GUARD;
use tokio_tungstenite::tungstenite::{
    Message, WebSocket,
    client::{IntoClientRequest as _, client},
    protocol::Role,
};

/// An open socket, of either side.
#[derive(Debug)]
pub struct Peer(WebSocket<TcpStream>);

impl Peer {
    /// The agent's end: connects to a controller with a key.
    ///
    /// # Errors
    /// When it is not let in.
    pub fn connect(controller: SocketAddr, key: &str) -> Result<Self> {
        let stream = TcpStream::connect(controller)?;
        stream.set_read_timeout(Some(GUARD))?;
        let mut request = format!("ws://{controller}/ws/agent").into_client_request()?;
        request.headers_mut().insert("x-api-key", key.parse()?);
        let (socket, _) = client(request, stream).map_err(|error| anyhow::anyhow!("not let in: {error}"))?;
        Ok(Self(socket))
    }

    /// The controller's end of a connection that was agreed to become a socket.
    ///
    /// # Errors
    /// When the connection is broken.
    pub(crate) fn accepted(stream: TcpStream) -> Result<Self> {
        stream.set_read_timeout(Some(GUARD))?;
        Ok(Self(WebSocket::from_raw_socket(stream, Role::Server, None)))
    }

    /// Says something; gives the message's id.
    ///
    /// # Errors
    /// When the other side is gone.
    pub fn say(&mut self, kind: &str, payload: &Value) -> Result<String> {
        let envelope = envelope(kind, 1, payload);
        self.say_raw(&envelope)?;
        Ok(id_of(&envelope))
    }

    /// Says a whole envelope.
    ///
    /// # Errors
    /// When the other side is gone.
    pub fn say_raw(&mut self, envelope: &Value) -> Result<()> {
        let text = Message::text(envelope.to_string());
        self.0.send(text).context("the other side is gone")
    }

    /// The next message.
    ///
    /// # Errors
    /// When the other side ends the connection or says nothing for too long.
    pub fn hear(&mut self) -> Result<Value> {
        loop {
            match self.0.read().context("nothing more is said")? {
                Message::Text(text) => return Ok(serde_json::from_str(&text)?),
                Message::Ping(_) | Message::Pong(_) => {}
                other => bail!("the other side says {other:?}"),
            }
        }
    }

    /// The payload of the next message of this kind; others are passed over.
    ///
    /// # Errors
    /// When the other side ends the connection or says nothing for too long.
    pub fn wait_for(&mut self, kind: &str) -> Result<Value> {
        loop {
            let mut heard = self.hear().with_context(|| format!("no {kind}"))?;
            if heard["type"] == kind {
                return Ok(heard["payload"].take());
            }
        }
    }
}

/// A message in its frame, which has a field that no version of today knows.
pub fn envelope(kind: &str, v: u32, payload: &Value) -> Value {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let id = format!("01900000-0000-7000-8000-{:012x}", NEXT.fetch_add(1, Relaxed));
    json!({"type": kind, "v": v, "id": id, "trace": {"of": "a later version"}, "payload": payload})
}

/// A message's id.
pub fn id_of(envelope: &Value) -> String {
    envelope["id"].as_str().unwrap_or_default().to_owned()
}
