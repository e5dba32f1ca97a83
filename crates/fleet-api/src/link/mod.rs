//! The agent link: one kind of session, by WebSocket or by polling.
mod bucket;
mod hub;
mod poll;
mod session;
mod socket;

use hub::Rhythm;
pub use hub::{LinkSettings, Links};
pub(crate) use poll::messages;
pub(crate) use socket::connect;
