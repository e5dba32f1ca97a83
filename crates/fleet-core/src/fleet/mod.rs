//! The controller's use cases: rules over a [`Store`].
mod identity;
mod ingest;
mod registry;

pub use identity::{ChangePasswordError, CreateJoinTokenError, LoginError, OpenedSession, PasswordError};
pub use ingest::IngestError;
pub use registry::{EnrollError, HeartbeatError, RegisterError};

use crate::{LockoutSettings, LoginGuard, Store, StoreError};
use chrono::{DateTime, Utc};
use std::time::Duration;
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
}

impl Default for FleetSettings {
    /// Three minutes, twelve hours, and the lockout's own.
    fn default() -> Self {
        Self {
            offline_after: Duration::from_secs(3 * 60),
            session_life: Duration::from_secs(12 * 3600),
            lockout: LockoutSettings::default(),
        }
    }
}

/// The fleet: what operators and agents can ask of it, whatever the store.
///
/// The time is handed in, so that everything that ends can be tested.
pub struct Fleet<S> {
    store: S,
    settings: FleetSettings,
    logins: LoginGuard,
    // One argon2id takes 19 MiB and a core for tens of milliseconds: a crowd at the door must not take more.
    hashing: Semaphore,
    // Rung when a snapshot leaves much to drop.
    unnamed: Notify,
}

impl<S: Store> Fleet<S> {
    /// Over this store.
    pub fn new(store: S, settings: FleetSettings) -> Self {
        Self {
            store,
            settings,
            logins: LoginGuard::new(settings.lockout),
            hashing: Semaphore::new(2),
            unnamed: Notify::new(),
        }
    }

    /// The settings it works by.
    pub const fn settings(&self) -> &FleetSettings {
        &self.settings
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
        self.store.sweep(now).await
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
