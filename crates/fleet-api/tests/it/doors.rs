//! No route opens without the right key.
use crate::fixture::{Answer, App, As, from_peer, request, short_sessions};
use axum::http::{Method, StatusCode, header};
use fleet_api::{ApiSettings, OPERATOR_ROUTES};
use serde_json::json;

pub(crate) const AGENT_ROUTES: [&str; 8] = [
    "/api/v1/ingest",
    "/api/v1/agents/me/heartbeat",
    "/api/v1/agents/me/key",
    "/api/v1/agents/me/messages",
    "/api/files/ingest",
    "/api/agents/register",
    "/api/agents/heartbeat",
    "/api/agents/heartbeat/a",
];

pub(crate) fn filled(path: &str) -> String {
    path.replace("{agent}", "a")
        .replace("{id}", "0190a5c1-7e2b-7c11-8a3e-5b1d9f0c2d4e")
}

#[track_caller]
fn assert_closed(answer: &Answer, what: &str) {
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what}: {}", answer.text);
    assert_eq!(
        answer.json(),
        json!({"status": 401, "code": "unauthorized", "title": "Unauthorized"}),
        "{what}"
    );
    assert!(answer.headers.contains_key(header::WWW_AUTHENTICATE), "{what}");
    assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store", "{what}");
}

#[tokio::test]
async fn every_operator_route_is_closed_to_all_but_a_valid_token() {
    let app = App::new().await;
    let operator = app.operator().await;
    let As::Agent(key) = app.agent(&operator, "a").await else {
        panic!("an agent has a key")
    };
    let revoked = app.operator().await;
    app.post("/api/v1/auth/logout", &revoked, json!({})).await;
    let lapsed = App::with(short_sessions(), ApiSettings::default()).await;
    let expired = lapsed.operator().await;
    for route in &OPERATOR_ROUTES {
        let (method, path) = (route.method.clone(), filled(route.path));
        let what = format!("{method} {path}");
        let tries = [
            ("none", As::Nobody),
            ("wrong", As::Operator("so_nonsense".to_owned())),
            ("empty", As::Operator(String::new())),
            ("revoked", revoked.clone()),
            ("an agent's key as a token", As::Operator(key.clone())),
            ("an agent's key", As::Agent(key.clone())),
        ];
        for (name, who) in tries {
            assert_closed(
                &app.call(method.clone(), &path, &who, None).await,
                &format!("{what}: {name}"),
            );
        }
        assert_closed(
            &lapsed.call(method.clone(), &path, &expired, None).await,
            &format!("{what}: expired"),
        );
        if path != "/api/v1/auth/logout" {
            let answer = app.call(method, &path, &operator, None).await;
            assert_ne!(answer.status, StatusCode::UNAUTHORIZED, "{what}: the valid one opens");
            assert_ne!(
                answer.status,
                StatusCode::METHOD_NOT_ALLOWED,
                "{what}: the table tells the method"
            );
        }
    }
}

#[tokio::test]
async fn every_agent_route_is_closed_to_all_but_a_valid_key() {
    let app = App::new().await;
    let operator = app.operator().await;
    let As::Operator(token) = operator.clone() else {
        panic!("an operator has a token")
    };
    let gone = app.agent(&operator, "a").await;
    assert_eq!(
        app.call(Method::DELETE, "/api/v1/agents/a", &operator, None)
            .await
            .status,
        StatusCode::NO_CONTENT
    );
    for path in AGENT_ROUTES {
        for who in [
            As::Nobody,
            operator.clone(),
            As::Agent(token.clone()),
            As::Agent("sk_nonsense".to_owned()),
        ] {
            assert_closed(&app.post(path, &who, json!({})).await, path);
        }
        let answer = app.post(path, &gone, json!({})).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (StatusCode::FORBIDDEN, "forbidden"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_socket_is_closed_to_all_but_a_valid_key() {
    let app = App::new().await;
    let operator = app.operator().await;
    let agent = app.agent(&operator, "a").await;
    for who in [As::Nobody, operator.clone(), As::Agent("sk_nonsense".to_owned())] {
        assert_closed(&app.get("/ws/agent", &who).await, "/ws/agent");
    }
    let plain = app.get("/ws/agent", &agent).await;
    assert_eq!(
        (plain.status, plain.code().as_str()),
        (StatusCode::UPGRADE_REQUIRED, "websocket_wanted")
    );
    app.call(Method::DELETE, "/api/v1/agents/a", &operator, None).await;
    assert_eq!(app.get("/ws/agent", &agent).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn metrics_open_to_operators_and_to_this_machine_only() {
    let app = App::new().await;
    let operator = app.operator().await;
    let get = |who: &As| request(Method::GET, "/metrics", who, None);
    assert_closed(&app.send(get(&As::Nobody)).await, "no address");
    assert_closed(
        &app.send(from_peer(get(&As::Nobody), "192.0.2.1:9")).await,
        "another machine",
    );
    let mut proxied = from_peer(get(&As::Nobody), "127.0.0.1:9");
    proxied
        .headers_mut()
        .insert("x-forwarded-for", "192.0.2.1".parse().unwrap());
    assert_closed(&app.send(proxied).await, "passed on by a proxy");
    for local in ["127.0.0.1:9", "[::1]:9", "[::ffff:127.0.0.1]:9"] {
        assert_eq!(
            app.send(from_peer(get(&As::Nobody), local)).await.text,
            "fleet_up 1\n",
            "{local}"
        );
    }
    let answer = app.send(from_peer(get(&operator), "192.0.2.1:9")).await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, "fleet_up 1\n"));
}

#[tokio::test]
async fn health_is_open() {
    let app = App::new().await;
    for path in ["/health", "/health/live"] {
        assert_eq!(app.get(path, &As::Nobody).await.status, StatusCode::OK, "{path}");
    }
    assert_eq!(
        app.get("/health/ready", &As::Nobody).await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
}
