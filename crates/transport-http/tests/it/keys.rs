//! A key that is exchanged while clients use it, and a client's certificate that is renewed.
use crate::{
    peer::settings,
    server::{Running, bind},
};
use axum::{
    Router,
    extract::{State, WebSocketUpgrade},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::{any, get},
};
use core_model::Secret;
use std::{fs, sync::Arc, time::Duration};
use testkit::CertificateAuthority;
use tokio::sync::{Notify, mpsc};
use transport_http::{
    ApiKey, Client, ClientIdentity, ClientSettings, SetupError, SocketSettings, TlsError, UpgradeError, WebSocketClient,
};

/// Says what key each request came with, holds those with the old one until it is told, and lets only the new one in.
struct Door {
    seen: mpsc::UnboundedSender<String>,
    go: Notify,
}

async fn key(door: &Door, headers: &HeaderMap) -> Result<(), StatusCode> {
    let key = headers["x-api-key"].to_str().unwrap();
    door.seen.send(key.to_owned()).unwrap();
    if key == "new" {
        return Ok(());
    }
    door.go.notified().await;
    Err(StatusCode::UNAUTHORIZED)
}

struct Rig {
    server: Running,
    seen: mpsc::UnboundedReceiver<String>,
    door: Arc<Door>,
    key: ApiKey,
    settings: ClientSettings,
}

impl Rig {
    fn new() -> Self {
        let (sender, seen) = mpsc::unbounded_channel();
        let door = Arc::new(Door {
            seen: sender,
            go: Notify::new(),
        });
        let ask = async |State(door): State<Arc<Door>>, headers: HeaderMap| key(&door, &headers).await.map(|()| "1");
        let socket = async |State(door): State<Arc<Door>>, headers: HeaderMap, upgrade: WebSocketUpgrade| -> Response {
            match key(&door, &headers).await {
                Ok(()) => upgrade.on_upgrade(async |_| {}),
                Err(refused) => refused.into_response(),
            }
        };
        let router = Router::new()
            .route("/ask", get(ask).post(ask))
            .route("/ws", any(socket))
            .with_state(Arc::clone(&door));
        let server = Running::of(bind(), router, Duration::from_secs(60));
        let key = ApiKey::new(Secret::new("old"));
        let settings = ClientSettings {
            api_key: Some(key.clone()),
            ..settings(&format!("http://{}", server.address))
        };
        Self {
            server,
            seen,
            door,
            key,
            settings,
        }
    }

    /// Exchanges the key once a request with the old one is under way, and lets that one be refused.
    async fn exchange(&mut self) {
        assert_eq!(self.seen.recv().await.unwrap(), "old");
        self.key.replace(Secret::new("new")).unwrap();
        self.door.go.notify_one();
        assert_eq!(self.seen.recv().await.unwrap(), "new");
    }
}

#[tokio::test]
async fn a_request_that_the_exchange_overtook_is_repeated_with_the_new_key() {
    let mut rig = Rig::new();
    let client = Client::new(rig.settings.clone()).unwrap();
    let clone = client.clone();
    // A POST is otherwise never repeated: it may have been done. One that was unauthorized was not.
    let asked = clone.post_json::<_, u8>("/ask", &(), HeaderMap::new());
    let (answer, ()) = tokio::join!(asked, rig.exchange());
    assert_eq!(answer.unwrap(), 1);
    assert_eq!(client.get_json::<u8>("/ask").await.unwrap(), 1);
    assert_eq!(
        rig.seen.recv().await.unwrap(),
        "new",
        "for each clone, with the next request"
    );
    rig.server.end().await;
}

#[tokio::test]
async fn a_key_that_is_refused_and_still_the_same_is_refused() {
    let rig = Rig::new();
    rig.door.go.notify_one();
    let client = Client::new(rig.settings.clone()).unwrap();
    let error = client.get_json::<u8>("/ask").await.unwrap_err();
    assert_eq!(error.status(), Some(StatusCode::UNAUTHORIZED));
    rig.server.end().await;
}

#[tokio::test]
async fn a_socket_that_the_exchange_overtook_is_opened_with_the_new_key() {
    let mut rig = Rig::new();
    let client = WebSocketClient::new(&rig.settings, SocketSettings::default()).unwrap();
    let (opened, ()) = tokio::join!(client.open("/ws"), rig.exchange());
    opened.unwrap();
    rig.key.replace(Secret::new("older")).unwrap();
    rig.door.go.notify_one();
    let refused = client.open("/ws").await.unwrap_err();
    assert!(
        matches!(&refused, UpgradeError::Send(error) if error.status() == Some(StatusCode::UNAUTHORIZED)),
        "{refused:?}"
    );
    rig.server.end().await;
}

#[tokio::test]
async fn what_is_no_header_replaces_no_key_and_is_not_shown() {
    let key = ApiKey::new(Secret::new("hunter2"));
    let mut changes = key.subscribe();
    let refused = key.replace(Secret::new("hunter3\n"));
    assert!(
        matches!(refused, Err(SetupError::Header { name: "api_key" })),
        "{refused:?}"
    );
    assert_eq!(key.current().reveal(), "hunter2");
    assert!(!changes.has_changed().unwrap());
    key.clone().replace(Secret::new("hunter4")).unwrap();
    changes.changed().await.unwrap();
    assert!(!format!("{key:?} {refused:?}").contains("hunter"));
}

#[tokio::test(start_paused = true)]
async fn a_renewed_certificate_is_noticed_and_a_half_renewed_one_waited_out() {
    let authority = CertificateAuthority::new().unwrap();
    let (old, new) = (authority.client("agent").unwrap(), authority.client("agent").unwrap());
    let identity = ClientIdentity {
        certificate: old.certificate.clone(),
        key: old.key.clone(),
    };
    let end = identity.expires_at().unwrap().unwrap();
    assert_eq!(end.format("%Y").to_string(), "2090");
    let mut watch = identity.watch();
    let hour = Duration::from_secs(3600);
    assert!(
        tokio::time::timeout(hour, watch.renewed()).await.is_err(),
        "nothing has changed"
    );
    fs::copy(&new.certificate, &old.certificate).unwrap();
    assert!(
        matches!(identity.expires_at(), Err(TlsError::Mismatch { .. })),
        "the key is still the other's"
    );
    assert!(tokio::time::timeout(hour, watch.renewed()).await.is_err());
    fs::copy(&new.key, &old.key).unwrap();
    tokio::time::timeout(hour, watch.renewed()).await.unwrap();
    assert!(
        tokio::time::timeout(hour, watch.renewed()).await.is_err(),
        "once for each"
    );
}

#[tokio::test]
async fn an_identity_that_cannot_be_used_is_named_when_a_client_is_made() {
    let authority = CertificateAuthority::new().unwrap();
    let (one, other) = (authority.client("a").unwrap(), authority.client("b").unwrap());
    let settings = ClientSettings {
        identity: Some(ClientIdentity {
            certificate: one.certificate.clone(),
            key: other.key.clone(),
        }),
        ..settings("https://localhost")
    };
    let error = Client::new(settings).unwrap_err();
    assert!(matches!(&error, SetupError::Identity { source, .. } if matches!(**source, TlsError::Mismatch { .. })));
}
