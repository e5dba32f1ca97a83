//! Logging in tells the right one all he needs, and everybody else nothing.
use crate::fixture::{App, As, from_peer, request};
use axum::http::{Method, StatusCode, header};
use fleet_api::ApiSettings;
use fleet_core::FleetSettings;
use serde_json::json;

fn login(username: &str, password: &str) -> serde_json::Value {
    json!({"username": username, "password": password})
}

#[tokio::test]
async fn an_unknown_user_and_a_wrong_password_look_the_same() {
    let app = App::new().await;
    let path = "/api/v1/auth/login";
    let wrong = app.post(path, &As::Nobody, login("admin", "wrong")).await;
    let unknown = app.post(path, &As::Nobody, login("nobody", "wrong")).await;
    let long = app.post(path, &As::Nobody, login(&"x".repeat(5000), "wrong")).await;
    assert_eq!(
        (wrong.status, wrong.code().as_str()),
        (StatusCode::UNAUTHORIZED, "unauthorized")
    );
    for other in [unknown, long] {
        assert_eq!(other.text, wrong.text);
        assert_eq!(other.headers, wrong.headers);
    }
}

#[tokio::test]
async fn a_name_that_fails_too_often_has_to_wait() {
    let app = App::new().await;
    for _ in 0..5 {
        let answer = app
            .post("/api/v1/auth/login", &As::Nobody, login("admin", "wrong"))
            .await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
    // The sixth failure is what the wait counts from; whichever of these comes within it is refused.
    let mut last = app
        .post("/api/v1/auth/login", &As::Nobody, login("admin", "wrong"))
        .await;
    for _ in 0..8 {
        if last.status == StatusCode::TOO_MANY_REQUESTS {
            break;
        }
        last = app
            .post("/api/v1/auth/login", &As::Nobody, login("admin", "wrong"))
            .await;
    }
    assert_eq!(
        (last.status, last.code().as_str()),
        (StatusCode::TOO_MANY_REQUESTS, "too_many_requests")
    );
    assert!(
        last.headers[header::RETRY_AFTER]
            .to_str()
            .unwrap()
            .parse::<u64>()
            .unwrap()
            >= 1
    );
}

#[tokio::test]
async fn one_address_has_only_so_many_logins_and_another_has_its_own() {
    let settings = ApiSettings {
        logins_per_minute: 3,
        ..ApiSettings::default()
    };
    let app = App::with(FleetSettings::default(), settings).await;
    let attempt = |n: usize, peer: &str| {
        let body = login(&format!("user{n}"), "wrong").to_string();
        from_peer(
            request(Method::POST, "/api/v1/auth/login", &As::Nobody, Some(body)),
            peer,
        )
    };
    for n in 0..3 {
        assert_eq!(
            app.send(attempt(n, "192.0.2.1:1")).await.status,
            StatusCode::UNAUTHORIZED
        );
    }
    let answer = app.send(attempt(4, "192.0.2.1:2")).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(answer.headers.contains_key(header::RETRY_AFTER));
    assert_eq!(
        app.send(attempt(5, "192.0.2.2:1")).await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn a_password_is_changed_and_a_session_ended() {
    let app = App::new().await;
    let (one, other) = (app.operator().await, app.operator().await);
    let change = |current: &str, new: &str| json!({"current_password": current, "new_password": new});
    let path = "/api/v1/auth/password";
    let wrong = app.post(path, &one, change("wrong", "a new password")).await;
    assert_eq!(wrong.status, StatusCode::FORBIDDEN, "the session is valid all the same");
    let short = app.post(path, &one, change(app.password.reveal(), "short")).await;
    assert_eq!(short.status, StatusCode::UNPROCESSABLE_ENTITY);
    let changed = app
        .post(path, &one, change(app.password.reveal(), "a new password"))
        .await;
    assert_eq!(changed.status, StatusCode::NO_CONTENT, "{}", changed.text);
    assert_eq!(
        app.get("/api/v1/statistics", &other).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(app.get("/api/v1/statistics", &one).await.status, StatusCode::OK);
    let ended = app.call(Method::POST, "/api/v1/auth/logout", &one, None).await;
    assert_eq!(ended.status, StatusCode::NO_CONTENT);
    assert_eq!(
        app.get("/api/v1/statistics", &one).await.status,
        StatusCode::UNAUTHORIZED
    );
    let again = app
        .post("/api/v1/auth/login", &As::Nobody, login("admin", "a new password"))
        .await;
    let session: fleet_api::rest::LoginResponse = serde_json::from_str(&again.text).unwrap();
    assert!(session.token.reveal().starts_with("so_") && session.expires_at > chrono::Utc::now());
}
