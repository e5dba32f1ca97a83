//! A router over a store in a directory of its own, and short ways to call it.
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::ConnectInfo,
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use chrono::Utc;
use core_model::Secret;
use fleet_api::{ApiSettings, AppState, LinkSettings, Links, router};
use fleet_core::{Fleet, FleetSettings, SqliteStore, StoreSettings};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tempfile::TempDir;
use tower::ServiceExt;
use transport_http::HealthRegistry;

pub(crate) struct App {
    pub(crate) router: Router,
    pub(crate) password: Secret,
    pub(crate) fleet: Arc<Fleet<SqliteStore>>,
    pub(crate) links: Links,
    /// What the controller is told to call itself.
    pub(crate) public_url: Arc<Mutex<Option<String>>>,
    _dir: TempDir,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    /// The code of a problem, after a look at its shape.
    #[track_caller]
    pub(crate) fn code(&self) -> String {
        assert_eq!(
            self.headers[header::CONTENT_TYPE],
            "application/problem+json",
            "{}",
            self.text
        );
        let problem: fleet_wire::Problem = serde_json::from_str(&self.text).unwrap();
        assert_eq!(problem.status, self.status.as_u16());
        assert!(!problem.title.is_empty());
        problem.code
    }
}

/// Who calls, and with what in hand.
#[derive(Clone)]
pub(crate) enum As {
    Nobody,
    Operator(String),
    Agent(String),
}

impl App {
    pub(crate) async fn new() -> Self {
        Self::with(FleetSettings::default(), ApiSettings::default()).await
    }

    pub(crate) async fn with(fleet: FleetSettings, settings: ApiSettings) -> Self {
        Self::with_links(fleet, settings, LinkSettings::default()).await
    }

    pub(crate) async fn with_links(fleet: FleetSettings, settings: ApiSettings, links: LinkSettings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&dir.path().join("fleet.db"), StoreSettings::default()).unwrap();
        let fleet = Arc::new(Fleet::new(store, fleet));
        let password = fleet.ensure_admin(Utc::now()).await.unwrap().unwrap();
        let links = Links::new(links);
        let public_url = Arc::<Mutex<Option<String>>>::default();
        let shown = Arc::clone(&public_url);
        let router = router(AppState {
            fleet: Arc::clone(&fleet),
            health: HealthRegistry::new("0.1.0", None),
            metrics: Arc::new(|| "fleet_up 1\n".to_owned()),
            links: links.clone(),
            read_config: Arc::new(|text| {
                let parsed = conf::parse("configuration", text, conf::Format::Yaml);
                let read = parsed.and_then(|tree| conf::from_tree(&tree));
                read.map_err(|problems| problems.render(false))
            }),
            public_url: Arc::new(move || shown.lock().unwrap().clone()),
            settings,
        });
        Self {
            router,
            password,
            fleet,
            links,
            public_url,
            _dir: dir,
        }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    pub(crate) async fn call(&self, method: Method, path: &str, who: &As, body: Option<Value>) -> Answer {
        self.send(request(method, path, who, body.map(|body| body.to_string())))
            .await
    }

    pub(crate) async fn get(&self, path: &str, who: &As) -> Answer {
        self.call(Method::GET, path, who, None).await
    }

    pub(crate) async fn post(&self, path: &str, who: &As, body: Value) -> Answer {
        self.call(Method::POST, path, who, Some(body)).await
    }

    /// The admin's token.
    pub(crate) async fn operator(&self) -> As {
        let login = json!({"username": "admin", "password": self.password.reveal()});
        let answer = self.post("/api/v1/auth/login", &As::Nobody, login).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        As::Operator(answer.json()["token"].as_str().unwrap().to_owned())
    }

    /// An agent that joined by way of the routes.
    pub(crate) async fn agent(&self, operator: &As, name: &str) -> As {
        let token = self.post("/api/v1/join-tokens", operator, json!({"name": name})).await;
        assert_eq!(token.status, StatusCode::CREATED, "{}", token.text);
        let answer = self
            .post(
                "/api/v1/agents/enroll",
                &As::Nobody,
                enrollment(&token.json()["token"], name),
            )
            .await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        As::Agent(answer.json()["api_key"].as_str().unwrap().to_owned())
    }
}

pub(crate) fn enrollment(token: &Value, name: &str) -> Value {
    json!({"join_token": token, "name": name, "kind": "scanner", "hostname": "host", "version": "0.1.0"})
}

pub(crate) fn request(method: Method, path: &str, who: &As, body: Option<String>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    request = match who {
        As::Nobody => request,
        As::Operator(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
        As::Agent(key) => request.header("x-api-key", key),
    };
    if body.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    request.body(Body::from(body.unwrap_or_default())).unwrap()
}

/// The request as if it had come from this address.
pub(crate) fn from_peer(mut request: Request<Body>, peer: &str) -> Request<Body> {
    let peer: SocketAddr = peer.parse().unwrap();
    request.extensions_mut().insert(ConnectInfo(peer));
    request
}

/// Sessions of this fleet are over as they begin.
pub(crate) fn short_sessions() -> FleetSettings {
    FleetSettings {
        session_life: Duration::ZERO,
        ..FleetSettings::default()
    }
}
