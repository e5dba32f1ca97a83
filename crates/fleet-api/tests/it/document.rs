//! The file-scanner document's questions of an agent: its configuration and its commands.
use crate::fixture::{App, As};
use axum::http::StatusCode;
use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};

const CONFIG: &str = "/api/agents/a/config";
const COMMANDS: &str = "/api/agents/a/commands";

async fn set_config(app: &App, operator: &As, text: &str) {
    let request = json!({"text": text});
    let answer = app
        .call(
            axum::http::Method::PUT,
            "/api/v1/agents/a/config",
            operator,
            Some(request),
        )
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
}

async fn send(app: &App, operator: &As, verb: &str, priority: &str) -> String {
    let order = json!({"verb": verb, "to": {"agents": ["a"]}, "priority": priority, "deadline_secs": 60});
    let answer = app.post("/api/v1/commands", operator, order).await;
    assert!(answer.status.is_success(), "{}", answer.text);
    answer.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_agent_reads_its_own_and_nobody_else_s() {
    let app = App::new().await;
    let operator = app.operator().await;
    let agent = app.agent(&operator, "a").await;
    let other = app.agent(&operator, "b").await;
    let id = app.get("/api/v1/agents/a", &operator).await.json()["id"].clone();
    for part in ["config", "commands"] {
        let path = format!("/api/agents/a/{part}");
        let by_id = format!("/api/agents/{}/{part}", id.as_str().unwrap());
        for own in [&path, &by_id] {
            assert_eq!(app.get(own, &agent).await.status, StatusCode::OK, "{own}");
            let refused = app.get(own, &other).await;
            assert_eq!(
                (refused.status, refused.code().as_str()),
                (StatusCode::FORBIDDEN, "forbidden"),
                "{own}"
            );
        }
        let nobody_s = app.get(&format!("/api/agents/nobody/{part}"), &agent).await;
        assert_eq!(nobody_s.status, StatusCode::FORBIDDEN, "who is there is told to nobody");
        for who in [As::Nobody, As::Agent("nonsense".to_owned()), operator.clone()] {
            assert_eq!(app.get(&path, &who).await.status, StatusCode::UNAUTHORIZED, "{path}");
        }
    }
}

#[tokio::test]
async fn a_configuration_is_what_an_operator_set_in_the_document_s_words() {
    let app = App::new().await;
    let operator = app.operator().await;
    let agent = app.agent(&operator, "a").await;
    assert_eq!(app.get(CONFIG, &agent).await.text, "{}", "nothing is registered or set");
    let register = json!({"agentId": "a", "hostname": "h", "version": "1", "scanPaths": ["/srv", "/home"]});
    app.post("/api/agents/register", &agent, register).await;
    assert_eq!(app.get(CONFIG, &agent).await.text, r#"{"scanPaths":["/srv","/home"]}"#);
    let text = "scanner:\n  scan_paths: [/data, {path: /more, hidden: false}]\n  ignore_patterns: ['*.tmp']\n  \
                scan_interval: 30m\n  batch_size: 50\nlogging:\n  level: debug\n";
    set_config(&app, &operator, text).await;
    assert_eq!(
        app.get(CONFIG, &agent).await.text,
        r#"{"scanPaths":["/data","/more"],"ignorePatterns":["*.tmp"],"scanInterval":"30m","batchSize":50}"#
    );
    set_config(&app, &operator, r#"{"scanner": {"batch_size": 20}}"#).await;
    assert_eq!(
        app.get(CONFIG, &agent).await.text,
        r#"{"scanPaths":["/srv","/home"],"batchSize":20}"#
    );
    let withdrawn = app
        .call(axum::http::Method::DELETE, "/api/v1/agents/a/config", &operator, None)
        .await;
    assert_eq!(withdrawn.status, StatusCode::OK, "{}", withdrawn.text);
    assert_eq!(app.get(CONFIG, &agent).await.text, r#"{"scanPaths":["/srv","/home"]}"#);
}

#[tokio::test]
async fn a_command_is_listed_until_its_deadline_and_then_nobody_can_say() {
    let app = App::new().await;
    let operator = app.operator().await;
    let agent = app.agent(&operator, "a").await;
    assert_eq!(app.get(COMMANDS, &agent).await.text, r#"{"commands":[]}"#);
    let scan = send(&app, &operator, "scan", "low").await;
    let restart = send(&app, &operator, "restart", "critical").await;
    let stop = send(&app, &operator, "stop", "normal").await;
    let listed = app.get(COMMANDS, &agent).await.text;
    assert_eq!(
        listed,
        format!(
            r#"{{"commands":[{{"id":"{restart}","type":"restart","parameters":{{}},"priority":"high"}},{{"id":"{stop}","type":"stop","parameters":{{}},"priority":"normal"}},{{"id":"{scan}","type":"scan","parameters":{{}},"priority":"low"}}]}}"#
        )
    );
    assert_eq!(app.get(COMMANDS, &agent).await.text, listed, "an answer may be lost");
    let delivery = async |id: &str| -> Value {
        let shown = app.get(&format!("/api/v1/commands/{id}"), &operator).await.json();
        shown["deliveries"][0].clone()
    };
    let given = delivery(&scan).await;
    assert_eq!(
        (&given["state"], &given["attempt"]),
        (&json!("sent"), &json!(1)),
        "{given}"
    );
    app.post(&format!("/api/v1/commands/{stop}/cancel"), &operator, json!({}))
        .await;
    let left = app.get(COMMANDS, &agent).await.json();
    assert_eq!(left["commands"].as_array().unwrap().len(), 2, "{left}");

    let later = Utc::now() + TimeDelta::seconds(61);
    let queued = send(&app, &operator, "scan", "normal").await;
    assert_eq!(app.fleet.expire_commands(later).await.unwrap(), 4);
    let ended = delivery(&scan).await;
    assert_eq!(
        (&ended["state"], &ended["code"]),
        (&json!("unknown"), &json!("not_told")),
        "{ended}"
    );
    assert_eq!(delivery(&stop).await["state"], "unknown", "it was listed before");
    assert_eq!(delivery(&queued).await["state"], "expired", "it was never listed");
    assert_eq!(app.get(COMMANDS, &agent).await.text, r#"{"commands":[]}"#);
}
