//! Records in any order, in parallel, repeated, with some missing: the state is that of those that came, in their order.
use crate::fixture::{Fixture, at, created, deleted, moved, record, request, stream};
use core_model::SeqRange;
use fleet_core::{
    ChangeAction, ChangeQuery, DeletedFiles, FileFilter, FileQuery, FileTotals, IngestError, PageRequest, Store,
    StreamFace,
};
use fleet_wire::{FileChange, IngestRequest, RawRecord, WirePath, files_v1};
use proptest::{prelude::*, sample::Index};
use std::{collections::BTreeMap, sync::Arc};
use tokio::task::JoinSet;

/// What a record of the model does; paths are numbers.
#[derive(Clone, Debug)]
enum Step {
    Put(u8, u16),
    Move(u8, u8, u16),
    Delete(u8),
    Invalid,
}

/// Path → size, or none for a tombstone.
type State = BTreeMap<Vec<u8>, Option<u64>>;

fn path(n: u8) -> Vec<u8> {
    // Not UTF-8, and with a line break: the store must not care.
    [b"/data/\n\xff".as_slice(), &[b'a' + n]].concat()
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..8, any::<u16>()).prop_map(|(path, size)| Step::Put(path, size)),
        2 => (0u8..8, 1u8..8, any::<u16>()).prop_map(|(from, by, size)| Step::Move(from, (from + by) % 8, size)),
        2 => (0u8..8).prop_map(Step::Delete),
        1 => Just(Step::Invalid),
    ]
}

/// A stream's records cut into requests: how often each is sent (the first at least once, in order).
#[derive(Clone, Debug)]
struct Sending {
    steps: Vec<Step>,
    cuts: Vec<Index>,
    repeats: Vec<u8>,
}

fn sending() -> impl Strategy<Value = Sending> {
    let lists = (
        prop::collection::vec(step(), 1..50),
        prop::collection::vec(any::<Index>(), 0..10),
        prop::collection::vec(0u8..3, 11),
    );
    lists.prop_map(|(steps, cuts, repeats)| Sending { steps, cuts, repeats })
}

impl Sending {
    /// Ranges of records, each with how often it is sent.
    fn requests(&self) -> Vec<(SeqRange, u8)> {
        let count = self.steps.len() as u64;
        let mut ends: Vec<u64> = self
            .cuts
            .iter()
            .map(|cut| 1 + cut.index(self.steps.len()) as u64)
            .collect();
        ends.push(count);
        ends.sort_unstable();
        ends.dedup();
        let mut first = 1;
        let mut ranges = Vec::new();
        for (last, repeats) in ends.into_iter().zip(&self.repeats) {
            ranges.push((SeqRange { first, last }, *repeats));
            first = last + 1;
        }
        ranges
    }

    fn request(&self, n: u8, range: SeqRange) -> IngestRequest {
        let record = |seq: u64| {
            let change = match &self.steps[usize::try_from(seq - 1).unwrap()] {
                Step::Put(at, size) => created(&path(*at), u64::from(*size)),
                Step::Move(from, to, size) => moved(&path(*from), &path(*to), u64::from(*size)),
                Step::Delete(at) => deleted(&path(*at)),
                Step::Invalid => deleted(b""),
            };
            request(stream(n), seq, &[change]).records.remove(0)
        };
        IngestRequest {
            records: (range.first..=range.last).map(record).collect(),
            ..request(stream(n), 1, &[])
        }
    }

    fn invalid(&self, range: SeqRange) -> Vec<u64> {
        let wrong = |seq: &u64| matches!(self.steps[usize::try_from(*seq - 1).unwrap()], Step::Invalid);
        (range.first..=range.last).filter(wrong).collect()
    }

    fn apply(&self, range: SeqRange, state: &mut State) {
        for seq in range.first..=range.last {
            match &self.steps[usize::try_from(seq - 1).unwrap()] {
                Step::Put(at, size) => drop(state.insert(path(*at), Some(u64::from(*size)))),
                Step::Move(from, to, size) => {
                    state.insert(path(*from), None);
                    state.insert(path(*to), Some(u64::from(*size)));
                }
                Step::Delete(at) => drop(state.insert(path(*at), None)),
                Step::Invalid => {}
            }
        }
    }
}

async fn check(sendings: [Sending; 2], order: Vec<Index>) {
    let fixture = Fixture::new();
    let agent = fixture.agent().await;
    let mut expected = State::new();
    let mut gaps = Vec::new();
    let mut queue = Vec::new();
    for (n, sending) in (0u8..).zip(&sendings) {
        let mut sent = Vec::new();
        for (index, (range, repeats)) in sending.requests().into_iter().enumerate() {
            if index == 0 {
                // A stream is opened by its first request; the older stream first.
                let answer = fixture
                    .fleet
                    .ingest(&agent, sending.request(n, range), at(1))
                    .await
                    .unwrap();
                assert_eq!(answer.accepted_through, range.last);
            }
            if index == 0 || repeats > 0 {
                sending.apply(range, &mut expected);
                sent.push(range);
            }
            queue.extend((0..repeats).map(|_| (n, range)));
        }
        let top = sent.last().unwrap().last;
        let came = |seq: u64| sent.iter().any(|range| (range.first..=range.last).contains(&seq));
        gaps.push((1..=top).filter(|seq| !came(*seq)).collect::<Vec<_>>());
    }
    for (n, index) in order.iter().enumerate().take(queue.len()) {
        let other = index.index(queue.len());
        queue.swap(n, other);
    }
    let mut tasks = JoinSet::new();
    for (n, range) in queue {
        let (fleet, agent) = (Arc::clone(&fixture.fleet), agent.clone());
        let request = sendings[usize::from(n)].request(n, range);
        tasks.spawn(async move { (n, range, fleet.ingest(&agent, request, at(2)).await.unwrap()) });
    }
    for (n, range, answer) in tasks.join_all().await {
        assert_eq!(answer.accepted_through, range.last);
        let rejected: Vec<_> = answer.rejected.iter().map(|rejected| rejected.seq).collect();
        assert_eq!(rejected, sendings[usize::from(n)].invalid(range));
    }

    let query = FileQuery {
        agent: agent.id,
        prefix: vec![],
        filter: FileFilter {
            deleted: DeletedFiles::With,
            ..FileFilter::default()
        },
    };
    let all = PageRequest {
        after: None,
        limit: 1000,
    };
    let files = fixture.fleet.store().files(query, all).await.unwrap();
    let found: State = files
        .items
        .into_iter()
        .map(|file| (file.path, file.facts.map(|facts| facts.size)))
        .collect();
    assert_eq!(found, expected);

    let detail = fixture
        .fleet
        .store()
        .agent((&*agent.name).into())
        .await
        .unwrap()
        .unwrap();
    let totals = FileTotals {
        present: expected.values().flatten().count() as u64,
        deleted: expected.values().filter(|size| size.is_none()).count() as u64,
        bytes: expected.values().flatten().sum(),
    };
    assert_eq!(detail.agent.files, totals);
    let shown: Vec<Vec<u64>> = detail
        .streams
        .iter()
        .rev()
        .map(|stream| stream.gaps.iter().flat_map(|gap| gap.first..=gap.last).collect())
        .collect();
    assert_eq!(shown, gaps);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_the_order_the_state_is_that_of_the_records_in_theirs(
        sendings in [sending(), sending()],
        order in prop::collection::vec(any::<Index>(), 60),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(check(sendings, order));
    }
}

#[tokio::test]
async fn a_stream_that_does_not_start_at_its_beginning_is_asked_for_a_snapshot() {
    let fixture = Fixture::new();
    let agent = fixture.agent().await;
    let ingest =
        |first, changes: &[FileChange]| fixture.fleet.ingest(&agent, request(stream(0), first, changes), at(1));
    let refused = ingest(2, &[deleted(b"/a")]).await;
    assert!(matches!(refused, Err(IngestError::SnapshotWanted)), "{refused:?}");
    ingest(1, &[created(b"/a", 1)]).await.unwrap();
    assert_eq!(ingest(2, &[deleted(b"/a")]).await.unwrap().accepted_through, 2);
    // Ranges that lie side by side are one, so that no gap is shown where there is none.
    let offline_after = fixture.fleet.settings().offline_after;
    let sums = fixture.fleet.store().statistics(at(1), offline_after).await.unwrap();
    assert_eq!(sums.streams_with_gaps, 0);
}

#[tokio::test]
async fn an_agent_that_gives_numbers_again_for_later_records_is_asked_for_a_snapshot() {
    let fixture = Fixture::new();
    let agent = fixture.agent().await;
    let ingest = |request| fixture.fleet.ingest(&agent, request, at(1));
    let first = [created(b"/a", 1), created(b"/b", 1), created(b"/c", 1)];
    ingest(request(stream(0), 1, &first)).await.unwrap();
    // A repeat, whole or in part, bears the times of the records that it repeats.
    ingest(request(stream(0), 2, &first[1..])).await.unwrap();
    // The agent's state was put back to where it had given number 1, and it went on from there.
    let mut other = request(stream(0), 2, &[created(b"/x", 1)]);
    other.records[0].time = at(9);
    let refused = ingest(other).await;
    assert!(matches!(refused, Err(IngestError::SnapshotWanted)), "{refused:?}");
    let known = |path: &[u8]| fixture.fleet.store().file(agent.id, path.to_vec());
    assert!(known(b"/x").await.unwrap().is_none() && known(b"/c").await.unwrap().is_some());
    // Nothing of that stream is believed any more, whatever numbers it bears.
    let later = ingest(request(stream(0), 4, &[created(b"/y", 1)])).await;
    assert!(matches!(later, Err(IngestError::SnapshotWanted)), "{later:?}");
    ingest(request(stream(1), 1, &[created(b"/x", 1)])).await.unwrap();
}

#[tokio::test]
async fn a_request_that_is_wrong_as_a_whole_leaves_nothing() {
    let fixture = Fixture::new();
    let agent = fixture.agent().await;
    let mut gap = request(stream(0), 1, &[created(b"/a", 1), created(b"/b", 1)]);
    gap.records[1].seq = 3;
    let refused = fixture.fleet.ingest(&agent, gap, at(1)).await;
    assert!(matches!(refused, Err(IngestError::Batch(_))), "{refused:?}");
    assert_eq!(
        fixture.fleet.store().file(agent.id, b"/a".to_vec()).await.unwrap(),
        None
    );
}

#[tokio::test]
async fn a_repeat_is_answered_as_the_first_and_logged_once() {
    let fixture = Fixture::new();
    let agent = fixture.agent().await;
    let batch = || {
        let mut request = request(stream(0), 1, &[created(b"/a", 1), deleted(b"/b")]);
        request.records.push(RawRecord {
            seq: 3,
            kind: "check.result".to_owned(),
            time: at(0),
            body: serde_json::value::to_raw_value("x").unwrap(),
        });
        request
    };
    let first = fixture.fleet.ingest(&agent, batch(), at(1)).await.unwrap();
    let second = fixture.fleet.ingest(&agent, batch(), at(2)).await.unwrap();
    assert_eq!(first, second);
    assert_eq!(
        (first.accepted_through, first.rejected[0].code.as_str()),
        (3, "unknown_kind")
    );
    let changes = all_changes(&fixture, agent.id).await;
    assert_eq!(
        changes,
        [
            (2, ChangeAction::Deleted, b"/b".to_vec()),
            (1, ChangeAction::Created, b"/a".to_vec())
        ]
    );
}

#[tokio::test]
async fn names_come_back_unchanged_with_all_that_is_known() {
    let fixture = Fixture::new();
    let agent = fixture.agent().await;
    let long = [b"/".as_slice(), &[b'x'; 3999]].concat();
    let names: [&[u8]; 4] = [
        b"/line\nbreak\r\t",
        b"/not \xff\xfe utf-8",
        &long,
        "/ünïcödé \u{1f980}".as_bytes(),
    ];
    let changes: Vec<_> = names.iter().map(|name| created(name, 42)).collect();
    fixture
        .fleet
        .ingest(&agent, request(stream(0), 1, &changes), at(1))
        .await
        .unwrap();
    for name in names {
        let file = fixture
            .fleet
            .store()
            .file(agent.id, name.to_vec())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(file.path, name);
        let (facts, told) = (file.facts.unwrap(), record(name, 42));
        assert_eq!(
            (facts.size, facts.mtime, facts.ctime),
            (42, Some(told.mtime), told.ctime)
        );
        assert_eq!(
            (facts.inode, facts.gid, facts.mode),
            (told.inode, told.gid, Some(0o640))
        );
        assert_eq!(facts.sha256, Some([0xab; 32]));
    }
}

#[tokio::test]
async fn a_batch_of_the_document_is_applied_once_for_its_key() {
    let fixture = Fixture::new();
    let agent = fixture.agent().await;
    let file = |path: &str, size| files_v1::File {
        filename: "name".to_owned(),
        file_type: "text/plain".to_owned(),
        path: WirePath::from_bytes(path),
        size,
        last_indexed_at: None,
        modified_at: Some("2024-01-15T10:30:00Z".to_owned()),
        tags: vec!["old".to_owned()],
    };
    let wire = |path: &str| WirePath::from_bytes(path);
    let send = |key: &str, body: &'static [u8], request| {
        fixture
            .fleet
            .ingest_files(&agent, Some(key.to_owned()), body, request, at(1))
    };
    let first = files_v1::Ingest {
        files: vec![file("/a", 1), file("/b", 2)],
        ..files_v1::Ingest::default()
    };
    let receipt = send("k1", b"1", first.clone()).await.unwrap();
    assert_eq!((receipt.accepted, receipt.unknown_sources), (2, 0));
    let second = files_v1::Ingest {
        files: vec![file("/c", 3)],
        deleted: vec![wire("/b")],
        moved: vec![
            files_v1::Moved {
                from: wire("/a"),
                to: wire("/b"),
            },
            files_v1::Moved {
                from: wire("/nowhere"),
                to: wire("/x"),
            },
        ],
    };
    let receipt = send("k2", b"2", second).await.unwrap();
    assert_eq!((receipt.accepted, receipt.unknown_sources), (4, 1));
    // Were the repeat applied, it would bring /a back.
    assert_eq!(send("k1", b"1", first.clone()).await.unwrap().accepted, 2);
    let reused = send("k1", b"other", first.clone()).await;
    assert!(matches!(reused, Err(IngestError::KeyReused)), "{reused:?}");
    let size = async |path: &[u8]| {
        let file = fixture.fleet.store().file(agent.id, path.to_vec()).await.unwrap();
        file.and_then(|file| file.facts).map(|facts| (facts.size, facts.tags))
    };
    let tags = || vec!["old".to_owned()];
    assert_eq!(size(b"/a").await, None);
    assert_eq!(size(b"/b").await, Some((1, tags())), "what was known of /a went along");
    assert_eq!(size(b"/c").await, Some((3, tags())));
    assert_eq!(size(b"/x").await, None);

    // A day later the key is free.
    let day = at(1 + 24 * 3600);
    let again = fixture
        .fleet
        .ingest_files(&agent, Some("k1".to_owned()), b"other", first, day);
    assert_eq!(again.await.unwrap().accepted, 2);
    assert_eq!(size(b"/a").await, Some((1, tags())));
}

#[tokio::test]
async fn a_wrong_entry_of_the_document_refuses_its_batch_and_says_which() {
    let fixture = Fixture::new();
    let agent = fixture.agent().await;
    let request = files_v1::Ingest {
        deleted: vec![WirePath::from_bytes("/a"), WirePath::from_bytes("")],
        ..files_v1::Ingest::default()
    };
    let refused = fixture.fleet.ingest_files(&agent, None, b"", request, at(1)).await;
    assert_eq!(refused.unwrap_err().to_string(), "`deleted[1]`: a path is empty");
    assert!(all_changes(&fixture, agent.id).await.is_empty());
}

#[tokio::test]
async fn whoever_changes_the_face_goes_on_with_what_is_newer() {
    let fixture = Fixture::new();
    let agent = fixture.agent().await;
    let v2 = |n, first, changes: &[FileChange]| fixture.fleet.ingest(&agent, request(stream(n), first, changes), at(1));
    v2(0, 1, &[created(b"/a", 1)]).await.unwrap();
    let gone = files_v1::Ingest {
        deleted: vec![WirePath::from_bytes("/a")],
        ..files_v1::Ingest::default()
    };
    fixture
        .fleet
        .ingest_files(&agent, None, b"", gone, at(2))
        .await
        .unwrap();
    assert_eq!(
        fixture
            .fleet
            .store()
            .file(agent.id, b"/a".to_vec())
            .await
            .unwrap()
            .unwrap()
            .facts,
        None
    );
    let refused = v2(0, 2, &[created(b"/a", 2)]).await;
    assert!(matches!(refused, Err(IngestError::SnapshotWanted)), "{refused:?}");
    v2(1, 1, &[created(b"/a", 3)]).await.unwrap();
    let file = fixture
        .fleet
        .store()
        .file(agent.id, b"/a".to_vec())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(file.facts.unwrap().size, 3);
    let detail = fixture
        .fleet
        .store()
        .agent((&*agent.name).into())
        .await
        .unwrap()
        .unwrap();
    let faces: Vec<_> = detail
        .streams
        .iter()
        .map(|stream| (stream.ordinal, stream.face))
        .collect();
    assert_eq!(
        faces,
        [
            (3, StreamFace::Ingest),
            (2, StreamFace::FilesV1),
            (1, StreamFace::Ingest)
        ]
    );
}

async fn all_changes(fixture: &Fixture, agent: core_model::AgentId) -> Vec<(u64, ChangeAction, Vec<u8>)> {
    let query = ChangeQuery {
        agent,
        prefix: vec![],
        action: None,
        since: None,
    };
    let page = PageRequest {
        after: None,
        limit: 1000,
    };
    let changes = fixture.fleet.store().changes(query, page).await.unwrap();
    changes
        .items
        .into_iter()
        .map(|change| (change.id, change.action, change.path))
        .collect()
}
