//! The state of an agent.
use super::product::Host;
use crate::rig::noon;
use daemon_kit::{DatabaseSettings, OutboxSettings};
use fleet_link::agent::{AgentState, Answer, last_answer};
use state_sqlite::{Component, Database, OpenOptions, Story, rusqlite};

/// A product that had the table of answers for its own.
const OLDER: Component = Component {
    name: "guard",
    migrations: &["CREATE TABLE server_answer (
         id INTEGER PRIMARY KEY CHECK (id = 1),
         at_ms INTEGER NOT NULL,
         is_good INTEGER NOT NULL,
         text TEXT NOT NULL
     ) STRICT;"],
};

#[test]
fn what_the_server_answered_outlives_the_version_that_wrote_it_into_a_table_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("state.db");
    let older = Database::open(&file, OpenOptions::default()).unwrap();
    older.migrate(&[OLDER]).unwrap();
    let answered = "INSERT INTO server_answer (id, at_ms, is_good, text) VALUES (1, ?1, 1, 'took all')";
    let insert = |connection: &mut rusqlite::Connection| connection.execute(answered, [noon().timestamp_millis()]);
    older.with_writer(insert).unwrap();
    drop(older);
    let (_, backups) = DatabaseSettings::default().split();
    let outbox = OutboxSettings::default();
    let state = AgentState::open(&file, &backups, &outbox, &[OLDER], noon()).unwrap();
    let expected = Answer {
        at: noon(),
        is_good: true,
        text: "took all".to_owned(),
    };
    assert_eq!(last_answer(&state.database).unwrap(), Some(expected));
}

#[test]
fn a_state_is_one_process_s_and_a_new_one_has_no_answer() {
    let host = Host::new("{}");
    let state = host.state();
    assert_eq!((&state.story, state.waiting()), (&Story::New, 0));
    assert_eq!(last_answer(&state.database).unwrap(), None);
    let (_, backups) = DatabaseSettings::default().split();
    let again = AgentState::open(&state.file, &backups, &OutboxSettings::default(), &[], noon());
    let error = format!("{:#}", again.unwrap_err());
    assert!(error.contains("state.db"), "{error}");
}
