use crate::{
    now, open, run,
    tree::{dir, root},
};
use core_model::{Batch, KnownTree, Queue, TreeReader};
use proptest::prelude::*;
use state_sqlite::{Outbox, SqliteTree};
use std::fs;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    /// A process that dies leaves the file and its log as they lie on the disk; a power cut may tear the log's end.
    /// Whatever is left opens as a prefix of what was committed, directories and records agreeing.
    #[test]
    fn what_is_left_is_a_prefix_in_which_tree_and_outbox_agree(
        commits in 1..8u64, cut in 0.0..1.0f64, garbage in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("s.db");
        let database = open(&path);
        let mut tree = SqliteTree::open(&database).unwrap();
        tree.commit(Batch { roots: vec![root()], ..Batch::default() }, vec![], now()).unwrap();
        database.with_writer(|c| c.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")).unwrap();
        for id in 1..=commits {
            let batch = Batch { dirs: vec![dir(id, (id > 1).then_some(id - 1), b"d", &[7; 900])], ..Batch::default() };
            tree.commit(batch, vec![run(1, format!("record {id}").as_bytes())], now()).unwrap();
        }
        // Copied while the writer still has it open, as a crash would leave it.
        let left = temp.path().join("left.db");
        fs::copy(&path, &left).unwrap();
        let wal = fs::read(temp.path().join("s.db-wal")).unwrap();
        let kept = (wal.len() as f64 * cut) as usize;
        fs::write(temp.path().join("left.db-wal"), [&wal[..kept], &garbage].concat()).unwrap();

        let database = open(&left);
        let tree = SqliteTree::open(&database).unwrap();
        let mut ids = Vec::new();
        tree.directories(&mut |known| ids.push(known.id)).unwrap();
        let mut reader = tree.reader().unwrap();
        for (id, wanted) in ids.iter().zip(1..) {
            prop_assert_eq!(id.0, wanted, "no commit is missing in the middle");
            prop_assert!(reader.directory(*id).unwrap().is_some());
        }
        let outbox = Outbox::open(&database).unwrap();
        let runs = outbox.peek(outbox.stream(), 0, 100).unwrap();
        prop_assert_eq!(runs.len(), ids.len(), "a directory is stored if and only if its record is owed");
        for (n, queued) in (1..).zip(runs) {
            prop_assert_eq!(queued.seqs.first, n);
            prop_assert_eq!(queued.body.unwrap(), format!("record {n}").into_bytes());
        }
    }
}
