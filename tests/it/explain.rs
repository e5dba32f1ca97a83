//! What a person on the host asks: why was this file not sent, and what changed lately?
use e2e::{Signal, Site, end};
use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};
use testkit::{Fault, Program, eventually};

/// The first lines of an explanation: the path, and the answer in one sentence.
fn explained(site: &Site, name: &str) -> String {
    let path = site.tree().join(name).display().to_string();
    let output = site.command(&["explain", &path]).unwrap().success().unwrap();
    let text = output.stdout().into_owned();
    assert!(text.starts_with(&path), "{text}");
    text
}

#[test]
fn what_a_rule_leaves_out_is_explained_with_the_rule_and_its_line() {
    let site = Site::new(&[]).unwrap();
    let file = site.home().join("scanner.yaml");
    let text = fs::read_to_string(&file).unwrap()
        + "  ignore_files: [.gitignore]\n  ignore_patterns:\n    - '*.bak'\n    - '*.tmp'\n";
    let line = text.lines().position(|line| line.contains("*.tmp")).unwrap() + 1;
    fs::write(&file, text).unwrap();
    fs::create_dir(site.tree().join("sub")).unwrap();
    fs::write(site.tree().join("sub/.gitignore"), "# built\n\n*.o\n").unwrap();
    site.touch(["scratch.tmp", "sub/main.o", "sub/main.c"]).unwrap();
    site.round(0).unwrap();

    let by_configuration = explained(&site, "scratch.tmp");
    assert!(
        by_configuration.contains("not sent: left out by `*.tmp`"),
        "{by_configuration}"
    );
    assert!(
        by_configuration.contains(&format!("scanner.yaml:{line}:")),
        "{by_configuration}"
    );
    let by_file = explained(&site, "sub/main.o");
    assert!(by_file.contains("not sent: left out by `*.o`"), "{by_file}");
    assert!(by_file.contains("sub/.gitignore:3)"), "{by_file}");
    assert!(explained(&site, "sub/main.c").contains("sent, and accepted by the server"));
    assert_eq!(
        site.recorder.live(e2e::AGENT).len(),
        2,
        "the source and the .gitignore itself"
    );
}

#[test]
fn sent_pending_refused_unmet_and_missing_files_are_told_apart() {
    let site = Site::new(&[]).unwrap();
    site.touch(["sent", "goes"]).unwrap();
    site.round(0).unwrap();
    let sent = explained(&site, "sent");
    assert!(sent.contains("sent, and accepted by the server"), "{sent}");

    site.touch(["unmet"]).unwrap();
    let unmet = explained(&site, "unmet");
    assert!(unmet.contains("not sent yet: no scan has met it"), "{unmet}");
    let missing = explained(&site, "never-was");
    assert!(missing.contains("not sent: not there"), "{missing}");

    site.proxy.set(Fault::Refuse).unwrap();
    fs::rename(site.tree().join("unmet"), site.tree().join("pending")).unwrap();
    fs::remove_file(site.tree().join("goes")).unwrap();
    site.round(5).unwrap();
    let pending = explained(&site, "pending");
    assert!(pending.contains("waits in the outbox since"), "{pending}");
    assert!(pending.contains("file.created"), "{pending}");
    let gone = explained(&site, "goes");
    assert!(gone.contains("waits in the outbox since"), "{gone}");
    assert!(gone.contains("file.deleted"), "{gone}");
    assert!(explained(&site, "sent").contains("sent, and accepted by the server"));

    let is_it = Arc::new(|path: &str| path.ends_with("/pending"));
    site.proxy.set(Fault::RejectRecord(is_it)).unwrap();
    site.round(0).unwrap();
    let refused = explained(&site, "pending");
    assert!(refused.contains("sent and refused by the server"), "{refused}");
    assert!(refused.contains("invalid_request"), "{refused}");
}

#[test]
fn a_refusal_is_forgotten_when_a_later_record_of_the_path_is_taken() {
    let site = Site::new(&[]).unwrap();
    site.touch(["other", "file"]).unwrap();
    let is_it = Arc::new(|path: &str| path.ends_with("/file"));
    site.proxy.set(Fault::RejectRecord(is_it)).unwrap();
    site.round(0).unwrap();
    let refused = explained(&site, "file");
    assert!(refused.contains("sent and refused by the server"), "{refused}");
    site.proxy.set(Fault::Pass).unwrap();
    fs::write(site.tree().join("file"), "more").unwrap();
    site.round(0).unwrap();
    let taken = explained(&site, "file");
    assert!(taken.contains("sent, and accepted by the server"), "{taken}");
    assert_eq!(site.json(&["status"]).unwrap()["refused"], 0);
}

#[test]
fn the_server_s_last_answer_is_told_after_a_round() {
    let site = Site::new(&[]).unwrap();
    site.touch(["file"]).unwrap();
    site.round(0).unwrap();
    let sent = explained(&site, "file");
    assert!(!sent.contains("has not answered yet"), "{sent}");
}

#[test]
fn what_cannot_be_read_is_explained() {
    let site = Site::new(&[]).unwrap();
    fs::create_dir(site.tree().join("shut")).unwrap();
    site.touch(["shut/file", "open"]).unwrap();
    let shut = site.tree().join("shut");
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o000)).unwrap();
    for path in [site.home(), &site.tree()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let is_root = fs::read_dir(&shut).is_ok();
    let scanner = |args: &[&str]| {
        let binary = testkit::binary("scanner").unwrap();
        // Root may read everything, so somebody else asks, with a copy: the build folder may lie where he may not look.
        let program = if is_root {
            let copy = site.home().join("scanner");
            fs::copy(&binary, &copy).unwrap();
            let program = Program::at("setpriv").args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
            program.arg(copy)
        } else {
            Program::at(binary)
        };
        let args = program
            .args(args)
            .args(["--config", "scanner.yaml", "--data-dir", "state"]);
        args.env("SCANNER_JOIN_TOKEN", "token").home(site.home()).run().unwrap()
    };
    scanner(&["run", "--once"]).assert_code(5);
    let file = shut.join("file");
    let asked = scanner(&["explain", file.to_str().unwrap()]);
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o755)).unwrap();
    let asked = asked.success().unwrap();
    assert!(asked.stdout().contains("not sent: cannot be looked at"), "{asked}");
    assert!(asked.stdout().to_lowercase().contains("permission denied"), "{asked}");
    assert!(
        asked.stdout().contains(Path::new("tree/shut").to_str().unwrap()),
        "{asked}"
    );
}

#[test]
fn changes_lists_what_happened_after_the_first_scan() {
    let site = Site::new(&[]).unwrap();
    site.touch(["kept", "updated", "moves", "goes"]).unwrap();
    let daemon = site.start().unwrap();
    site.wait_told().unwrap();
    assert_eq!(changes(&site, &[]), Vec::<String>::new(), "a first scan is a listing");
    fs::write(site.tree().join("updated"), "more").unwrap();
    fs::rename(site.tree().join("moves"), site.tree().join("moved")).unwrap();
    fs::remove_file(site.tree().join("goes")).unwrap();
    fs::create_dir(site.tree().join("sub")).unwrap();
    site.touch(["sub/created"]).unwrap();
    eventually("four changes", || Ok((changes(&site, &[]).len() >= 4).then_some(()))).unwrap();
    let mut all = changes(&site, &["--since", "1h"]);
    all.sort();
    assert_eq!(
        all,
        [
            "created sub/created",
            "deleted goes",
            "moved moves -> moved",
            "updated updated"
        ]
    );
    let sub = site.tree().join("sub").display().to_string();
    assert_eq!(changes(&site, &[&sub]), ["created sub/created"]);
    assert_eq!(changes(&site, &["--limit", "2"]).len(), 2);
    end(daemon, Signal::TERM).unwrap();
}

/// `scanner changes`, each as `change path` or `moved from -> to`, below the tree.
fn changes(site: &Site, args: &[&str]) -> Vec<String> {
    let output = site
        .command(&[&["changes", "--output", "jsonl"], args].concat())
        .unwrap();
    let prefix = site.tree().display().to_string() + "/";
    let own = |path: &serde_json::Value| path.as_str().unwrap().strip_prefix(&prefix).unwrap().to_owned();
    let line = |row: &serde_json::Value| {
        let change = row["change"].as_str().unwrap();
        let path = own(&row["path"]);
        match row.get("from") {
            Some(from) => format!("{change} {} -> {path}", own(&from["path"])),
            None => format!("{change} {path}"),
        }
    };
    output
        .success()
        .unwrap()
        .json_lines()
        .unwrap()
        .iter()
        .map(line)
        .collect()
}
