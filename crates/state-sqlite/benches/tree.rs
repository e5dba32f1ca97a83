//! What the layout of the file tables costs: 50,000 directories of 1.4 KB, as a million files make them.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark fails by panicking")]
use core_model::{Batch, Digest, DirId, DirUpdate, KnownTree, RootId, RootUpdate, StoredDir, TreeReader};
use criterion::{Criterion, criterion_group, criterion_main};
use state_sqlite::{Database, OpenOptions, SqliteTree, rusqlite::Connection};
use std::hint::black_box;

const DIRS: u64 = 50_000;
const BATCH: u64 = 2_500;

fn batch(from: u64) -> Batch {
    let dirs = (from..from + BATCH).map(|id| DirUpdate {
        id: DirId(id),
        root: RootId(1),
        parent: (id > 1).then_some(DirId(id / 20 + 1)),
        name: format!("d{id:05}_reports").into_bytes(),
        digest: Digest([7; 16]),
        stored: StoredDir {
            entries: vec![id.to_le_bytes()[0]; 1400],
            hashes: vec![],
        },
    });
    Batch {
        dirs: dirs.collect(),
        ..Batch::default()
    }
}

fn tree_tables(c: &mut Criterion) {
    let temp = tempfile::tempdir().unwrap();
    let database = Database::open(&temp.path().join("s.db"), OpenOptions::default()).unwrap();
    let mut tree = SqliteTree::open(&database).unwrap();
    let now = chrono::DateTime::UNIX_EPOCH;
    let root = RootUpdate {
        path: Some(b"/r".to_vec()),
        ..RootUpdate::new(RootId(1))
    };
    tree.commit(
        Batch {
            roots: vec![root],
            ..Batch::default()
        },
        vec![],
        now,
    )
    .unwrap();
    (0..DIRS / BATCH).for_each(|n| tree.commit(batch(1 + n * BATCH), vec![], now).unwrap());

    let mut group = c.benchmark_group("tree");
    group.sample_size(20);
    group.bench_function("load the digests of 50,000 directories", |b| {
        b.iter(|| {
            let mut sum = 0u64;
            tree.directories(&mut |known| sum += known.id.0 + u64::from(known.digest.0[0]))
                .unwrap();
            black_box(sum)
        });
    });
    // The other layout: the blobs at the end of the same row.
    let one = Connection::open(temp.path().join("one.db")).unwrap();
    one.execute_batch("PRAGMA page_size=8192; PRAGMA journal_mode=WAL; PRAGMA cache_size=-2048;")
        .unwrap();
    one.execute_batch(&format!("ATTACH '{}' AS s", temp.path().join("s.db").display()))
        .unwrap();
    one.execute_batch(
        "CREATE TABLE dir AS SELECT d.id, root, parent, name, digest, entries, hashes
         FROM s.dir d JOIN s.dir_blob b ON b.id = d.id ORDER BY d.id; DETACH s;",
    )
    .unwrap();
    group.bench_function("the same with the blobs in the same table", |b| {
        b.iter(|| {
            let mut statement = one.prepare("SELECT id, root, parent, name, digest FROM dir").unwrap();
            let mut rows = statement.query([]).unwrap();
            let mut sum = 0;
            while let Some(row) = rows.next().unwrap() {
                sum += row.get::<_, i64>(0).unwrap() + i64::from(row.get_ref(4).unwrap().as_blob().unwrap()[0]);
            }
            black_box(sum)
        });
    });
    let mut reader = tree.reader().unwrap();
    let mut id = 0;
    group.bench_function("read one directory", |b| {
        b.iter(|| {
            id = id % DIRS + 1;
            black_box(reader.directory(DirId(id)).unwrap())
        });
    });
    group.bench_function("commit 2,500 directories", |b| {
        let mut from = 1;
        b.iter(|| {
            tree.commit(batch(from), vec![], now).unwrap();
            from = from % (DIRS - BATCH) + BATCH;
        });
    });
    group.finish();
}

criterion_group!(benches, tree_tables);
criterion_main!(benches);
