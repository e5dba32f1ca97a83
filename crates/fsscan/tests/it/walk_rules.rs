//! Random trees and rules: a walk meets what a slow and plain one meets.
use fsscan::{Directory, RootRequest, Rules, ScanRequest, Visitor, WalkRequest, walk};
use proptest::{collection, prelude::*};
use std::{
    collections::BTreeSet,
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::Path,
    sync::atomic::AtomicBool,
};

type Paths = BTreeSet<Vec<u8>>;

#[derive(Default)]
struct Collects {
    files: Paths,
    /// Names left out, directories among them.
    left_out: Paths,
}

impl Visitor for Collects {
    fn directory(&mut self, dir: &Directory<'_>) {
        self.files.extend(dir.files().map(|file| dir.path_of(file.name)));
        self.left_out
            .extend(dir.left_out().map(|left| dir.path_of(left.name())));
    }
}

/// The same by `std::fs` and whole paths.
fn plain(dir: &Path, root: &Path, rules: &Rules, limit: u64, met: &mut Collects) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let found = fs::symlink_metadata(&path).unwrap();
        let relative = path.strip_prefix(root).unwrap();
        let bytes = path.as_os_str().as_bytes().to_vec();
        if rules.check(relative, found.is_dir()).is_left_out() {
            met.left_out.insert(bytes);
        } else if found.is_dir() {
            plain(&path, root, rules, limit, met);
        } else if found.is_file() && found.len() <= limit {
            met.files.insert(bytes);
        } else {
            met.left_out.insert(bytes);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn a_walk_meets_what_a_plain_one_meets(
        names in collection::vec(("([ab.][ab]?/){0,4}[ab.~][abc~]{1,2}", 0..20_usize, 0..8_u8), 0..30),
        common in collection::vec("!?/?([ab.*?]{1,3}/){0,2}[ab.*~]{1,3}/?", 0..4),
        own in collection::vec("!?/?([ab*]{1,2}/){0,1}[ab.*~]{1,3}/?", 0..3),
        hidden in any::<bool>(),
        threads in 1..4_usize,
    ) {
        let dir = tempfile::tempdir().unwrap();
        for (name, length, kind) in names {
            // A name that is a directory already, or would lie below a file, is none of this tree.
            let path = dir.path().join(name);
            if fs::create_dir_all(path.parent().unwrap()).is_err() || path.exists() {
                continue;
            }
            match kind {
                0 => { let _ = symlink("a", &path); }
                1 => { let _ = fs::create_dir(&path); }
                _ => { let _ = fs::write(&path, vec![b'x'; length]); }
            }
        }
        let mut root = RootRequest::new(dir.path());
        root.ignore = own;
        root.hidden = hidden;
        root.max_file_size = Some(15);
        let mut scan = ScanRequest::new(vec![root.clone()]);
        scan.ignore = common.clone();
        let Ok(rules) = Rules::new(&scan, &root) else { return Ok(()) };
        let mut wanted = Collects::default();
        plain(dir.path(), dir.path(), &rules, 15, &mut wanted);

        let mut request = WalkRequest::new(vec![root]);
        request.ignore = common;
        let visitors = (0..threads).map(|_| Collects::default()).collect();
        let (_, visitors) = walk(&request, visitors, &AtomicBool::new(false)).unwrap();
        let mut met = Collects::default();
        for visitor in visitors {
            prop_assert!(met.files.is_disjoint(&visitor.files));
            met.files.extend(visitor.files);
            met.left_out.extend(visitor.left_out);
        }
        prop_assert_eq!(met.files, wanted.files);
        prop_assert_eq!(met.left_out, wanted.left_out);
    }
}
