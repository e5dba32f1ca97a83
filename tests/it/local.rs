//! `scanner scan` and the reading verbs, with no server anywhere.
use std::{fs, path::Path};
use tempfile::TempDir;
use testkit::{Output, Program};

fn scanner(home: &Path, args: &[&str]) -> Output {
    Program::named("scanner")
        .unwrap()
        .args(args)
        .args(["--data-dir", "state"])
        .home(home)
        .run()
        .unwrap()
}

fn tree() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir_all(home.path().join("tree/.git")).unwrap();
    for (name, size) in [
        ("report.pdf", 2000),
        ("notes.txt", 10),
        (".hidden", 1),
        (".git/config", 5),
        ("a.tmp", 1),
    ] {
        fs::write(home.path().join("tree").join(name), "x".repeat(size)).unwrap();
    }
    home
}

#[test]
fn a_look_needs_nothing_and_the_next_one_tells_what_changed() {
    let home = tree();
    let first = scanner(home.path(), &["scan", "tree", "--output", "jsonl"]).assert_code(0);
    assert_eq!(first.json_lines().unwrap().len(), 5);
    let second = scanner(home.path(), &["scan", "tree", "--output", "jsonl"]).assert_code(0);
    assert!(second.json_lines().unwrap().is_empty());
    fs::rename(home.path().join("tree/notes.txt"), home.path().join("tree/.git/notes")).unwrap();
    let diff = scanner(home.path(), &["diff"]).assert_code(1);
    assert!(diff.stdout().starts_with("moved"), "{}", diff.stdout());
    let third = scanner(home.path(), &["scan", "tree", "--output", "json"])
        .assert_code(0)
        .json()
        .unwrap();
    assert_eq!(third["changes"][0]["change"], "moved");
    assert_eq!(third["summary"]["moved"], 1);
    scanner(home.path(), &["diff"]).assert_code(0);
    let fresh = scanner(home.path(), &["scan", "tree", "--fresh", "--output", "csv"]).assert_code(0);
    assert_eq!(fresh.stdout().lines().count(), 6, "{}", fresh.stdout());
}

#[test]
fn patterns_hidden_files_and_hashes_are_a_matter_of_options() {
    let home = tree();
    let args = [
        "scan", "tree", "--ignore", "*.tmp", "--ignore", ".git/*", "--hash", "sha256", "--output", "jsonl",
    ];
    let rows = scanner(home.path(), &args).assert_code(0).json_lines().unwrap();
    let mut names: Vec<&str> = rows
        .iter()
        .filter_map(|row| row["path"].as_str()?.rsplit('/').next())
        .collect();
    names.sort_unstable();
    assert_eq!(names, [".hidden", "notes.txt", "report.pdf"]);
    let hidden = rows
        .iter()
        .find(|row| row["path"].as_str().unwrap().ends_with(".hidden"))
        .unwrap();
    assert_eq!(
        hidden["sha256"],
        "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    );
    let plain = scanner(
        home.path(),
        &["scan", "tree", "--fresh", "--no-hidden", "--output", "jsonl"],
    )
    .assert_code(0);
    assert_eq!(plain.json_lines().unwrap().len(), 3);
}

#[test]
fn the_state_answers_questions_without_the_disk() {
    let home = tree();
    scanner(home.path(), &["scan", "tree"]).assert_code(0);
    fs::remove_dir_all(home.path().join("tree")).unwrap();
    let ask = |args: &[&str]| {
        scanner(home.path(), &[&["query", "--output", "jsonl"], args].concat())
            .json_lines()
            .unwrap()
    };
    assert_eq!(ask(&[]).len(), 5);
    assert_eq!(ask(&["--name", "*.pdf"]).len(), 1);
    assert_eq!(ask(&["--min-size", "1KB"]).len(), 1);
    assert_eq!(ask(&["--max-size", "9"]).len(), 3);
    assert_eq!(ask(&["--newer", "1h"]).len(), 5);
    assert_eq!(ask(&["--older", "1h"]).len(), 0);
    assert_eq!(ask(&["--type", "application/pdf"]).len(), 1);
    assert_eq!(ask(&["--under", "tree/.git"]).len(), 1);
    assert_eq!(ask(&["--limit", "2"]).len(), 2);
    let csv = scanner(home.path(), &["export", "--output", "csv"]).assert_code(0);
    assert_eq!(csv.stdout().lines().count(), 6);
    let history = scanner(home.path(), &["history", "--output", "json"]).json().unwrap();
    assert_eq!(history[0]["status"], "completed");
    assert_eq!(history[0]["created"], 5);
}

#[test]
fn a_state_that_is_not_there_is_said_with_the_way_to_make_it() {
    let home = tempfile::tempdir().unwrap();
    for verb in ["status", "diff", "history", "query", "export"] {
        let output = scanner(home.path(), &[verb]).assert_code(4);
        assert!(
            output.stderr().contains("scanner scan PATH"),
            "{verb}: {}",
            output.stderr()
        );
    }
    assert!(!home.path().join("state").exists(), "asking makes nothing");
}

#[test]
fn a_look_does_not_mark_as_known_what_the_server_was_not_told() {
    let home = tree();
    scanner(home.path(), &["scan", "tree"]).assert_code(0);
    fs::write(home.path().join("c.yaml"), "scanner:\n  scan_paths: [tree]\n").unwrap();
    let run = scanner(home.path(), &["run", "--once", "--config", "c.yaml"]).assert_code(0);
    assert!(run.stdout().contains("5 created"), "{}", run.stdout());
    let names: Vec<_> = fs::read_dir(home.path().join("state"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        names.iter().any(|name| name == "state.db") && names.iter().any(|name| name == "scan.db"),
        "{names:?}"
    );
}

#[test]
fn a_reader_that_goes_away_is_no_failure_and_is_told_what_it_missed() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("tree")).unwrap();
    for n in 0..3000 {
        fs::write(
            home.path().join("tree").join(format!("a-file-with-a-long-name-{n}")),
            "x",
        )
        .unwrap();
    }
    let scanner = testkit::binary("scanner").unwrap();
    let line = format!(
        "{0} scan tree --data-dir state | head -1; {0} status --data-dir state | true",
        scanner.display()
    );
    let output = Program::at("bash").args(["-c", &line]).home(home.path()).run().unwrap();
    let said = output.stderr();
    assert!(said.contains("changes that were not shown are remembered"), "{said}");
    assert!(
        !said.contains("panicked") && !said.contains("nothing of it was changed"),
        "{said}"
    );
}
