//! A resilient HTTP client, a WebSocket client by the same settings, and a small server with health and metrics.
//!
//! The client has time-outs on everything, retries with full jitter, a circuit breaker, a bound on parallel requests,
//! and packs bodies; it refuses to send a key in the clear or to carry it where a redirect points. The server bounds
//! what one peer may cost, unpacks bodies, tells errors as problems (RFC 9457) and finishes what it began.
//!
//! It does *not* know the meaning of any endpoint, choose certificates or make them, or spawn tasks that outlive their
//! caller.
//!
//! ```
//! use serde_json::{Map, Value, json};
//! use std::time::Duration;
//! use tokio_util::sync::CancellationToken;
//! use transport_http::{Client, ClientSettings, HealthOptions, HealthRegistry, Server, Status, health_routes};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let health = HealthRegistry::new("1.0.0", Some("server-01".to_owned()));
//! health.component("database").set(Status::Healthy, Map::from_iter([("size_mb".to_owned(), json!(15.2))]));
//!
//! let server = Server::bind("127.0.0.1:0".parse()?)?;
//! let client = Client::new(ClientSettings::new(format!("http://{}", server.local_addr()).parse()?))?;
//! let stop = CancellationToken::new();
//! let serving = server.run(health_routes(health, &HealthOptions::default()), stop.clone(), Duration::from_secs(5));
//! let asking = async {
//!     let document = client.get_json::<Value>("/health").await;
//!     stop.cancel();
//!     document
//! };
//! let (served, document) = tokio::join!(serving, asking);
//! served?;
//! assert_eq!(document?["database"], json!({"status": "healthy", "size_mb": 15.2}));
//! # Ok(())
//! # }
//! ```
mod attempt;
mod client;
mod error;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod health;
mod key;
mod limits;
mod packing;
mod problem;
mod request;
mod retry_after;
mod routes;
mod server;
mod settings;
mod setup;
mod stats;
mod tls;
mod websocket;

pub use client::Client;
pub use error::{Problem, SendError};
pub use health::{ComponentHandle, HealthRegistry, Status};
pub use key::ApiKey;
pub use limits::ServerLimits;
pub use problem::problem_response;
pub use request::{Request, Response};
pub use reqwest::{
    Method, StatusCode,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
pub use routes::{HealthOptions, health_routes, metrics_route};
pub use server::{BindError, ServeError, Server};
pub use settings::{ClientIdentity, ClientSettings, Compression, Observer, SetupError};
pub use stats::{ClientStats, Observation};
pub use tls::{
    CertificateFault, ClientAuth, IdentityWatch, PeerCertificate, ServerTls, TlsError, TlsFiles, ensure_crypto_provider,
};
pub use websocket::{ClosedBy, SocketError, SocketSettings, UpgradeError, WebSocket, WebSocketClient};
