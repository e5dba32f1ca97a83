//! What operators see: agents, files, changes, tokens, figures.
use crate::{
    agents::{batch, file},
    fixture::{App, As},
};
use axum::http::{Method, StatusCode};
use fleet_api::rest::{AgentDetailView, AgentView, ChangeView, FileView, JoinTokenView, List, StatisticsView};
use fleet_core::{AgentStatus, ChangeAction, JoinTokenState};
use fleet_wire::WirePath;
use serde::de::DeserializeOwned;
use serde_json::json;

const STREAM: &str = "0190a5c1-7e2b-7c11-8a3e-5b1d9f0c2d4e";

async fn read<T: DeserializeOwned>(app: &App, who: &As, path: &str) -> T {
    let answer = app.get(path, who).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
    serde_json::from_str(&answer.text).unwrap()
}

/// All rows of a list, three at a time.
async fn all<T: DeserializeOwned>(app: &App, who: &As, path: &str) -> Vec<T> {
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    let joint = if path.contains('?') { '&' } else { '?' };
    loop {
        let page: List<T> = read(app, who, &format!("{path}{joint}limit=3{cursor}")).await;
        rows.extend(page.items);
        match page.next_cursor {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return rows,
        }
    }
}

#[tokio::test]
async fn agents_are_listed_shown_and_revoked() {
    let app = App::new().await;
    let operator = app.operator().await;
    for n in 0..7 {
        app.agent(&operator, &format!("web-{n}")).await;
    }
    let agents: Vec<AgentView> = all(&app, &operator, "/api/v1/agents").await;
    let names: Vec<_> = agents.iter().map(|agent| agent.name.as_str()).collect();
    assert_eq!(names, ["web-0", "web-1", "web-2", "web-3", "web-4", "web-5", "web-6"]);
    let by_id: AgentDetailView = read(&app, &operator, &format!("/api/v1/agents/{}", agents[3].id)).await;
    assert_eq!(
        (by_id.agent.name.as_str(), by_id.agent.status),
        ("web-3", AgentStatus::Online)
    );
    let some: Vec<AgentView> = all(&app, &operator, "/api/v1/agents?name=*-5&kind=scanner&status=online").await;
    assert_eq!(some.len(), 1);
    assert_eq!(
        app.call(Method::DELETE, "/api/v1/agents/web-5", &operator, None)
            .await
            .status,
        StatusCode::NO_CONTENT
    );
    let revoked: Vec<AgentView> = all(&app, &operator, "/api/v1/agents?status=revoked").await;
    assert_eq!(revoked[0].name, "web-5");
    let sums: StatisticsView = read(&app, &operator, "/api/v1/statistics").await;
    assert_eq!((sums.agents.total, sums.agents.online, sums.agents.revoked), (6, 6, 1));
}

#[tokio::test]
async fn files_come_back_by_the_names_they_have() {
    let app = App::new().await;
    let operator = app.operator().await;
    let agent = app.agent(&operator, "a").await;
    let odd = WirePath::from_bytes(b"/srv/\xff\n");
    let long = format!("/srv/{}", "x".repeat(3995));
    let mut odd_file = file("", 9);
    odd_file["path"] = json!(odd.display());
    odd_file["path_raw"] = json!(odd.raw());
    let records = [
        ("file.created", file("/srv/a.txt", 1)),
        ("file.created", odd_file),
        ("file.created", file(&long, 3)),
        ("file.created", file("/etc/b.txt", 4)),
        (
            "file.moved",
            json!({"from": {"path": "/srv/a.txt"}, "file": file("/srv/c.txt", 1)}),
        ),
        ("file.deleted", json!({"path": "/etc/b.txt"})),
    ];
    let answer = app.post("/api/v1/ingest", &agent, batch(STREAM, 1, &records)).await;
    assert_eq!(answer.json(), json!({"accepted_through": 6}));

    let files: Vec<FileView> = all(&app, &operator, "/api/v1/files?agent=a").await;
    let paths: Vec<_> = files.iter().map(|file| file.path.clone()).collect();
    let wire = |text: &str| WirePath::from_bytes(text);
    assert_eq!(paths, [wire("/srv/c.txt"), wire(&long), odd.clone()]);
    let facts = files[0].facts.clone().unwrap();
    assert_eq!(facts.mode.as_deref(), Some("0644"));
    assert_eq!(facts.mtime.unwrap().timestamp_subsec_nanos(), 123_456_789);
    let deleted: Vec<FileView> = all(&app, &operator, "/api/v1/files?agent=a&deleted=true").await;
    assert_eq!(
        deleted.iter().map(|file| file.path.clone()).collect::<Vec<_>>(),
        [wire("/etc/b.txt"), wire("/srv/a.txt")]
    );
    assert!(deleted.iter().all(|file| file.deleted && file.facts.is_none()));
    let count = async |query: &str| {
        all::<FileView>(&app, &operator, &format!("/api/v1/files?agent=a&{query}"))
            .await
            .len()
    };
    assert_eq!(count("prefix=/srv/c").await, 1);
    assert_eq!(
        count("prefix_raw=L3Nydi__").await,
        1,
        "the base64 of /srv/ and the byte 255, in the alphabet for addresses"
    );
    assert_eq!(count("name=*.txt").await, 1);
    assert_eq!(count("min_size=3&max_size=8").await, 1);
    assert_eq!(count("deleted=any").await, 5);
    assert_eq!(count("changed_since=2026-01-02T03:04:06Z").await, 0);
    let raw = odd
        .raw()
        .unwrap()
        .replace('/', "%2F")
        .replace('+', "%2B")
        .replace('=', "%3D");
    let entry: FileView = read(&app, &operator, &format!("/api/v1/files/entry?agent=a&path_raw={raw}")).await;
    assert_eq!((entry.path, entry.facts.unwrap().size), (odd, 9));
    let missing = app.get("/api/v1/files/entry?agent=a&path=/nowhere", &operator).await;
    assert_eq!(
        (missing.status, missing.code().as_str()),
        (StatusCode::NOT_FOUND, "file_not_found")
    );

    let changes: Vec<ChangeView> = all(&app, &operator, "/api/v1/files/changes?agent=a").await;
    assert_eq!(
        changes.iter().map(|change| change.id).collect::<Vec<_>>(),
        [6, 5, 4, 3, 2, 1]
    );
    assert_eq!(
        (changes[1].action, changes[1].from.clone()),
        (ChangeAction::Moved, Some(wire("/srv/a.txt")))
    );
    let of_one: Vec<ChangeView> = all(
        &app,
        &operator,
        "/api/v1/files/changes?agent=a&prefix=/etc&action=deleted",
    )
    .await;
    assert_eq!(of_one.len(), 1);
}

#[tokio::test]
async fn what_is_missing_of_a_stream_is_shown() {
    let app = App::new().await;
    let operator = app.operator().await;
    let agent = app.agent(&operator, "a").await;
    let one = [("file.created", file("/a", 1))];
    for first in [1, 2, 5, 9] {
        let answer = app.post("/api/v1/ingest", &agent, batch(STREAM, first, &one)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    }
    let detail = app.get("/api/v1/agents/a", &operator).await.json();
    assert_eq!(detail["streams"][0]["last_seq"], 9);
    assert_eq!(
        detail["streams"][0]["gaps"],
        json!([{"first": 3, "last": 4}, {"first": 6, "last": 8}])
    );
    assert_eq!(
        app.get("/api/v1/statistics", &operator).await.json()["streams_with_gaps"],
        1
    );
}

#[tokio::test]
async fn join_tokens_are_made_listed_and_revoked_and_shown_once() {
    let app = App::new().await;
    let operator = app.operator().await;
    let mut ids = Vec::new();
    for n in 0..4 {
        let made = app
            .post("/api/v1/join-tokens", &operator, json!({"name": format!("t{n}")}))
            .await
            .json();
        assert!(made["token"].as_str().unwrap().starts_with("sj_"));
        ids.push(made["id"].as_str().unwrap().to_owned());
    }
    let path = format!("/api/v1/join-tokens/{}", ids[0]);
    assert_eq!(
        app.call(Method::DELETE, &path, &operator, None).await.status,
        StatusCode::NO_CONTENT
    );
    let list = app.get("/api/v1/join-tokens", &operator).await;
    assert!(!list.text.contains("sj_"), "a token is told once");
    let mut tokens: Vec<JoinTokenView> = all(&app, &operator, "/api/v1/join-tokens").await;
    tokens.sort_by(|one, other| one.name.cmp(&other.name));
    let states: Vec<_> = tokens.iter().map(|token| token.state).collect();
    assert_eq!(
        tokens.iter().map(|token| token.created_by.as_str()).collect::<Vec<_>>(),
        ["admin"; 4]
    );
    assert_eq!(states[0], JoinTokenState::Revoked);
    assert!(states[1..].iter().all(|state| *state == JoinTokenState::Valid));
}
