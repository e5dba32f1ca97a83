//! Claims against a real listener: what is shown, what is asked, what is kept, and what each refusal leads to.
use crate::rig::{client, client_settings};
use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use core_model::{AgentId, Backoff, ClaimId};
use fleet_link::{ClaimError, ClaimSettings, CredentialFile, Enrolled, Introduction, claim};
use fleet_wire::{ClaimPending, ClaimRequest, ClaimResponse, Problem};
use sha2::{Digest as _, Sha256};
use std::{
    collections::VecDeque,
    fs,
    sync::{Arc, Mutex},
    time::Duration,
};
use tempfile::TempDir;
use testkit::GUARD;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;
use transport_http::Client;
use uuid::Uuid;

/// What the controller says next.
#[derive(Clone, Copy)]
enum Say {
    /// What it should: the claim; or to a poll, that it is not decided.
    Yes,
    /// The key.
    Key,
    /// A status with a code.
    No(u16, &'static str),
}

#[derive(Default)]
struct Heard {
    claims: Vec<ClaimRequest>,
    /// The token of each poll.
    tokens: Vec<String>,
    /// What is said to the next claims, and to the next polls; then `Yes`.
    to_claims: VecDeque<Say>,
    to_polls: VecDeque<Say>,
}

struct Controller {
    url: String,
    heard: Arc<Mutex<Heard>>,
    /// How many polls there were.
    polls: watch::Receiver<usize>,
    _tasks: JoinSet<()>,
}

type Shared = (Arc<Mutex<Heard>>, watch::Sender<usize>);

impl Controller {
    async fn saying(to_claims: &[Say], to_polls: &[Say]) -> Self {
        let heard = Arc::new(Mutex::new(Heard {
            to_claims: to_claims.iter().copied().collect(),
            to_polls: to_polls.iter().copied().collect(),
            ..Heard::default()
        }));
        let polled = watch::Sender::new(0);
        let polls = polled.subscribe();
        let router = Router::new()
            .route("/api/v1/claims", post(ask))
            .route("/api/v1/claims/{id}", get(poll))
            .with_state((Arc::clone(&heard), polled));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url,
            heard,
            polls,
            _tasks: tasks,
        }
    }
}

async fn ask(State((heard, _)): State<Shared>, Json(request): Json<ClaimRequest>) -> Response {
    let mut heard = heard.lock().unwrap();
    // The same token is the same claim.
    let known = heard
        .claims
        .iter()
        .position(|known| known.token_sha256 == request.token_sha256);
    let number = known.unwrap_or_else(|| {
        heard.claims.push(request);
        heard.claims.len() - 1
    });
    match heard.to_claims.pop_front().unwrap_or(Say::Yes) {
        Say::No(status, code) => refuse(status, code),
        Say::Yes | Say::Key => {
            let claim = ClaimResponse {
                claim_id: ClaimId::from_uuid(Uuid::from_u128(number as u128)),
                code: format!("CODE-{number}"),
                url: "https://fleet.example.com/claim".to_owned(),
                expires_at: chrono::Utc::now() + chrono::TimeDelta::hours(1),
                poll_after_secs: 0,
            };
            (StatusCode::CREATED, Json(claim)).into_response()
        }
    }
}

async fn poll(State((heard, polled)): State<Shared>, Path(id): Path<Uuid>, headers: HeaderMap) -> Response {
    let mut heard = heard.lock().unwrap();
    let token = headers["x-claim-token"].to_str().unwrap().to_owned();
    let hash: String = Sha256::digest(&token)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let number = usize::try_from(id.as_u128()).unwrap();
    assert_eq!(
        heard.claims[number].token_sha256, hash,
        "the poll proves that it is of this claim"
    );
    heard.tokens.push(token);
    polled.send_modify(|polls| *polls += 1);
    match heard.to_polls.pop_front().unwrap_or(Say::Yes) {
        Say::No(status, code) => refuse(status, code),
        Say::Key => Json(serde_json::json!({ "agent_id": agent_id(), "api_key": "the-key" })).into_response(),
        Say::Yes => {
            let pending = ClaimPending {
                expires_at: chrono::Utc::now(),
                poll_after_secs: 0,
            };
            (StatusCode::ACCEPTED, Json(pending)).into_response()
        }
    }
}

fn refuse(status: u16, code: &str) -> Response {
    let problem = Problem {
        status,
        code: code.to_owned(),
        title: "No".to_owned(),
        detail: String::new(),
    };
    let json = [("content-type", Problem::MEDIA_TYPE)];
    let status = StatusCode::from_u16(status).unwrap();
    (status, json, serde_json::to_string(&problem).unwrap()).into_response()
}

fn agent_id() -> AgentId {
    AgentId::from_uuid(Uuid::from_u128(7))
}

/// Asks to be claimed, and gives the codes that were shown.
async fn claimed(
    client: &Client,
    url: &str,
    dir: &TempDir,
    stop: &CancellationToken,
) -> (Result<Enrolled, ClaimError>, Vec<String>) {
    let introduction = Introduction {
        name: "web-1-scanner".to_owned(),
        kind: "scanner".to_owned(),
        hostname: "web-1".to_owned(),
        version: "0.1.0".to_owned(),
        capabilities: vec!["scan".to_owned()],
        machine: Some("m1".to_owned()),
    };
    let backoff = Backoff {
        first: Duration::from_millis(1),
        longest: Duration::from_millis(2),
    };
    let mut shown = Vec::new();
    let file = CredentialFile::in_dir(dir.path());
    let show = |claim: &ClaimResponse| shown.push(claim.code.clone());
    let asking = claim(client, &file, url, &introduction, ClaimSettings { backoff }, show, stop);
    let done = tokio::time::timeout(GUARD, asking).await.expect("no end of the claim");
    (done, shown)
}

async fn claimed_at(controller: &Controller, dir: &TempDir) -> (Result<Enrolled, ClaimError>, Vec<String>) {
    claimed(
        &client(&controller.url),
        &controller.url,
        dir,
        &CancellationToken::new(),
    )
    .await
}

fn left_in(dir: &TempDir) -> Vec<String> {
    let names = fs::read_dir(dir.path()).unwrap();
    let mut names: Vec<_> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_code_is_shown_and_the_key_stored_once_an_operator_has_typed_it() {
    let controller = Controller::saying(&[], &[Say::Yes, Say::Key]).await;
    let dir = tempfile::tempdir().unwrap();
    let (done, shown) = claimed_at(&controller, &dir).await;
    let enrolled = done.unwrap();
    assert!(enrolled.is_new);
    assert_eq!(
        (
            enrolled.credentials.agent_id,
            enrolled.credentials.api_key.as_ref().unwrap().reveal()
        ),
        (agent_id(), "the-key")
    );
    assert_eq!(shown, ["CODE-0"]);
    let stored = CredentialFile::in_dir(dir.path())
        .load(&controller.url)
        .unwrap()
        .unwrap();
    assert_eq!(stored, enrolled.credentials);
    assert_eq!(left_in(&dir), ["credentials.json"], "the token has served");
    {
        let heard = controller.heard.lock().unwrap();
        assert_eq!(
            (heard.claims[0].name.as_str(), heard.claims[0].kind.as_str()),
            ("web-1-scanner", "scanner")
        );
        assert!(
            heard
                .tokens
                .iter()
                .all(|token| token.starts_with("ct_") && token.len() == 46)
        );
    }
    let (again, shown) = claimed_at(&controller, &dir).await;
    assert!(!again.unwrap().is_new && shown.is_empty());
    assert_eq!(
        controller.heard.lock().unwrap().claims.len(),
        1,
        "nothing more was asked"
    );
}

#[tokio::test]
async fn after_a_restart_the_same_claim_goes_on() {
    let mut controller = Controller::saying(&[], &[]).await;
    let dir = tempfile::tempdir().unwrap();
    let (client, stop) = (client(&controller.url), CancellationToken::new());
    let polled = async {
        controller.polls.wait_for(|polls| *polls >= 1).await.unwrap();
        stop.cancel();
    };
    let ((done, shown), ()) = tokio::join!(claimed(&client, &controller.url, &dir, &stop), polled);
    assert!(matches!(done, Err(ClaimError::Stopped)), "{done:?}");
    assert_eq!(
        (shown, left_in(&dir)),
        (vec!["CODE-0".to_owned()], vec!["claim.json".to_owned()])
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(dir.path().join("claim.json"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    controller.heard.lock().unwrap().to_polls.push_back(Say::Key);
    let (done, shown) = claimed_at(&controller, &dir).await;
    done.unwrap();
    assert_eq!(shown, ["CODE-0"]);
    let heard = controller.heard.lock().unwrap();
    assert!(heard.tokens.iter().all(|token| *token == heard.tokens[0]));
}

#[tokio::test]
async fn a_token_that_others_could_read_proves_nothing_any_more() {
    let controller = Controller::saying(&[], &[Say::Key]).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("claim.json");
    let known = format!("ct_{}", "A".repeat(43));
    let text = serde_json::json!({"token": known, "server": controller.url}).to_string();
    fs::write(&path, text).unwrap();
    #[cfg(unix)]
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    claimed_at(&controller, &dir).await.0.unwrap();
    assert_ne!(controller.heard.lock().unwrap().tokens[0], known);
}

#[tokio::test]
async fn a_claim_that_lapsed_is_followed_by_another() {
    for lapsed in [
        Say::No(410, "claim_expired"),
        Say::No(404, "claim_not_found"),
        Say::No(401, "wrong_token"),
    ] {
        let controller = Controller::saying(&[], &[Say::Yes, lapsed, Say::Key]).await;
        let dir = tempfile::tempdir().unwrap();
        let (done, shown) = claimed_at(&controller, &dir).await;
        done.unwrap();
        assert_eq!(shown, ["CODE-0", "CODE-1"]);
        let heard = controller.heard.lock().unwrap();
        assert_ne!(heard.tokens[0], heard.tokens[2], "with a token of its own");
    }
}

#[tokio::test]
async fn trouble_on_the_way_is_waited_out() {
    let busy = [
        Say::No(503, "busy"),
        Say::No(429, "too_many_requests"),
        Say::No(500, "internal_error"),
    ];
    let controller = Controller::saying(&busy, &[&busy[..], &[Say::Key]].concat()).await;
    let dir = tempfile::tempdir().unwrap();
    let (done, shown) = claimed_at(&controller, &dir).await;
    done.unwrap();
    assert_eq!(shown, ["CODE-0"]);
    assert_eq!(controller.heard.lock().unwrap().claims.len(), 1);
}

#[tokio::test]
async fn each_refusal_says_what_to_do() {
    let taken = Say::No(409, "name_taken");
    let cases: [(&[Say], &[Say], &str); 5] = [
        (&[taken], &[], "choose another `agent.id`"),
        (&[], &[taken], "choose another `agent.id`"),
        (&[Say::No(404, "not_found")], &[], "is it a fleet controller"),
        (
            &[Say::No(422, "invalid_request")],
            &[],
            "does not let this agent be claimed",
        ),
        (
            &[],
            &[Say::No(409, "already_claimed")],
            "revoke the agent at the controller",
        ),
    ];
    for (to_claims, to_polls, words) in cases {
        let controller = Controller::saying(to_claims, to_polls).await;
        let dir = tempfile::tempdir().unwrap();
        let error = claimed_at(&controller, &dir).await.0.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(
            CredentialFile::in_dir(dir.path())
                .load(&controller.url)
                .unwrap()
                .is_none()
        );
        let token = fs::read_to_string(dir.path().join("claim.json")).unwrap_or_default();
        let token = token.split('"').find(|word| word.starts_with("ct_")).unwrap_or("ct_");
        assert!(token == "ct_" || !format!("{error} {error:?}").contains(token));
    }
}

#[tokio::test]
async fn no_key_is_fetched_where_others_can_listen() {
    let url = "http://fleet.example.com";
    let mut settings = client_settings("http://127.0.0.1:1");
    settings.base_url = url.parse().unwrap();
    settings.allow_http = true;
    let dir = tempfile::tempdir().unwrap();
    let client = Client::new(settings).unwrap();
    let (done, shown) = claimed(&client, url, &dir, &CancellationToken::new()).await;
    assert!(matches!(done, Err(ClaimError::Insecure { .. })), "{done:?}");
    assert!(shown.is_empty() && left_in(&dir).is_empty());
}

#[tokio::test]
async fn a_key_that_could_not_be_stored_is_not_asked_for() {
    let controller = Controller::saying(&[], &[Say::Key]).await;
    let dir = tempfile::tempdir().unwrap();
    // A directory in the place of the unfinished file: nobody can write there, not even root.
    fs::create_dir_all(dir.path().join("credentials.json.tmp/x")).unwrap();
    let error = claimed_at(&controller, &dir).await.0.unwrap_err();
    assert!(matches!(error, ClaimError::Credentials(_)), "{error}");
    assert!(controller.heard.lock().unwrap().claims.is_empty());
}
