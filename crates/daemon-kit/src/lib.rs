//! What it takes to be a daemon: the command line and configuration, tasks that are kept, a doctor, a good end.
//!
//! It knows nothing about any one product, and nothing about fleets: what is done inside the tasks, and what is said to
//! a server, is others' business. It opens no database but
//! the queue of [`telemetry`]. Outside of [`cli`], nothing parses a command line: options are
//! handed in as plain values.
//!
//! ```
//! use daemon_kit::{ConfigFinder, ConfigSpec, LoggingSettings, Surroundings, load};
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, JsonSchema, Default)]
//! #[serde(default)]
//! struct Settings {
//!     logging: LoggingSettings,
//! }
//! impl conf::Settings for Settings {
//!     fn check(&self, check: &mut conf::Check<'_>) {
//!         self.logging.check("logging", check);
//!     }
//! }
//!
//! const SPEC: ConfigSpec = ConfigSpec {
//!     finder: ConfigFinder { product: "shoal-example", prefix: "SHOAL_EXAMPLE" },
//!     short_variables: &[("SHOAL_EXAMPLE_LOG_LEVEL", "logging.level")],
//!     other_variables: &[],
//!     meaningless: &[],
//!     never_literal: &[],
//! };
//! let mut around = Surroundings::default();
//! around.variables.insert("SHOAL_EXAMPLE_LOG_LEVEL".to_owned(), "debug".to_owned());
//! let loaded = load::<Settings>(&SPEC, None, &[], &around).unwrap();
//! assert_eq!(loaded.settings.value.logging.level, "debug");
//! ```
mod again;
pub mod bell;
mod blocking;
pub mod bundle;
pub mod cli;
pub mod doctor;
mod end;
mod env_file;
mod exit;
mod find;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod host;
pub mod live;
mod load;
mod notify;
mod periodic;
mod print;
mod real_path;
mod redact;
mod run;
mod serving;
mod settings;
mod signal;
mod supervisor;
mod surroundings;
mod systemd;
mod task;
pub mod telemetry;
mod timing;
pub mod verbs;

pub use again::start_again;
pub use blocking::blocking;
pub use end::log_panics;
pub use env_file::EnvFileError;
pub use exit::Exit;
pub use find::{ConfigFile, ConfigFinder, DataDir, EnvFile, FindError, Found, NamedBy};
pub use host::Host;
pub use load::{ConfigError, ConfigSpec, Invalid, LiteralSecret, Loaded, Override, load};
pub use notify::{ReadyHandle, StatusHandle};
pub use periodic::Every;
pub use print::{Table, escaped, printable, to_stdout};
pub use real_path::real_path;
pub use redact::Redactor;
pub use run::{RuntimeSettings, run};
pub use serving::{HealthServer, ServingError};
pub use settings::{
    AgentBoot, AgentLive, AgentSettings, BackupSettings, BodyCompression, CircuitBreakerSettings, CommonBoot,
    CommonLive, CommonSettings, DatabaseBoot, DatabaseSettings, Dialect, HealthSettings, LogFormat, LoggingBoot,
    LoggingLive, LoggingSettings, OutboxSettings, ScheduleSettings, ServerSettings, WhenFull,
};
pub use signal::{Signal, Signals};
pub use supervisor::{Cause, Stopped, SuperviseError, Supervisor};
pub use surroundings::Surroundings;
pub use task::{Restart, TaskState, TaskStates};
pub use timing::Timing;
