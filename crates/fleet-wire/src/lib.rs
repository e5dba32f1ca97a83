//! What agents and the controller say to one another: records of ingest, enrolment, and the file-scanner document's
//! own endpoints. Versioned types and their JSON, nothing else: no socket, no route, no store.
//!
//! ```
//! use fleet_wire::{FileChange, WirePath};
//! let deleted = FileChange::Deleted { path: WirePath::from_bytes(b"/data/\xff.txt") };
//! let json = serde_json::to_string(&deleted).unwrap();
//! assert_eq!(json, r#"{"path":"/data/\ufffd.txt","path_raw":"L2RhdGEv/y50eHQ="}"#.replace("\\ufffd", "\u{fffd}"));
//! ```
pub mod files_v1;
pub mod link;

mod enroll;
mod file;
mod ingest;
mod malware;
mod path;
mod problem;
mod profile;
mod proof;
mod proof_text;
mod snapshot;

pub use enroll::{
    ClaimPending, ClaimRequest, ClaimResponse, Delivered, EnrollRequest, EnrollResponse, Heartbeat, HeartbeatResponse,
    KeyResponse,
};
pub use file::{FileChange, FileKind, FileRecord, KindError, kind};
pub use ingest::{IngestRequest, IngestResponse, RawRecord, Rejected, join_records};
pub use malware::{
    Detection, FileCount, Handled, MalwareRecord, MalwareScan, Outcome, ScanCause, ScanStatus, malware_kind,
};
pub use path::WirePath;
pub use problem::Problem;
pub use profile::Profile;
pub use proof::{LeftOut, NotJudged, OlderSignatures, ScanProof, ScanScope, SignatureVersion};
pub use snapshot::{SnapshotBegin, SnapshotEnd, SnapshotReason, snapshot_kind};
