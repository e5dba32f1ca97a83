//! Enrolment against a real listener: what is sent, what is stored, and what is said when it fails.
use crate::rig::{client, noon};
use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::post};
use core_model::{AgentId, Secret};
use fleet_link::{CredentialFile, EnrollError, Enrolled, Introduction, enroll, enroll_by_certificate, join_token};
use std::{
    collections::BTreeMap,
    fs,
    sync::{Arc, Mutex},
};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinSet};
use uuid::Uuid;

type Asked = Arc<Mutex<Vec<serde_json::Value>>>;

struct Controller {
    url: String,
    asked: Asked,
    _tasks: JoinSet<()>,
}

impl Controller {
    async fn answering(status: StatusCode) -> Self {
        let asked = Asked::default();
        let answer = move |State(asked): State<Asked>, Json(request): Json<serde_json::Value>| async move {
            let request_has_token = request.get("join_token").is_some();
            asked.lock().unwrap().push(request);
            let mut key = serde_json::json!({ "agent_id": agent_id() });
            // Nobody without a token has a secret to keep.
            if request_has_token {
                key["api_key"] = "the-key".into();
            }
            (status, Json(key)).into_response()
        };
        let router = Router::new()
            .route("/api/v1/agents/enroll", post(answer))
            .with_state(Arc::clone(&asked));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url,
            asked,
            _tasks: tasks,
        }
    }

    async fn enroll(&self, dir: &TempDir, token: Option<&str>) -> Result<Enrolled, EnrollError> {
        enrol_at(&self.url, dir, token).await
    }
}

fn introduction() -> Introduction {
    Introduction {
        name: "web-1-scanner".to_owned(),
        kind: "scanner".to_owned(),
        hostname: "web-1".to_owned(),
        version: "0.1.0".to_owned(),
        capabilities: vec!["scan".to_owned()],
        machine: Some("m1".to_owned()),
    }
}

async fn enrol_at(url: &str, dir: &TempDir, token: Option<&str>) -> Result<Enrolled, EnrollError> {
    let (introduction, file) = (introduction(), CredentialFile::in_dir(dir.path()));
    enroll(
        &client(url),
        &file,
        url,
        token.map(Secret::new),
        &introduction,
        "SCANNER",
        noon(),
    )
    .await
}

fn agent_id() -> AgentId {
    AgentId::from_uuid(Uuid::from_u128(7))
}

#[tokio::test]
async fn a_token_becomes_a_stored_key_and_is_not_needed_again() {
    let controller = Controller::answering(StatusCode::CREATED).await;
    let dir = tempfile::tempdir().unwrap();
    let enrolled = controller.enroll(&dir, Some("the-token")).await.unwrap();
    assert!(enrolled.is_new);
    assert_eq!(
        (
            enrolled.credentials.agent_id,
            enrolled.credentials.api_key.as_ref().unwrap().reveal()
        ),
        (agent_id(), "the-key")
    );
    let stored = CredentialFile::in_dir(dir.path())
        .load(&controller.url)
        .unwrap()
        .unwrap();
    assert_eq!(stored, enrolled.credentials);
    let asked = controller.asked.lock().unwrap().clone();
    assert_eq!(
        asked,
        [serde_json::json!({
            "join_token": "the-token", "name": "web-1-scanner", "kind": "scanner", "hostname": "web-1",
            "version": "0.1.0", "capabilities": ["scan"]
        })]
    );
    for token in [Some("another-token"), None] {
        let again = controller.enroll(&dir, token).await.unwrap();
        assert!(!again.is_new);
        assert_eq!(again.credentials, enrolled.credentials);
    }
    assert_eq!(controller.asked.lock().unwrap().len(), 1, "the token was left alone");
}

#[tokio::test]
async fn each_refusal_says_what_to_do_and_stores_nothing() {
    for (status, words) in [
        (StatusCode::UNAUTHORIZED, "fleet-controller join-tokens create"),
        (StatusCode::CONFLICT, "choose another `agent.id`"),
        (StatusCode::SERVICE_UNAVAILABLE, "try again"),
        (StatusCode::NOT_FOUND, "is it a fleet controller?"),
    ] {
        let controller = Controller::answering(status).await;
        let dir = tempfile::tempdir().unwrap();
        let error = controller.enroll(&dir, Some("hunter2")).await.unwrap_err();
        assert!(error.to_string().contains(words), "{status}: {error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
        assert!(
            CredentialFile::in_dir(dir.path())
                .load(&controller.url)
                .unwrap()
                .is_none()
        );
    }
}

#[tokio::test]
async fn without_a_server_or_a_token_it_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let nobody = crate::server::Nobody::new();
    let error = enrol_at(&nobody.url(), &dir, Some("t")).await.unwrap_err();
    assert!(matches!(error, EnrollError::Unreachable { .. }), "{error}");
    let error = enrol_at(&nobody.url(), &dir, None).await.unwrap_err().to_string();
    assert!(
        error.contains("--join-token-file") && error.contains("SCANNER_JOIN_TOKEN"),
        "{error}"
    );
}

#[tokio::test]
async fn a_key_that_could_not_be_stored_is_not_asked_for() {
    let controller = Controller::answering(StatusCode::CREATED).await;
    let dir = tempfile::tempdir().unwrap();
    // A directory in the place of the unfinished file: nobody can write there, not even root.
    fs::create_dir_all(dir.path().join("credentials.json.tmp/x")).unwrap();
    let error = controller.enroll(&dir, Some("t")).await.unwrap_err();
    assert!(matches!(error, EnrollError::Credentials(_)), "{error}");
    assert!(controller.asked.lock().unwrap().is_empty(), "the token was not spent");
}

#[test]
fn the_token_comes_from_its_file_before_the_variable() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    fs::write(&path, "from-file\n").unwrap();
    let variables = BTreeMap::from([("SCANNER_JOIN_TOKEN".to_owned(), " from-variable\n".to_owned())]);
    let token = |file, variables: &BTreeMap<String, String>| join_token(file, "SCANNER", variables);
    assert_eq!(token(Some(&path), &variables).unwrap().unwrap().reveal(), "from-file");
    assert_eq!(token(None, &variables).unwrap().unwrap().reveal(), "from-variable");
    assert!(token(None, &BTreeMap::new()).unwrap().is_none());
    fs::write(&path, "\n").unwrap();
    assert!(matches!(
        token(Some(&path), &variables),
        Err(EnrollError::EmptyTokenFile(_))
    ));
    fs::remove_file(&path).unwrap();
    assert!(matches!(
        token(Some(&path), &variables),
        Err(EnrollError::TokenFile { .. })
    ));
}

async fn by_certificate(controller: &Controller, dir: &TempDir) -> Result<Option<Enrolled>, EnrollError> {
    let (introduction, file) = (introduction(), CredentialFile::in_dir(dir.path()));
    enroll_by_certificate(&client(&controller.url), &file, &controller.url, &introduction, noon()).await
}

#[tokio::test]
async fn an_agent_of_a_certificate_sends_no_token_and_keeps_no_secret() {
    for status in [StatusCode::CREATED, StatusCode::OK] {
        let controller = Controller::answering(status).await;
        let dir = tempfile::tempdir().unwrap();
        let enrolled = by_certificate(&controller, &dir).await.unwrap().unwrap();
        assert_eq!((enrolled.is_new, enrolled.credentials.api_key.as_ref()), (true, None));
        let file = CredentialFile::in_dir(dir.path());
        assert_eq!(file.load(&controller.url).unwrap().unwrap(), enrolled.credentials);
        assert!(!fs::read_to_string(file.path()).unwrap().contains("api_key"));
        let again = by_certificate(&controller, &dir).await.unwrap().unwrap();
        assert!(!again.is_new);
        let asked = controller.asked.lock().unwrap().clone();
        assert_eq!(asked.len(), 1, "what is stored is used");
        assert!(asked[0].get("join_token").is_none(), "{asked:?}");
    }
}

#[tokio::test]
async fn a_server_that_knows_no_certificates_leaves_the_other_ways_open_and_one_that_refuses_says_why() {
    for status in [
        StatusCode::UNAUTHORIZED,
        StatusCode::UNPROCESSABLE_ENTITY,
        StatusCode::NOT_FOUND,
    ] {
        let controller = Controller::answering(status).await;
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(by_certificate(&controller, &dir).await.unwrap(), None, "{status}");
    }
    for (status, words) in [
        (StatusCode::FORBIDDEN, "`server.client_certificate`"),
        (StatusCode::CONFLICT, "choose another `agent.id`"),
        (StatusCode::SERVICE_UNAVAILABLE, "try again"),
    ] {
        let controller = Controller::answering(status).await;
        let dir = tempfile::tempdir().unwrap();
        let error = by_certificate(&controller, &dir).await.unwrap_err();
        assert!(error.to_string().contains(words), "{status}: {error}");
        assert!(!CredentialFile::in_dir(dir.path()).path().exists());
    }
}
