//! Looking files up: filters, pages, changes.
use crate::fixture::{Fixture, at, created, deleted, moved, request, stream};
use core_model::AgentId;
use fleet_core::{
    ChangeAction, ChangeQuery, DeletedFiles, FileFilter, FileQuery, Glob, PageRequest, Store, StoreSettings,
};

async fn filled() -> (Fixture, AgentId) {
    let fixture = Fixture::new();
    let agent = fixture.agent().await;
    let mut changes: Vec<_> = (0..30_u64)
        .map(|n| created(format!("/srv/{n:02}.txt").as_bytes(), n))
        .collect();
    changes.push(created(b"/srv/deep/\xff.pdf", 1000));
    changes.push(created(b"/srw", 5));
    changes.push(deleted(b"/srv/00.txt"));
    changes.push(moved(b"/srv/01.txt", b"/old/01.txt", 1));
    fixture
        .fleet
        .ingest(&agent, request(stream(0), 1, &changes), at(50))
        .await
        .unwrap();
    (fixture, agent.id)
}

async fn paths(fixture: &Fixture, agent: AgentId, prefix: &[u8], filter: FileFilter) -> Vec<Vec<u8>> {
    let (mut paths, mut after) = (Vec::new(), None);
    loop {
        let query = FileQuery {
            agent,
            prefix: prefix.to_vec(),
            filter: filter.clone(),
        };
        let page = fixture
            .fleet
            .store()
            .files(query, PageRequest { after, limit: 7 })
            .await
            .unwrap();
        assert!(page.items.len() <= 7);
        paths.extend(page.items.into_iter().map(|file| file.path));
        after = page.next;
        if after.is_none() {
            return paths;
        }
    }
}

#[tokio::test]
async fn filters_narrow_and_pages_join_to_the_whole() {
    let (fixture, agent) = filled().await;
    let all = paths(&fixture, agent, b"", FileFilter::default()).await;
    assert_eq!(all.len(), 31);
    assert!(all.is_sorted() && all[0] == b"/old/01.txt");
    assert_eq!(paths(&fixture, agent, b"/srv/", FileFilter::default()).await.len(), 29);
    assert_eq!(
        paths(&fixture, agent, b"/srv/deep/\xff", FileFilter::default())
            .await
            .len(),
        1
    );
    let count = async |filter| paths(&fixture, agent, b"", filter).await.len();
    let filter = FileFilter::default;
    assert_eq!(
        count(FileFilter {
            name: Some(Glob::new("2?.txt")),
            ..filter()
        })
        .await,
        10
    );
    assert_eq!(
        count(FileFilter {
            name: Some(Glob::new("srv")),
            ..filter()
        })
        .await,
        0,
        "the last component only"
    );
    assert_eq!(
        count(FileFilter {
            min_size: Some(10),
            max_size: Some(19),
            ..filter()
        })
        .await,
        10
    );
    assert_eq!(
        count(FileFilter {
            mime: Some(Glob::new("text/*")),
            ..filter()
        })
        .await,
        31
    );
    assert_eq!(
        count(FileFilter {
            mime: Some(Glob::new("image/*")),
            ..filter()
        })
        .await,
        0
    );
    assert_eq!(
        count(FileFilter {
            changed_since: Some(at(31)),
            ..filter()
        })
        .await,
        3
    );
    assert_eq!(
        count(FileFilter {
            deleted: DeletedFiles::Only,
            ..filter()
        })
        .await,
        2
    );
    assert_eq!(
        count(FileFilter {
            deleted: DeletedFiles::With,
            ..filter()
        })
        .await,
        33
    );
}

#[tokio::test]
async fn changes_are_listed_newest_first() {
    let (fixture, agent) = filled().await;
    let list = async |prefix: &[u8], action, after| {
        let query = ChangeQuery {
            agent,
            prefix: prefix.to_vec(),
            action,
            since: None,
        };
        fixture
            .fleet
            .store()
            .changes(query, PageRequest { after, limit: 5 })
            .await
            .unwrap()
    };
    let first = list(b"", None, None).await;
    let ids: Vec<_> = first.items.iter().map(|change| change.id).collect();
    assert_eq!(ids, [34, 33, 32, 31, 30]);
    assert_eq!(first.items[0].action, ChangeAction::Moved);
    assert_eq!(first.items[0].from.as_deref(), Some(b"/srv/01.txt".as_slice()));
    let second = list(b"", None, first.next).await;
    assert_eq!(second.items[0].id, 29);
    assert_eq!(
        list(b"/srv/01", None, None).await.items.len(),
        2,
        "a move is found by its old path too"
    );
    assert_eq!(list(b"", Some(ChangeAction::Deleted), None).await.items.len(), 1);
}

#[tokio::test]
async fn only_the_latest_changes_are_kept() {
    let fixture = Fixture::with(StoreSettings {
        kept_changes: 10,
        ..StoreSettings::default()
    });
    let agent = fixture.agent().await;
    for n in 0..7_u64 {
        let changes: Vec<_> = (0..4).map(|k| created(format!("/{n}/{k}").as_bytes(), 1)).collect();
        fixture
            .fleet
            .ingest(&agent, request(stream(0), 1 + 4 * n, &changes), at(1))
            .await
            .unwrap();
    }
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
    let kept = fixture.fleet.store().changes(query, page).await.unwrap().items;
    assert_eq!(
        kept.iter().map(|change| change.id).collect::<Vec<_>>(),
        (19..=28).rev().collect::<Vec<_>>()
    );
}
