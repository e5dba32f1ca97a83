//! The routes that every product serves, over a socket.
use crate::server::{Running, get};
use serde_json::{Map, Value, json};
use transport_http::{HealthOptions, HealthRegistry, Status, health_routes, metrics_route};

#[tokio::test]
async fn health_tells_the_state_of_every_component() {
    let registry = HealthRegistry::new("1.2.3", Some("server-01".to_owned()));
    let database = registry.component("database");
    let server = Running::new(health_routes(registry.clone(), &HealthOptions::default()));
    let reply = get(server.address, "/health").await;
    assert_eq!((reply.status, reply.json()["status"].clone()), (200, json!("degraded")));
    let details = Map::from_iter([("size_mb".to_owned(), json!(15.2))]);
    database.set(Status::Unhealthy, details);
    let reply = get(server.address, "/health").await;
    let document: Value = reply.json();
    assert_eq!(
        (reply.status, reply.header("content-type")),
        (503, Some("application/json"))
    );
    assert_eq!(document["database"], json!({"status": "unhealthy", "size_mb": 15.2}));
    assert_eq!(
        (&document["agent_id"], &document["version"]),
        (&json!("server-01"), &json!("1.2.3"))
    );
    assert!(document["uptime_seconds"].is_u64());
    chrono::DateTime::parse_from_rfc3339(document["timestamp"].as_str().unwrap()).unwrap();
    server.end().await;
}

#[tokio::test]
async fn live_at_once_and_ready_when_said() {
    let registry = HealthRegistry::new("1.2.3", None);
    let options = HealthOptions {
        health_path: "status/".to_owned(),
    };
    let server = Running::new(health_routes(registry.clone(), &options));
    assert_eq!(get(server.address, "/status/live").await.status, 200);
    assert_eq!(get(server.address, "/status/ready").await.status, 503);
    registry.set_ready(true);
    assert_eq!(get(server.address, "/status/ready").await.status, 200);
    server.end().await;
}

#[tokio::test]
async fn metrics_are_rendered_anew() {
    let server = Running::new(metrics_route(|| "a_total 1\n".to_owned()));
    let reply = get(server.address, "/metrics").await;
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4"));
    assert_eq!(reply.body, b"a_total 1\n");
    server.end().await;
}
