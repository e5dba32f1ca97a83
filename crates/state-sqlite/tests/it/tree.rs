use crate::{now, open, run};
use core_model::{
    Batch, Digest, DirId, DirUpdate, Identity, KnownTree, Queue, RootId, RootIdentity, RootUpdate, Side, StoredDir,
    TreeReader, Undecided, UndecidedUpdate,
};
use proptest::prelude::*;
use state_sqlite::{Database, Outbox, SqliteTree};
use std::{collections::BTreeMap, fs};

pub(crate) fn dir(id: u64, parent: Option<u64>, name: &[u8], entries: &[u8]) -> DirUpdate {
    DirUpdate {
        id: DirId(id),
        root: RootId(1),
        parent: parent.map(DirId),
        name: name.to_vec(),
        digest: Digest([id.to_le_bytes()[0]; 16]),
        stored: StoredDir {
            entries: entries.to_vec(),
            hashes: vec![],
        },
    }
}

pub(crate) fn waiting(path: &[u8], side: Side, identity: u8) -> Undecided {
    Undecided {
        path: path.to_vec(),
        root: RootId(1),
        side,
        identity: Identity([identity; 24]),
        entry: vec![1, 2],
        hash: vec![],
    }
}

pub(crate) fn root() -> RootUpdate {
    RootUpdate {
        path: Some(b"/r\xff".to_vec()),
        ..RootUpdate::new(RootId(1))
    }
}

#[test]
fn roots_come_back_bit_for_bit() {
    let temp = tempfile::tempdir().unwrap();
    let mut tree = SqliteTree::open(&open(&temp.path().join("s.db"))).unwrap();
    let identity = RootIdentity {
        device: u64::MAX,
        fs_id: 1 << 63,
        fs_type: 3,
        inode: u64::MAX - 1,
        birth_ns: i64::MIN,
    };
    let set = RootUpdate {
        identity: Some(Some(identity)),
        files: Some(7),
        held: Some(2),
        completed_at: Some(now()),
        ..root()
    };
    tree.commit(
        Batch {
            roots: vec![set],
            ..Batch::default()
        },
        vec![],
        now(),
    )
    .unwrap();
    let known = &tree.roots().unwrap()[0];
    assert_eq!(
        (known.path.as_slice(), known.identity, known.files, known.held),
        (&b"/r\xff"[..], Some(identity), 7, 2)
    );
    let forget = RootUpdate {
        identity: Some(None),
        accepted: Some(true),
        ..RootUpdate::new(RootId(1))
    };
    tree.commit(
        Batch {
            roots: vec![forget],
            ..Batch::default()
        },
        vec![],
        now(),
    )
    .unwrap();
    let known = &tree.roots().unwrap()[0];
    assert_eq!(
        (known.identity, known.accepted, known.files, known.completed_at),
        (None, true, 7, Some(now()))
    );
}

#[derive(Clone, Debug)]
enum Step {
    Dir(u64, Vec<u8>),
    RemoveDir(u64),
    Put(Vec<u8>, bool, u8),
    Remove(Vec<u8>),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let path = prop::collection::vec(97..101u8, 1..3);
    let step = prop_oneof![
        3 => (1..30u64, prop::collection::vec(any::<u8>(), 0..50)).prop_map(|(id, entries)| Step::Dir(id, entries)),
        1 => (1..30u64).prop_map(Step::RemoveDir),
        3 => (path.clone(), any::<bool>(), 0..4u8).prop_map(|(path, gone, identity)| Step::Put(path, gone, identity)),
        1 => path.prop_map(Step::Remove),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn it_remembers_what_a_plain_map_does(steps in steps()) {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("s.db");
        let mut tree = SqliteTree::open(&open(&path)).unwrap();
        let key = tree.key();
        tree.commit(Batch { roots: vec![root()], ..Batch::default() }, vec![], now()).unwrap();
        let mut dirs: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        let mut undecided: BTreeMap<Vec<u8>, Undecided> = BTreeMap::new();
        for step in steps {
            let mut batch = Batch::default();
            match step {
                Step::Dir(id, entries) => {
                    batch.dirs.push(dir(id, None, b"d", &entries));
                    dirs.insert(id, entries);
                }
                Step::RemoveDir(id) => {
                    batch.removed_dirs.push(DirId(id));
                    dirs.remove(&id);
                }
                Step::Put(path, gone, identity) => {
                    let entry = waiting(&path, if gone { Side::Gone } else { Side::New }, identity);
                    batch.undecided.push(UndecidedUpdate::Put(entry.clone()));
                    undecided.insert(path, entry);
                }
                Step::Remove(path) => {
                    undecided.remove(&path);
                    batch.undecided.push(UndecidedUpdate::Remove(path));
                }
                Step::Reopen => {
                    drop(tree);
                    tree = SqliteTree::open(&open(&path)).unwrap();
                    prop_assert_eq!(tree.key(), key);
                }
            }
            tree.commit(batch, vec![], now()).unwrap();
        }
        let mut reader = tree.reader().unwrap();
        let mut seen = BTreeMap::new();
        tree.directories(&mut |known| { seen.insert(known.id.0, known.digest); }).unwrap();
        prop_assert_eq!(seen.keys().collect::<Vec<_>>(), dirs.keys().collect::<Vec<_>>());
        for (id, entries) in &dirs {
            prop_assert_eq!(&reader.directory(DirId(*id)).unwrap().unwrap().entries, entries);
        }
        prop_assert!(reader.directory(DirId(99)).unwrap().is_none());
        let mut wanted: Vec<Undecided> = undecided.into_values().collect();
        wanted.sort_by(|a, b| (a.identity, a.side, &a.path).cmp(&(b.identity, b.side, &b.path)));
        let mut paged: Vec<Undecided> = Vec::new();
        loop {
            let page = tree.undecided_after(paged.last(), 2).unwrap();
            if page.is_empty() { break }
            paged.extend(page);
        }
        prop_assert_eq!(&paged, &wanted);
        for entry in &wanted {
            let found = tree.undecided_at(&entry.path).unwrap();
            prop_assert_eq!(found.as_ref(), Some(entry));
        }
    }
}

#[test]
fn forgetting_a_root_takes_all_of_it() {
    let temp = tempfile::tempdir().unwrap();
    let mut tree = SqliteTree::open(&open(&temp.path().join("s.db"))).unwrap();
    let batch = Batch {
        roots: vec![root()],
        dirs: vec![dir(1, None, b"", b"e")],
        undecided: vec![UndecidedUpdate::Put(waiting(b"/r/x", Side::Gone, 1))],
        ..Batch::default()
    };
    tree.commit(batch, vec![], now()).unwrap();
    tree.commit(
        Batch {
            removed_roots: vec![RootId(1)],
            ..Batch::default()
        },
        vec![],
        now(),
    )
    .unwrap();
    assert!(tree.roots().unwrap().is_empty());
    assert!(tree.undecided_after(None, 9).unwrap().is_empty());
    assert!(tree.reader().unwrap().directory(DirId(1)).unwrap().is_none());
}

#[test]
fn a_look_leaves_the_file_as_it_is() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("s.db");
    {
        let database = open(&path);
        let mut tree = SqliteTree::open(&database).unwrap();
        let batch = Batch {
            roots: vec![root()],
            dirs: vec![dir(1, None, b"", b"e")],
            undecided: vec![UndecidedUpdate::Put(waiting(b"/r/held", Side::Gone, 1))],
            ..Batch::default()
        };
        tree.commit(batch, vec![], now()).unwrap();
    }
    let before = fs::read(&path).unwrap();
    let database = Database::open_read_only(&path).unwrap();
    let mut look = SqliteTree::overlay(&database).unwrap();
    assert_eq!(
        look.undecided_after(None, 9).unwrap().len(),
        1,
        "it begins with what is undecided"
    );
    let batch = Batch {
        dirs: vec![dir(2, Some(1), b"new", b"f")],
        undecided: vec![
            UndecidedUpdate::Put(waiting(b"/r/new", Side::New, 2)),
            UndecidedUpdate::Remove(b"/r/held".to_vec()),
        ],
        ..Batch::default()
    };
    look.commit(batch, vec![run(1, b"owed")], now()).unwrap();
    let paths: Vec<Vec<u8>> = look
        .undecided_after(None, 9)
        .unwrap()
        .into_iter()
        .map(|u| u.path)
        .collect();
    assert_eq!(paths, [b"/r/new".to_vec()]);
    drop(look);
    assert_eq!(fs::read(&path).unwrap(), before);
    let tree = SqliteTree::open(&open(&path)).unwrap();
    assert!(tree.undecided_at(b"/r/held").unwrap().is_some());
    assert_eq!(Outbox::open(&open(&path)).unwrap().stats().unwrap().records, 0);
}
