//! Malware is taken away, and comes back as it was.
use super::rig::{Rig, files};
use std::{fs, os::unix::fs::PermissionsExt as _, thread};
use testkit::eicar;

#[test]
fn malware_is_taken_away_and_brought_back_and_nothing_else_is_touched() {
    let rig = Rig::new();
    rig.fill(20);
    rig.infect("sub/eicar.com");
    let file = rig.tree().join("sub/eicar.com");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o751)).unwrap();
    let before = fs::metadata(&file).unwrap();
    let report = rig.scan(1, &["--action", "quarantine"]);
    assert_eq!(
        (files(&report, "infected"), &report["unaccounted"]),
        (1, &0.into()),
        "{report}"
    );
    let id = report["detections"][0]["quarantined"].as_str().unwrap();
    assert!(!file.exists() && rig.tree().join("d0/f0").exists());
    assert_eq!(rig.scan(0, &[])["met"]["files"], 20, "nothing else is gone");

    let listed = rig.run(&["quarantine", "list"]).success().unwrap();
    assert!(listed.stdout().contains("Shoal.Test.Eicar"), "{listed}");
    rig.run(&["quarantine", "restore", id]).success().unwrap();
    assert_eq!(fs::read(&file).unwrap(), eicar());
    let after = fs::metadata(&file).unwrap();
    assert_eq!(
        (after.permissions(), after.modified().unwrap()),
        (before.permissions(), before.modified().unwrap())
    );
}

#[test]
fn without_a_usable_quarantine_malware_is_found_all_the_same() {
    let rig = Rig::new();
    rig.fill(5);
    rig.infect("eicar");
    let store = rig.tree().with_file_name("data").join("quarantine");
    fs::create_dir_all(&store).unwrap();
    fs::write(store.join("key"), "junk").unwrap();
    let report = rig.scan(1, &["--action", "quarantine"]);
    assert_eq!(
        (files(&report, "clean"), files(&report, "infected")),
        (5, 1),
        "{report}"
    );
    assert_eq!(report["detections"][0]["outcome"], "left_there", "{report}");
    assert!(
        report["quarantine_error"].as_str().unwrap().contains("is no key"),
        "{report}"
    );
    let text = rig.run(&["scan", "tree", "--action", "quarantine"]).assert_code(1);
    assert!(text.stdout().contains("FOUND, and left where it is: "), "{text}");
    assert!(text.stdout().contains("\nquarantine: "), "{text}");
    assert_eq!(text.stderr().matches("is no key").count(), 1, "{text}");
    fs::remove_file(rig.tree().join("eicar")).unwrap();
    rig.scan(5, &["--action", "quarantine"]);
}

#[test]
fn two_scans_in_two_processes_leave_nothing_and_contradict_each_other_in_nothing() {
    let rig = Rig::new();
    for n in 0..100 {
        rig.infect(format!("d{}/{n}", n % 7));
    }
    let args = ["scan", "tree", "--action", "quarantine", "--no-memory"];
    let (one, other) = thread::scope(|scope| {
        let one = scope.spawn(|| rig.run(&args));
        let other = rig.run(&args);
        (one.join().unwrap(), other)
    });
    for scan in [one, other] {
        assert!(!scan.stdout().contains("left where it is"), "{scan}");
    }
    let kept = rig.run(&["quarantine", "list", "--output", "jsonl"]).success().unwrap();
    assert_eq!(kept.json_lines().unwrap().len(), 100, "{kept}");
    rig.scan(0, &[]);
}

#[test]
fn a_rule_takes_away_what_it_finds_and_says_what_it_left() {
    let rig = Rig::new();
    rig.infect("eicar");
    let rules = format!(
        "[[rules]]\nname = \"web\"\npaths = [{:?}]\naction = \"quarantine\"\n",
        rig.tree().display().to_string()
    );
    fs::write(rig.tree().with_file_name("reef.toml"), rules).unwrap();
    let listed = rig.run(&["rules", "list", "--config", "reef.toml"]).success().unwrap();
    assert!(
        listed.stdout().contains("web") && listed.stdout().contains("quarantine"),
        "{listed}"
    );
    let unknown = rig.run(&["rules", "run", "db", "--config", "reef.toml"]).assert_code(4);
    assert!(unknown.stderr().contains("there are web"), "{unknown}");
    let ran = rig
        .run(&["rules", "run", "web", "--config", "reef.toml"])
        .assert_code(1);
    assert!(ran.stdout().contains("FOUND, quarantined as "), "{ran}");
    assert!(!rig.tree().join("eicar").exists());
    rig.run(&["rules", "run", "web", "--config", "reef.toml"])
        .assert_code(0);
    // What is brought back to where a rule takes it away again is brought back with a warning.
    let items = rig.run(&["quarantine", "list", "--output", "json"]).success().unwrap();
    let items: serde_json::Value = items.json().unwrap();
    let restore = ["quarantine", "restore", items[0]["id"].as_str().unwrap()];
    let back = rig
        .run(&[&restore[..], &["--config", "reef.toml"]].concat())
        .success()
        .unwrap();
    assert!(
        back.stderr().contains("the rule web") && back.stderr().contains("\"/eicar\""),
        "{back}"
    );
    assert!(rig.tree().join("eicar").exists());
}

#[test]
fn the_coming_scans_of_rules_are_shown_with_their_zone() {
    let rig = Rig::new();
    let rules = "[[rules]]\nname = \"nightly\"\npaths = [\"/usr\"]\n\
                 schedule = { when = \"30 2 * * *\", zone = \"Europe/Berlin\" }\n\
                 [[rules]]\nname = \"by-hand\"\npaths = [\"/etc\"]\n";
    fs::write(rig.tree().with_file_name("reef.toml"), rules).unwrap();
    let next = rig.run(&[
        "rules",
        "next",
        "--count",
        "3",
        "--output",
        "json",
        "--config",
        "reef.toml",
    ]);
    let next: serde_json::Value = next.assert_code(0).json().unwrap();
    let runs = next.as_array().unwrap();
    assert_eq!(runs.len(), 3, "{next}");
    for run in runs {
        assert_eq!(
            (&run["rule"], &run["zone"]),
            (&"nightly".into(), &"Europe/Berlin".into())
        );
        assert!(
            run["due"].as_str().unwrap().contains("T02:30:00") || run["due"].as_str().unwrap().contains("T03:00:00")
        );
    }
    let listed = rig.run(&["rules", "list", "--config", "reef.toml"]).success().unwrap();
    assert!(
        listed.stdout().contains("30 2 * * *") && listed.stdout().contains("when asked for"),
        "{listed}"
    );
    let none = rig
        .run(&["rules", "next", "by-hand", "--config", "reef.toml"])
        .success()
        .unwrap();
    assert!(none.stdout().contains("nothing is due"), "{none}");
}
