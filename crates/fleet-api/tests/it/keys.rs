//! Keys renewed by way of the routes.
use crate::fixture::{App, As};
use axum::http::StatusCode;
use serde_json::{Value, json};

const KEY: &str = "/api/v1/agents/me/key";

async fn heartbeat(app: &App, who: &As) -> Result<Value, StatusCode> {
    let told = json!({"status": "healthy", "version": "0.1.0"});
    let answer = app.post("/api/v1/agents/me/heartbeat", who, told).await;
    if answer.status == StatusCode::OK {
        Ok(answer.json())
    } else {
        Err(answer.status)
    }
}

async fn renew(app: &App, who: &As) -> As {
    let answer = app.post(KEY, who, json!({})).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let answer = answer.json();
    assert_eq!(answer.as_object().unwrap().len(), 1, "{answer}");
    As::Agent(answer["api_key"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn an_operator_asks_the_agent_hears_it_and_its_new_key_ends_the_old_one() {
    let app = App::new().await;
    let operator = app.operator().await;
    let old = app.agent(&operator, "a").await;
    let told = heartbeat(&app, &old).await.unwrap();
    assert_eq!(
        told,
        json!({"snapshot_wanted": false}),
        "nothing is said that is not wanted"
    );

    let asked = app.post("/api/v1/agents/a/rotate-key", &operator, json!({})).await;
    assert_eq!(asked.status, StatusCode::ACCEPTED, "{}", asked.text);
    let shown = app.get("/api/v1/agents/a", &operator).await.json();
    assert_eq!(shown["key"]["is_renewal_pending"], false);
    assert!(shown["key"]["renewal_asked_at"].is_string(), "{shown}");
    assert_eq!(heartbeat(&app, &old).await.unwrap()["new_key_wanted"], true);

    let new = renew(&app, &old).await;
    assert_eq!(
        heartbeat(&app, &old).await.unwrap()["new_key_wanted"],
        true,
        "it may be lost"
    );
    let shown = app.get("/api/v1/agents/a", &operator).await.json();
    assert_eq!(shown["key"]["is_renewal_pending"], true);
    assert_eq!(heartbeat(&app, &new).await.unwrap(), json!({"snapshot_wanted": false}));
    assert_eq!(heartbeat(&app, &old).await, Err(StatusCode::UNAUTHORIZED));
    assert_eq!(app.post(KEY, &old, json!({})).await.status, StatusCode::UNAUTHORIZED);
    let shown = app.get("/api/v1/agents/a", &operator).await.json();
    assert!(shown["key"].get("renewal_asked_at").is_none(), "{shown}");
}

#[tokio::test]
async fn a_new_key_renews_itself_and_the_first_of_two_never_opens() {
    let app = App::new().await;
    let old = app.agent(&app.operator().await, "a").await;
    let lost = renew(&app, &old).await;
    let new = renew(&app, &old).await;
    assert_eq!(heartbeat(&app, &lost).await, Err(StatusCode::UNAUTHORIZED));
    // Asking for the next one is a use like any other.
    let next = renew(&app, &new).await;
    assert_eq!(heartbeat(&app, &old).await, Err(StatusCode::UNAUTHORIZED));
    assert!(heartbeat(&app, &new).await.is_ok());
    assert!(heartbeat(&app, &next).await.is_ok());
    assert_eq!(heartbeat(&app, &new).await, Err(StatusCode::UNAUTHORIZED));
}

#[tokio::test]
async fn nobody_is_asked_who_is_not_there_or_was_revoked() {
    let app = App::new().await;
    let operator = app.operator().await;
    app.agent(&operator, "a").await;
    let id = app.get("/api/v1/agents/a", &operator).await.json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let ask = async |agent: &str| {
        app.post(&format!("/api/v1/agents/{agent}/rotate-key"), &operator, json!({}))
            .await
    };
    let nobody = ask("b").await;
    assert_eq!(
        (nobody.status, nobody.code().as_str()),
        (StatusCode::NOT_FOUND, "agent_not_found")
    );
    app.fleet.revoke_agent("a", chrono::Utc::now()).await.unwrap();
    let revoked = ask(&id).await;
    assert_eq!(
        (revoked.status, revoked.code().as_str()),
        (StatusCode::CONFLICT, "agent_revoked")
    );
}
