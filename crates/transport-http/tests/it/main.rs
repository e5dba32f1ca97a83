//! The client against servers that misbehave, and the server against clients that do, all on real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
mod breaker;
mod client;
mod failures;
mod health;
mod keys;
mod peer;
mod server;
mod tls;
mod tls_server;
mod websocket;
