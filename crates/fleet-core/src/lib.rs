//! The controller's domain: which agents there are, who may ask, what their hosts hold, and the store that keeps it.
//!
//! It speaks no HTTP and knows no route: `fleet-api` does. It starts no task: what must happen from time to time
//! ([`Fleet::sweep`]) is called by whoever runs it.
//!
//! ```
//! use chrono::Utc;
//! use fleet_core::{Fleet, FleetSettings, SqliteStore, StoreSettings};
//!
//! # let dir = tempfile::tempdir().unwrap();
//! # let file = dir.path().join("fleet.db");
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
//! let store = SqliteStore::open(&file, StoreSettings::default()).unwrap();
//! let fleet = Fleet::new(store, FleetSettings::default());
//! let password = fleet.ensure_admin(Utc::now()).await.unwrap().expect("the first start makes an admin");
//! let session = fleet.login("admin", &password, Utc::now()).await.unwrap();
//! assert!(fleet.authenticate_operator(session.token.reveal(), Utc::now()).await.unwrap().is_some());
//! # });
//! ```
mod agent;
mod batch;
mod claim;
mod command;
mod compliance;
mod file;
mod files_v1;
mod fleet;
mod glob;
mod identity;
mod link;
mod link_store;
mod lockout;
mod malware;
mod malware_check;
mod malware_store;
mod page;
mod password;
mod profile;
mod ranges;
mod selector;
mod sqlite;
mod store;
mod token;
mod verb;

pub use agent::{
    AgentDetail, AgentFilter, AgentIdentity, AgentRecord, AgentRef, AgentStatus, FileTotals, HealthReport,
    HealthStatus, KeyStatus, NewAgent, NewHeartbeat, Registration, SnapshotState, SnapshotStatus, StreamFace,
    StreamStatus,
};
pub use batch::{Batch, BatchError, Effect, Entry, MAX_BATCH_RECORDS};
pub use claim::{
    AcceptClaim, AcceptRefusal, Claim, ClaimCode, ClaimLimits, ClaimPoll, ClaimRefusal, ClaimSecret, ClaimState,
    NewClaim,
};
pub use command::{
    CommandDetail, CommandFilter, CommandRecord, CommandTarget, Delivery, DeliveryCounts, DeliveryState, NewCommand,
    SendRefusal, SentCommand,
};
pub use compliance::{ComplianceFilter, RuleScans, Shortfall};
pub use file::{
    ChangeAction, ChangeQuery, DeletedFiles, FileFacts, FileFilter, FileQuery, LoggedChange, MAX_PATH_BYTES, StoredFile,
};
pub use files_v1::{FilesV1Batch, FilesV1Error, FilesV1Receipt};
pub use fleet::{
    AcceptClaimError, AcknowledgeError, AmendError, ChangePasswordError, ClaimAnswer, CommandOrder,
    CreateJoinTokenError, EnrollCertifiedError, EnrollError, FilesV1AskError, Fleet, FleetSettings, HeartbeatError,
    HelloError, IngestError, LoginError, OpenClaimError, OpenedSession, PasswordError, PollClaimError, PutGroupError,
    RegisterError, RenewKeyError, RotateKeyError, SendCommandError, SetConfigError, Waker,
};
pub use glob::Glob;
pub use identity::{CreatedJoinToken, JoinToken, JoinTokenState, NewJoinToken, NewSession, Operator, Role, StoredUser};
pub use link::{
    AgentConfig, CloneStatus, ConfigState, HelloOutcome, LinkStatus, NewConfig, NewSessionOfAgent, Outgoing,
    ResultTaken, SessionKey, SessionStatus, SetConfigRefusal, Standing, Transport,
};
pub use link_store::LinkStore;
pub use lockout::{Locked, LockoutSettings, LoginGuard};
pub use malware::{
    Acknowledgement, DetectionDetail, DetectionFilter, EventFound, EventKey, EventRef, EventsOf, Handling,
    MalwareStatus, NewDetection, OpenDetections, ScanFilter, StoredDetection, StoredScan, is_open,
};
pub use malware_store::MalwareStore;
pub use page::{Page, PageRequest};
pub use profile::{AgentProfile, AmendRefusal, Amendment, Assigned, Maintenance};
pub use selector::{AgentSelector, Group};
pub use sqlite::{OpenError, Opened, SqliteStore, StoreSettings, UpkeepError, WriteFailure};
pub use store::{
    CertifiedRefusal, ChangePasswordRefusal, EnrollRefusal, FilesRefusal, HeartbeatNoted, IngestRefusal,
    KeyWishRefusal, NewPassword, Statistics, Store, StoreError, Taken,
};
pub use token::{RandomError, TokenHash, TokenKind, message_id};
