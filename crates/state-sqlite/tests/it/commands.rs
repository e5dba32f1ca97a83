//! The journal of commands against a plain model of it, over crashes and damage.
use crate::{now, open};
use chrono::{DateTime, TimeDelta, Utc};
use core_model::{CommandId, InstanceId};
use proptest::prelude::*;
use state_sqlite::{CommandJournal, CommandState, JournaledCommand, Seen};
use std::{fs, path::Path};

fn id(number: u8) -> CommandId {
    CommandId::new(now(), [number; 10])
}

fn instance(number: u8) -> InstanceId {
    InstanceId::new(now(), [number; 10])
}

fn at(secs: i64) -> DateTime<Utc> {
    now() + TimeDelta::seconds(secs)
}

/// What may happen to a journal.
#[derive(Clone, Debug)]
enum Step {
    Accept(u8, i64),
    Start(u8, u8),
    End(u8, u8),
    Confirm(u8),
    /// Killed, and opened again.
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    let id = 0..6_u8;
    prop_oneof![
        4 => (id.clone(), 0..40_i64).prop_map(|(id, keep)| Step::Accept(id, keep)),
        3 => (id.clone(), any::<u8>()).prop_map(|(id, by)| Step::Start(id, by)),
        3 => (id.clone(), any::<u8>()).prop_map(|(id, result)| Step::End(id, result)),
        3 => id.prop_map(Step::Confirm),
        1 => Just(Step::Kill),
    ]
}

const MAX_OPEN: u64 = 4;
const KEEP: u32 = 1;

/// The journal as a list, in the order of acceptance.
#[derive(Default)]
struct Model(Vec<(JournaledCommand, DateTime<Utc>)>);

impl Model {
    fn find(&mut self, id: CommandId) -> Option<&mut JournaledCommand> {
        self.0
            .iter_mut()
            .map(|(command, _)| command)
            .find(|command| command.id == id)
    }

    fn accept(&mut self, id: CommandId, body: &[u8], keep_until: DateTime<Utc>, now: DateTime<Utc>) -> Seen {
        if let Some(known) = self.find(id) {
            return Seen::Before(known.state);
        }
        let is_open = |(command, _): &&(JournaledCommand, _)| command.state != CommandState::Confirmed;
        if self.0.iter().filter(is_open).count() as u64 >= MAX_OPEN {
            return Seen::Full;
        }
        let command = JournaledCommand {
            id,
            state: CommandState::Accepted,
            accepted_at: now,
            started: None,
            body: Some(body.to_vec()),
            result: None,
        };
        self.0.push((command, keep_until));
        Seen::New
    }

    fn start(&mut self, id: CommandId, by: InstanceId, now: DateTime<Utc>) -> bool {
        let Some(command) = self.find(id).filter(|command| command.state <= CommandState::Started) else {
            return false;
        };
        command.state = CommandState::Started;
        command.started = Some((now, by));
        true
    }

    fn end(&mut self, id: CommandId, result: &[u8]) -> bool {
        let Some(command) = self.find(id).filter(|command| command.state <= CommandState::Started) else {
            return false;
        };
        command.state = CommandState::Ended;
        command.result = Some(result.to_vec());
        true
    }

    fn confirm(&mut self, id: CommandId, now: DateTime<Utc>) -> bool {
        let found = self.find(id).filter(|command| command.state >= CommandState::Ended);
        let is_ended = found.is_some();
        if let Some(command) = found {
            command.state = CommandState::Confirmed;
        }
        let is_confirmed = |command: &JournaledCommand| command.state == CommandState::Confirmed;
        let newest = self
            .0
            .iter()
            .rfind(|(command, _)| is_confirmed(command))
            .map(|(command, _)| command.id);
        self.0
            .retain(|(command, keep_until)| !is_confirmed(command) || Some(command.id) == newest || *keep_until >= now);
        is_ended
    }
}

fn agrees(journal: &CommandJournal, model: &mut Model) {
    let open = model
        .0
        .iter()
        .filter(|(command, _)| command.state != CommandState::Confirmed);
    let open: Vec<_> = open.map(|(command, _)| command.clone()).collect();
    assert_eq!(journal.unconfirmed().unwrap(), open);
    for number in 0..6 {
        assert_eq!(
            journal.get(id(number)).unwrap().as_ref(),
            model.find(id(number)).as_deref()
        );
    }
}

/// The state as a kill leaves it: a copy of what is on disk while the journal is still open.
fn killed(path: &Path, to: &Path) {
    for ending in ["", "-wal"] {
        fs::copy(crate::beside(path, ending), crate::beside(to, ending)).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn it_does_what_a_list_would(steps in prop::collection::vec(step(), 1..60)) {
        let temp = tempfile::tempdir().unwrap();
        let mut path = temp.path().join("state.db");
        let mut journal = CommandJournal::open(&open(&path)).unwrap();
        let mut model = Model::default();
        for (second, step) in (0..).zip(steps) {
            let now = at(second);
            match step {
                Step::Accept(number, keep) => {
                    let body = vec![number; usize::from(number) * 100];
                    let keep_until = at(second + keep);
                    let seen = journal.accept(id(number), &body, keep_until, MAX_OPEN, now).unwrap();
                    prop_assert_eq!(seen, model.accept(id(number), &body, keep_until, now));
                }
                Step::Start(number, by) => {
                    let begun = journal.start(id(number), instance(by), now).unwrap();
                    prop_assert_eq!(begun, model.start(id(number), instance(by), now));
                }
                Step::End(number, result) => {
                    let ended = journal.end(id(number), &[result; 50]).unwrap();
                    prop_assert_eq!(ended, model.end(id(number), &[result; 50]));
                }
                Step::Confirm(number) => {
                    let confirmed = journal.confirm(id(number), KEEP, now).unwrap();
                    prop_assert_eq!(confirmed, model.confirm(id(number), now));
                }
                Step::Kill => {
                    let next = temp.path().join(format!("state-{second}.db"));
                    killed(&path, &next);
                    path = next;
                    journal = CommandJournal::open(&open(&path)).unwrap();
                }
            }
            agrees(&journal, &mut model);
        }
    }
}

#[test]
fn a_damaged_row_says_nothing_but_its_id_and_is_not_begun() {
    let damages = [
        "body = x'00'",
        "result = x'00'",
        "started_ms = 5",
        "keep_until_ms = 0",
        "state = 0",
        "state = 77",
        "started_by = x'00'",
        "accepted_ms = 1",
        "crc = 0",
    ];
    for damage in damages {
        let temp = tempfile::tempdir().unwrap();
        let database = open(&temp.path().join("state.db"));
        let journal = CommandJournal::open(&database).unwrap();
        journal.accept(id(1), b"scan", at(60), 10, now()).unwrap();
        journal.start(id(1), instance(1), now()).unwrap();
        journal.end(id(1), b"done").unwrap();
        let sql = format!("UPDATE command SET {damage}");
        database.with_writer(|connection| connection.execute(&sql, [])).unwrap();
        let found = journal.get(id(1)).unwrap().unwrap();
        assert_eq!((found.id, found.body, found.result), (id(1), None, None), "{damage}");
        assert!(!journal.start(id(1), instance(1), now()).unwrap(), "{damage}");
        assert!(
            matches!(
                journal.accept(id(1), b"scan", at(60), 10, now()).unwrap(),
                Seen::Before(_)
            ),
            "{damage}"
        );
        // How it ended can be said anew.
        assert!(journal.end(id(1), b"unknown").unwrap(), "{damage}");
        assert_eq!(
            journal.get(id(1)).unwrap().unwrap().result.as_deref(),
            Some(&b"unknown"[..]),
            "{damage}"
        );
    }
}

#[test]
fn a_full_disk_takes_no_command_and_loses_none() {
    let temp = tempfile::tempdir().unwrap();
    let database = open(&temp.path().join("state.db"));
    let journal = CommandJournal::open(&database).unwrap();
    journal.accept(id(1), b"scan", at(60), 10, now()).unwrap();
    let pages: i64 = database
        .with_writer(|connection| connection.query_row("PRAGMA page_count", [], |row| row.get(0)))
        .unwrap();
    let bound = format!("PRAGMA max_page_count = {pages}");
    database
        .with_writer(|connection| connection.execute_batch(&bound))
        .unwrap();
    let error = journal.accept(id(2), &[b'x'; 50_000], at(60), 10, now()).unwrap_err();
    assert!(matches!(error, state_sqlite::StateError::DiskFull { .. }), "{error:?}");
    assert_eq!(journal.get(id(2)).unwrap(), None);
    assert_eq!(journal.unconfirmed().unwrap().len(), 1);
    assert!(
        journal.start(id(1), instance(1), now()).unwrap(),
        "what is there can go on"
    );
}
