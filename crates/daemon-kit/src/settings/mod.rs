//! Sections of settings that products share. The comments on their fields are the configuration reference.
//!
//! Each section has a `check` that a product calls from its own [`conf::Settings::check`] with the section's key.

mod agent;
mod common;
mod database;
mod health;
mod logging;
mod outbox;
mod schedule;
mod server;

pub use self::schedule::ScheduleSettings;
pub use agent::{AgentBoot, AgentLive, AgentSettings};
pub use common::{CommonBoot, CommonLive, CommonSettings};
pub use database::{BackupSettings, DatabaseBoot, DatabaseSettings};
pub use health::HealthSettings;
pub use logging::{LogFormat, LoggingBoot, LoggingLive, LoggingSettings};
pub use outbox::{OutboxSettings, WhenFull};
pub(crate) use server::is_loopback;
pub use server::{BodyCompression, CircuitBreakerSettings, Dialect, ServerSettings};
