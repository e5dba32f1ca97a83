//! Agents that their client certificates prove, over real TLS.
use crate::{
    authority::Authority,
    fixture::{App, As, enrollment},
};
use axum::http::StatusCode;
use core_model::Secret;
use fleet_api::{ApiSettings, LinkSettings};
use fleet_core::FleetSettings;
use serde_json::{Value, json};
use std::{future::Future, time::Duration};
use tokio_util::sync::CancellationToken;
use transport_http::{
    CertificateFault, Client, ClientAuth, ClientIdentity, ClientSettings, HeaderMap, SendError, Server, SocketSettings,
    WebSocketClient,
};

const HEARTBEAT: &str = "/api/v1/agents/me/heartbeat";
const ENROLL: &str = "/api/v1/agents/enroll";

/// A controller that may be reached by TLS, and whoever reaches it.
struct Place {
    app: App,
    authority: Authority,
}

impl Place {
    async fn new(agents_by_certificate: bool) -> Self {
        let settings = FleetSettings {
            agents_by_certificate,
            ..FleetSettings::default()
        };
        let app = App::with_links(settings, ApiSettings::default(), LinkSettings::default()).await;
        let authority = Authority::new();
        Self { app, authority }
    }

    /// Serves for as long as `calls` take, to clients that may show a certificate.
    async fn served<F: Future<Output = ()>>(&self, calls: impl FnOnce(String) -> F) {
        let server = Server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let url = format!("https://localhost:{}", server.local_addr().port());
        let server = server.with_tls(self.authority.server(ClientAuth::Optional));
        let stop = CancellationToken::new();
        let serving = server.run(self.app.router.clone(), stop.clone(), Duration::from_secs(5));
        let calls = async {
            calls(url).await;
            stop.cancel();
        };
        let (served, ()) = tokio::join!(serving, calls);
        served.unwrap();
    }

    fn settings(&self, url: &str, identity: Option<ClientIdentity>, key: Option<&str>) -> ClientSettings {
        ClientSettings {
            ca_file: Some(self.authority.file()),
            identity,
            api_key: key.map(|key| Secret::new(key).into()),
            retry_attempts: 0,
            ..ClientSettings::new(url.parse().unwrap())
        }
    }

    /// Posts as whoever shows this certificate and sends this key: the answer, or status and code of the problem.
    async fn post(
        &self,
        url: &str,
        identity: Option<&ClientIdentity>,
        key: Option<&str>,
        path: &str,
        body: Value,
    ) -> Result<Value, (StatusCode, String)> {
        let client = Client::new(self.settings(url, identity.cloned(), key)).unwrap();
        let answer = client.post_json(path, &body, HeaderMap::new()).await;
        answer.map_err(|error: SendError| {
            let code = error.problem().map(|problem| problem.code.clone());
            (error.status().expect("an answer"), code.unwrap_or_default())
        })
    }
}

fn heartbeat() -> Value {
    json!({"status": "healthy", "version": "0.1.0"})
}

fn introduction(name: &str) -> Value {
    json!({"name": name, "kind": "scanner", "hostname": "host", "version": "0.1.0"})
}

fn hello() -> Value {
    let hello = json!({"kind": "scanner", "version": "0.1.0", "hostname": "host", "verbs": [], "journal": [],
                       "instance": "019c2f6a-8d40-7c11-8a3e-000000000007"});
    json!({"type": "HELLO", "v": 1, "id": "019c2f6a-8d40-7c11-8a3e-000000000001", "payload": hello})
}

fn refused(status: StatusCode, code: &str) -> Result<Value, (StatusCode, String)> {
    Err((status, code.to_owned()))
}

#[tokio::test]
async fn a_certificate_enrols_an_agent_and_opens_requests_polls_and_the_socket() {
    let place = Place::new(true).await;
    place
        .served(async |url| {
            let web = place
                .authority
                .client_of("ignored", &["web-1", "web-1.example.org"], 2090);
            let post = |path, body| place.post(&url, Some(&web), None, path, body);
            assert_eq!(
                post(HEARTBEAT, heartbeat()).await,
                refused(StatusCode::UNAUTHORIZED, "unauthorized"),
                "it has not joined yet"
            );
            let joined = post(ENROLL, introduction("web-1")).await.unwrap();
            assert!(joined.get("api_key").is_none(), "there is no secret to keep: {joined}");
            assert_eq!(post(ENROLL, introduction("web-1")).await.unwrap(), joined);

            assert_eq!(post(HEARTBEAT, heartbeat()).await.unwrap()["snapshot_wanted"], false);
            let polled = post("/api/v1/agents/me/messages", json!({"messages": [hello()]}))
                .await
                .unwrap();
            let welcome = &polled["messages"][0];
            assert_eq!(
                (&welcome["type"], &welcome["payload"]["name"]),
                (&json!("WELCOME"), &json!("web-1"))
            );

            let settings = place.settings(&url, Some(web.clone()), None);
            let client = WebSocketClient::new(&settings, SocketSettings::default()).unwrap();
            let mut socket = client.open("/ws/agent").await.unwrap();
            socket.send(hello().to_string()).await.unwrap();
            let welcome: Value = serde_json::from_str(&socket.receive().await.unwrap()).unwrap();
            assert_eq!(welcome["payload"]["agent_id"], joined["agent_id"]);
            drop(socket);

            let operator = place.app.operator().await;
            let shown = place.app.get("/api/v1/agents/web-1", &operator).await.json();
            assert_eq!(shown["id"], joined["agent_id"]);
            assert!(shown.get("key").is_none(), "{shown}");
            let asked = place
                .app
                .post("/api/v1/agents/web-1/rotate-key", &operator, json!({}))
                .await;
            assert_eq!((asked.status, asked.code().as_str()), (StatusCode::CONFLICT, "no_key"));
            let renewed = post("/api/v1/agents/me/key", json!({})).await;
            assert_eq!(
                renewed,
                refused(StatusCode::CONFLICT, "no_key"),
                "a certificate is no way to a key"
            );
        })
        .await;
}

#[tokio::test]
async fn nobody_is_known_without_a_certificate_or_where_they_are_not_taken() {
    let closed = refused(StatusCode::UNAUTHORIZED, "unauthorized");
    for is_on in [true, false] {
        let place = Place::new(is_on).await;
        place
            .served(async |url| {
                let web = place.authority.client("web-1");
                let shown = if is_on { None } else { Some(&web) };
                for (path, body) in [
                    (ENROLL, introduction("web-1")),
                    (HEARTBEAT, heartbeat()),
                    ("/api/v1/agents/me/messages", json!({"messages": [hello()]})),
                ] {
                    assert_eq!(place.post(&url, shown, None, path, body).await, closed, "{path}");
                }
                let settings = place.settings(&url, shown.cloned(), None);
                let client = WebSocketClient::new(&settings, SocketSettings::default()).unwrap();
                let error = client.open("/ws/agent").await.unwrap_err();
                let status = error.send_error().and_then(SendError::status);
                assert_eq!(status, Some(StatusCode::UNAUTHORIZED));
            })
            .await;
    }
}

#[tokio::test]
async fn a_certificate_is_for_the_agent_that_it_names_and_no_other() {
    let place = Place::new(true).await;
    place
        .served(async |url| {
            let web = place.authority.client("web-1");
            let other = place.post(&url, Some(&web), None, ENROLL, introduction("web-2")).await;
            assert_eq!(other, refused(StatusCode::FORBIDDEN, "certificate_mismatch"));
            let many = place.authority.client("*");
            for (path, body) in [(ENROLL, introduction("*")), (HEARTBEAT, heartbeat())] {
                let unnamed = place.post(&url, Some(&many), None, path, body).await;
                assert_eq!(unnamed, refused(StatusCode::FORBIDDEN, "certificate_unnamed"), "{path}");
            }
        })
        .await;
}

#[tokio::test]
async fn certificates_that_are_over_or_of_another_authority_do_not_get_through_the_handshake() {
    let place = Place::new(true).await;
    place
        .served(async |url| {
            let good = place.authority.client("web-1");
            place
                .post(&url, Some(&good), None, ENROLL, introduction("web-1"))
                .await
                .unwrap();
            let stranger = Authority::new();
            for wrong in [place.authority.client_of("web-1", &[], 2002), stranger.client("web-1")] {
                let client = Client::new(place.settings(&url, Some(wrong), None)).unwrap();
                let answer = client
                    .post_json::<_, Value>(HEARTBEAT, &heartbeat(), HeaderMap::new())
                    .await;
                match answer.unwrap_err() {
                    SendError::Certificate { fault, .. } => assert_eq!(fault, CertificateFault::IdentityRefused),
                    other => panic!("{other:?}"),
                }
            }
        })
        .await;
}

#[tokio::test]
async fn a_key_decides_alone_and_not_beside_another_agent_s_certificate() {
    let place = Place::new(true).await;
    let operator = place.app.operator().await;
    let As::Agent(key) = place.app.agent(&operator, "web-1").await else {
        panic!("an agent has a key")
    };
    let token = place
        .app
        .post("/api/v1/join-tokens", &operator, json!({"name": "t"}))
        .await
        .json()["token"]
        .clone();
    place
        .served(async |url| {
            let (own, other, host) = (
                place.authority.client("web-1"),
                place.authority.client("web-2"),
                place.authority.client("host.example.org"),
            );
            let beat = |identity, key| place.post(&url, identity, key, HEARTBEAT, heartbeat());
            beat(Some(&own), None)
                .await
                .expect("enrolled by key, it comes by its certificate too");
            beat(Some(&own), Some(&key)).await.unwrap();
            beat(None, Some(&key)).await.unwrap();
            beat(Some(&host), Some(&key))
                .await
                .expect("a certificate of nobody is for the connection only");
            for wrong in ["sk_wrong", ""] {
                let refusal = beat(Some(&own), Some(wrong)).await;
                assert_eq!(refusal, refused(StatusCode::UNAUTHORIZED, "unauthorized"), "{wrong}");
            }

            beat(Some(&other), Some(&key))
                .await
                .expect("there is no such agent yet");
            place
                .post(&url, Some(&other), None, ENROLL, introduction("web-2"))
                .await
                .unwrap();
            let mismatch = refused(StatusCode::FORBIDDEN, "certificate_mismatch");
            assert_eq!(beat(Some(&other), Some(&key)).await, mismatch);
            let joined = place
                .post(&url, Some(&other), None, ENROLL, enrollment(&token, "web-3"))
                .await;
            assert_eq!(joined, mismatch, "a key that would open nothing is not given");
            let mut claim = introduction("web-3");
            claim["token_sha256"] = "0".repeat(64).into();
            let claimed = place.post(&url, Some(&other), None, "/api/v1/claims", claim).await;
            assert_eq!(claimed, mismatch, "nor is one promised");
            beat(None, Some(&key)).await.unwrap();
        })
        .await;
}

#[tokio::test]
async fn a_revoked_agent_is_refused_by_certificate_as_by_key_and_may_not_join_again() {
    let place = Place::new(true).await;
    let operator = place.app.operator().await;
    let As::Agent(key) = place.app.agent(&operator, "web-1").await else {
        panic!("an agent has a key")
    };
    place
        .served(async |url| {
            let own = place.authority.client("web-1");
            place.app.fleet.revoke_agent("web-1", chrono::Utc::now()).await.unwrap();
            let forbidden = refused(StatusCode::FORBIDDEN, "forbidden");
            assert_eq!(
                place.post(&url, None, Some(&key), HEARTBEAT, heartbeat()).await,
                forbidden
            );
            assert_eq!(
                place.post(&url, Some(&own), None, HEARTBEAT, heartbeat()).await,
                forbidden
            );
            assert_eq!(
                place.post(&url, Some(&own), None, ENROLL, introduction("web-1")).await,
                forbidden
            );
        })
        .await;
}
