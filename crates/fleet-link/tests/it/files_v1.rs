//! Delivery to a server of the file-scanner document.
use crate::{
    rig::{Rig, impatient, record},
    server::{Act, Server},
};
use daemon_kit::Dialect;
use fleet_link::DeliverySettings;
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinSet};
use tokio_util::sync::CancellationToken;

fn rig(server: &Server, batch_size: usize) -> Rig {
    Rig::speaking(
        Dialect::FilesV1,
        &server.url,
        DeliverySettings {
            batch_size,
            ..impatient()
        },
    )
}

fn file(path: &str) -> String {
    format!(r#"{{"path":"{path}","type":"file","size":3,"mtime":"2026-11-20T08:00:00.5Z","mime":"text/plain"}}"#)
}

fn documents(server: &Server) -> Vec<Value> {
    server
        .kept()
        .seen
        .iter()
        .map(|seen| serde_json::from_slice(&seen.body).unwrap())
        .collect()
}

#[tokio::test]
async fn records_become_the_document_under_a_key_that_a_repeat_bears_too() {
    let server = Server::start();
    server.script([Act::TakeAndHangUp]);
    let rig = rig(&server, 100);
    let moved = format!(r#"{{"from":{{"path":"/d/old"}},"file":{}}}"#, file("/d/new"));
    let body = [
        record("file.created", &file("/d/a.txt")),
        record("file.deleted", r#"{"path":"/d/b","path_raw":"L2QvYv8="}"#),
        record("file.moved", &moved),
        record("host.sample", "{}"),
    ];
    rig.enqueue_raw(4, &body.concat());
    let report = rig.deliver().await;
    assert_eq!(
        (report.sent, report.rejected, report.remaining),
        (3, 1, 0),
        "{report:?}"
    );
    assert_eq!(rig.refusals()[0].rejected.code, "not_in_dialect");
    let expected = |name: &str| {
        json!({"filename": name, "fileType": "text/plain", "path": format!("/d/{name}"), "size": 3,
               "lastIndexedAt": "2026-11-21T12:00:00Z", "modifiedAt": "2026-11-20T08:00:00.500Z"})
    };
    let document = json!({
        "files": [expected("a.txt"), expected("new")],
        "deleted": [{"path": "/d/b\u{fffd}", "path_raw": "L2QvYv8="}],
        "moved": [{"from": {"path": "/d/old"}, "to": {"path": "/d/new"}}],
    });
    assert_eq!(documents(&server), [document.clone(), document]);
    let seen = server.kept().seen.clone();
    assert_eq!(seen[0].path, "/api/files/ingest");
    assert!(!seen[0].headers["idempotency-key"].is_empty());
    assert_eq!(seen[0].headers["idempotency-key"], seen[1].headers["idempotency-key"]);
    server.stop().await;
}

#[tokio::test]
async fn what_is_said_of_one_path_goes_in_its_order() {
    let server = Server::start();
    let (arrived, is_here) = oneshot::channel();
    let (answer, may_answer) = oneshot::channel();
    server.script([Act::Hold(arrived, may_answer)]);
    let rig = rig(&server, 100);
    let lines = [
        record("file.created", &file("/d/a")),
        record("file.created", &file("/d/b")),
        record("file.deleted", r#"{"path":"/d/a"}"#),
        record("file.created", &file("/d/c")),
    ];
    rig.enqueue_raw(4, &lines.concat());
    let delivery = rig.delivery.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { delivery.deliver_until_empty(&CancellationToken::new()).await });
    is_here.await.unwrap();
    assert_eq!(server.kept().seen.len(), 1, "the deletion waits for the creation");
    answer.send(()).unwrap();
    assert_eq!(tasks.join_next().await.unwrap().unwrap().sent, 4);
    let sizes = |document: &Value, key: &str| document[key].as_array().map_or(0, Vec::len);
    let shape: Vec<_> = documents(&server)
        .iter()
        .map(|d| (sizes(d, "files"), sizes(d, "deleted")))
        .collect();
    assert_eq!(shape, [(2, 0), (1, 1)]);
    server.stop().await;
}

#[tokio::test]
async fn a_400_without_words_is_narrowed_to_the_file_at_fault() {
    let server = Server::start();
    // The whole, its first half, its second half: only the last of three holds what the server does not take.
    server.script([
        Act::Answer(400, ""),
        Act::Take,
        Act::Answer(400, ""),
        Act::Take,
        Act::Answer(400, ""),
    ]);
    let rig = Rig::speaking(
        Dialect::FilesV1,
        &server.url,
        DeliverySettings {
            concurrent_api_calls: 1,
            ..impatient()
        },
    );
    rig.enqueue(&[4]);
    let report = rig.deliver().await;
    assert_eq!((report.sent, report.rejected, report.remaining), (3, 1, 0));
    let refusals = rig.refusals();
    assert_eq!(
        (refusals[0].rejected.seq, refusals[0].rejected.code.as_str()),
        (4, "refused")
    );
    let deleted: Vec<usize> = documents(&server)
        .iter()
        .map(|d| d["deleted"].as_array().unwrap().len())
        .collect();
    assert_eq!(deleted, [4, 2, 2, 1, 1]);
    server.stop().await;
}
