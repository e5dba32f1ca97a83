//! The controller over HTTP: routes, who may use them, and what they say, on [`fleet_core::Fleet`].
//!
//! No rule of the domain stands here, no socket is opened and no file is read: the router is handed to
//! [`transport_http::Server`], which bounds and unpacks bodies, by the binary.
//!
//! ```
//! use fleet_api::{ApiSettings, AppState, LinkSettings, Links, router};
//! use fleet_core::{Fleet, FleetSettings, SqliteStore, StoreSettings};
//! use std::sync::Arc;
//! use transport_http::HealthRegistry;
//!
//! # let dir = tempfile::tempdir().unwrap();
//! # let file = dir.path().join("fleet.db");
//! let store = SqliteStore::open(&file, StoreSettings::default()).unwrap();
//! let app = router(AppState {
//!     fleet: Arc::new(Fleet::new(store, FleetSettings::default())),
//!     health: HealthRegistry::new("0.1.0", None),
//!     metrics: Arc::new(String::new),
//!     links: Links::new(LinkSettings::default()),
//!     read_config: Arc::new(|text| serde_json::from_str(text).map_err(|error| error.to_string())),
//!     public_url: Arc::new(|| None),
//!     settings: ApiSettings::default(),
//! });
//! # let _ = app;
//! ```
mod agents;
mod auth;
mod certificate;
mod claims;
mod commands;
mod compliance;
mod configs;
mod detections;
mod error;
mod extract;
mod files;
mod fleet;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod groups;
mod ingest;
mod join_tokens;
mod link;
mod paging;
pub mod rest;
mod routes;
mod scans;
mod sessions;
mod state;
mod throttle;

pub use link::{LinkSettings, Links};
pub use routes::{OPERATOR_ROUTES, OperatorRoute, router};
pub use state::{ApiSettings, AppState, ConfigReader, PublicUrl};
