//! What every agent of a fleet has: its state with the outbox, how it is over HTTP, its place at the server, and what a
//! controller can have any agent do. A product adds its work, its own metrics and verbs, and its configuration.
//!
//! In the order of a start: [`AgentState::open`], [`AgentHealth::start`], [`Agent::new`]. A daemon then runs
//! [`AgentHealth::serve`], [`AgentHealth::export`], [`Agent::run`] and [`upkeep()`] as tasks beside its work; a run that
//! ends by itself uses [`Agent::establish`] and the [`Membership`] that it gives.
mod answer;
mod context;
pub mod doctor;
mod health;
mod hooks;
mod joining;
mod leaving;
mod link;
mod linked;
mod orders;
mod state;
mod upkeep;

pub use answer::{Answer, last_answer};
pub use context::{AgentConfig, AgentContext, LiveSettings, Product};
pub use health::AgentHealth;
pub use hooks::{AgentHooks, Document, Pulse};
pub use leaving::{Leaving, leave};
pub use link::{Agent, AgentParts, Membership};
pub use linked::Linked;
pub use orders::{AgentOrders, Work};
pub use state::AgentState;
pub use upkeep::upkeep;
