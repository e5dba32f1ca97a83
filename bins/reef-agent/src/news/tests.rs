//! The end of an agent: who is at work is heard to the end, and nobody waits for a desk that is gone.
use super::{Listener, Teller, desk};
use crate::state::{COMPONENT, detections};
use chrono::{DateTime, Utc};
use fleet_link::agent::Linked;
use fleet_wire::{Handled, MalwareRecord, Outcome, WirePath};
use state_sqlite::{Database, OpenOptions, Outbox};
use std::sync::Arc;
use testkit::GUARD;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Nobody besides hears of it.
struct Alone;

impl Listener for Alone {
    fn has_server(&self) -> bool {
        false
    }
    fn happened(&self, _: DateTime<Utc>, _: &MalwareRecord) {}
    fn unwritten(&self, _: usize, _: &str) {}
    fn written(&self) {}
}

#[tokio::test]
async fn who_is_at_work_is_heard_when_the_agent_ends_and_afterwards_nobody_begins() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.db");
    let database = Database::open(&file, OpenOptions::default()).unwrap();
    database.migrate(&[COMPONENT]).unwrap();
    let outbox = Outbox::open(&database).unwrap();
    let (reporter, desk) = desk(Teller::new(&database, &outbox), Linked::default(), &file);
    let stop = CancellationToken::new();
    let at_work = reporter.hold();
    assert!(at_work.is_some());
    stop.cancel();
    let work = async {
        let handled = Handled {
            detection: None,
            quarantine_id: "one".to_owned(),
            path: WirePath::from_bytes(b"/a"),
            outcome: Outcome::Restored,
            detail: None,
        };
        reporter.report(Utc::now(), MalwareRecord::Handled(handled));
        reporter.flushed().await;
        let written = detections::history(&database, DateTime::UNIX_EPOCH, 9).unwrap();
        assert_eq!(written.len(), 1, "{written:?}");
        drop(at_work);
    };
    let (ended, ()) = timeout(GUARD, async { tokio::join!(desk.run(Arc::new(Alone), stop), work) })
        .await
        .unwrap();
    ended.unwrap();
    // It would wait for ever for a desk that hears nothing any more.
    assert!(reporter.hold().is_none());
}
