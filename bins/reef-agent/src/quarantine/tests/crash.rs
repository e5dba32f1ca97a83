//! The process ends at every step: nothing is lost, and nothing is doubled once the quarantine is opened again.
use super::*;
use crate::quarantine::{
    ItemId, Target,
    restore::{self, Restoring},
    take::{self, Taking},
};
use proptest::prelude::*;
use std::{
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
};

/// Where a whole file is found, after a crash.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    File,
    Item(ItemId),
}

/// Takes `path` up to a step, as a process does that ends there.
fn take_until(site: &Site, path: &Path, steps: usize) {
    let quarantine = site.open();
    let scanned = scan(path);
    let taken = scanned.taken();
    let mut taking = Taking::prepare(&quarantine.store, &taken, at(1)).unwrap();
    for step in &take::STEPS[..steps] {
        taking.step(*step).unwrap();
    }
}

/// Restores up to a step.
fn restore_until(site: &Site, id: &ItemId, target: &Target<'_>, steps: usize) {
    let quarantine = site.open();
    let mut restoring = Restoring::prepare(&quarantine.store, id, target).unwrap();
    for step in &restore::STEPS[..steps] {
        restoring.step(*step).unwrap();
    }
}

/// Opens the quarantine again, and finds the one file that there is: as file or as item, whole, and nothing besides.
fn find_after(site: &Site, path: &Path, before: &Whole) -> Found {
    let quarantine = site.open();
    let listing = quarantine.list().unwrap();
    assert!(listing.damaged.is_empty(), "{listing:?}");
    match &listing.items[..] {
        [] => {
            assert_eq!(site.stored(), [""; 0]);
            assert_eq!(whole(path).unread(), before.unread());
            assert_eq!(site.names(), [path.file_name().unwrap().to_str().unwrap()]);
            Found::File
        }
        [item] => {
            let id = item.manifest.id;
            assert!(item.is_settled);
            assert_eq!(site.stored(), [format!("{id}.data"), format!("{id}.json")]);
            let mut out = Vec::new();
            quarantine.copy_out(&id, &mut out).unwrap();
            assert_eq!(sha256(&out), before.sha256);
            Found::Item(id)
        }
        more => panic!("{more:?}"),
    }
}

fn victim(site: &Site, size: usize) -> (PathBuf, Whole) {
    let make = || {
        let path = site.write("file", &vec![0x41; size]);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o4755)).unwrap();
        path
    };
    let before = whole(&make());
    // Anew, since looking moved its time of access.
    (make(), before)
}

#[test]
fn a_taker_that_ends_at_any_step_leaves_the_file_or_the_item() {
    for steps in 0..=take::STEPS.len() {
        let site = site();
        let (path, before) = victim(&site, 70_000);
        take_until(&site, &path, steps);
        let found = find_after(&site, &path, &before);
        // From when it is caught, it is on its way out; before, it has not been touched.
        let is_caught = steps > take::Step::Capture as usize;
        assert_eq!(matches!(found, Found::Item(_)), is_caught, "{steps}");
        if let Found::Item(id) = found {
            assert_eq!(site.names(), [""; 0]);
            site.open().restore(&id, &Target::default()).unwrap();
            assert_eq!(whole(&path), before, "{steps}: not even its time of access moved");
        }
        assert_eq!(site.names(), ["file"], "{steps}");
    }
}

#[test]
fn a_restorer_that_ends_at_any_step_leaves_the_item_or_the_file() {
    for steps in 0..=restore::STEPS.len() {
        let site = site();
        let (path, before) = victim(&site, 70_000);
        let id = scan(&path).take(&site.open()).unwrap().manifest.id;
        restore_until(&site, &id, &Target::default(), steps);
        let found = find_after(&site, &path, &before);
        let is_placed = steps > restore::Step::Place as usize;
        assert_eq!(found == Found::File, is_placed, "{steps}");
        assert_eq!(site.names().len(), usize::from(is_placed), "{steps}");
    }
}

#[test]
fn a_forced_restorer_that_ends_at_any_step_leaves_the_other_file_or_its_own() {
    for steps in 0..=restore::STEPS.len() {
        let site = site();
        let (path, before) = victim(&site, 10);
        let id = scan(&path).take(&site.open()).unwrap().manifest.id;
        site.write("file", b"another");
        restore_until(&site, &id, &Target { to: None, force: true }, steps);
        match find_after(&site, &path, &before) {
            Found::File => {}
            Found::Item(_) => assert_eq!(fs::read(&path).unwrap(), b"another", "{steps}"),
        }
        assert_eq!(site.names(), ["file"], "{steps}");
    }
}

#[test]
fn a_removal_interrupted_where_nobody_gets_to_is_finished_later() {
    for steps in 4..take::STEPS.len() {
        let site = site();
        fs::create_dir(site.files.join("dir")).unwrap();
        let path = site.write("dir/file", b"bad");
        take_until(&site, &path, steps);
        // As a file system that is not mounted.
        fs::rename(site.files.join("dir"), site.files.join("away")).unwrap();
        let listing = site.open().list().unwrap();
        assert!(!listing.items[0].is_settled, "{steps}: nobody can know");
        fs::rename(site.files.join("away"), site.files.join("dir")).unwrap();
        let items = site.open().list().unwrap().items;
        assert_eq!(names_in(&site.files.join("dir")).len() + items.len(), 1, "{steps}");
        assert!(items.iter().all(|item| item.is_settled), "{steps}");
    }
}

#[test]
fn a_new_file_under_the_name_is_not_taken_for_the_original() {
    let site = site();
    let path = site.write("file", b"bad");
    take_until(&site, &path, take::STEPS.len() - 1);
    let new = site.write("file", b"new");
    let items = site.open().list().unwrap().items;
    assert!(items.len() == 1 && items[0].is_settled);
    assert_eq!(fs::read(new).unwrap(), b"new");
}

#[test]
fn what_others_do_at_the_moment_is_not_put_in_order() {
    let site = site();
    let quarantine = site.open();
    let scanned = scan(&site.write("file", b"bad"));
    let taken = scanned.taken();
    let mut taking = Taking::prepare(&quarantine.store, &taken, at(1)).unwrap();
    for step in &take::STEPS {
        taking.step(*step).unwrap();
        let stored = site.stored();
        site.open();
        assert_eq!(site.stored(), stored, "{step:?}");
    }
}

#[derive(Clone, Debug)]
enum Act {
    Take(usize),
    Restore(usize),
    Open,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn through_any_history_of_crashes_there_is_one_of_the_file(
        size in prop_oneof![0..100_usize, 60_000..140_000_usize],
        acts in prop::collection::vec(
            prop_oneof![
                4 => (0..=take::STEPS.len()).prop_map(Act::Take),
                4 => (0..=restore::STEPS.len()).prop_map(Act::Restore),
                1 => Just(Act::Open),
            ],
            1..12,
        ),
    ) {
        let site = site();
        let (path, before) = victim(&site, size);
        for act in acts {
            match (act, find_after(&site, &path, &before)) {
                (Act::Take(steps), Found::File) => {
                    // Looking at it moved its time of access.
                    let (path, _) = victim(&site, size);
                    take_until(&site, &path, steps);
                }
                (Act::Restore(steps), Found::Item(id)) => restore_until(&site, &id, &Target::default(), steps),
                _ => {}
            }
        }
        find_after(&site, &path, &before);
    }
}

/// Names the site to the process that is killed.
const VICTIM: &str = "REEF_TEST_KILLED_IN";

/// Takes and restores the same files until it is killed, and says each that is done.
fn work_until_killed(root: &Path) -> ! {
    let quarantine = Quarantine::open(&root.join("state/quarantine")).unwrap();
    loop {
        for n in 0..8 {
            let item = scan(&root.join(format!("files/file{n}"))).take(&quarantine).unwrap();
            eprintln!("taken");
            quarantine.restore(&item.manifest.id, &Target::default()).unwrap();
            eprintln!("restored");
        }
    }
}

#[test]
fn a_process_that_is_killed_at_any_time_leaves_each_file_or_its_item() {
    if let Some(root) = std::env::var_os(VICTIM) {
        work_until_killed(Path::new(&root));
    }
    let site = site();
    let content = |n: u8| vec![n; 50_000 + usize::from(n)];
    for n in 0..8 {
        site.write(&format!("file{n}"), &content(n));
    }
    let name = "quarantine::tests::crash::a_process_that_is_killed_at_any_time_leaves_each_file_or_its_item";
    for round in 0..12 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(VICTIM, site.files.parent().unwrap())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Somewhere after a line, wherever the process has come to by then.
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let said: Vec<String> = lines.take(3 + round).map(Result::unwrap).collect();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(said.len(), 3 + round, "it ended by itself: {said:?}");

        let quarantine = site.open();
        let listing = quarantine.list().unwrap();
        assert!(listing.damaged.is_empty(), "{listing:?}");
        let (names, items) = (site.names(), listing.items);
        assert_eq!(names.len() + items.len(), 8, "round {round}: {names:?} {items:?}");
        for item in items {
            assert!(item.is_settled);
            quarantine.restore(&item.manifest.id, &Target::default()).unwrap();
        }
        for n in 0..8 {
            assert!(
                fs::read(site.files.join(format!("file{n}"))).unwrap() == content(n),
                "round {round}: file {n}"
            );
        }
        assert_eq!(site.stored(), [""; 0], "round {round}");
    }
}
