//! What the controller asks of its store.
use crate::{
    agent::{
        AgentDetail, AgentFilter, AgentIdentity, AgentRecord, AgentRef, FileTotals, NewAgent, NewHeartbeat,
        Registration,
    },
    batch::Batch,
    command::DeliveryCounts,
    file::{ChangeQuery, FileQuery, LoggedChange, StoredFile},
    files_v1::{FilesV1Batch, FilesV1Receipt},
    identity::{JoinToken, NewJoinToken, NewSession, Operator, StoredUser},
    link_store::LinkStore,
    malware::{NewDetection, OpenDetections},
    malware_store::MalwareStore,
    page::{Page, PageRequest},
    token::TokenHash,
};
use chrono::{DateTime, Utc};
use core_model::{AgentId, TokenId, UserId};
use fleet_wire::Delivered;
use std::{collections::BTreeMap, error::Error, sync::Arc, time::Duration};

/// The store could not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed.
    #[error("the store could not {doing}")]
    Backend {
        /// What was asked.
        doing: &'static str,
        /// Why not.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// There is no room on its disk. Nothing of what was asked was stored; it can be asked again.
    #[error("the store could not {doing}: its disk is full")]
    Full {
        /// What was asked.
        doing: &'static str,
        /// What the database says.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// Its disk failed. Nothing of what was asked was stored; it can be asked again.
    #[error("the store could not {doing}: its disk failed")]
    Disk {
        /// What was asked.
        doing: &'static str,
        /// What the database says.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// It was closed meanwhile, or its thread died.
    #[error("the store was closed before it could {doing}")]
    Closed {
        /// What was asked.
        doing: &'static str,
    },
    /// A job panicked; what it had begun was undone.
    #[error("the store met a bug as it tried to {doing}")]
    Panicked {
        /// What was asked.
        doing: &'static str,
    },
}

/// Why an agent was not enrolled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnrollRefusal {
    /// No such token, or it is revoked, over, or used up.
    Token,
    /// Another agent has the name.
    NameTaken,
}

/// Why an agent was not enrolled by its certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertifiedRefusal {
    /// An agent of another product has the name.
    NameTaken,
    /// The agent of the name was revoked.
    Revoked,
}

/// Why an agent is not asked for another key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyWishRefusal {
    /// There is no such agent.
    NoAgent,
    /// It was revoked.
    Revoked,
    /// It has none: its certificate proves it.
    NoKey,
}

/// A heartbeat was noted; what the agent is to do because of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeartbeatNoted {
    /// Records are missing that it was told are taken.
    pub snapshot_wanted: bool,
    /// It should have another key.
    pub new_key_wanted: bool,
    /// The highest number seen of the stream that it named.
    pub seen: Option<Delivered>,
}

/// A batch was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// It made a snapshot whole, and more is to be dropped than could be at once: [`Store::drop_unnamed`] goes on.
    pub has_more_to_drop: bool,
    /// Malware that it told of, and that was not known before.
    pub detected: Vec<NewDetection>,
}

/// Why a batch was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IngestRefusal {
    /// The stream is not known and does not start at its beginning, records of it may be lost here, or the agent spoke
    /// the other face meanwhile: only a snapshot in a new stream tells what is true.
    SnapshotWanted,
}

/// Why a batch of the file-scanner document was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilesRefusal {
    /// The key came before with another body.
    KeyReused,
}

/// Why a password was not changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangePasswordRefusal {
    /// It is no longer the one that was checked: somebody changed it meanwhile.
    Changed,
}

/// A password about to take the place of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPassword {
    /// Whose.
    pub user: UserId,
    /// The hash that was checked.
    pub old_hash: String,
    /// The hash to store.
    pub new_hash: String,
    /// The session that stays open; all others of the user end.
    pub keep: TokenId,
}

/// The fleet in figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Agents by status.
    pub online: u64,
    /// Agents by status.
    pub degraded: u64,
    /// Agents by status.
    pub offline: u64,
    /// Agents by status.
    pub maintenance: u64,
    /// Agents by status.
    pub revoked: u64,
    /// Agents that are not revoked, by product.
    pub kinds: BTreeMap<String, u64>,
    /// The same by site; those without one are not among them.
    pub sites: BTreeMap<String, u64>,
    /// The same by the product's version, as `scanner 0.1.0`.
    pub versions: BTreeMap<String, u64>,
    /// The same by operating system, where they told it.
    pub systems: BTreeMap<String, u64>,
    /// The same by container engine.
    pub container_engines: BTreeMap<String, u64>,
    /// Files of agents that are not revoked.
    pub files: FileTotals,
    /// Records that those agents' outboxes still hold, as they last told.
    pub outbox_records: u64,
    /// Streams in which a record is missing.
    pub streams_with_gaps: u64,
    /// Agents that are asked for a snapshot, because this store went back in time, and have not begun one yet.
    pub agents_owing_snapshot: u64,
    /// Commands at each agent, by where they stand.
    pub deliveries: DeliveryCounts,
    /// Malware that is, or may be, where it was found.
    pub detections: OpenDetections,
}

macro_rules! store {
    ($(#[$trait_doc:meta])* trait $trait:ident: $($bound:path),*; $($(#[$doc:meta])* fn $name:ident(&self $(, $arg:ident: $type:ty)* $(,)?) -> $answer:ty;)*) => {
        $(#[$trait_doc])*
        pub trait $trait: $($bound +)* Send + Sync + 'static {
            $($(#[$doc])* fn $name(&self $(, $arg: $type)*) -> impl Future<Output = Result<$answer, StoreError>> + Send;)*
        }
    };
}

pub(crate) use store;

store! {
    /// The controller's memory: one method for each use case, each all or nothing and durable when it answers.
    ///
    /// The futures are native, not boxed: which store it is, is chosen once at start, so everything above is generic
    /// over it and nothing is paid for on each call. No type of a database stands here, so that another one fits.
    trait Store: LinkStore, MalwareStore;

    /// Whether there is any user: a store without one waits for its first start to end.
    fn has_users(&self) -> bool;

    /// Adds `user` if there is no user at all; whether it did.
    fn add_first_user(&self, user: StoredUser, now: DateTime<Utc>) -> bool;

    /// The user of this name.
    fn user(&self, name: String) -> Option<StoredUser>;

    /// Puts a new password in place of the one that was checked, and ends the user's other sessions.
    fn change_password(&self, change: NewPassword, now: DateTime<Utc>) -> Result<(), ChangePasswordRefusal>;

    /// Opens a session.
    fn open_session(&self, session: NewSession, now: DateTime<Utc>) -> ();

    /// Ends a session.
    fn end_session(&self, session: TokenId, now: DateTime<Utc>) -> ();

    /// Whose session this is, if it is neither over nor ended.
    fn operator(&self, token: TokenHash, now: DateTime<Utc>) -> Option<Operator>;

    /// Adds a join token.
    fn add_join_token(&self, token: NewJoinToken, now: DateTime<Utc>) -> ();

    /// Join tokens, the newest first, those that no longer open anything too.
    fn join_tokens(&self, page: PageRequest<TokenId>) -> Page<JoinToken, TokenId>;

    /// Takes a join token back; whether there was one. Agents that joined by it stay.
    fn revoke_join_token(&self, token: TokenId, now: DateTime<Utc>) -> bool;

    /// Uses up one use of a join token and adds the agent: both or neither.
    fn enroll(&self, token: TokenHash, agent: NewAgent, key: TokenHash, now: DateTime<Utc>) -> Result<(), EnrollRefusal>;

    /// Adds an agent that its certificate proves, or finds the one of the same name and product: its id. `no_key` is the
    /// hash of no key.
    fn enroll_certified(&self, agent: NewAgent, no_key: TokenHash, now: DateTime<Utc>) -> Result<AgentId, CertifiedRefusal>;

    /// Whose key this is, pending ones and those of revoked agents too.
    fn agent_by_key(&self, key: TokenHash) -> Option<AgentIdentity>;

    /// The agent of this name, or the last that had it and was revoked.
    fn agent_by_name(&self, name: String) -> Option<AgentIdentity>;

    /// Makes `new` an agent's pending key, in the place of one that is pending already; whether `current` still was its
    /// key. Both open from here on.
    fn renew_key(&self, agent: AgentId, current: TokenHash, new: TokenHash) -> bool;

    /// Makes a pending key the key of its agent, and ends the one before with the session that was begun with it; the
    /// agent, if the key was pending.
    fn take_up_key(&self, pending: TokenHash, now: DateTime<Utc>) -> Option<AgentId>;

    /// Notes that an agent should have another key, until it has used one.
    fn want_new_key(&self, agent: AgentRef, now: DateTime<Utc>) -> Result<AgentId, KeyWishRefusal>;

    /// An agent told anew where and what it is.
    fn register(&self, agent: AgentId, registration: Registration, now: DateTime<Utc>) -> ();

    /// An agent is alive and told how it goes. A key made before `keys_before` is too old.
    fn heartbeat(
        &self,
        agent: AgentId,
        heartbeat: NewHeartbeat,
        keys_before: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> HeartbeatNoted;

    /// Takes an agent's key away; who it was, if there was one. Its records stay; its name is free.
    fn revoke_agent(&self, agent: AgentRef, now: DateTime<Utc>) -> Option<AgentId>;

    /// Agents by name; of equal names the one enrolled first comes first.
    fn agents(
        &self,
        filter: AgentFilter,
        page: PageRequest<(String, AgentId)>,
        now: DateTime<Utc>,
        offline_after: Duration,
    ) -> Page<AgentRecord, (String, AgentId)>;

    /// One agent with its streams.
    fn agent(&self, agent: AgentRef) -> Option<AgentDetail>;

    /// Applies a batch: repeats are dropped, and of two records about one file the one of the newer stream, then of the
    /// higher number, holds.
    fn ingest(&self, agent: AgentId, batch: Arc<Batch>, now: DateTime<Utc>) -> Result<Taken, IngestRefusal>;

    /// Drops a step of what whole snapshots did not name; whether there may be more. Nothing is lost if nobody calls for
    /// a while, or in the middle of it.
    fn drop_unnamed(&self, now: DateTime<Utc>) -> bool;

    /// Applies a batch of the file-scanner document, once for each `key`; `fingerprint` tells its body from another.
    fn ingest_files(
        &self,
        agent: AgentId,
        key: Option<String>,
        fingerprint: [u8; 32],
        batch: Arc<FilesV1Batch>,
        now: DateTime<Utc>,
    ) -> Result<FilesV1Receipt, FilesRefusal>;

    /// Files of an agent by path.
    fn files(&self, query: FileQuery, page: PageRequest<Vec<u8>>) -> Page<StoredFile, Vec<u8>>;

    /// One file of an agent.
    fn file(&self, agent: AgentId, path: Vec<u8>) -> Option<StoredFile>;

    /// The latest changes of an agent, the newest first.
    fn changes(&self, query: ChangeQuery, page: PageRequest<u64>) -> Page<LoggedChange, u64>;

    /// The fleet in figures.
    fn statistics(&self, now: DateTime<Utc>, offline_after: Duration) -> Statistics;

    /// Forgets what is of no more use: sessions over for a day, idempotency keys older than a day.
    fn sweep(&self, now: DateTime<Utc>) -> ();

    /// Whether the store can be read; for `/health`.
    fn ping(&self) -> ();
}
