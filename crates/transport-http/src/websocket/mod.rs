//! A WebSocket to the same server, by the same settings, as the requests of a [`Client`](crate::Client).
//!
//! The handshake goes through the HTTP library, so that TLS, the client's certificate, the key, the proxy and the rule
//! about plain HTTP are those of every other request. What the connection becomes after it is tungstenite's.
mod error;
mod socket;

pub use error::{SocketError, UpgradeError};
pub use socket::{ClosedBy, WebSocket};

use crate::{ApiKey, ClientSettings, SetupError, attempt::Bounds, client::way, settings::origin, setup};
use core_model::ByteSize;
use reqwest::{
    StatusCode,
    header::{
        CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
    },
};
use std::{fmt, time::Duration};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        handshake::{client::generate_key, derive_accept_key},
        protocol::{Role, WebSocketConfig},
    },
};
use url::Url;

/// An agent's socket is idle most of the time, and a busy one gains nothing from larger buffers at its few messages.
const READ_BUFFER: usize = 4096;

/// What holds for a socket once it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketSettings {
    /// The longest message that is taken from the server.
    pub max_message: ByteSize,
    /// After so long without a word from the server it is asked for a sign of life.
    pub ping_every: Duration,
    /// How long such a sign or the sending of one message may take.
    pub answer_within: Duration,
}

impl Default for SocketSettings {
    /// 4 MiB, 30 s, 15 s.
    fn default() -> Self {
        Self {
            max_message: ByteSize::new(4 << 20),
            ping_every: Duration::from_secs(30),
            answer_within: Duration::from_secs(15),
        }
    }
}

/// Opens sockets to one server.
#[derive(Clone)]
pub struct WebSocketClient {
    http: reqwest::Client,
    base_url: Url,
    server: String,
    way: String,
    connect_timeout: Duration,
    timeout: Duration,
    idle_timeout: Duration,
    retry_after_max: Duration,
    api_key: Option<ApiKey>,
    socket: SocketSettings,
}

impl WebSocketClient {
    /// Checks `settings` and makes what opens sockets. Opens none yet. Retries, breaker, compression and the bound on
    /// parallel requests are for requests and play no part.
    ///
    /// # Errors
    /// When the settings are wrong, for the same reasons as those of a [`Client`](crate::Client).
    pub fn new(settings: &ClientSettings, socket: SocketSettings) -> Result<Self, SetupError> {
        Ok(Self {
            http: setup::build_for_upgrades(settings)?,
            base_url: settings.base_url.clone(),
            server: origin(&settings.base_url),
            way: way(settings),
            connect_timeout: settings.connect_timeout,
            timeout: settings.timeout,
            idle_timeout: settings.idle_timeout,
            retry_after_max: settings.retry_after_max,
            api_key: settings.api_key.clone(),
            socket,
        })
    }

    /// Scheme, host and port of the server, as HTTP has them.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The key that it opens sockets with. A socket that is open knows nothing of its exchange.
    pub const fn api_key(&self) -> Option<&ApiKey> {
        self.api_key.as_ref()
    }

    /// Opens a socket at `path`, which is appended to the server's address.
    ///
    /// # Errors
    /// See [`UpgradeError`].
    pub async fn open(&self, path: &str) -> Result<WebSocket, UpgradeError> {
        let prefix = self.base_url.path().trim_end_matches('/');
        let path = format!("{prefix}/{}", path.trim_start_matches('/'));
        let endpoint = format!("{}{path}", self.server);
        let mut url = self.base_url.clone();
        url.set_path(&path);
        let bounds = Bounds {
            server: &self.way,
            endpoint: &endpoint,
            connect_timeout: self.connect_timeout,
            timeout: self.timeout,
            idle_timeout: self.idle_timeout,
            max_response: 0,
            retry_after_max: self.retry_after_max,
        };
        let opening = self.upgrade(&bounds, url);
        let timed_out = |_| crate::SendError::Timeout {
            endpoint: endpoint.clone(),
            after: self.timeout,
        };
        let upgraded = tokio::time::timeout(self.timeout, opening).await.map_err(timed_out)??;
        let max = usize::try_from(self.socket.max_message.bytes()).unwrap_or(usize::MAX);
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_message_size(Some(max))
            .max_frame_size(Some(max));
        let stream = WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(config)).await;
        Ok(WebSocket::new(stream, endpoint, self.socket))
    }

    async fn upgrade(&self, bounds: &Bounds<'_>, url: Url) -> Result<reqwest::Upgraded, UpgradeError> {
        let (answer, key) = loop {
            let api_key = self.api_key.as_ref().map(ApiKey::current);
            let key = generate_key();
            let asked = self
                .http
                .get(url.clone())
                .headers(api_key.as_ref().and_then(crate::key::header).into_iter().collect())
                .header(CONNECTION, "Upgrade")
                .header(UPGRADE, "websocket")
                .header(SEC_WEBSOCKET_VERSION, "13")
                .header(SEC_WEBSOCKET_KEY, &key);
            let answer = asked.send().await.map_err(|error| bounds.broken(error))?;
            // As of any request: the refusal of a key that was exchanged meanwhile says nothing.
            let is_of_old_key = self.api_key.as_ref().map(ApiKey::current) != api_key;
            if answer.status() != StatusCode::UNAUTHORIZED || !is_of_old_key {
                break (answer, key);
            }
        };
        let status = answer.status();
        if status != StatusCode::SWITCHING_PROTOCOLS {
            return Err(
                if status.is_client_error() || status.is_server_error() || status.is_redirection() {
                    bounds.refusal(answer).await.into()
                } else {
                    UpgradeError::NotUpgraded {
                        endpoint: bounds.endpoint.to_owned(),
                        status,
                    }
                },
            );
        }
        if !is_acceptance(answer.headers(), &key) {
            return Err(UpgradeError::BadHandshake {
                endpoint: bounds.endpoint.to_owned(),
            });
        }
        Ok(answer.upgrade().await.map_err(|error| bounds.broken(error))?)
    }
}

/// Whether the answer was made for this very question (RFC 6455, section 4.1), and not out of some proxy's store.
fn is_acceptance(headers: &HeaderMap, key: &str) -> bool {
    let says = |name, word: &str| {
        let value = headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        value.is_some_and(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word)))
    };
    let accept = headers.get(SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
    says(UPGRADE, "websocket")
        && says(CONNECTION, "upgrade")
        && accept == Some(derive_accept_key(key.as_bytes()).as_bytes())
}

impl fmt::Debug for WebSocketClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketClient")
            .field("server", &self.server)
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}
