//! The state is damaged, set back or lost: the next run says so, goes on, and the server's picture is the tree again.
use e2e::{AGENT, Fleet, Scanner, Site};
use rusqlite::Connection;
use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io::{Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};
use testkit::{Fault, Output};

/// A site whose state is delivered.
fn delivered() -> Site {
    let site = Site::new(&[]).unwrap();
    site.touch((0..400).map(|n| format!("file-{n}"))).unwrap();
    site.round(0).unwrap();
    site
}

/// The same with a backup, and with changes delivered after it was taken.
fn backed_up() -> Site {
    let site = delivered();
    site.command(&["state", "backup"]).unwrap().success().unwrap();
    site.touch((0..50).map(|n| format!("after-the-backup-{n}"))).unwrap();
    fs::remove_file(site.tree().join("file-1")).unwrap();
    site.round(0).unwrap();
    site
}

/// One more round over a tree that has changed since: it ends well, and the server's picture is the tree.
fn recovers(site: &Site) -> Output {
    fs::remove_file(site.tree().join("file-2")).unwrap();
    fs::rename(site.tree().join("file-3"), site.tree().join("moved-3")).unwrap();
    site.touch(["new"]).unwrap();
    let output = site.round(0).unwrap();
    site.check_told().unwrap_or_else(|error| panic!("{error:#}\n{output}"));
    site.command(&["state", "check"]).unwrap().success().unwrap();
    let quiet = site.round(0).unwrap();
    assert!(
        quiet.stdout().contains("399 unchanged") || quiet.stdout().contains("unchanged"),
        "{quiet}"
    );
    output
}

/// Files that were moved aside, by what is said of them.
fn aside(site: &Site, called: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(site.state()).unwrap().map(|entry| entry.unwrap().path());
    let prefix = format!("state.db.{called}-");
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    let is_one = |path: &PathBuf| {
        let name = name(path);
        name.starts_with(&prefix) && name.ends_with('Z')
    };
    entries.filter(is_one).collect()
}

fn truncate(file: &Path) {
    let length = fs::metadata(file).unwrap().len();
    OpenOptions::new()
        .write(true)
        .open(file)
        .unwrap()
        .set_len(length / 2)
        .unwrap();
}

fn overwrite_the_middle(file: &Path) {
    let third = fs::metadata(file).unwrap().len() / 3;
    let mut file = OpenOptions::new().write(true).open(file).unwrap();
    file.seek(SeekFrom::Start(third)).unwrap();
    file.write_all(&vec![0xa5; usize::try_from(third).unwrap()]).unwrap();
}

#[test]
fn a_damaged_state_is_replaced_by_its_backup() {
    for damage in [truncate, overwrite_the_middle] {
        let site = backed_up();
        damage(&site.state_file());
        let said = recovers(&site);
        assert!(said.stderr().contains("restored the backup"), "{said}");
        assert!(!said.stderr().contains("rebuilt"), "{said}");
        assert_eq!(aside(&site, "damaged").len(), 1);
    }
}

#[test]
fn a_damaged_state_without_a_backup_is_begun_anew() {
    for damage in [truncate, overwrite_the_middle] {
        let site = delivered();
        damage(&site.state_file());
        let said = recovers(&site);
        assert!(said.stderr().contains("rebuilt"), "{said}");
        assert!(said.stderr().contains("there was no sound backup"), "{said}");
        assert!(!said.stderr().contains("restored"), "{said}");
        assert_eq!(aside(&site, "damaged").len(), 1);
    }
}

#[test]
fn a_damaged_backup_is_passed_over() {
    let site = delivered();
    site.command(&["state", "backup"]).unwrap().success().unwrap();
    site.touch(["between"]).unwrap();
    site.round(0).unwrap();
    let newest = site.json(&["state", "backup"]).unwrap();
    truncate(&site.home().join(newest["file"].as_str().unwrap()));
    truncate(&site.state_file());
    let said = recovers(&site);
    assert!(said.stderr().contains("a backup cannot be used"), "{said}");
    assert!(said.stderr().contains("restored the backup"), "{said}");
}

/// A site whose daemon was killed after it delivered what lies in the log only.
fn killed() -> Site {
    let site = backed_up();
    let daemon = site.start().unwrap();
    site.touch((0..50).map(|n| format!("in-the-log-{n}"))).unwrap();
    site.wait_told().unwrap();
    daemon.kill_hard().unwrap();
    assert!(
        fs::metadata(log(&site)).unwrap().len() > 0,
        "there is nothing in the log"
    );
    site
}

fn log(site: &Site) -> PathBuf {
    site.state().join("state.db-wal")
}

#[test]
fn a_state_that_was_killed_goes_on() {
    let site = killed();
    let said = recovers(&site);
    assert_eq!(site.recorder.streams().len(), 1, "{said}");
    assert_eq!(aside(&site, "damaged"), Vec::<PathBuf>::new());
}

#[test]
fn a_damaged_or_lost_log_sets_the_state_back_and_that_is_noticed() {
    let spoil = |log: &Path| fs::write(log, vec![0x5a; 40_000]).unwrap();
    let remove = |log: &Path| fs::remove_file(log).unwrap();
    for damage in [&spoil as &dyn Fn(&Path), &remove] {
        let site = killed();
        damage(&log(&site));
        let said = recovers(&site);
        assert!(said.stderr().contains("went back in time"), "{said}");
        let streams = site.recorder.streams();
        assert_eq!(streams.len(), 2, "numbers are not given twice: {streams:?}");
    }
}

#[test]
fn a_log_that_is_damaged_in_its_middle_costs_no_backup() {
    let site = killed();
    overwrite_the_middle(&log(&site));
    let said = recovers(&site);
    assert!(!said.stderr().contains("rebuilt"), "{said}");
    assert_eq!(
        aside(&site, "damaged"),
        Vec::<PathBuf>::new(),
        "the state itself is sound"
    );
}

#[test]
fn a_damaged_record_is_counted_and_everything_is_told_anew() {
    let site = delivered();
    site.proxy.set(Fault::Refuse).unwrap();
    site.touch((0..50).map(|n| format!("queued-{n}"))).unwrap();
    site.round(5).unwrap();
    {
        let state = Connection::open(site.state_file()).unwrap();
        let (id, mut body): (i64, Vec<u8>) = state
            .query_row(
                "SELECT rowid, body FROM outbox ORDER BY rowid DESC LIMIT 1",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .unwrap();
        let middle = body.len() / 2;
        body[middle] ^= 0x10;
        assert_eq!(
            state
                .execute("UPDATE outbox SET body = ?2 WHERE rowid = ?1", (id, body))
                .unwrap(),
            1
        );
    }
    let check = site.command(&["state", "check"]).unwrap().assert_code(4);
    assert!(
        check.stdout().contains("1 runs") || check.stdout().contains("1 of "),
        "{check}"
    );
    site.proxy.set(Fault::Pass).unwrap();
    let said = recovers(&site);
    assert!(said.stderr().contains("damaged"), "{said}");
    let streams = site.recorder.streams();
    assert_eq!(streams.len(), 2, "{streams:?}");
}

#[test]
fn a_state_that_is_gone_is_made_anew_and_what_is_gone_from_the_tree_goes_from_the_server() {
    let site = backed_up();
    fs::remove_dir_all(site.state()).unwrap();
    let said = recovers(&site);
    assert!(said.stderr().contains("opened a new stream"), "{said}");
    let known: BTreeSet<Vec<u8>> = site.paths().unwrap();
    assert_eq!(site.recorder.live(AGENT), known);
}

#[test]
fn a_controller_s_picture_follows_a_state_that_was_lost_or_replaced() {
    let fleet = Fleet::start().unwrap();
    let scanner = Scanner::new(&fleet, "unlucky", "").unwrap();
    let tree = scanner.tree();
    for n in 0..50 {
        fs::write(tree.join(format!("file-{n}")), "x").unwrap();
    }
    scanner.round(0).unwrap();
    scanner.command(&["state", "backup"]).unwrap().success().unwrap();
    let state = scanner.home().join("state");
    let lose = |state: &Path| {
        fs::remove_file(state.join("state.db")).unwrap();
        fs::remove_file(state.join("state.db.mark")).unwrap();
    };
    let spoil = |state: &Path| truncate(&state.join("state.db"));
    for (n, damage) in [&spoil as &dyn Fn(&Path), &lose].into_iter().enumerate() {
        fs::remove_file(tree.join(format!("file-{n}"))).unwrap();
        fs::write(tree.join(format!("new-{n}")), "x").unwrap();
        damage(&state);
        let said = scanner.round(0).unwrap();
        let mut expected: Vec<Vec<u8>> = fs::read_dir(&tree)
            .unwrap()
            .map(|entry| entry.unwrap().path().into_os_string().into_encoded_bytes())
            .collect();
        expected.sort();
        assert_eq!(fleet.paths("unlucky").unwrap(), expected, "{said}");
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let beside = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &beside);
        } else {
            fs::copy(&path, &beside).unwrap();
        }
    }
}

#[test]
fn a_whole_directory_that_was_put_back_is_noticed_by_what_the_controller_has() {
    let fleet = Fleet::start().unwrap();
    let scanner = Scanner::new(&fleet, "snapshot", "").unwrap();
    let (tree, state) = (scanner.tree(), scanner.home().join("state"));
    let earlier = scanner.home().join("earlier");
    for n in 0..50 {
        fs::write(tree.join(format!("file-{n}")), "x").unwrap();
    }
    scanner.round(0).unwrap();
    copy(&state, &earlier);
    // As after the return to a machine's snapshot: with a record more than then, with as many, and with none.
    for news in [2, 1, 0] {
        fs::write(tree.join("forgotten"), "x").unwrap();
        scanner.round(0).unwrap();
        fs::remove_dir_all(&state).unwrap();
        copy(&earlier, &state);
        fs::remove_file(tree.join("forgotten")).unwrap();
        for n in 0..news {
            fs::write(tree.join(format!("new-{news}-{n}")), "x").unwrap();
        }
        let said = scanner.round(0).unwrap();
        let mut expected: Vec<Vec<u8>> = fs::read_dir(&tree)
            .unwrap()
            .map(|entry| entry.unwrap().path().into_os_string().into_encoded_bytes())
            .collect();
        expected.sort();
        assert_eq!(fleet.paths("snapshot").unwrap(), expected, "{news} new: {said}");
    }
}
