//! What the layout of the file tables costs: 50,000 directories of 1.4 KB, as a million files make them, with the blobs
//! in a table of their own (as they are) and at the end of the directories' rows (the other way).
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark fails by panicking")]
use core_model::{Batch, Digest, DirId, DirUpdate, KnownTree, RootId, RootUpdate, StoredDir};
use criterion::{BatchSize, BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime};
use state_sqlite::{
    Database, OpenOptions, SqliteTree,
    rusqlite::{Connection, TransactionBehavior, params},
};
use std::{hint::black_box, path::Path};
use tempfile::TempDir;

const DIRS: u64 = 50_000;
const BATCH: u64 = 2_500;

/// A layout: what it is called, what makes it out of an empty state, and its statements.
struct Layout {
    name: &'static str,
    make: &'static str,
    insert: &'static [&'static str],
    read: &'static str,
}

const LAYOUTS: [Layout; 2] = [
    Layout {
        name: "two tables",
        make: "",
        insert: &[
            "INSERT OR REPLACE INTO dir (id, root, parent, name, digest) VALUES (?1, ?2, ?3, ?4, ?5)",
            "INSERT OR REPLACE INTO dir_blob (id, entries, hashes) VALUES (?1, ?2, ?3)",
        ],
        read: "SELECT entries, hashes FROM dir_blob WHERE id = ?1",
    },
    Layout {
        name: "one table",
        make: "DROP TABLE dir; CREATE TABLE dir (id INTEGER PRIMARY KEY, root INTEGER NOT NULL REFERENCES root (id),
               parent INTEGER, name BLOB NOT NULL, digest BLOB NOT NULL, entries BLOB NOT NULL, hashes BLOB NOT NULL) STRICT",
        insert: &["INSERT OR REPLACE INTO dir (id, root, parent, name, digest, entries, hashes)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"],
        read: "SELECT entries, hashes FROM dir WHERE id = ?1",
    },
];

fn batch(from: u64) -> Vec<DirUpdate> {
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
    dirs.collect()
}

/// A state of this layout that knows one root.
fn state(dir: &Path, layout: &Layout) -> (Database, SqliteTree) {
    let database = Database::open(&dir.join("state.db"), OpenOptions::default()).unwrap();
    let mut tree = SqliteTree::open(&database).unwrap();
    let root = RootUpdate {
        path: Some(b"/r".to_vec()),
        ..RootUpdate::new(RootId(1))
    };
    let roots = Batch {
        roots: vec![root],
        ..Batch::default()
    };
    tree.commit(roots, vec![], chrono::DateTime::UNIX_EPOCH).unwrap();
    database.with_writer(|c| c.execute_batch(layout.make)).unwrap();
    (database, tree)
}

fn insert(connection: &mut Connection, layout: &Layout, dirs: &[DirUpdate]) {
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .unwrap();
    for dir in dirs {
        let (id, parent) = (dir.id.0.cast_signed(), dir.parent.map(|id| id.0.cast_signed()));
        let digest = dir.digest.0.as_slice();
        let StoredDir { entries, hashes } = &dir.stored;
        let mut statements = layout.insert.iter().map(|sql| transaction.prepare_cached(sql).unwrap());
        match (statements.next(), statements.next()) {
            (Some(mut small), Some(mut blobs)) => {
                small
                    .execute(params![id, dir.root.0, parent, dir.name, digest])
                    .unwrap();
                blobs.execute(params![id, entries, hashes]).unwrap()
            }
            (Some(mut all), None) => all
                .execute(params![id, dir.root.0, parent, dir.name, digest, entries, hashes])
                .unwrap(),
            _ => 0,
        };
    }
    transaction.commit().unwrap();
}

fn initial_insert(group: &mut BenchmarkGroup<'_, WallTime>, layout: &Layout) {
    let batches: Vec<Vec<DirUpdate>> = (0..DIRS / BATCH).map(|n| batch(1 + n * BATCH)).collect();
    group.bench_function(format!("insert 50,000 directories, {}", layout.name), |b| {
        let fresh = || {
            let temp = TempDir::new().unwrap();
            let (database, _) = state(temp.path(), layout);
            (temp, database)
        };
        let fill = |(temp, database): (TempDir, Database)| {
            for dirs in &batches {
                database
                    .with_writer(|c| {
                        insert(c, layout, dirs);
                        Ok::<_, std::fmt::Error>(())
                    })
                    .unwrap();
            }
            (temp, database)
        };
        b.iter_batched(fresh, fill, BatchSize::PerIteration);
    });
}

fn reads(group: &mut BenchmarkGroup<'_, WallTime>, layout: &Layout) {
    let temp = TempDir::new().unwrap();
    let (database, tree) = state(temp.path(), layout);
    for n in 0..DIRS / BATCH {
        let filled = database.with_writer(|c| {
            insert(c, layout, &batch(1 + n * BATCH));
            Ok::<_, std::fmt::Error>(())
        });
        filled.unwrap();
    }
    database
        .with_writer(|c| c.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)"))
        .unwrap();
    println!("{}: {} MB", layout.name, database.size() >> 20);
    group.bench_function(format!("load all digests, {}", layout.name), |b| {
        b.iter(|| {
            let mut sum = 0u64;
            tree.directories(&mut |known| sum += known.id.0 + u64::from(known.digest.0[0]))
                .unwrap();
            black_box(sum)
        });
    });
    let connection = database.read_connection().unwrap();
    let mut id = 0;
    group.bench_function(format!("read one directory, {}", layout.name), |b| {
        b.iter(|| {
            // A stride that visits each once, so that the connection's own cache does not answer.
            id = (id + 7919) % DIRS;
            let mut statement = connection.prepare_cached(layout.read).unwrap();
            let row = statement.query_row([id.cast_signed() + 1], |row| {
                Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?))
            });
            black_box(row.unwrap())
        });
    });
}

fn layouts(c: &mut Criterion) {
    let mut group = c.benchmark_group("tree");
    group.sample_size(10);
    for layout in &LAYOUTS {
        initial_insert(&mut group, layout);
        reads(&mut group, layout);
    }
    group.finish();
}

criterion_group!(benches, layouts);
criterion_main!(benches);
