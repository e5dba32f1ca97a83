//! The server is away.
use e2e::{Fleet, Scanner};
use std::fs;

#[test]
fn what_is_found_while_the_server_is_down_arrives_once_it_is_up() {
    let mut fleet = Fleet::start().unwrap();
    let scanner = Scanner::new(&fleet, "patient", "").unwrap();
    let tree = scanner.tree();
    fs::write(tree.join("before"), "x").unwrap();
    scanner.round(0).unwrap();
    fleet.stop().unwrap();

    for n in 0..1200 {
        fs::write(tree.join(format!("file-{n}")), "x").unwrap();
    }
    let down = scanner.round(5).unwrap();
    assert!(down.stderr().contains("wait for the next run"), "{}", down.stderr());
    fs::rename(tree.join("file-7"), tree.join("moved-7")).unwrap();
    fs::remove_file(tree.join("file-8")).unwrap();
    scanner.round(5).unwrap();
    let status = scanner
        .command(&["status", "--output", "json"])
        .unwrap()
        .success()
        .unwrap()
        .json()
        .unwrap();
    assert_eq!(
        status["outbox"]["records"], 1202,
        "1,200 created, one moved, one deleted"
    );

    fleet.restart().unwrap();
    scanner.round(0).unwrap();
    assert_eq!(fleet.paths("patient").unwrap().len(), 1200);
    let changes = fleet.changes("patient").unwrap();
    assert_eq!(changes.len(), 1203, "every record once");
    let agent = fleet.json(&["agents", "show", "patient"]).unwrap();
    assert_eq!(
        agent["streams"][0]["last_seq"], 1205,
        "with the two that frame the first scan"
    );
    assert_eq!(agent["streams"][0]["gaps"], serde_json::json!([]));
    let status = scanner
        .command(&["status", "--output", "json"])
        .unwrap()
        .json()
        .unwrap();
    assert_eq!(status["outbox"]["records"], 0);
}

#[test]
fn an_agent_that_could_not_enrol_scans_and_enrols_later() {
    let mut fleet = Fleet::start().unwrap();
    let scanner = Scanner::new(&fleet, "early", "").unwrap();
    fs::write(scanner.tree().join("a"), "a").unwrap();
    fleet.stop().unwrap();
    let down = scanner.round(5).unwrap();
    assert!(down.stderr().contains("not enrolled yet"), "{}", down.stderr());
    fleet.restart().unwrap();
    scanner.round(0).unwrap();
    assert_eq!(fleet.paths("early").unwrap().len(), 1);
}
