//! An agent at its server: under which names it joins, delivers, tells of itself, and leaves.
use super::product::{Config, Host, Work};
use crate::{link::controller::guard, rig::noon};
use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse as _, Response},
};
use core_model::{Queue as _, Run};
use fleet_link::{
    Verbs,
    agent::{Agent, AgentHealth, AgentParts, AgentState, Leaving, Linked, Pulse, last_answer, leave},
};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// A request as it came.
struct Asked {
    path: String,
    headers: HeaderMap,
    body: Value,
}

/// A controller that takes every agent in, takes every record but the second, and has no link.
struct Server {
    url: String,
    asked: mpsc::UnboundedReceiver<Asked>,
    _tasks: JoinSet<()>,
}

impl Server {
    async fn start() -> Self {
        let (tell, asked) = mpsc::unbounded_channel();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(tell);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url,
            asked,
            _tasks: tasks,
        }
    }

    /// The next request to this path.
    async fn asked(&mut self, path: &str) -> Asked {
        loop {
            let asked = guard(path, self.asked.recv()).await.unwrap();
            if asked.path == path {
                return asked;
            }
        }
    }
}

async fn answer(
    State(tell): State<mpsc::UnboundedSender<Asked>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path().to_owned();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let answer = match path.as_str() {
        "/api/v1/agents/enroll" => {
            Json(json!({"agent_id": "00000000-0000-7000-8000-000000000007", "api_key": "the-key"})).into_response()
        }
        "/api/v1/ingest" => {
            let records = body["records"].as_array().into_iter().flatten();
            let seqs: Vec<u64> = records.filter_map(|record| record["seq"].as_u64()).collect();
            let refused = seqs
                .contains(&2)
                .then(|| json!({"seq": 2, "code": "invalid", "detail": "no"}));
            let rejected: Vec<Value> = refused.into_iter().collect();
            Json(json!({"accepted_through": seqs.last(), "rejected": rejected})).into_response()
        }
        "/api/v1/agents/me/heartbeat" => Json(json!({})).into_response(),
        "/api/v1/agents/me/leave" => StatusCode::NO_CONTENT.into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    };
    tell.send(Asked { path, headers, body }).ok();
    answer
}

/// An agent of the product, with two records that wait.
struct Guard {
    host: Host,
    state: Arc<AgentState>,
    health: Arc<AgentHealth>,
    work: Arc<Work>,
    linked: Linked,
    agent: Agent<Config>,
}

impl Guard {
    fn new(settings: &str) -> Self {
        let host = Host::new(settings);
        let state = host.state();
        let health = host.health(&state);
        let (work, linked) = (Arc::<Work>::default(), Linked::default());
        let agent = Agent::new(AgentParts {
            context: host.context().clone(),
            state: Arc::clone(&state),
            health: Arc::clone(&health),
            hooks: work.clone(),
            verbs: Verbs::new(),
            document: None,
            linked: linked.clone(),
            join_token_file: None,
        });
        Self {
            host,
            state,
            health,
            work,
            linked,
            agent,
        }
    }

    fn at(server: &Server) -> Self {
        Self::new(&format!("server: {{base_url: \"{}\", allow_http: true}}", server.url))
    }

    fn enqueue(&self) {
        let record = "{\"kind\":\"gate.open\",\"time\":\"2027-01-01T00:00:00Z\",\"body\":{}}\n";
        let begin = Run {
            records: 1,
            body: record.into(),
        };
        self.state.outbox.open_stream(&begin, noon()).unwrap();
        self.state.outbox.enqueue(&[begin], noon()).unwrap();
    }
}

#[tokio::test]
async fn an_agent_joins_delivers_and_tells_under_its_product_s_names() {
    let mut server = Server::start().await;
    let guard = Guard::at(&server);
    guard.enqueue();
    let member = guard.agent.establish().await.unwrap().unwrap();
    let enrolled = server.asked("/api/v1/agents/enroll").await;
    assert_eq!(enrolled.headers["user-agent"], "guard-agent/1.2.3");
    let said = &enrolled.body;
    assert_eq!(
        (&said["kind"], &said["name"], &said["capabilities"], &said["join_token"]),
        (
            &json!("guard-agent"),
            &json!("web-1-guard-agent"),
            &json!(["watching"]),
            &json!("the-token")
        )
    );
    let stop = CancellationToken::new();
    assert!(member.finish(None, &stop).await);
    let refused: Vec<u64> = guard
        .work
        .refused
        .lock()
        .unwrap()
        .iter()
        .map(|refusal| refusal.rejected.seq)
        .collect();
    assert_eq!((refused, guard.state.waiting()), (vec![2], 0));
    let beat = server.asked("/api/v1/agents/me/heartbeat").await.body;
    assert_eq!(
        (&beat["version"], &beat["files_processed"]),
        (&json!("1.2.3"), &json!(7))
    );
    assert_eq!(
        (&beat["status"], &beat["reason"]),
        (&json!("degraded"), &json!("a gate stands open"))
    );
    let answer = last_answer(&guard.state.database).unwrap().unwrap();
    assert_eq!(
        (answer.is_good, answer.text.as_str()),
        (true, "took all that it was sent")
    );
    let metrics = guard.health.metrics().render();
    for name in [
        "guard_api_requests_total",
        "guard_outbox_records",
        "guard_database_size_bytes",
    ] {
        assert!(metrics.contains(name), "{metrics}");
    }
    assert!(!metrics.contains("scanner_"), "{metrics}");
}

#[tokio::test]
async fn a_run_that_ends_tells_of_itself_and_not_of_the_one_before() {
    let mut server = Server::start().await;
    let guard = Guard::at(&server);
    let member = guard.agent.establish().await.unwrap().unwrap();
    let pulse = Pulse {
        files: 9,
        ..Pulse::default()
    };
    assert!(member.finish(Some(pulse), &CancellationToken::new()).await);
    let beat = server.asked("/api/v1/agents/me/heartbeat").await.body;
    assert_eq!((&beat["files_processed"], &beat["error_count"]), (&json!(9), &json!(0)));
}

#[tokio::test]
async fn a_daemon_delivers_what_is_found_and_wakes_the_work_when_the_server_answers() {
    let mut server = Server::start().await;
    let guarded = Guard::at(&server);
    assert!(!guarded.linked.is_answering());
    let (stop, agent) = (CancellationToken::new(), guarded.agent.clone());
    let stopping = stop.clone();
    let mut task = JoinSet::new();
    task.spawn(async move { agent.run(stopping).await });
    guard("the wake", guarded.linked.wake().notified()).await;
    assert!(guarded.linked.is_answering());
    server.asked("/api/v1/agents/me/heartbeat").await;
    guarded.enqueue();
    guarded.linked.found();
    let delivered = server.asked("/api/v1/ingest").await.body;
    assert_eq!(delivered["records"][0]["kind"], "gate.open");
    guarded.linked.ended();
    server.asked("/api/v1/agents/me/heartbeat").await;
    stop.cancel();
    guard("the end", task.join_next()).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_product_that_does_not_speak_the_file_scanner_document_says_so_at_such_a_server() {
    let guard = Guard::new("server: {base_url: \"http://127.0.0.1:9\", allow_http: true, dialect: files-v1}");
    let error = guard.agent.establish().await.map(drop).unwrap_err().to_string();
    assert!(
        error.starts_with("guard-agent does not speak") && error.contains("server.dialect"),
        "{error}"
    );
}

#[tokio::test]
async fn whoever_leaves_must_not_run_and_keeps_no_credentials() {
    let mut server = Server::start().await;
    let guard = Guard::at(&server);
    guard.agent.establish().await.unwrap().unwrap();
    let (file, context) = (guard.state.file.clone(), guard.host.context().clone());
    let credentials = context.credentials();
    let error = leave(&context, &file, Leaving::default())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("stop the agent first"), "{error}");
    assert!(credentials.path().exists());
    let Guard {
        host: _host,
        state,
        health,
        work,
        linked,
        agent,
    } = guard;
    let run = Run {
        records: 2,
        body: b"{}\n{}\n".to_vec(),
    };
    core_model::Queue::enqueue(&state.outbox, &[run], chrono::Utc::now()).unwrap();
    drop((state, health, work, linked, agent));
    let error = leave(&context, &file, Leaving::default())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("2 records wait") && error.contains("--discard"),
        "{error}"
    );
    assert!(credentials.path().exists());
    let discard = Leaving {
        discard: true,
        ..Leaving::default()
    };
    let said = leave(&context, &file, discard).await.unwrap();
    assert!(said.starts_with("the controller took the key away"), "{said}");
    assert!(!credentials.path().exists());
    assert_eq!(
        server.asked("/api/v1/agents/me/leave").await.headers["x-api-key"],
        "the-key"
    );
}
