//! The renewal of a key, against a server that keeps the rules of keys: one that was handed out opens beside the one
//! before until it is used, and asking again ends it.
use crate::{
    link::controller::guard,
    rig::{Rig, client_settings, impatient, noon},
};
use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::post,
};
use core_model::{AgentId, Secret};
use daemon_kit::Dialect;
use fleet_link::{CredentialFile, Credentials, KeyRotation, KeyRotationError};
use fleet_wire::{IngestRequest, IngestResponse};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Arc, Mutex},
};
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    sync::{Notify, oneshot},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use transport_http::{ApiKey, Client};

/// What happens to the next request for a key, once the key is made.
enum Mishap {
    /// The connection breaks before the answer.
    Lost,
    /// The agent's disk takes no more.
    DiskFails,
    /// The answer waits for ever, after a word to the test.
    Held(oneshot::Sender<()>),
}

struct Keys {
    current: String,
    pending: Option<String>,
    made: u32,
    mishap: Option<Mishap>,
    records: BTreeMap<u64, u32>,
    file: CredentialFile,
    /// Rung when a new key was first used.
    taken_up: Arc<Notify>,
}

impl Keys {
    fn opens(&mut self, headers: &HeaderMap) -> bool {
        let key = headers.get("x-api-key").and_then(|key| key.to_str().ok()).unwrap_or("");
        if self.pending.as_deref() == Some(key) {
            let text = fs::read_to_string(self.file.path()).unwrap();
            assert!(text.contains(key), "it was used before it was stored");
            self.current = key.to_owned();
            self.pending = None;
            self.taken_up.notify_one();
        }
        self.current == key
    }
}

type Shared = Arc<Mutex<Keys>>;

/// A server, and an agent of it with a credential file.
struct Place {
    url: String,
    keys: Shared,
    dir: TempDir,
    file: CredentialFile,
    _tasks: JoinSet<()>,
}

/// The agent as one start of its process has it.
struct Agent {
    client: Client,
    key: ApiKey,
    rotation: KeyRotation,
}

impl Place {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let dir = tempfile::tempdir().unwrap();
        let file = CredentialFile::in_dir(dir.path());
        let credentials = Credentials {
            agent_id: AgentId::new(noon(), [3; 10]),
            name: "web-1".to_owned(),
            api_key: Some(Secret::new("key-0")),
            server: url.clone(),
            enrolled_at: noon(),
            machine: None,
        };
        file.store(&credentials).unwrap();
        let keys = Arc::new(Mutex::new(Keys {
            current: "key-0".to_owned(),
            pending: None,
            made: 0,
            mishap: None,
            records: BTreeMap::new(),
            file: file.clone(),
            taken_up: Arc::default(),
        }));
        let router = Router::new()
            .route("/api/v1/agents/me/key", post(renew))
            .route("/api/v1/agents/me/heartbeat", post(heartbeat))
            .route("/api/v1/ingest", post(ingest))
            .with_state(Arc::clone(&keys));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url,
            keys,
            dir,
            file,
            _tasks: tasks,
        }
    }

    /// A start of the agent's process: it knows what is on disk, and nothing else.
    fn agent(&self) -> Agent {
        let credentials = self.file.load(&self.url).unwrap().unwrap();
        let key = ApiKey::new(credentials.api_key.clone().unwrap());
        let mut settings = client_settings(&self.url);
        settings.api_key = Some(key.clone());
        let client = Client::new(settings).unwrap();
        let rotation = KeyRotation::new(client.clone(), key.clone(), self.file.clone(), credentials);
        Agent { client, key, rotation }
    }

    fn mishap(&self, mishap: Mishap) {
        self.keys.lock().unwrap().mishap = Some(mishap);
    }

    fn on_disk(&self) -> String {
        let credentials = self.file.load(&self.url).unwrap().unwrap();
        credentials.api_key.unwrap().reveal().to_owned()
    }

    fn made(&self) -> u32 {
        self.keys.lock().unwrap().made
    }

    /// The process was killed: the next start of it is let in by what is on disk, and may renew its key.
    async fn is_whole_after_a_kill(&self) {
        let agent = self.agent();
        assert_eq!(agent.beat().await, StatusCode::OK, "by {}", self.on_disk());
        agent.rotation.rotate().await.unwrap();
        assert_eq!(agent.beat().await, StatusCode::OK);
        let keys = self.keys.lock().unwrap();
        assert_eq!(
            (&keys.current, &keys.pending),
            (&self.on_disk(), &None),
            "one key opens"
        );
    }
}

impl Agent {
    async fn beat(&self) -> StatusCode {
        let answer = self
            .client
            .post_json::<_, Value>("/api/v1/agents/me/heartbeat", &json!({}), HeaderMap::new())
            .await;
        answer.map_or_else(|error| error.status().unwrap(), |_| StatusCode::OK)
    }
}

async fn renew(State(keys): State<Shared>, headers: HeaderMap) -> Response {
    let (mishap, api_key) = {
        let mut keys = keys.lock().unwrap();
        if !keys.opens(&headers) {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        keys.made += 1;
        let key = format!("key-{}", keys.made);
        keys.pending = Some(key.clone());
        (keys.mishap.take(), key)
    };
    match mishap {
        None => {}
        // A panic without its message ends the task of the connection, and with it the connection.
        Some(Mishap::Lost) => std::panic::resume_unwind(Box::new(())),
        Some(Mishap::DiskFails) => block(keys.lock().unwrap().file.path()),
        Some(Mishap::Held(here)) => {
            here.send(()).unwrap();
            std::future::pending::<()>().await;
        }
    }
    (StatusCode::CREATED, Json(json!({ "api_key": api_key }))).into_response()
}

async fn heartbeat(State(keys): State<Shared>, headers: HeaderMap) -> Response {
    if keys.lock().unwrap().opens(&headers) {
        Json(json!({})).into_response()
    } else {
        StatusCode::UNAUTHORIZED.into_response()
    }
}

async fn ingest(State(keys): State<Shared>, headers: HeaderMap, Json(request): Json<IngestRequest>) -> Response {
    let mut keys = keys.lock().unwrap();
    if !keys.opens(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    for record in &request.records {
        *keys.records.entry(record.seq).or_default() += 1;
    }
    Json(IngestResponse {
        accepted_through: request.records.last().unwrap().seq,
        rejected: Vec::new(),
    })
    .into_response()
}

/// A directory in the place of the unfinished file: nobody can write there, not even root.
fn block(file: &Path) {
    fs::create_dir_all(file.with_extension("json.tmp").join("x")).unwrap();
}

fn unblock(file: &Path) {
    fs::remove_dir_all(file.with_extension("json.tmp")).unwrap();
}

#[tokio::test]
async fn records_are_delivered_once_each_while_the_key_is_renewed_again_and_again() {
    let place = Place::new().await;
    let agent = place.agent();
    let rig = Rig::by(agent.client.clone(), Dialect::Shoal, impatient());
    for round in 1..=5 {
        rig.enqueue(&[3; 40]);
        let (report, renewed) = tokio::join!(rig.deliver(), agent.rotation.rotate());
        renewed.unwrap();
        assert!(report.error.is_none(), "{report:?}");
        assert_eq!((agent.beat().await, place.made()), (StatusCode::OK, round));
        let keys = place.keys.lock().unwrap();
        assert_eq!(keys.records.len() as u64, u64::from(round) * 120);
        assert!(keys.records.values().all(|times| *times == 1), "none was sent twice");
    }
    assert_eq!(place.on_disk(), "key-5");
    assert_eq!(agent.key.current().reveal(), "key-5");
}

#[tokio::test]
async fn a_disk_that_takes_nothing_is_found_out_before_a_key_is_asked_for() {
    let place = Place::new().await;
    let agent = place.agent();
    block(place.file.path());
    let error = agent.rotation.rotate().await.unwrap_err();
    assert!(matches!(error, KeyRotationError::Credentials(_)), "{error}");
    assert_eq!((place.made(), agent.beat().await), (0, StatusCode::OK));
}

#[tokio::test]
async fn a_key_that_cannot_be_stored_is_not_used_and_the_next_one_is() {
    let place = Place::new().await;
    let agent = place.agent();
    place.mishap(Mishap::DiskFails);
    let error = agent.rotation.rotate().await.unwrap_err();
    assert!(matches!(error, KeyRotationError::Credentials(_)), "{error}");
    assert!(!format!("{error} {error:?}").contains("key-"), "{error:?}");
    assert_eq!(
        (place.on_disk().as_str(), agent.beat().await),
        ("key-0", StatusCode::OK)
    );
    unblock(place.file.path());
    agent.rotation.rotate().await.unwrap();
    assert_eq!(
        (place.on_disk().as_str(), agent.beat().await),
        ("key-2", StatusCode::OK)
    );
}

#[tokio::test]
async fn a_process_that_is_killed_at_any_step_comes_back_by_the_key_on_its_disk() {
    // Before the answer came.
    let place = Place::new().await;
    let agent = place.agent();
    let (here, held) = oneshot::channel();
    place.mishap(Mishap::Held(here));
    tokio::select! {
        renewed = agent.rotation.rotate() => panic!("{renewed:?}"),
        held = guard("the request", held) => held.unwrap(),
    }
    drop(agent);
    assert_eq!(place.on_disk(), "key-0");
    place.is_whole_after_a_kill().await;

    // The answer was lost.
    let place = Place::new().await;
    place.mishap(Mishap::Lost);
    let error = place.agent().rotation.rotate().await.unwrap_err();
    assert!(matches!(error, KeyRotationError::Refused(_)), "{error}");
    assert_eq!(place.on_disk(), "key-0");
    place.is_whole_after_a_kill().await;

    // Stored, and not used yet.
    let place = Place::new().await;
    place.agent().rotation.rotate().await.unwrap();
    assert_eq!(place.on_disk(), "key-1");
    assert_eq!(place.keys.lock().unwrap().current, "key-0");
    place.is_whole_after_a_kill().await;

    // Used.
    let place = Place::new().await;
    let agent = place.agent();
    agent.rotation.rotate().await.unwrap();
    assert_eq!(agent.beat().await, StatusCode::OK);
    drop(agent);
    place.is_whole_after_a_kill().await;
}

#[tokio::test]
async fn a_wish_is_done_once_and_one_that_fails_is_tried_with_the_next() {
    let place = Place::new().await;
    let agent = place.agent();
    let (stop, running) = (CancellationToken::new(), agent.rotation.clone());
    let mut task = JoinSet::new();
    let until = stop.clone();
    task.spawn(async move { running.run(&until).await });
    let mut changed = agent.key.subscribe();
    agent.rotation.want();
    guard("another key", changed.changed()).await.unwrap();
    assert_eq!(agent.beat().await, StatusCode::OK);
    assert!(!agent.rotation.rotate_if_wanted().await.unwrap(), "it was done");

    place.mishap(Mishap::Lost);
    agent.rotation.want();
    // The next one is asked for after the lost one failed: one at a time.
    while place.made() < 2 {
        tokio::task::yield_now().await;
    }
    agent.rotation.want();
    guard("another key", changed.changed()).await.unwrap();
    assert_eq!(
        (place.on_disk().as_str(), agent.beat().await),
        ("key-3", StatusCode::OK)
    );
    stop.cancel();
    guard("the end", task.join_next()).await.unwrap().unwrap();
    assert!(place.dir.path().join("credentials.json").exists());
}
