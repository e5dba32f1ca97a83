//! What is on disk: all that was answered, and nothing that opens a door.
use crate::fixture::{Fixture, at, created, enrollment, request, stream};
use fleet_core::{PageRequest, SqliteStore, Store, StoreSettings};
use std::fs;

#[tokio::test]
async fn all_that_was_answered_is_there_after_a_restart() {
    let fixture = Fixture::new();
    let (admin, password) = fixture.admin().await;
    let session = fixture.fleet.login("admin", &password, at(0)).await.unwrap();
    let token = fixture.join_token(&admin, 2).await;
    let joined = fixture.fleet.enroll(enrollment(&token, "a"), at(0)).await.unwrap();
    let agent = fixture
        .fleet
        .authenticate_agent(joined.api_key.as_ref().unwrap().reveal(), at(0))
        .await
        .unwrap()
        .unwrap();
    fixture
        .fleet
        .ingest(&agent, request(stream(0), 1, &[created(b"/a", 1)]), at(1))
        .await
        .unwrap();

    let fixture = fixture.restart();
    let fleet = &fixture.fleet;
    assert!(fleet.ensure_admin(at(2)).await.unwrap().is_none());
    assert!(
        fleet
            .authenticate_operator(session.token.reveal(), at(2))
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(
        fleet
            .authenticate_agent(joined.api_key.as_ref().unwrap().reveal(), at(0))
            .await
            .unwrap(),
        Some(agent.clone())
    );
    fleet
        .enroll(enrollment(&token, "b"), at(2))
        .await
        .expect("one use is left");
    assert!(fleet.store().file(agent.id, b"/a".to_vec()).await.unwrap().is_some());
    // The stream is known, so it goes on where it stood.
    fleet
        .ingest(&agent, request(stream(0), 2, &[created(b"/b", 1)]), at(2))
        .await
        .unwrap();
    let detail = fleet.store().agent("a".into()).await.unwrap().unwrap();
    assert_eq!((detail.agent.files.present, detail.streams[0].last_seq), (2, 2));
    assert!(detail.streams[0].gaps.is_empty());
}

#[tokio::test]
async fn no_secret_stands_in_the_file() {
    let fixture = Fixture::new();
    let (admin, password) = fixture.admin().await;
    let session = fixture.fleet.login("admin", &password, at(0)).await.unwrap();
    let token = fixture.join_token(&admin, 1).await;
    let joined = fixture.fleet.enroll(enrollment(&token, "a"), at(0)).await.unwrap();
    let mut bytes = Vec::new();
    for file in fs::read_dir(fixture.dir.path()).unwrap() {
        bytes.extend(fs::read(file.unwrap().path()).unwrap());
    }
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("$argon2id$v=19$"), "the search finds what is there");
    for secret in [&password, &session.token, &token, joined.api_key.as_ref().unwrap()] {
        let text = secret.reveal();
        assert!(!holds(text), "a secret stands in the clear");
        assert!(!holds(&text[3..]), "nor without its prefix");
    }
}

#[tokio::test]
async fn sweeping_forgets_only_what_is_long_over() {
    let fixture = Fixture::new();
    let (_, password) = fixture.admin().await;
    let session = fixture.fleet.login("admin", &password, at(20 * 3600)).await.unwrap();
    fixture.fleet.sweep(at(31 * 3600)).await.unwrap();
    let valid = fixture
        .fleet
        .authenticate_operator(session.token.reveal(), at(31 * 3600))
        .await
        .unwrap();
    assert!(valid.is_some());
    fixture.fleet.sweep(at(60 * 3600)).await.unwrap();
    let early = fixture
        .fleet
        .authenticate_operator(session.token.reveal(), at(21 * 3600))
        .await
        .unwrap();
    assert!(early.is_none(), "the row is gone");
}

#[tokio::test]
async fn a_file_of_another_program_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fleet.db");
    fs::write(&path, "not a database, but long enough to look at the header of it").unwrap();
    assert!(SqliteStore::open(&path, StoreSettings::default()).is_err());
}

#[tokio::test]
async fn the_store_answers_for_health() {
    let fixture = Fixture::new();
    fixture.fleet.store().ping().await.unwrap();
    let tokens = fixture
        .fleet
        .store()
        .join_tokens(PageRequest { after: None, limit: 1 })
        .await
        .unwrap();
    assert!(tokens.items.is_empty());
}
