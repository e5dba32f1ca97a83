//! Full snapshots: what an agent does not name is dropped, once all of it has arrived and not before.
use crate::fixture::{Fixture, at, created, deleted, record, request, stream};
use core_model::StreamId;
use fleet_core::{
    AgentIdentity, AgentRef, Batch, ChangeAction, ChangeQuery, FileFilter, FileQuery, PageRequest, Store,
    StoreSettings, StoredFile,
};
use fleet_wire::{
    FileChange, IngestRequest, RawRecord, SnapshotBegin, SnapshotEnd, SnapshotReason, WirePath, snapshot_kind,
};
use proptest::{collection, prelude::*};
use std::{collections::BTreeMap, sync::Arc};

fn raw(seq: u64, kind: &str, body: &impl serde::Serialize) -> RawRecord {
    RawRecord {
        seq,
        kind: kind.to_owned(),
        time: at(i64::try_from(seq).unwrap()),
        body: serde_json::value::to_raw_value(body).unwrap(),
    }
}

fn begin(seq: u64, reason: SnapshotReason) -> RawRecord {
    let detail = "found and done".to_owned();
    raw(seq, snapshot_kind::BEGIN, &SnapshotBegin { reason, detail })
}

fn end(seq: u64, unseen: &[&[u8]]) -> RawRecord {
    let unseen = unseen.iter().map(|path| WirePath::from_bytes(*path)).collect();
    raw(seq, snapshot_kind::END, &SnapshotEnd { unseen })
}

fn present(path: &[u8], size: u64) -> FileChange {
    FileChange::Present(record(path, size))
}

fn change(seq: u64, change: &FileChange) -> RawRecord {
    raw(seq, change.kind(), change)
}

fn of(stream: StreamId, records: Vec<RawRecord>) -> IngestRequest {
    IngestRequest {
        records,
        ..request(stream, 1, &[])
    }
}

async fn send(fixture: &Fixture, agent: &AgentIdentity, request: IngestRequest) {
    let answer = fixture.fleet.ingest(agent, request, at(100)).await.unwrap();
    assert_eq!(answer.rejected, []);
}

async fn files(fixture: &Fixture, agent: &AgentIdentity) -> Vec<StoredFile> {
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

#[tokio::test]
async fn a_large_drop_goes_on_after_a_restart() {
    let fixture = Fixture::with(StoreSettings::default());
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
    // Whoever sent the end goes away as soon as it is handed over, in the middle of what it sets off.
    {
        let batch = Arc::new(Batch::check(&of(new, whole)).unwrap());
        let sent = fixture.fleet.store().ingest(agent.id, batch, at(100));
        assert!(poll_once(std::pin::pin!(sent)).await.is_none());
    }
    let fixture = fixture.restart();
    fixture.fleet.sweep(at(200)).await.unwrap();
    assert_eq!(live(&fixture, &agent).await.len(), 1);
    assert_eq!(live(&fixture, &agent).await, ["/f/3-0007"]);
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

/// What the agent says in the new stream, in order: a path is there with a size, or gone.
fn says() -> impl Strategy<Value = Vec<(u8, Option<u64>)>> {
    collection::vec((0..8_u8, proptest::option::of(1..4_u64)), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn in_whatever_order_requests_arrive_the_files_are_those_named(
        old in says(),
        named in says(),
        after in says(),
        order in any::<prop::sample::Index>(),
        repeats in 1..3_usize,
        seed in any::<u64>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let path = |n: u8| format!("/p/{n}").into_bytes();
        let say = |seq: u64, (n, size): (u8, Option<u64>)| match size {
            Some(size) => change(seq, &present(&path(n), size)),
            None => change(seq, &deleted(&path(n))),
        };
        let mut expected = BTreeMap::new();
        for (n, size) in named.iter().chain(&after) {
            match size {
                Some(size) => drop(expected.insert(path(*n), *size)),
                None => drop(expected.remove(&path(*n))),
            }
        }
        let mut records = vec![begin(1, SnapshotReason::Dropped)];
        for said in &named {
            records.push(say(records.len() as u64 + 1, *said));
        }
        records.push(end(records.len() as u64 + 1, &[]));
        for said in &after {
            records.push(say(records.len() as u64 + 1, *said));
        }
        let held = runtime.block_on(async {
            let fixture = Fixture::new();
            let agent = fixture.agent().await;
            let first: Vec<RawRecord> = (1..).zip(&old).map(|(seq, said)| say(seq, *said)).collect();
            if !first.is_empty() {
                send(&fixture, &agent, of(stream(1), first)).await;
            }
            // The first record goes alone, as agents send it; the rest in pieces of any order.
            let new = stream(2);
            let mut pieces: Vec<Vec<RawRecord>> = Vec::new();
            let mut rest = records.into_iter();
            send(&fixture, &agent, of(new, rest.by_ref().take(1).collect())).await;
            loop {
                let piece: Vec<RawRecord> = rest.by_ref().take(1 + (seed % 4) as usize).collect();
                if piece.is_empty() { break }
                pieces.push(piece);
            }
            let start = if pieces.is_empty() { 0 } else { order.index(pieces.len()) };
            for n in 0..pieces.len() * repeats {
                let place = (start + n * 5) % pieces.len();
                let again = pieces[place].iter().map(|r| raw(r.seq, &r.kind, &r.body)).collect();
                send(&fixture, &agent, of(new, again)).await;
            }
            for piece in pieces {
                send(&fixture, &agent, of(new, piece)).await;
            }
            files(&fixture, &agent)
                .await
                .into_iter()
                .map(|file| (file.path, file.facts.unwrap().size))
                .collect::<BTreeMap<_, _>>()
        });
        prop_assert_eq!(held, expected);
    }
}
