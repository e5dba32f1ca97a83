//! How the link behaves.
use core_model::{Backoff, ByteSize};
use std::time::Duration;

/// How messages are to travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransportChoice {
    /// By WebSocket; by polling where something on the way takes none.
    #[default]
    Auto,
    /// By WebSocket only.
    WebSocket,
    /// By polling only.
    Polling,
}

/// How the link behaves. All of it may change at any time and holds from the next connection on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkSettings {
    /// How messages are to travel.
    pub transport: TransportChoice,
    /// The waits between attempts.
    pub backoff: Backoff,
    /// The longest wait where the controller refuses the agent's key; the shortest is half of it.
    pub refused_every: Duration,
    /// How long it is polled before a WebSocket is tried again.
    pub socket_again_after: Duration,
    /// How long the controller may take to answer HELLO.
    pub welcome_within: Duration,
    /// How long a connection has to last to be none of a row of failures.
    pub settled_after: Duration,
    /// Commands without a confirmed result that are taken; more are refused until some are confirmed.
    pub max_open_commands: u64,
    /// Confirmed commands that are remembered with their results, besides those that a repeat could still bring.
    pub kept_commands: u32,
    /// The longest result of a command, as JSON; a longer one is left out, and the report says so.
    pub max_result: ByteSize,
}

impl Default for LinkSettings {
    /// A WebSocket if possible, tried again after 10 minutes of polling; waits from 2 s to a minute, and of 5 minutes
    /// where the key is refused; 20 s for WELCOME; 1000 commands open, 256 remembered, results of 256 KiB.
    fn default() -> Self {
        Self {
            transport: TransportChoice::Auto,
            backoff: Backoff {
                first: Duration::from_secs(2),
                longest: Duration::from_secs(60),
            },
            refused_every: Duration::from_secs(300),
            socket_again_after: Duration::from_secs(600),
            welcome_within: Duration::from_secs(20),
            settled_after: Duration::from_secs(60),
            max_open_commands: 1000,
            kept_commands: 256,
            max_result: ByteSize::new(256 << 10),
        }
    }
}
