//! A volume that is not mounted must not look like a million deletions.
use e2e::{Fleet, Scanner};
use std::{fs, os::unix::fs::PermissionsExt};
use testkit::Program;

const HOLD: &str = "  deletion_hold: { share: 50%, min_files: 5 }\n";

#[test]
fn a_path_that_vanishes_or_turns_up_empty_deletes_nothing_until_accepted() {
    let fleet = Fleet::start().unwrap();
    let scanner = Scanner::new(&fleet, "mounted", "").unwrap();
    let tree = scanner.tree();
    for n in 0..3 {
        fs::write(tree.join(format!("f{n}")), "x").unwrap();
    }
    scanner.round(0).unwrap();
    let away = scanner.home().join("away");
    fs::rename(&tree, &away).unwrap();
    let missing = scanner.round(4).unwrap();
    assert!(missing.stdout().contains("not there"), "{}", missing.stdout());
    fs::create_dir(&tree).unwrap();
    let foreign = scanner.round(4).unwrap();
    assert!(foreign.stdout().contains("scanner accept"), "{}", foreign.stdout());
    assert_eq!(fleet.paths("mounted").unwrap().len(), 3);

    fs::remove_dir(&tree).unwrap();
    fs::rename(&away, &tree).unwrap();
    let back = scanner.round(0).unwrap();
    assert!(back.stdout().contains("3 unchanged"), "{}", back.stdout());
    for n in 0..3 {
        fs::remove_file(tree.join(format!("f{n}"))).unwrap();
    }
    let empty = scanner.round(4).unwrap();
    assert!(
        empty.stdout().contains("empty, though files are known"),
        "{}",
        empty.stdout()
    );
    assert_eq!(fleet.paths("mounted").unwrap().len(), 3);
    let path = tree.display().to_string();
    scanner.command(&["accept", &path]).unwrap().success().unwrap();
    scanner.round(0).unwrap();
    assert!(fleet.paths("mounted").unwrap().is_empty());
}

#[test]
fn a_mass_deletion_is_held_until_it_is_accepted() {
    let fleet = Fleet::start().unwrap();
    let scanner = Scanner::new(&fleet, "held", HOLD).unwrap();
    let tree = scanner.tree();
    for n in 0..20 {
        fs::write(tree.join(format!("f{n}")), "x").unwrap();
    }
    scanner.round(0).unwrap();
    for n in 0..15 {
        fs::remove_file(tree.join(format!("f{n}"))).unwrap();
    }
    let held = scanner.round(5).unwrap();
    assert!(held.stdout().contains("15 deletions"), "{}", held.stdout());
    assert_eq!(fleet.paths("held").unwrap().len(), 20);
    let diff = scanner.command(&["diff"]).unwrap().assert_code(1);
    assert!(diff.stderr().contains("15 deletions"), "{}", diff.stderr());
    let status = scanner
        .command(&["status", "--output", "json"])
        .unwrap()
        .json()
        .unwrap();
    assert_eq!(status["roots"][0]["held_deletions"], 15);
    let path = tree.display().to_string();
    let accepted = scanner.command(&["accept", &path]).unwrap().success().unwrap();
    assert!(
        accepted.stdout().contains("15 deletions released"),
        "{}",
        accepted.stdout()
    );
    scanner.round(0).unwrap();
    assert_eq!(fleet.paths("held").unwrap().len(), 5);
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_done() {
    let home = tempfile::tempdir().unwrap();
    let tree = home.path().join("tree");
    for dir in ["open", "shut"] {
        fs::create_dir_all(tree.join(dir)).unwrap();
        fs::write(tree.join(dir).join("file"), dir).unwrap();
    }
    fs::set_permissions(tree.join("shut"), fs::Permissions::from_mode(0o000)).unwrap();
    // Root may read everything, so the look is made by somebody else.
    let state = home.path().join("state");
    fs::create_dir(&state).unwrap();
    for path in [home.path(), &state] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let scanner = testkit::binary("scanner").unwrap();
    let is_root = fs::read_dir(tree.join("shut")).is_ok();
    let program = if is_root {
        // A copy, for the build folder may lie where others may not look.
        let copy = home.path().join("scanner");
        fs::copy(&scanner, &copy).unwrap();
        Program::at("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(copy)
    } else {
        Program::at(scanner)
    };
    let args = ["scan", tree.to_str().unwrap(), "--data-dir", state.to_str().unwrap()];
    let output = program.args(args).home(home.path()).run().unwrap().assert_code(5);
    fs::set_permissions(tree.join("shut"), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(output.stdout().contains("open/file"), "{}", output.stdout());
    assert!(
        output.stderr().contains("1 paths could not be read (1 permission)"),
        "{}",
        output.stderr()
    );
    assert!(output.stderr().contains("/shut"), "{}", output.stderr());
}
