//! Generated trees.
use std::fs;
use std::path::Path;
use testkit::TreePlan;

/// (path below the root, length) of every file, sorted, and the greatest depth.
fn listing(root: &Path) -> (Vec<(String, u64)>, usize) {
    let mut found = Vec::new();
    let mut deepest = 0;
    let mut open = vec![(root.to_owned(), 0)];
    while let Some((folder, depth)) = open.pop() {
        deepest = deepest.max(depth);
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                open.push((entry.path(), depth + 1));
            } else {
                let below = entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.push((below, entry.metadata().unwrap().len()));
            }
        }
    }
    found.sort();
    (found, deepest)
}

#[test]
fn a_tree_has_the_shape_it_promises() {
    let folder = tempfile::tempdir().unwrap();
    let tree = TreePlan { files: 3000, seed: 7 }.create(folder.path()).unwrap();
    let (found, deepest) = listing(folder.path());
    assert_eq!(found.len(), 3000);
    assert!(deepest <= 9, "{deepest}");
    assert!((100..=300).contains(&tree.directories()), "{}", tree.directories());
    assert_eq!(found.iter().filter(|(_, length)| *length > 0).count(), 300);
    for number in [0, 1, 1499, 2999] {
        let path = tree.path(number).unwrap();
        assert_eq!(path.file_name().unwrap().len(), 30);
        assert!(path.is_file(), "{}", path.display());
    }
    assert_eq!(tree.path(3000), None);
}

#[test]
fn a_seed_gives_its_tree_again() {
    let (one, two, other) = (
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let plan = TreePlan { files: 200, seed: 1 };
    plan.create(one.path()).unwrap();
    plan.create(two.path()).unwrap();
    TreePlan { seed: 2, ..plan }.create(other.path()).unwrap();
    assert_eq!(listing(one.path()), listing(two.path()));
    assert_ne!(listing(one.path()), listing(other.path()));
}

#[test]
fn an_edit_changes_its_share_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let tree = TreePlan { files: 1000, seed: 3 }.create(folder.path()).unwrap();
    let before = listing(folder.path()).0;
    assert_eq!(tree.edit(0.01, 1).unwrap(), 10);
    let after = listing(folder.path()).0;
    let changed = before.iter().zip(&after).filter(|(old, new)| old != new).count();
    assert_eq!((after.len(), changed), (1000, 10));
}
