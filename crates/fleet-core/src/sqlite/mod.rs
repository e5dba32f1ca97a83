//! The store in one SQLite file: one thread that writes in groups, a few connections that read.
mod apply;
mod files;
mod identity;
mod ingest;
mod readers;
mod registry;
mod rows;
mod snapshot;
mod stream;
mod value;
mod writer;

use crate::{
    agent::{AgentDetail, AgentFilter, AgentIdentity, AgentRecord, AgentRef, HealthReport, NewAgent, Registration},
    batch::Batch,
    file::{ChangeQuery, FileQuery, LoggedChange, StoredFile},
    files_v1::{FilesV1Batch, FilesV1Receipt},
    identity::{JoinToken, NewJoinToken, NewSession, Operator, StoredUser},
    page::{Page, PageRequest},
    store::{
        ChangePasswordRefusal, EnrollRefusal, FilesRefusal, IngestRefusal, NewPassword, Statistics, Store, StoreError,
    },
    token::TokenHash,
};
use chrono::{DateTime, Utc};
use core_model::{AgentId, TokenId};
use readers::Readers;
use state_sqlite::{Backups, Component, Database, OpenOptions, Story};
use std::{io, path::Path, sync::Arc, time::Duration};
use writer::Writer;

/// The tables of the store within the file.
const COMPONENT: Component = Component {
    name: "fleet",
    migrations: &[include_str!("schema.sql"), include_str!("snapshot_schema.sql")],
};
/// Statements that a connection keeps prepared; there are fewer than this.
const STATEMENTS: usize = 64;
/// Page cache of the connection that writes, in KiB: paths arrive in any order, so it should hold much of the file
/// table's inner pages.
const WRITER_CACHE_KIB: i64 = 65_536;
/// Pages of 8 KiB in the write-ahead log before they go into the file: a page that many batches touch is then written
/// there once for all of them.
const CHECKPOINT_PAGES: u32 = 8_000;

/// The store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file could not be opened, or belongs to something else.
    #[error(transparent)]
    Database(#[from] state_sqlite::OpenError),
    /// A connection could not be set up.
    #[error("could not set up a connection to the store")]
    Connection(#[from] rusqlite::Error),
    /// The thread that writes could not be started.
    #[error("could not start the thread that writes to the store")]
    Thread(#[source] io::Error),
}

/// How the store works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// How many may read at the same time, at least one.
    pub readers: usize,
    /// Whether to read every page for damage as it opens: about 0.6 s a gigabyte.
    pub check: bool,
    /// So many changes of each agent are kept for people to look at; the oldest go first.
    pub kept_changes: u32,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            readers: 4,
            check: true,
            kept_changes: 100_000,
        }
    }
}

/// The store in one SQLite file. Clones share it; when the last one goes, all that was handed over is on disk.
#[derive(Clone)]
pub struct SqliteStore {
    database: Database,
    writer: Arc<Writer>,
    readers: Arc<Readers>,
    kept_changes: u32,
}

impl SqliteStore {
    /// Opens the file, makes it if there is none, and brings its schema up to date.
    ///
    /// # Errors
    /// When the file cannot be opened, belongs to a later version, or cannot be brought up to date.
    pub fn open(path: &Path, settings: StoreSettings) -> Result<Self, OpenError> {
        let database = Database::open(path, OpenOptions { check: settings.check })?;
        database.migrate(&[COMPONENT])?;
        Self::over(database, settings)
    }

    /// As [`open`](Self::open), whatever became of the file: a damaged one is moved aside and the newest sound backup
    /// takes its place, or an empty store. What agents were told as taken since the backup is lost with it, so each of
    /// them is then asked for a snapshot. Whoever calls it holds the lock of the file.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_or_recover(
        path: &Path,
        settings: StoreSettings,
        backups: &Backups,
        now: DateTime<Utc>,
    ) -> Result<(Self, Story), OpenError> {
        let (database, story) = state_sqlite::open_or_recover(path, backups, &[COMPONENT], now)?;
        if !matches!(story, Story::New | Story::Sound) {
            database.with_writer(|connection| stream::forget(connection))?;
        }
        Ok((Self::over(database, settings)?, story))
    }

    /// The file, for backups and for how full its disk is.
    pub fn database(&self) -> &Database {
        &self.database
    }

    fn over(database: Database, settings: StoreSettings) -> Result<Self, OpenError> {
        let readers = (0..settings.readers.max(1))
            .map(|_| {
                let connection = database.read_connection()?;
                connection.set_prepared_statement_cache_capacity(STATEMENTS);
                Ok(connection)
            })
            .collect::<Result<Vec<_>, OpenError>>()?;
        database.with_writer(|connection| {
            connection.set_prepared_statement_cache_capacity(STATEMENTS);
            connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
            connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)
        })?;
        let writer = Writer::start(database.clone()).map_err(OpenError::Thread)?;
        Ok(Self {
            database,
            writer: Arc::new(writer),
            readers: Arc::new(Readers::new(readers)),
            kept_changes: settings.kept_changes,
        })
    }
}

impl SqliteStore {
    /// Drops what whole snapshots did not name, a step at a time, so that others write in between. Whoever calls may go
    /// away: the next sweep goes on.
    async fn drop_unnamed(&self, now: DateTime<Utc>) -> Result<(), StoreError> {
        let kept = self.kept_changes;
        let step = move |db: &_| snapshot::step(db, None, kept, now);
        while self.writer.run("drop what a snapshot did not name", step).await? {}
        Ok(())
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

    async fn agent_by_key(&self, key: TokenHash) -> Result<Option<AgentIdentity>, StoreError> {
        let read = move |db: &_| registry::agent_by_key(db, key);
        self.readers.run("look up an agent's key", read).await
    }

    async fn register(&self, agent: AgentId, told: Registration, now: DateTime<Utc>) -> Result<(), StoreError> {
        let work = move |db: &_| registry::register(db, agent, &told, now);
        self.writer.run("register an agent", work).await
    }

    async fn heartbeat(
        &self,
        agent: AgentId,
        version: Option<String>,
        health: HealthReport,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let work = move |db: &_| registry::heartbeat(db, agent, version.as_deref(), &health, now);
        self.writer.run("note a heartbeat", work).await
    }

    async fn revoke_agent(&self, agent: AgentRef, now: DateTime<Utc>) -> Result<bool, StoreError> {
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
    ) -> Result<Result<(), IngestRefusal>, StoreError> {
        let kept = self.kept_changes;
        let work = move |db: &_| ingest::ingest(db, agent, &batch, kept, now);
        let taken = self.writer.run("ingest a batch", work).await?;
        if matches!(taken, Ok(true)) {
            self.drop_unnamed(now).await?;
        }
        Ok(taken.map(drop))
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
        let work = move |db: &_| identity::sweep(db, now);
        self.writer.run("forget what is over", work).await?;
        self.drop_unnamed(now).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let read = |db: &rusqlite::Connection| db.query_row("SELECT 1", [], |_| Ok(()));
        self.readers.run("answer", read).await
    }
}
