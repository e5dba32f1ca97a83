//! The main journey: enrol, scan, change, scan again.
use e2e::{Fleet, Scanner};
use std::{
    fs,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
};

#[test]
fn a_tree_changes_and_the_controller_knows_exactly_how() {
    let fleet = Fleet::start().unwrap();
    let scanner = Scanner::new(&fleet, "web-1", "").unwrap();
    let tree = scanner.tree();
    fs::create_dir_all(tree.join("old/deep")).unwrap();
    for name in ["keep", "edit", "gone", "mode", "link", "old/a", "old/deep/b"] {
        fs::write(tree.join(name), name).unwrap();
    }
    scanner.round(0).unwrap();
    assert_eq!(fleet.paths("web-1").unwrap().len(), 7);
    let told = fleet.changes("web-1").unwrap().len();

    let again = scanner.round(0).unwrap();
    assert!(
        again
            .stdout()
            .contains("0 created, 0 updated, 0 moved, 0 deleted, 7 unchanged"),
        "{}",
        again.stdout()
    );
    assert_eq!(
        fleet.changes("web-1").unwrap().len(),
        told,
        "nothing changed, nothing is told"
    );

    fs::write(tree.join("new"), "new").unwrap();
    fs::write(tree.join("edit"), "edited").unwrap();
    fs::remove_file(tree.join("gone")).unwrap();
    fs::set_permissions(tree.join("mode"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::hard_link(tree.join("link"), tree.join("second")).unwrap();
    fs::rename(tree.join("old"), tree.join("renamed")).unwrap();
    scanner.round(0).unwrap();
    let at = |name: &str| tree.join(name).display().to_string();
    let mut seen = fleet.changes("web-1").unwrap().split_off(told);
    seen.sort();
    let mut wanted = [
        format!("created {}", at("new")),
        format!("created {}", at("second")),
        format!("deleted {}", at("gone")),
        format!("moved {} -> {}", at("old/a"), at("renamed/a")),
        format!("moved {} -> {}", at("old/deep/b"), at("renamed/deep/b")),
        format!("updated {}", at("edit")),
        format!("updated {}", at("link")),
        format!("updated {}", at("mode")),
    ];
    wanted.sort();
    assert_eq!(seen, wanted);
    let agents = fleet.json(&["agents"]).unwrap();
    assert_eq!(agents[0]["status"], "online");
    assert_eq!(agents[0]["files"]["present"], 8);
}

#[test]
fn names_of_any_bytes_travel_unchanged() {
    let fleet = Fleet::start().unwrap();
    let scanner = Scanner::new(&fleet, "nasty", "").unwrap();
    let files = testkit::nasty_files(&scanner.tree()).unwrap();
    scanner.round(0).unwrap();
    let mut wanted: Vec<Vec<u8>> = files
        .iter()
        .map(|file| file.path.as_os_str().as_bytes().to_vec())
        .collect();
    wanted.sort();
    assert_eq!(fleet.paths("nasty").unwrap(), wanted);
    for file in &files {
        fs::write(&file.path, "changed content").unwrap();
    }
    let text = scanner.round(0).unwrap();
    assert!(
        text.stdout().contains(&format!("{} updated", files.len())),
        "{}",
        text.stdout()
    );
    for file in &files {
        fs::remove_file(&file.path).unwrap();
    }
    fs::write(scanner.tree().join("left"), "x").unwrap();
    scanner.round(0).unwrap();
    assert_eq!(
        fleet.paths("nasty").unwrap(),
        [scanner.tree().join("left").as_os_str().as_bytes().to_vec()]
    );
}

#[test]
fn the_controller_remembers_all_of_it_through_a_restart() {
    let mut fleet = Fleet::start().unwrap();
    let scanner = Scanner::new(&fleet, "kept", "").unwrap();
    fs::write(scanner.tree().join("a"), "a").unwrap();
    scanner.round(0).unwrap();
    let before = fleet.changes("kept").unwrap();
    fleet.stop().unwrap();
    fleet.restart().unwrap();
    assert_eq!(
        fleet.changes("kept").unwrap(),
        before,
        "the sign-in and the files are still there"
    );
    fs::write(scanner.tree().join("b"), "b").unwrap();
    scanner.round(0).unwrap();
    assert_eq!(fleet.paths("kept").unwrap().len(), 2, "and so is the agent's key");
}
