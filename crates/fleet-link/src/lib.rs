//! An agent's side of a fleet: enrolment and claims, the credentials they give and the renewal of their key, delivery of
//! what lies in the outbox, heartbeats, and the link for commands and configuration, to a fleet controller or a server of
//! the file-scanner document. Each is a part of its own; [`agent`] puts them together, with the state, the health
//! and the life of a process, for a product that is an agent.
//!
//! It makes no records: what is told to the server was put into a [`core_model::Queue`] by the product, and the product
//! hears of what was refused. Its parts keep no state but the credentials, the token of a claim and the journal of
//! commands.
//!
//! ```
//! use fleet_link::{CredentialFile, Credentials};
//! # let dir = tempfile::tempdir().unwrap();
//! # let at = chrono::DateTime::UNIX_EPOCH;
//! let file = CredentialFile::in_dir(dir.path());
//! assert!(file.load("https://fleet.example.com").unwrap().is_none());
//! file.store(&Credentials {
//!     agent_id: core_model::AgentId::new(at, [7; 10]),
//!     name: "web-1-scanner".to_owned(),
//!     api_key: Some(core_model::Secret::new("k")),
//!     server: "https://fleet.example.com".to_owned(),
//!     enrolled_at: at,
//!     machine: None,
//! }).unwrap();
//! assert!(file.load("https://fleet.example.com/").unwrap().is_some());
//! assert!(file.load("https://elsewhere.example.com").is_err());
//! ```
pub mod agent;
mod claim;
mod credentials;
mod delivery;
mod document;
mod enroll;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod leave;
mod link;
mod machine;
mod presence;
mod private_file;
mod rotation;

pub use claim::{ClaimError, ClaimSettings, claim};
pub use credentials::{CredentialError, CredentialFile, Credentials};
pub use delivery::{
    Delivery, DeliveryError, DeliveryReport, DeliverySettings, DeliveryStatus, Hooks, OnRejected, OnSnapshotWanted,
    Refusal,
};
pub use document::{DocumentHooks, DocumentLink, DocumentParts, DocumentStatus, EndpointStatus, document_config};
pub use enroll::{EnrollError, Enrolled, Introduction, enroll, enroll_by_certificate, join_token};
pub use leave::{LeaveError, Left, leave};
pub use link::{
    AfterRestartDecision, CommandContext, CommandError, CommandProgress, Connected, InterruptedCommand, JournalError,
    Link, LinkError, LinkHooks, LinkParts, LinkSettings, LinkStatus, Transport, TransportChoice, Verb, Verbs,
};
pub use machine::machine_id;
pub use presence::{Presence, delivered, is_refused};
pub use rotation::{KeyRotation, KeyRotationError};
