//! A store that was damaged, restored, put back by hand or built anew: nobody takes what it holds for the truth unasked.
use crate::{
    fixture::{Fixture, at, created, request, stream},
    snapshot::{begin, change, end, of, present},
};
use core_model::Secret;
use fleet_core::{
    AgentIdentity, AgentRef, Fleet, FleetSettings, IngestError, Opened, SqliteStore, Store, StoreSettings,
};
use fleet_wire::SnapshotReason;
use state_sqlite::{Backups, Component, Database, OpenOptions, Story};
use std::{
    fs,
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Arc,
};
use tempfile::TempDir;

/// A closed store with an agent that was heard of twice, the second time after a backup.
struct Before {
    dir: TempDir,
    agent: AgentIdentity,
    password: Secret,
}

impl Before {
    async fn new() -> Self {
        let fixture = Fixture::new();
        let (admin, password) = fixture.admin().await;
        let token = fixture.join_token(&admin, 1).await;
        let joined = fixture
            .fleet
            .enroll(crate::fixture::enrollment(&token, "a"), at(0))
            .await;
        let agent = fixture
            .fleet
            .authenticate_agent(joined.unwrap().api_key.unwrap().reveal(), at(0))
            .await
            .unwrap()
            .unwrap();
        ingest(&fixture.fleet, &agent, 1, &["/a"]).await.unwrap();
        let backups = backups(fixture.dir.path());
        let backup = fixture.fleet.store().back_up(backups, at(10)).await.unwrap();
        assert_eq!(backup.taken_at, at(10));
        ingest(&fixture.fleet, &agent, 2, &["/told after the backup"])
            .await
            .unwrap();
        let Fixture { fleet, dir } = fixture;
        drop(Arc::into_inner(fleet).expect("nobody else holds the fleet"));
        Self { dir, agent, password }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("fleet.db")
    }

    fn damage(&self) {
        let mut file = fs::OpenOptions::new().write(true).open(self.file()).unwrap();
        file.seek(SeekFrom::Start(8192)).unwrap();
        file.write_all(&[0x5a; 8192]).unwrap();
    }

    fn open(&self) -> (Fleet<SqliteStore>, Opened) {
        let opened = SqliteStore::open_or_recover(
            &self.file(),
            StoreSettings::default(),
            &backups(self.dir.path()),
            at(20),
        );
        let (store, opened) = opened.unwrap();
        (Fleet::new(store, FleetSettings::default()), opened)
    }

    /// The agent goes on where it stood, is asked for a snapshot, sends one, and then all is as it says.
    async fn is_asked_and_tells_everything(&self, fleet: &Fleet<SqliteStore>) {
        let owing = async || {
            let offline_after = fleet.settings().offline_after;
            let sums = fleet.store().statistics(at(30), offline_after).await.unwrap();
            sums.agents_owing_snapshot
        };
        assert_eq!(owing().await, 1);
        let refused = ingest(fleet, &self.agent, 3, &["/b"]).await;
        assert!(matches!(refused, Err(IngestError::SnapshotWanted)), "{refused:?}");
        let from_its_start = ingest(fleet, &self.agent, 1, &["/a"]).await;
        assert!(
            matches!(from_its_start, Err(IngestError::SnapshotWanted)),
            "{from_its_start:?}"
        );
        let whole = vec![
            begin(1, SnapshotReason::Wanted),
            change(2, &present(b"/told after the backup", 1)),
            end(3, &[]),
        ];
        fleet.ingest(&self.agent, of(stream(9), whole), at(31)).await.unwrap();
        let has = async |path: &str| {
            let file = fleet
                .store()
                .file(self.agent.id, path.as_bytes().to_vec())
                .await
                .unwrap();
            file.is_some_and(|file| file.facts.is_some())
        };
        assert!(has("/told after the backup").await && !has("/a").await);
        assert_eq!(owing().await, 0);
        let detail = fleet.store().agent(AgentRef::Id(self.agent.id)).await.unwrap().unwrap();
        let closed: Vec<bool> = detail.streams.iter().map(|stream| stream.closed_at.is_some()).collect();
        assert_eq!(closed, [false, true]);
    }
}

fn backups(dir: &Path) -> Backups {
    Backups::new(dir.join("backups"), 3)
}

async fn ingest(
    fleet: &Fleet<SqliteStore>,
    agent: &AgentIdentity,
    first: u64,
    paths: &[&str],
) -> Result<(), IngestError> {
    let changes: Vec<_> = paths.iter().map(|path| created(path.as_bytes(), 1)).collect();
    fleet
        .ingest(agent, request(stream(0), first, &changes), at(1))
        .await
        .map(drop)
}

#[tokio::test]
async fn a_restored_store_knows_its_people_and_asks_its_agents() {
    let before = Before::new().await;
    before.damage();
    let (fleet, opened) = before.open();
    assert!(matches!(opened.story, Story::Restored { .. }), "{opened:?}");
    assert_eq!(opened.agents_asked, 1);
    assert!(fleet.ensure_admin(at(21)).await.unwrap().is_none());
    fleet.login("admin", &before.password, at(21)).await.unwrap();
    before.is_asked_and_tells_everything(&fleet).await;
}

#[tokio::test]
async fn a_restore_that_was_cut_off_before_agents_were_asked_asks_them_at_the_next_start() {
    let before = Before::new().await;
    before.damage();
    let (_, story) = state_sqlite::open_or_recover(&before.file(), &backups(before.dir.path()), &[], at(20)).unwrap();
    assert!(matches!(story, Story::Restored { .. }), "{story:?}");
    let (fleet, opened) = before.open();
    assert!(matches!(opened.story, Story::RolledBack { .. }), "{opened:?}");
    before.is_asked_and_tells_everything(&fleet).await;
}

#[tokio::test]
async fn a_copy_that_was_put_back_by_hand_is_found_out_and_stays_so() {
    let before = Before::new().await;
    let copy = backups(before.dir.path()).list().unwrap().remove(0);
    fs::copy(&copy.path, before.file()).unwrap();
    let (fleet, opened) = before.open();
    assert!(matches!(opened.story, Story::RolledBack { .. }), "{opened:?}");
    drop(fleet);
    let (fleet, opened) = before.open();
    assert_eq!(
        (opened.story, opened.agents_asked),
        (Story::Sound, 0),
        "it is said once"
    );
    before.is_asked_and_tells_everything(&fleet).await;
    drop(fleet);
    let (fleet, _) = before.open();
    let more = of(stream(9), vec![change(4, &created(b"/more", 1))]);
    fleet.ingest(&before.agent, more, at(40)).await.unwrap();
}

#[tokio::test]
async fn a_backup_that_an_operator_restores_asks_every_agent_on_any_machine() {
    let before = Before::new().await;
    let copy = backups(before.dir.path()).list().unwrap().remove(0);
    let aside = SqliteStore::restore(&before.file(), &copy.path, at(15)).unwrap();
    assert!(aside.exists(), "{}", aside.display());
    let (fleet, opened) = before.open();
    assert_eq!(opened.agents_asked, 1);
    before.is_asked_and_tells_everything(&fleet).await;

    // A machine that has never seen a store of this fleet.
    let elsewhere = tempfile::tempdir().unwrap();
    let path = elsewhere.path().join("fleet.db");
    SqliteStore::restore(&path, &copy.path, at(15)).unwrap();
    let backups = backups(elsewhere.path());
    let (store, opened) = SqliteStore::open_or_recover(&path, StoreSettings::default(), &backups, at(20)).unwrap();
    assert_eq!(opened.agents_asked, 1, "{opened:?}");
    before
        .is_asked_and_tells_everything(&Fleet::new(store, FleetSettings::default()))
        .await;
}

#[tokio::test]
async fn the_fleet_is_summed_up_beside_whoever_uses_the_store() {
    let fixture = Fixture::new();
    let agent = fixture.agent().await;
    ingest(&fixture.fleet, &agent, 1, &["/a", "/b"]).await.unwrap();
    let path = fixture.dir.path().join("fleet.db");
    let sums = SqliteStore::statistics_of(&path, at(1), std::time::Duration::from_secs(60)).unwrap();
    assert_eq!((sums.online, sums.files.present), (1, 2));
    assert!(SqliteStore::statistics_of(&fixture.dir.path().join("no.db"), at(1), std::time::Duration::ZERO).is_err());
}

#[tokio::test]
async fn a_store_without_a_sound_backup_is_built_anew_and_knows_nobody() {
    let before = Before::new().await;
    fs::remove_dir_all(before.dir.path().join("backups")).unwrap();
    before.damage();
    let (fleet, opened) = before.open();
    assert!(matches!(opened.story, Story::Rebuilt { .. }), "{opened:?}");
    assert_eq!(opened.agents_asked, 0);
    assert!(
        fleet.ensure_admin(at(21)).await.unwrap().is_some(),
        "an admin is made anew"
    );
    drop(fleet);
    let (_, opened) = before.open();
    assert_eq!(
        opened.story,
        Story::Sound,
        "the mark of the store before says nothing about this one"
    );
}

#[tokio::test]
async fn a_sound_store_asks_nobody() {
    let before = Before::new().await;
    let (fleet, opened) = before.open();
    assert_eq!((opened.story, opened.agents_asked), (Story::Sound, 0));
    ingest(&fleet, &before.agent, 3, &["/b"]).await.unwrap();
}

#[tokio::test]
async fn a_store_of_an_older_version_is_backed_up_before_it_is_changed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fleet.db");
    let older = Component {
        name: "fleet",
        migrations: &[
            include_str!("../../src/sqlite/schema.sql"),
            include_str!("../../src/sqlite/snapshot_schema.sql"),
        ],
    };
    let database = Database::open(&path, OpenOptions::default()).unwrap();
    database.migrate(&[older]).unwrap();
    drop(database);
    let backups = backups(dir.path());
    assert!(backups.list().unwrap().is_empty());
    let (store, opened) = SqliteStore::open_or_recover(&path, StoreSettings::default(), &backups, at(0)).unwrap();
    assert_eq!(opened.story, Story::Sound);
    let fleet = Fleet::new(store, FleetSettings::default());
    assert!(fleet.ensure_admin(at(0)).await.unwrap().is_some());
    let kept = backups.list().unwrap();
    assert_eq!(kept.len(), 1);
    let copy = Database::open_read_only(&kept[0].path).unwrap();
    copy.migrate(&[older]).expect("the copy is as it was");
}
