//! The store in one SQLite file: one thread that writes in groups, a few connections that read.
mod amend;
mod apply;
mod claims;
mod commands;
mod configs;
mod deliveries;
mod document;
mod files;
mod identity;
mod ingest;
mod keys;
mod link;
mod malware;
mod mark;
mod open;
mod readers;
mod registry;
mod removal;
mod rows;
mod sessions;
mod snapshot;
mod stream;
mod unseen;
mod value;
mod writer;
mod writes;

use crate::{
    agent::{AgentDetail, AgentFilter, AgentIdentity, AgentRecord, AgentRef, NewAgent, NewHeartbeat, Registration},
    batch::Batch,
    file::{ChangeQuery, FileQuery, LoggedChange, StoredFile},
    files_v1::{FilesV1Batch, FilesV1Receipt},
    identity::{JoinToken, NewJoinToken, NewSession, Operator, StoredUser},
    page::{Page, PageRequest},
    store::{
        CertifiedRefusal, ChangePasswordRefusal, EnrollRefusal, FilesRefusal, HeartbeatNoted, IngestRefusal,
        KeyWishRefusal, NewPassword, Statistics, Store, StoreError, Taken,
    },
    token::TokenHash,
};
use chrono::{DateTime, Utc};
use core_model::{AgentId, TokenId};
use readers::Readers;
use state_sqlite::{Backup, Backups, Component, Database};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task;
use writer::Writer;
use writes::Writes;

pub use open::{OpenError, Opened, StoreSettings, UpkeepError};
pub use writes::WriteFailure;

/// The tables of the store within the file.
const COMPONENT: Component = Component {
    name: "fleet",
    migrations: &[
        include_str!("schema.sql"),
        include_str!("snapshot_schema.sql"),
        include_str!("progress_schema.sql"),
        include_str!("link_schema.sql"),
        include_str!("keys_schema.sql"),
        include_str!("latest_schema.sql"),
        include_str!("profile_schema.sql"),
        include_str!("malware_schema.sql"),
        include_str!("proof_schema.sql"),
    ],
};

/// The store in one SQLite file. Clones share it; when the last one goes, all that was handed over is on disk.
#[derive(Clone)]
pub struct SqliteStore {
    writer: Arc<Writer>,
    readers: Arc<Readers>,
    writes: Writes,
    database: Database,
    kept_changes: u32,
}

impl SqliteStore {
    /// Takes a backup of one instant while others read and write, and removes those beyond the number to keep. Takes
    /// about two seconds a gigabyte.
    ///
    /// # Errors
    /// When the backup could not be taken or is not sound; those that were there stay then.
    pub async fn back_up(&self, backups: Backups, now: DateTime<Utc>) -> Result<Backup, UpkeepError> {
        let database = self.database.clone();
        let taken = task::spawn_blocking(move || backups.take(&database, now)).await;
        taken.map_err(|_| UpkeepError::Panicked)?.map_err(UpkeepError::Backup)
    }

    /// Gives room back that nobody uses, a little at a time while others read and write; how many bytes.
    ///
    /// # Errors
    /// When SQLite fails.
    pub async fn tidy(&self) -> Result<u64, UpkeepError> {
        let database = self.database.clone();
        let tidied = task::spawn_blocking(move || database.tidy()).await;
        tidied.map_err(|_| UpkeepError::Panicked)?.map_err(UpkeepError::Tidy)
    }

    /// Why it cannot be written at present, if it cannot; found out by what was last written, so something has to be
    /// from time to time ([`Store::sweep`]).
    pub fn write_failure(&self) -> Option<WriteFailure> {
        self.writes.failure(Instant::now())
    }

    /// Bytes on disk, the write-ahead log included.
    pub fn size(&self) -> u64 {
        self.database.size()
    }
}

impl Store for SqliteStore {
    async fn has_users(&self) -> Result<bool, StoreError> {
        self.readers.run("look for users", identity::has_users).await
    }

    async fn add_first_user(&self, user: StoredUser, now: DateTime<Utc>) -> Result<bool, StoreError> {
        let add = move |db: &_| identity::add_first_user(db, &user, now);
        self.writer.run("add the first user", add).await
    }

    async fn user(&self, name: String) -> Result<Option<StoredUser>, StoreError> {
        let read = move |db: &_| identity::user(db, &name);
        self.readers.run("look up a user", read).await
    }

    async fn change_password(
        &self,
        change: NewPassword,
        now: DateTime<Utc>,
    ) -> Result<Result<(), ChangePasswordRefusal>, StoreError> {
        let work = move |db: &_| identity::change_password(db, &change, now);
        self.writer.run("change a password", work).await
    }

    async fn open_session(&self, session: NewSession, now: DateTime<Utc>) -> Result<(), StoreError> {
        let work = move |db: &_| identity::open_session(db, &session, now);
        self.writer.run("open a session", work).await
    }

    async fn end_session(&self, session: TokenId, now: DateTime<Utc>) -> Result<(), StoreError> {
        let work = move |db: &_| identity::end_session(db, session, now);
        self.writer.run("end a session", work).await
    }

    async fn operator(&self, token: TokenHash, now: DateTime<Utc>) -> Result<Option<Operator>, StoreError> {
        let read = move |db: &_| identity::operator(db, token, now);
        self.readers.run("look up a session", read).await
    }

    async fn add_join_token(&self, token: NewJoinToken, now: DateTime<Utc>) -> Result<(), StoreError> {
        let work = move |db: &_| identity::add_join_token(db, &token, now);
        self.writer.run("add a join token", work).await
    }

    async fn join_tokens(&self, page: PageRequest<TokenId>) -> Result<Page<JoinToken, TokenId>, StoreError> {
        let read = move |db: &_| identity::join_tokens(db, &page);
        self.readers.run("list join tokens", read).await
    }

    async fn revoke_join_token(&self, token: TokenId, now: DateTime<Utc>) -> Result<bool, StoreError> {
        let work = move |db: &_| identity::revoke_join_token(db, token, now);
        self.writer.run("revoke a join token", work).await
    }

    async fn enroll(
        &self,
        token: TokenHash,
        agent: NewAgent,
        key: TokenHash,
        now: DateTime<Utc>,
    ) -> Result<Result<(), EnrollRefusal>, StoreError> {
        let work = move |db: &_| registry::enroll(db, token, &agent, key, now);
        self.writer.run("enrol an agent", work).await
    }

    async fn enroll_certified(
        &self,
        agent: NewAgent,
        no_key: TokenHash,
        now: DateTime<Utc>,
    ) -> Result<Result<AgentId, CertifiedRefusal>, StoreError> {
        let work = move |db: &_| registry::enroll_certified(db, &agent, no_key, now);
        self.writer.run("enrol an agent by its certificate", work).await
    }

    async fn agent_by_key(&self, key: TokenHash) -> Result<Option<AgentIdentity>, StoreError> {
        let read = move |db: &_| keys::agent_by_key(db, key);
        self.readers.run("look up an agent's key", read).await
    }

    async fn agent_by_name(&self, name: String) -> Result<Option<AgentIdentity>, StoreError> {
        let read = move |db: &_| keys::agent_by_name(db, &name);
        self.readers.run("look up an agent's name", read).await
    }

    async fn renew_key(&self, agent: AgentId, current: TokenHash, new: TokenHash) -> Result<bool, StoreError> {
        let work = move |db: &_| keys::renew(db, agent, current, new);
        self.writer.run("make an agent another key", work).await
    }

    async fn take_up_key(&self, pending: TokenHash, now: DateTime<Utc>) -> Result<Option<AgentId>, StoreError> {
        let work = move |db: &_| keys::take_up(db, pending, now);
        self.writer.run("take up an agent's other key", work).await
    }

    async fn want_new_key(
        &self,
        agent: AgentRef,
        now: DateTime<Utc>,
    ) -> Result<Result<AgentId, KeyWishRefusal>, StoreError> {
        let work = move |db: &_| keys::want(db, &agent, now);
        self.writer.run("ask an agent to renew its key", work).await
    }

    async fn register(&self, agent: AgentId, told: Registration, now: DateTime<Utc>) -> Result<(), StoreError> {
        let work = move |db: &_| registry::register(db, agent, &told, now);
        self.writer.run("register an agent", work).await
    }

    async fn heartbeat(
        &self,
        agent: AgentId,
        heartbeat: NewHeartbeat,
        keys_before: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<HeartbeatNoted, StoreError> {
        let work = move |db: &_| {
            let (snapshot_wanted, seen) = registry::heartbeat(db, agent, &heartbeat, now)?;
            let new_key_wanted = keys::is_wanted(db, agent, keys_before)?;
            Ok(HeartbeatNoted {
                snapshot_wanted,
                new_key_wanted,
                seen,
            })
        };
        self.writer.run("note a heartbeat", work).await
    }

    async fn revoke_agent(&self, agent: AgentRef, now: DateTime<Utc>) -> Result<Option<AgentId>, StoreError> {
        let work = move |db: &_| registry::revoke(db, &agent, now);
        self.writer.run("revoke an agent", work).await
    }

    async fn agents(
        &self,
        filter: AgentFilter,
        page: PageRequest<(String, AgentId)>,
        now: DateTime<Utc>,
        offline_after: Duration,
    ) -> Result<Page<AgentRecord, (String, AgentId)>, StoreError> {
        let read = move |db: &_| registry::list(db, &filter, &page, now, offline_after);
        self.readers.run("list agents", read).await
    }

    async fn agent(&self, agent: AgentRef) -> Result<Option<AgentDetail>, StoreError> {
        let read = move |db: &_| registry::detail(db, &agent);
        self.readers.run("look up an agent", read).await
    }

    async fn ingest(
        &self,
        agent: AgentId,
        batch: Arc<Batch>,
        now: DateTime<Utc>,
    ) -> Result<Result<Taken, IngestRefusal>, StoreError> {
        let kept = self.kept_changes;
        let work = move |db: &_| ingest::ingest(db, agent, &batch, kept, now);
        self.writer.run("ingest a batch", work).await
    }

    async fn drop_unnamed(&self, now: DateTime<Utc>) -> Result<bool, StoreError> {
        let kept = self.kept_changes;
        let work = move |db: &_| snapshot::next_step(db, kept, now);
        self.writer.run("drop what a snapshot did not name", work).await
    }

    async fn ingest_files(
        &self,
        agent: AgentId,
        key: Option<String>,
        fingerprint: [u8; 32],
        batch: Arc<FilesV1Batch>,
        now: DateTime<Utc>,
    ) -> Result<Result<FilesV1Receipt, FilesRefusal>, StoreError> {
        let kept = self.kept_changes;
        let work = move |db: &_| ingest::ingest_files(db, agent, key.as_deref(), fingerprint, &batch, kept, now);
        self.writer.run("ingest a batch of files", work).await
    }

    async fn files(
        &self,
        query: FileQuery,
        page: PageRequest<Vec<u8>>,
    ) -> Result<Page<StoredFile, Vec<u8>>, StoreError> {
        let read = move |db: &_| files::list(db, &query, &page);
        self.readers.run("list files", read).await
    }

    async fn file(&self, agent: AgentId, path: Vec<u8>) -> Result<Option<StoredFile>, StoreError> {
        let read = move |db: &_| files::one(db, agent, &path);
        self.readers.run("look up a file", read).await
    }

    async fn changes(&self, query: ChangeQuery, page: PageRequest<u64>) -> Result<Page<LoggedChange, u64>, StoreError> {
        let read = move |db: &_| files::changes(db, &query, &page);
        self.readers.run("list changes", read).await
    }

    async fn statistics(&self, now: DateTime<Utc>, offline_after: Duration) -> Result<Statistics, StoreError> {
        let read = move |db: &_| registry::statistics(db, now, offline_after);
        self.readers.run("sum up the fleet", read).await
    }

    async fn sweep(&self, now: DateTime<Utc>) -> Result<(), StoreError> {
        let work = move |db: &_| {
            claims::sweep(db, now - chrono::TimeDelta::days(1))?;
            identity::sweep(db, now)
        };
        self.writer.run("forget what is over", work).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let read = |db: &rusqlite::Connection| db.query_row("SELECT 1", [], |_| Ok(()));
        self.readers.run("answer", read).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LinkStore as _, link::SessionKey, link::Standing};
    use state_sqlite::OpenOptions;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_store_of_before_the_agent_link_is_brought_up_to_date_with_its_agents() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fleet.db");
        let database = Database::open(&path, OpenOptions::default()).unwrap();
        let older = Component {
            name: COMPONENT.name,
            migrations: &COMPONENT.migrations[..3],
        };
        database.migrate(&[older]).unwrap();
        let id = AgentId::new(DateTime::UNIX_EPOCH, [1; 10]);
        let joined = |db: &mut rusqlite::Connection| {
            db.execute_batch(
                "INSERT INTO user_account VALUES (x'01', 'admin', '', 'admin', 0);
                 INSERT INTO join_token VALUES (x'02', '', x'03', 0, x'01', 9, 1, 0, NULL);",
            )?;
            db.execute(
                "INSERT INTO agent (uuid, name, kind, hostname, version, capabilities, scan_paths, key_hash,
                                    join_token_id, enrolled_at, last_seen)
                 VALUES (?1, 'a', 'scanner', 'h', '1', '[]', '[]', ?2, x'02', 0, 0)",
                rusqlite::params![id.as_uuid().as_bytes(), TokenHash::of("key").as_bytes()],
            )
        };
        database.with_writer(joined).unwrap();
        drop(database);
        let store = SqliteStore::open(&path, StoreSettings::default()).unwrap();
        let agent = store.agent_by_key(TokenHash::of("key")).await.unwrap().unwrap();
        assert_eq!((agent.id, agent.name.as_str(), agent.is_key_new), (id, "a", false));
        assert!(!agent.is_key_pending);
        let detail = store.agent(AgentRef::from("a")).await.unwrap().unwrap();
        assert_eq!(detail.link, crate::LinkStatus::default(), "it has not connected yet");
        let key = detail.key.unwrap();
        assert_eq!(
            (key.made_at, key.is_renewal_pending),
            (DateTime::UNIX_EPOCH, false),
            "its key is as old as its enrolment"
        );
        let session = SessionKey { agent: id, epoch: 1 };
        let standing = store.alive(session, DateTime::UNIX_EPOCH).await.unwrap();
        assert_eq!(
            standing,
            Standing::Superseded,
            "a session that nobody began is nobody's"
        );
    }
}
