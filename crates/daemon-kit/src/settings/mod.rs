//! Sections of settings that products share. The comments on their fields are the configuration reference.
//!
//! Each section has a `check` that a product calls from its own [`conf::Settings::check`] with the section's key.

mod health;
mod logging;
mod server;

pub use health::HealthSettings;
pub use logging::{LogFormat, LoggingSettings};
pub use server::{BodyCompression, CircuitBreakerSettings, Dialect, ServerSettings};
