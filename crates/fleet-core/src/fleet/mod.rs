//! The controller's use cases: rules over a [`Store`].
mod amend;
mod claims;
mod commands;
mod configs;
mod document;
mod identity;
mod ingest;
mod keys;
mod link;
mod malware;
mod registry;
mod wake;

pub use amend::{AmendError, PutGroupError};
pub use claims::{AcceptClaimError, ClaimAnswer, OpenClaimError, PollClaimError};
pub use commands::{CommandOrder, SendCommandError};
pub use configs::SetConfigError;
pub use document::FilesV1AskError;
pub use identity::{ChangePasswordError, CreateJoinTokenError, LoginError, OpenedSession, PasswordError};
pub use ingest::IngestError;
pub use keys::{EnrollCertifiedError, RenewKeyError, RotateKeyError};
pub use link::HelloError;
pub use malware::AcknowledgeError;
pub use registry::{EnrollError, HeartbeatError, RegisterError};
pub use wake::Waker;

use crate::{LockoutSettings, LoginGuard, Store, StoreError};
use chrono::{DateTime, Utc};
use std::{
    sync::{PoisonError, RwLock},
    time::Duration,
};
use tokio::sync::{Notify, Semaphore};

/// The rules that can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FleetSettings {
    /// An agent that did not call for longer is offline.
    pub offline_after: Duration,
    /// How long an operator's session lasts.
    pub session_life: Duration,
    /// How guessing passwords is made slow.
    pub lockout: LockoutSettings,
    /// How long a claim waits for an operator.
    pub claim_life: Duration,
    /// So many claims may be open.
    pub open_claims: u32,
    /// So many claims may be open from one network.
    pub open_claims_of_network: u32,
    /// A command's deadline lies at most so long after it was sent.
    pub longest_deadline: Duration,
    /// A command that a silent agent had taken is unknown so long after its deadline.
    pub command_grace: Duration,
    /// Commands that have ended are kept so long.
    pub kept_commands: Duration,
    /// Detections, and what was done about them, are kept so long after they arrived.
    pub kept_detections: Duration,
    /// Scans are kept so long after they arrived.
    pub kept_scans: Duration,
    /// The longest configuration of an agent, in bytes.
    pub longest_config: usize,
    /// An agent is asked for another key when its own is older; never without.
    pub rotate_keys_after: Option<Duration>,
    /// An agent that was not heard of for longer is removed with all that it told; never without.
    pub remove_silent_after: Option<Duration>,
    /// Whether the client certificate of a connection proves the agent that it names, where no key does.
    pub agents_by_certificate: bool,
}

impl Default for FleetSettings {
    /// Offline after three minutes; sessions of twelve hours; claims of a day, 1000 of them and 50 from one network;
    /// deadlines of up to 30 days with 10 minutes of grace; commands kept for 30 days, detections for 400, scans for 90;
    /// configurations of 256 KiB.
    fn default() -> Self {
        Self {
            offline_after: Duration::from_secs(3 * 60),
            session_life: Duration::from_secs(12 * 3600),
            lockout: LockoutSettings::default(),
            claim_life: Duration::from_secs(24 * 3600),
            open_claims: 1_000,
            open_claims_of_network: 50,
            longest_deadline: Duration::from_secs(30 * 24 * 3600),
            command_grace: Duration::from_secs(10 * 60),
            kept_commands: Duration::from_secs(30 * 24 * 3600),
            kept_detections: Duration::from_secs(400 * 24 * 3600),
            kept_scans: Duration::from_secs(90 * 24 * 3600),
            longest_config: 256 << 10,
            rotate_keys_after: None,
            remove_silent_after: None,
            agents_by_certificate: false,
        }
    }
}

/// The fleet: what operators and agents can ask of it, whatever the store.
///
/// The time is handed in, so that everything that ends can be tested.
pub struct Fleet<S> {
    store: S,
    settings: RwLock<FleetSettings>,
    logins: LoginGuard,
    // One argon2id takes 19 MiB and a core for tens of milliseconds: a crowd at the door must not take more.
    hashing: Semaphore,
    // Rung when a snapshot leaves much to drop.
    unnamed: Notify,
    // Rung when an agent is removed.
    removed: Notify,
    wakes: wake::Wakes,
    detected: malware::Detected,
}

impl<S: Store> Fleet<S> {
    /// Over this store.
    pub fn new(store: S, settings: FleetSettings) -> Self {
        Self {
            store,
            settings: RwLock::new(settings),
            logins: LoginGuard::new(settings.lockout),
            hashing: Semaphore::new(2),
            unnamed: Notify::new(),
            removed: Notify::new(),
            wakes: wake::Wakes::default(),
            detected: malware::Detected::default(),
        }
    }

    /// The settings it works by now.
    pub fn settings(&self) -> FleetSettings {
        *self.settings.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works by other settings from now on, but for `lockout`, which stays as it was at the start.
    pub fn set(&self, settings: FleetSettings) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
    }

    /// The store, for what needs no rule: lists and single things to look at.
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// Forgets what is of no more use. To be called about once an hour.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn sweep(&self, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.store.sweep(now).await?;
        self.forget_malware(now).await
    }

    /// Drops a step of what whole snapshots did not name; whether there may be more. To be called again until there is
    /// none: at start, since an earlier process may have left some, and after [`Fleet::until_more_to_drop`].
    ///
    /// # Errors
    /// When the store fails; what was dropped before stays dropped.
    pub async fn drop_unnamed(&self, now: DateTime<Utc>) -> Result<bool, StoreError> {
        self.store.drop_unnamed(now).await
    }

    /// Waits until a snapshot became whole that leaves more to drop than was dropped at once. One that did so while
    /// nobody waited counts.
    pub async fn until_more_to_drop(&self) {
        self.unnamed.notified().await;
    }
}
