//! A fleet in a directory of its own, and short ways to do what every test begins with.
use chrono::{DateTime, TimeDelta, Utc};
use core_model::{BatchId, Secret, StreamId};
use fleet_core::{AgentIdentity, Fleet, FleetSettings, Operator, SqliteStore, StoreSettings};
use fleet_wire::{EnrollRequest, FileChange, FileKind, FileRecord, IngestRequest, RawRecord, WirePath};
use std::{path::Path, sync::Arc, time::Duration};
use tempfile::TempDir;

pub(crate) struct Fixture {
    pub(crate) fleet: Arc<Fleet<SqliteStore>>,
    pub(crate) dir: TempDir,
}

/// So many seconds after a fixed instant.
/// As in a test of the list.
pub(crate) const OFFLINE_AFTER: Duration = Duration::from_secs(180);

pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap() + TimeDelta::seconds(seconds)
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with(StoreSettings::default())
    }

    pub(crate) fn with(settings: StoreSettings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let fleet = open(&dir.path().join("fleet.db"), settings);
        Self { fleet, dir }
    }

    /// The same file in a new process, as far as the store can tell.
    pub(crate) fn restart(self) -> Self {
        let Self { fleet, dir } = self;
        drop(Arc::into_inner(fleet).expect("nobody else holds the fleet"));
        let fleet = open(&dir.path().join("fleet.db"), StoreSettings::default());
        Self { fleet, dir }
    }

    /// The admin, logged in, and the password.
    pub(crate) async fn admin(&self) -> (Operator, Secret) {
        let password = self.fleet.ensure_admin(at(0)).await.unwrap().unwrap();
        let session = self.fleet.login("admin", &password, at(0)).await.unwrap();
        let operator = self
            .fleet
            .authenticate_operator(session.token.reveal(), at(0))
            .await
            .unwrap();
        (operator.unwrap(), password)
    }

    /// A token by which `uses` agents may join until `at(3600)`.
    pub(crate) async fn join_token(&self, admin: &Operator, uses: u32) -> Secret {
        let hour = Duration::from_secs(3600);
        let created = self
            .fleet
            .create_join_token(admin, "test", hour, uses, at(0))
            .await
            .unwrap();
        created.token
    }

    /// An agent that has joined.
    pub(crate) async fn agent(&self) -> AgentIdentity {
        let (admin, _) = self.admin().await;
        let token = self.join_token(&admin, 1).await;
        let joined = self
            .fleet
            .enroll(enrollment(&token, "host-scanner"), at(0))
            .await
            .unwrap();
        let known = self
            .fleet
            .authenticate_agent(joined.api_key.as_ref().unwrap().reveal(), at(0))
            .await
            .unwrap();
        known.unwrap()
    }
}

fn open(path: &Path, settings: StoreSettings) -> Arc<Fleet<SqliteStore>> {
    let store = SqliteStore::open(path, settings).unwrap();
    Arc::new(Fleet::new(store, FleetSettings::default()))
}

pub(crate) fn enrollment(token: &Secret, name: &str) -> EnrollRequest {
    EnrollRequest {
        join_token: Some(token.clone()),
        name: name.to_owned(),
        kind: "scanner".to_owned(),
        hostname: "host".to_owned(),
        version: "0.1.0".to_owned(),
        capabilities: vec!["scan".to_owned()],
    }
}

pub(crate) fn stream(n: u8) -> StreamId {
    StreamId::new(at(i64::from(n)), [n; 10])
}

pub(crate) fn record(path: &[u8], size: u64) -> FileRecord {
    FileRecord {
        path: WirePath::from_bytes(path),
        kind: FileKind::File,
        size,
        allocated_bytes: Some(4096),
        mtime: at(-100) + TimeDelta::nanoseconds(123_456_789),
        ctime: Some(at(-90)),
        btime: None,
        mime: Some("text/plain".to_owned()),
        mode: Some("0640".to_owned()),
        uid: Some(0),
        gid: Some(u32::MAX),
        owner: Some("root".to_owned()),
        group: None,
        inode: Some(u64::MAX),
        device: Some(7),
        links: Some(1),
        sha256: Some("ab".repeat(32)),
        blake3: None,
        changed: vec![],
    }
}

/// A request of the changes given, the first numbered `first`.
pub(crate) fn request(stream: StreamId, first: u64, changes: &[FileChange]) -> IngestRequest {
    let raw = |(seq, change): (u64, &FileChange)| RawRecord {
        seq,
        kind: change.kind().to_owned(),
        time: at(i64::try_from(seq).unwrap()),
        body: serde_json::value::to_raw_value(change).unwrap(),
    };
    IngestRequest {
        batch_id: BatchId::new(at(0), [0; 10]),
        stream,
        records: (first..).zip(changes).map(raw).collect(),
    }
}

pub(crate) fn created(path: &[u8], size: u64) -> FileChange {
    FileChange::Created(record(path, size))
}

pub(crate) fn deleted(path: &[u8]) -> FileChange {
    FileChange::Deleted {
        path: WirePath::from_bytes(path),
    }
}

pub(crate) fn moved(from: &[u8], to: &[u8], size: u64) -> FileChange {
    FileChange::Moved {
        from: WirePath::from_bytes(from),
        file: record(to, size),
    }
}
