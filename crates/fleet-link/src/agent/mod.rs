//! What every agent of a fleet has: its state with the outbox, how it is over HTTP, its place at the server, and what a
//! controller can have any agent do. A product adds its work, its own metrics and verbs, and its configuration.
//!
//! Every command begins with an [`AgentProcess`]. One that stays up is a [`daemon()`]: the product assembles its [`Agent`]
//! and its tasks into a [`Daemon`], and the rest of its life is here. A run that ends by itself uses
//! [`AgentProcess::own_state`], [`AgentProcess::health`], [`Agent::establish`] and the [`Membership`] that it gives.
mod answer;
mod context;
mod daemon;
pub mod doctor;
mod health;
mod hooks;
mod joining;
mod leaving;
mod link;
mod linked;
mod orders;
mod process;
mod reply;
mod state;
mod upkeep;

pub use answer::{Answer, last_answer};
pub use context::{AgentConfig, AgentContext, BootSettings, LiveSettings, Product};
pub use daemon::{Daemon, daemon};
pub use health::AgentHealth;
pub use hooks::{AgentHooks, Document, Pulse};
pub use leaving::{Leaving, leave};
pub use link::{Agent, AgentParts, Membership};
pub use linked::Linked;
pub use orders::{AgentOrders, Work};
pub use process::AgentProcess;
pub use reply::{Awaited, Ended, Reply, reply};
pub use state::AgentState;
