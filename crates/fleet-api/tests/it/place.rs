//! Sites, labels, groups, maintenance and leaving, by way of the routes.
use crate::fixture::{App, As};
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

async fn heartbeat(app: &App, agent: &As, profile: Value) {
    let body = json!({
        "status": "degraded", "version": "0.1.0", "reason": "the disk\nis full", "profile": profile,
    });
    let answer = app.post("/api/v1/agents/me/heartbeat", agent, body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
}

async fn names(app: &App, operator: &As, query: &str) -> Vec<String> {
    let answer = app.get(&format!("/api/v1/agents?{query}"), operator).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let items = answer.json()["items"].as_array().unwrap().clone();
    items
        .iter()
        .map(|agent| agent["name"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn an_agent_is_shown_with_where_and_on_what_it_runs() {
    let app = App::new().await;
    let operator = app.operator().await;
    let agent = app.agent(&operator, "a").await;
    let told = json!({
        "site": "fra1", "labels": {"tier": "web", "un fit": "x"}, "os": "Debian GNU/Linux 12", "kernel": "6.1.0",
        "architecture": "x86_64", "container_engines": ["docker"],
    });
    heartbeat(&app, &agent, told).await;
    let change = json!({"site": "ams2", "labels": {"owner": "ops", "never": null}});
    let changed = app
        .call(Method::PATCH, "/api/v1/agents/a", &operator, Some(change))
        .await;
    assert_eq!(changed.status, StatusCode::NO_CONTENT, "{}", changed.text);
    let shown = app.get("/api/v1/agents/a", &operator).await.json();
    assert_eq!(
        (&shown["site"], &shown["labels"]),
        (&json!("ams2"), &json!({"owner": "ops", "tier": "web"}))
    );
    assert_eq!(shown["assigned"], json!({"site": "ams2", "labels": {"owner": "ops"}}));
    assert_eq!(
        (
            &shown["os"],
            &shown["kernel"],
            &shown["architecture"],
            &shown["container_engines"]
        ),
        (
            &json!("Debian GNU/Linux 12"),
            &json!("6.1.0"),
            &json!("x86_64"),
            &json!(["docker"])
        )
    );
    assert_eq!(
        (&shown["status"], &shown["health"]["reason"]),
        (&json!("degraded"), &json!("the disk is full"))
    );

    let back = app
        .call(
            Method::PATCH,
            "/api/v1/agents/a",
            &operator,
            Some(json!({"site": null})),
        )
        .await;
    assert_eq!(back.status, StatusCode::NO_CONTENT);
    assert_eq!(app.get("/api/v1/agents/a", &operator).await.json()["site"], "fra1");
    let statistics = app.get("/api/v1/statistics", &operator).await.json();
    assert_eq!(statistics["sites"], json!({"fra1": 1}));
}

#[tokio::test]
async fn agents_are_listed_by_what_they_are_and_by_group() {
    let app = App::new().await;
    let operator = app.operator().await;
    for (name, site, tier) in [("a", "fra1", "web"), ("b", "fra1", "db"), ("c", "ams2", "web")] {
        let agent = app.agent(&operator, name).await;
        heartbeat(
            &app,
            &agent,
            json!({"site": site, "labels": {"tier": tier, "env": "prod"}}),
        )
        .await;
    }
    assert_eq!(names(&app, &operator, "site=fra1").await, ["a", "b"]);
    assert_eq!(names(&app, &operator, "labels=tier%3Dweb,env").await, ["a", "c"]);
    let wrong = app.get("/api/v1/agents?labels=ti%20er", &operator).await;
    assert_eq!(
        (wrong.status, wrong.code().as_str()),
        (StatusCode::BAD_REQUEST, "invalid_label")
    );

    let put = async |body: Value| app.call(Method::PUT, "/api/v1/groups/web", &operator, Some(body)).await;
    let made = put(json!({"selector": {"labels": ["tier=web"]}, "comment": "what faces people"})).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert_eq!(names(&app, &operator, "group=web").await, ["a", "c"]);
    assert_eq!(names(&app, &operator, "group=web&site=fra1").await, ["a"]);
    let again = put(json!({"selector": {"labels": ["tier=web"], "site": "fra1"}})).await;
    assert_eq!(
        (again.status, again.json()["changed_by"].clone()),
        (StatusCode::OK, json!("admin"))
    );
    assert_eq!(names(&app, &operator, "group=web").await, ["a"]);
    for unfit in [
        json!({"selector": {}}),
        json!({"selector": {"labels": ["a b"]}}),
        json!({"selector": {"colour": "red"}}),
    ] {
        let refused = put(unfit.clone()).await;
        assert!(refused.status.is_client_error(), "{unfit}: {}", refused.text);
    }
    assert_eq!(
        app.get("/api/v1/groups", &operator).await.json()["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let gone = app.call(Method::DELETE, "/api/v1/groups/web", &operator, None).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    for path in ["/api/v1/groups/web", "/api/v1/agents?group=web"] {
        let answer = app.get(path, &operator).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (StatusCode::NOT_FOUND, "group_not_found"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn maintenance_says_since_when_by_whom_and_why() {
    let app = App::new().await;
    let operator = app.operator().await;
    app.agent(&operator, "a").await;
    let patch = async |body: Value| app.call(Method::PATCH, "/api/v1/agents/a", &operator, Some(body)).await;
    let begun = patch(json!({"maintenance": {"until": "2999-01-01T00:00:00Z", "reason": "new disk"}})).await;
    assert_eq!(begun.status, StatusCode::NO_CONTENT, "{}", begun.text);
    let shown = app.get("/api/v1/agents/a", &operator).await.json();
    assert_eq!(
        (&shown["status"], &shown["maintenance"]["by"]),
        (&json!("maintenance"), &json!("admin"))
    );
    assert_eq!(shown["maintenance"]["reason"], "new disk");
    assert_eq!(names(&app, &operator, "status=maintenance").await, ["a"]);
    let over = patch(json!({"maintenance": {"until": "2020-01-01T00:00:00Z"}})).await;
    assert_eq!(over.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", over.text);
    assert_eq!(patch(json!({"maintenance": null})).await.status, StatusCode::NO_CONTENT);
    let shown = app.get("/api/v1/agents/a", &operator).await.json();
    assert_eq!(
        (&shown["status"], &shown["maintenance"]),
        (&json!("online"), &Value::Null)
    );
}

#[tokio::test]
async fn an_agent_that_leaves_is_revoked_by_its_own_word() {
    let app = App::new().await;
    let operator = app.operator().await;
    let agent = app.agent(&operator, "a").await;
    let left = app.post("/api/v1/agents/me/leave", &agent, json!({})).await;
    assert_eq!(left.status, StatusCode::NO_CONTENT, "{}", left.text);
    assert_eq!(names(&app, &operator, "status=revoked").await, ["a"]);
    let again = app.post("/api/v1/agents/me/leave", &agent, json!({})).await;
    assert!(again.status.is_client_error(), "its key opens nothing any more");
}
