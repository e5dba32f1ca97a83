//! Full snapshots: what an agent does not name is dropped, once all of it has arrived and not before.
use crate::fixture::{Fixture, at, created, deleted, record, request, stream};
use core_model::StreamId;
use fleet_core::{
    AgentDetail, AgentIdentity, AgentRef, ChangeAction, ChangeQuery, FileFilter, FileQuery, FileTotals, PageRequest,
    SnapshotState, Store, StoredFile,
};
use fleet_wire::{
    FileChange, IngestRequest, RawRecord, SnapshotBegin, SnapshotEnd, SnapshotReason, WirePath, snapshot_kind,
};

pub(crate) fn raw(seq: u64, kind: &str, body: &impl serde::Serialize) -> RawRecord {
    RawRecord {
        seq,
        kind: kind.to_owned(),
        time: at(i64::try_from(seq).unwrap()),
        body: serde_json::value::to_raw_value(body).unwrap(),
    }
}

pub(crate) fn begin(seq: u64, reason: SnapshotReason) -> RawRecord {
    let detail = "found and done".to_owned();
    raw(seq, snapshot_kind::BEGIN, &SnapshotBegin { reason, detail })
}

pub(crate) fn end(seq: u64, unseen: &[&[u8]]) -> RawRecord {
    let unseen = unseen.iter().map(|path| WirePath::from_bytes(*path)).collect();
    raw(seq, snapshot_kind::END, &SnapshotEnd { unseen })
}

pub(crate) fn present(path: &[u8], size: u64) -> FileChange {
    FileChange::Present(record(path, size))
}

pub(crate) fn change(seq: u64, change: &FileChange) -> RawRecord {
    raw(seq, change.kind(), change)
}

pub(crate) fn of(stream: StreamId, records: Vec<RawRecord>) -> IngestRequest {
    IngestRequest {
        records,
        ..request(stream, 1, &[])
    }
}

pub(crate) async fn send(fixture: &Fixture, agent: &AgentIdentity, request: IngestRequest) {
    let answer = fixture.fleet.ingest(agent, request, at(100)).await.unwrap();
    assert_eq!(answer.rejected, []);
}

pub(crate) async fn files(fixture: &Fixture, agent: &AgentIdentity) -> Vec<StoredFile> {
    let query = FileQuery {
        agent: agent.id,
        prefix: vec![],
        filter: FileFilter::default(),
    };
    let page = PageRequest {
        after: None,
        limit: 1000,
    };
    fixture.fleet.store().files(query, page).await.unwrap().items
}

async fn live(fixture: &Fixture, agent: &AgentIdentity) -> Vec<String> {
    let name = |file: StoredFile| String::from_utf8(file.path).unwrap();
    files(fixture, agent).await.into_iter().map(name).collect()
}

/// `/a`, `/b`, `/c/x` and `/c/y`, told in a first stream.
async fn four(fixture: &Fixture) -> AgentIdentity {
    let agent = fixture.agent().await;
    let files: Vec<FileChange> = ["/a", "/b", "/c/x", "/c/y"]
        .iter()
        .map(|path| created(path.as_bytes(), 1))
        .collect();
    send(fixture, &agent, request(stream(1), 1, &files)).await;
    agent
}

#[tokio::test]
async fn what_a_whole_snapshot_does_not_name_is_dropped_but_for_what_was_not_looked_at() {
    let fixture = Fixture::new();
    let agent = four(&fixture).await;
    let new = stream(2);
    let named = vec![
        begin(1, SnapshotReason::Restored),
        change(2, &present(b"/a", 1)),
        change(3, &created(b"/new", 9)),
    ];
    send(&fixture, &agent, of(new, named)).await;
    assert_eq!(live(&fixture, &agent).await.len(), 5, "not before its end");
    send(&fixture, &agent, of(new, vec![end(4, &[b"/c"])])).await;
    assert_eq!(live(&fixture, &agent).await, ["/a", "/c/x", "/c/y", "/new"]);

    let detail = fixture
        .fleet
        .store()
        .agent(AgentRef::Id(agent.id))
        .await
        .unwrap()
        .unwrap();
    let told = detail.streams[0].snapshot.clone().unwrap();
    assert_eq!(
        (told.reason.as_str(), told.detail.as_str(), told.dropped),
        ("restored", "found and done", 1)
    );
    assert!(told.complete_at.is_some());
    assert_eq!(detail.agent.files.present, 4);
}

#[tokio::test]
async fn the_end_waits_for_what_comes_late_and_repeats_do_no_harm() {
    let fixture = Fixture::new();
    let agent = four(&fixture).await;
    let new = stream(2);
    let late = || of(new, vec![change(2, &present(b"/b", 1))]);
    send(&fixture, &agent, of(new, vec![begin(1, SnapshotReason::Wanted)])).await;
    send(
        &fixture,
        &agent,
        of(new, vec![end(3, &[]), change(4, &created(b"/after", 1))]),
    )
    .await;
    assert_eq!(live(&fixture, &agent).await.len(), 5, "record 2 may name any of them");
    send(&fixture, &agent, late()).await;
    assert_eq!(live(&fixture, &agent).await, ["/after", "/b"]);
    send(&fixture, &agent, late()).await;
    send(&fixture, &agent, of(new, vec![begin(1, SnapshotReason::Wanted)])).await;
    assert_eq!(live(&fixture, &agent).await, ["/after", "/b"]);
}

#[tokio::test]
async fn an_older_stream_says_nothing_any_more() {
    let fixture = Fixture::new();
    let agent = four(&fixture).await;
    send(
        &fixture,
        &agent,
        of(stream(2), vec![begin(1, SnapshotReason::RolledBack)]),
    )
    .await;
    send(
        &fixture,
        &agent,
        request(stream(1), 5, &[created(b"/late", 1), deleted(b"/a")]),
    )
    .await;
    assert_eq!(
        live(&fixture, &agent).await,
        ["/a", "/b", "/c/x", "/c/y"],
        "acknowledged and not applied"
    );
    send(&fixture, &agent, of(stream(2), vec![end(2, &[])])).await;
    assert!(live(&fixture, &agent).await.is_empty());
}

#[tokio::test]
async fn a_file_that_is_named_as_it_was_is_no_change() {
    let fixture = Fixture::new();
    let agent = four(&fixture).await;
    let changes = async || {
        let query = ChangeQuery {
            agent: agent.id,
            prefix: vec![],
            action: None,
            since: None,
        };
        let page = PageRequest {
            after: None,
            limit: 100,
        };
        fixture
            .fleet
            .store()
            .changes(query, page)
            .await
            .unwrap()
            .items
            .into_iter()
            .map(|change| change.action)
            .collect::<Vec<_>>()
    };
    let before = changes().await.len();
    let named = vec![
        begin(1, SnapshotReason::Asked),
        change(2, &present(b"/a", 1)),
        change(3, &present(b"/b", 2)),
        change(4, &present(b"/new", 2)),
        end(5, &[b"/c"]),
    ];
    send(&fixture, &agent, of(stream(2), named)).await;
    let mut new = changes().await;
    new.truncate(new.len() - before);
    assert_eq!(new, [ChangeAction::Created, ChangeAction::Updated], "the newest first");
}

async fn detail(fixture: &Fixture, agent: &AgentIdentity) -> AgentDetail {
    let found = fixture.fleet.store().agent(AgentRef::Id(agent.id)).await.unwrap();
    found.unwrap()
}

#[tokio::test]
async fn a_large_drop_goes_on_after_a_crash_and_leaves_what_came_meanwhile() {
    let mut fixture = Fixture::new();
    let agent = fixture.agent().await;
    for part in 0..6_u64 {
        let files: Vec<FileChange> = (0..2_000)
            .map(|n| created(format!("/f/{part}-{n:04}").as_bytes(), 1))
            .collect();
        send(&fixture, &agent, request(stream(1), 1 + part * 2_000, &files)).await;
    }
    let new = stream(2);
    let whole = vec![
        begin(1, SnapshotReason::Rebuilt),
        change(2, &present(b"/f/3-0007", 1)),
        end(3, &[]),
    ];
    send(&fixture, &agent, of(new, whole)).await;
    let some = detail(&fixture, &agent).await;
    assert_eq!(
        some.streams[0].snapshot.as_ref().unwrap().state,
        SnapshotState::Dropping
    );
    assert_eq!(
        some.agent.files.present, 7_000,
        "one step is done before the agent is answered"
    );

    // Where the drop has been, and where it has still to go; and what is of no account any more.
    let meanwhile = vec![
        change(4, &created(b"/f/0-0000", 2)),
        change(5, &created(b"/f/5-0001", 3)),
        change(6, &deleted(b"/f/4-0000")),
    ];
    send(&fixture, &agent, of(new, meanwhile)).await;
    send(&fixture, &agent, request(stream(1), 12_001, &[created(b"/f/late", 1)])).await;
    let mut steps = 0;
    loop {
        fixture = fixture.restart();
        if !fixture.fleet.drop_unnamed(at(200)).await.unwrap() {
            break;
        }
        steps += 1;
    }
    assert!(steps >= 2, "{steps}");
    assert_eq!(live(&fixture, &agent).await, ["/f/0-0000", "/f/3-0007", "/f/5-0001"]);
    let all = detail(&fixture, &agent).await;
    let told = all.streams[0].snapshot.clone().unwrap();
    // All but the one named, and the two that the agent itself said something about before the drop came there.
    assert_eq!((told.state, told.dropped), (SnapshotState::Complete, 12_000 - 3));
    let totals = FileTotals {
        present: 3,
        deleted: 12_000 - 3,
        bytes: 6,
    };
    assert_eq!(all.agent.files, totals);
    let query = ChangeQuery {
        agent: agent.id,
        prefix: vec![],
        action: Some(ChangeAction::Deleted),
        since: None,
    };
    let page = PageRequest {
        after: None,
        limit: 100_000,
    };
    let changes = fixture.fleet.store().changes(query, page).await.unwrap();
    assert_eq!(changes.items.len(), 12_000 - 2, "those dropped, and one by the agent");
}

#[tokio::test]
async fn who_waits_for_more_to_drop_is_woken_by_a_large_snapshot_alone() {
    let fixture = Fixture::new();
    let agent = four(&fixture).await;
    send(
        &fixture,
        &agent,
        of(stream(2), vec![begin(1, SnapshotReason::Asked), end(2, &[])]),
    )
    .await;
    assert!(
        poll_once(std::pin::pin!(fixture.fleet.until_more_to_drop()))
            .await
            .is_none()
    );
    for part in 0..3_u64 {
        let files: Vec<FileChange> = (0..2_000)
            .map(|n| created(format!("/f/{part}-{n:04}").as_bytes(), 1))
            .collect();
        send(&fixture, &agent, request(stream(2), 3 + part * 2_000, &files)).await;
    }
    send(
        &fixture,
        &agent,
        of(stream(3), vec![begin(1, SnapshotReason::Asked), end(2, &[])]),
    )
    .await;
    assert!(
        poll_once(std::pin::pin!(fixture.fleet.until_more_to_drop()))
            .await
            .is_some()
    );
    while fixture.fleet.drop_unnamed(at(200)).await.unwrap() {}
    assert!(live(&fixture, &agent).await.is_empty());
}

#[tokio::test]
async fn a_snapshot_is_given_up_for_a_newer_one_and_an_older_agent_needs_none() {
    let fixture = Fixture::new();
    let agent = four(&fixture).await;
    let states = async || {
        let streams = detail(&fixture, &agent).await.streams;
        streams
            .into_iter()
            .map(|stream| stream.snapshot.map(|snapshot| snapshot.state))
            .collect::<Vec<_>>()
    };
    send(&fixture, &agent, of(stream(2), vec![begin(1, SnapshotReason::Wanted)])).await;
    // An older agent opens a stream and frames nothing: it drops nothing and supersedes nothing.
    send(&fixture, &agent, request(stream(3), 1, &[created(b"/plain", 1)])).await;
    assert_eq!(states().await, [None, Some(SnapshotState::Open), None]);
    send(
        &fixture,
        &agent,
        of(stream(2), vec![change(2, &present(b"/b", 1)), end(3, &[])]),
    )
    .await;
    assert_eq!(live(&fixture, &agent).await, ["/b", "/plain"]);
    assert_eq!(states().await, [None, Some(SnapshotState::Complete), None]);

    send(&fixture, &agent, of(stream(4), vec![begin(1, SnapshotReason::Wanted)])).await;
    send(&fixture, &agent, of(stream(5), vec![begin(1, SnapshotReason::Wanted)])).await;
    send(&fixture, &agent, of(stream(4), vec![end(2, &[])])).await;
    assert_eq!(live(&fixture, &agent).await, ["/b", "/plain"]);
    assert_eq!(
        states().await[..2],
        [Some(SnapshotState::Open), Some(SnapshotState::Superseded)]
    );
    // An old stream says nothing any more, though the stream before the newest framed nothing.
    send(&fixture, &agent, request(stream(6), 1, &[created(b"/six", 1)])).await;
    send(&fixture, &agent, request(stream(1), 5, &[created(b"/late", 1)])).await;
    assert_eq!(live(&fixture, &agent).await, ["/b", "/plain", "/six"]);
}

#[tokio::test]
async fn nothing_is_dropped_below_an_unseen_root() {
    let fixture = Fixture::new();
    let agent = four(&fixture).await;
    send(
        &fixture,
        &agent,
        of(stream(2), vec![begin(1, SnapshotReason::First), end(2, &[b"/"])]),
    )
    .await;
    assert_eq!(live(&fixture, &agent).await.len(), 4);
}

/// Polls once, as somebody does who then loses patience.
async fn poll_once<F: Future>(mut work: std::pin::Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match work.as_mut().poll(context) {
            std::task::Poll::Ready(done) => Some(done),
            std::task::Poll::Pending => None,
        })
    })
    .await
}
