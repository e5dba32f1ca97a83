//! Registration and heartbeats, in both dialects.
use crate::{
    rig::{Rig, client, noon},
    server::{Act, Server},
};
use core_model::Queue;
use daemon_kit::Dialect;
use fleet_link::{Presence, delivered};
use fleet_wire::Heartbeat;
use serde_json::{Value, json};

fn heartbeat(status: &str) -> Heartbeat {
    Heartbeat {
        status: status.to_owned(),
        version: "0.1.0".to_owned(),
        last_scan_time: Some(noon()),
        files_processed: 10,
        error_count: 1,
        outbox_records: 2,
        outbox_dropped: 0,
        outbox_damaged: 0,
        delivered: None,
        reason: None,
        profile: None,
    }
}

fn said(server: &Server) -> Vec<(String, Value)> {
    let read = |body: &[u8]| serde_json::from_slice(body).unwrap();
    server
        .kept()
        .seen
        .iter()
        .map(|seen| (seen.path.clone(), read(&seen.body)))
        .collect()
}

#[tokio::test]
async fn a_controller_hears_heartbeats_and_needs_no_registration() {
    let server = Server::start();
    let presence = Presence::new(client(&server.url), Dialect::Shoal, "web-1");
    presence.register("web-1", "0.1.0", &[], &[]).await.unwrap();
    presence.heartbeat(&heartbeat("degraded"), 5).await.unwrap();
    let said = said(&server);
    assert_eq!(said.len(), 1);
    assert_eq!(said[0].0, "/api/v1/agents/me/heartbeat");
    assert_eq!(
        (&said[0].1["status"], &said[0].1["outbox_records"]),
        (&json!("degraded"), &json!(2))
    );
    assert_eq!(server.kept().seen[0].headers["x-api-key"], "agent-key");
    server.stop().await;
}

#[tokio::test]
async fn what_is_delivered_ends_before_the_first_record_that_waits() {
    let server = Server::start();
    let rig = Rig::new(&server.url, &[3, 2, 1]);
    let through = || delivered(&*rig.queue).unwrap().unwrap().through;
    assert_eq!(through(), 0);
    let stream = rig.queue.stream();
    rig.queue.ack(stream, &[4]).unwrap();
    assert_eq!(through(), 0);
    rig.queue.ack(stream, &[1]).unwrap();
    assert_eq!(through(), 5);
    rig.queue.ack(stream, &[6]).unwrap();
    let told = delivered(&*rig.queue).unwrap().unwrap();
    assert_eq!((told.stream, told.through), (stream, 6));
    server.stop().await;
}

#[tokio::test]
async fn a_server_of_the_document_hears_it_in_its_own_words() {
    let server = Server::start();
    let presence = Presence::new(client(&server.url), Dialect::FilesV1, "web 1");
    presence
        .register("web-1", "0.1.0", &["/data".to_owned()], &["scan".to_owned()])
        .await
        .unwrap();
    presence.heartbeat(&heartbeat("unhealthy"), 5).await.unwrap();
    assert_eq!(
        said(&server),
        [
            (
                "/api/agents/register".to_owned(),
                json!({"agentId": "web 1", "hostname": "web-1", "version": "0.1.0", "scanPaths": ["/data"],
                       "capabilities": ["scan"]})
            ),
            (
                "/api/agents/heartbeat/web%201".to_owned(),
                json!({"status": "error", "lastScanTime": "2026-11-21T12:00:00Z", "filesProcessed": 10,
                       "errorCount": 1, "memoryUsage": 5})
            ),
        ]
    );
    server.stop().await;
}

#[tokio::test]
async fn a_server_of_the_document_s_first_version_is_understood() {
    let server = Server::start();
    server.script([Act::Answer(404, "")]);
    let presence = Presence::new(client(&server.url), Dialect::FilesV1, "web-1");
    presence.heartbeat(&heartbeat("degraded"), 5).await.unwrap();
    let (path, body) = said(&server).remove(1);
    assert_eq!(path, "/api/agents/heartbeat");
    assert_eq!(
        (&body["agentId"], &body["status"]),
        (&json!("web-1"), &json!("healthy"))
    );
    server.stop().await;
}
