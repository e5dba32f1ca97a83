//! The WebSocket client against axum's server, and against what is no WebSocket at all.
use crate::{
    peer::{Peer, Turn, answer, settings},
    server::{Running, bind},
    tls::tunnel,
};
use axum::{
    Extension, Router,
    extract::{
        State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket as Accepted},
    },
    http::HeaderMap as Headers,
    response::Response,
    routing::any,
};
use core_model::{ByteSize, Secret};
use std::time::Duration;
use testkit::{CertificateAuthority, Validity};
use tokio::sync::mpsc;
use transport_http::{
    CertificateFault, ClientAuth, ClientIdentity, ClientSettings, ClosedBy, PeerCertificate, SendError, ServerTls,
    SetupError, SocketError, SocketSettings, TlsFiles, UpgradeError, WebSocket, WebSocketClient,
};

const LONG: Duration = Duration::from_secs(60);

/// A socket as the server has it, and the headers it came with.
type Guest = (Accepted, Headers, bool);

fn door() -> (Router, mpsc::UnboundedReceiver<Guest>) {
    let (sender, guests) = mpsc::unbounded_channel();
    let accept = async |State(sender): State<mpsc::UnboundedSender<Guest>>,
                        shown: Option<Extension<PeerCertificate>>,
                        headers: Headers,
                        upgrade: WebSocketUpgrade|
           -> Response {
        let is_known = shown.is_some();
        upgrade.on_upgrade(move |socket| async move { drop(sender.send((socket, headers, is_known))) })
    };
    (Router::new().route("/base/ws", any(accept)).with_state(sender), guests)
}

struct Rig {
    server: Running,
    guests: mpsc::UnboundedReceiver<Guest>,
    settings: ClientSettings,
}

impl Rig {
    fn new() -> Self {
        let (router, guests) = door();
        let server = Running::of(bind(), router, LONG);
        let settings = ClientSettings {
            api_key: Some(Secret::new("hunter2").into()),
            ..settings(&format!("http://{}/base/", server.address))
        };
        Self {
            server,
            guests,
            settings,
        }
    }

    async fn open(&mut self, socket: SocketSettings) -> (WebSocket, Guest) {
        let client = WebSocketClient::new(&self.settings, socket).unwrap();
        let opened = client.open("ws").await.unwrap();
        (opened, self.guests.recv().await.unwrap())
    }
}

/// Quick to notice that nobody is there.
fn nervous() -> SocketSettings {
    SocketSettings {
        ping_every: Duration::from_millis(30),
        answer_within: Duration::from_millis(60),
        ..SocketSettings::default()
    }
}

#[tokio::test]
async fn texts_go_both_ways_with_the_key_of_every_request() {
    let mut rig = Rig::new();
    let (mut socket, (mut guest, headers, _)) = rig.open(SocketSettings::default()).await;
    assert_eq!(headers["x-api-key"], "hunter2");
    assert!(socket.endpoint().ends_with("/base/ws"), "{}", socket.endpoint());
    for text in ["one", "", "zwei, drei \u{1f419}", &"x".repeat(100_000)] {
        socket.send(text.to_owned()).await.unwrap();
        assert_eq!(guest.recv().await.unwrap().unwrap().into_text().unwrap().as_str(), text);
        guest.send(Message::text(text)).await.unwrap();
        assert_eq!(socket.receive().await.unwrap(), text);
    }
    drop(guest);
    rig.server.end().await;
}

#[tokio::test]
async fn each_side_hears_the_other_s_farewell() {
    let mut rig = Rig::new();
    let (mut socket, (mut guest, ..)) = rig.open(SocketSettings::default()).await;
    let farewell = CloseFrame {
        code: 1012,
        reason: "back in a minute".into(),
    };
    guest.send(Message::Text("last words".into())).await.unwrap();
    guest.send(Message::Close(Some(farewell))).await.unwrap();
    assert_eq!(socket.receive().await.unwrap(), "last words");
    let error = socket.receive().await.unwrap_err();
    assert!(error.to_string().contains("back in a minute (code 1012)"), "{error}");
    let wanted = ClosedBy {
        code: 1012,
        reason: "back in a minute".to_owned(),
    };
    assert!(
        matches!(&error, SocketError::Closed { by: Some(by), .. } if *by == wanted),
        "{error:?}"
    );

    assert!(
        matches!(guest.recv().await, Some(Ok(Message::Close(_)))),
        "and is answered"
    );

    let (socket, (mut guest, ..)) = rig.open(SocketSettings::default()).await;
    let reason = "\u{e4}".repeat(100);
    let hear = async {
        let heard = guest.recv().await;
        // The farewell of the server's side goes out as it reads on.
        assert!(guest.recv().await.is_none());
        heard
    };
    let (heard, ()) = tokio::join!(hear, socket.close(1001, &reason));
    let Some(Ok(Message::Close(Some(frame)))) = heard else {
        panic!("{heard:?}");
    };
    assert_eq!(frame.code, 1001);
    assert_eq!(
        frame.reason.as_str(),
        "\u{e4}".repeat(61),
        "as much of it as fits, in whole letters"
    );
    rig.server.end().await;
}

#[tokio::test]
async fn a_server_that_no_longer_answers_is_noticed() {
    let mut rig = Rig::new();
    // The server's side is held and never read, so no question of ours is answered.
    let (mut socket, guest) = rig.open(nervous()).await;
    let error = socket.receive().await.unwrap_err();
    assert!(matches!(error, SocketError::Stale { .. }), "{error:?}");
    drop(guest);
    rig.server.end().await;
}

#[tokio::test]
async fn a_server_that_takes_nothing_is_noticed_while_sending() {
    let mut rig = Rig::new();
    let (mut socket, guest) = rig.open(nervous()).await;
    // More than lies on the way.
    let error = loop {
        if let Err(error) = socket.send("x".repeat(4 << 20)).await {
            break error;
        }
    };
    assert!(matches!(error, SocketError::Stale { .. }), "{error:?}");
    drop((guest, socket));
    rig.server.end().await;
}

#[tokio::test]
async fn a_quiet_server_that_answers_is_kept_however_often_waiting_is_given_up() {
    let mut rig = Rig::new();
    let (mut socket, (mut guest, ..)) = rig
        .open(SocketSettings {
            answer_within: LONG,
            ..nervous()
        })
        .await;
    let mut pings = 0;
    while pings < 5 {
        tokio::select! {
            biased;
            heard = guest.recv() => match heard.unwrap().unwrap() {
                Message::Ping(_) => pings += 1,
                other => panic!("{other:?}"),
            },
            text = socket.receive() => panic!("{text:?}"),
            // Given up again and again, as by whoever waits for several things.
            () = tokio::task::yield_now() => {}
        }
    }
    guest.send(Message::text("still here")).await.unwrap();
    assert_eq!(socket.receive().await.unwrap(), "still here");
    drop(guest);
    rig.server.end().await;
}

#[tokio::test]
async fn a_message_that_is_too_long_or_no_text_ends_the_socket() {
    let mut rig = Rig::new();
    let small = SocketSettings {
        max_message: ByteSize::new(1000),
        ..SocketSettings::default()
    };
    let (mut socket, (mut guest, ..)) = rig.open(small).await;
    guest.send(Message::text("x".repeat(1000))).await.unwrap();
    assert_eq!(socket.receive().await.unwrap().len(), 1000);
    guest.send(Message::text("x".repeat(1001))).await.unwrap();
    let error = socket.receive().await.unwrap_err();
    assert!(matches!(error, SocketError::TooLong { limit: 1000, .. }), "{error:?}");

    let (mut socket, (mut guest, ..)) = rig.open(small).await;
    guest.send(Message::Binary(vec![1, 2].into())).await.unwrap();
    let error = socket.receive().await.unwrap_err();
    assert!(matches!(error, SocketError::Binary { .. }), "{error:?}");
    drop((guest, socket));
    rig.server.end().await;
}

#[tokio::test]
async fn a_connection_that_breaks_says_so() {
    let mut rig = Rig::new();
    let (mut socket, (guest, ..)) = rig.open(SocketSettings::default()).await;
    drop(guest);
    let error = socket.receive().await.unwrap_err();
    assert!(
        matches!(error, SocketError::Broken { .. } | SocketError::Closed { by: None, .. }),
        "{error:?}"
    );
    rig.server.end().await;
}

/// Against a peer that answers the handshake with this.
async fn refused(turn: Turn) -> UpgradeError {
    let peer = Peer::new([turn]).await;
    let client = WebSocketClient::new(&peer.settings(), SocketSettings::default()).unwrap();
    let error = client.open("/ws").await.unwrap_err();
    let head = peer.seen()[0].head.to_lowercase();
    assert!(
        head.starts_with("get /ws http/1.1") && head.contains("upgrade: websocket"),
        "{head}"
    );
    error
}

#[tokio::test]
async fn each_refusal_of_an_upgrade_is_told_apart() {
    let problem = "content-type: application/problem+json\r\n";
    let error = refused(answer("401 Unauthorized", problem, r#"{"code":"invalid_key"}"#)).await;
    let said = error.send_error().unwrap();
    assert_eq!(
        (said.status().unwrap().as_u16(), said.problem().unwrap().code.as_str()),
        (401, "invalid_key")
    );

    let error = refused(answer("503 Busy", "retry-after: 7\r\n", "<html>")).await;
    let said = error.send_error().unwrap();
    assert_eq!(
        (said.retry_after(), said.problem()),
        (Some(Duration::from_secs(7)), None)
    );

    let error = refused(answer("200 OK", "", "a page")).await;
    assert!(
        matches!(error, UpgradeError::NotUpgraded { status, .. } if status == 200),
        "{error:?}"
    );
    assert!(error.to_string().contains("proxy"), "{error}");

    let error = refused(answer("302 Found", "location: https://login.example.com/\r\n", "")).await;
    assert!(
        matches!(error, UpgradeError::Send(SendError::Redirected { .. })),
        "{error:?}"
    );

    // The acceptance of another question, as a cache would give it.
    let stale = "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    let error = refused(Turn::Say(format!("HTTP/1.1 101 Switching Protocols\r\n{stale}\r\n"))).await;
    assert!(matches!(error, UpgradeError::BadHandshake { .. }), "{error:?}");

    let error = refused(Turn::Close).await;
    assert!(
        matches!(error, UpgradeError::Send(SendError::Interrupted { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_handshake_that_hangs_ends_in_time() {
    let peer = Peer::new([Turn::Hang]).await;
    let settings = ClientSettings {
        timeout: Duration::from_millis(50),
        ..peer.settings()
    };
    let client = WebSocketClient::new(&settings, SocketSettings::default()).unwrap();
    let error = client.open("/ws").await.unwrap_err();
    assert!(
        matches!(error, UpgradeError::Send(SendError::Timeout { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn plain_http_to_another_host_is_refused_as_it_is_for_requests() {
    let error = WebSocketClient::new(&settings("http://fleet.example.org"), SocketSettings::default()).unwrap_err();
    assert!(matches!(error, SetupError::Insecure { .. }), "{error:?}");
}

#[tokio::test]
async fn tls_is_that_of_requests_through_a_proxy_too() {
    let authority = CertificateAuthority::new().unwrap();
    let certified = authority.server(&["localhost"], Validity::Now).unwrap();
    let tls = ServerTls::from_files(&TlsFiles {
        certificate: certified.certificate.clone(),
        key: certified.key.clone(),
        client_ca: Some(authority.file().to_owned()),
        client_auth: ClientAuth::Required,
    });
    let (router, mut guests) = door();
    let server = Running::of(bind().with_tls(tls.unwrap()), router, LONG);
    let own = authority.client("agent").unwrap();
    let (proxy, heard, _tunnel) = tunnel().await;
    let settings = ClientSettings {
        ca_file: Some(authority.file().to_owned()),
        identity: Some(ClientIdentity {
            certificate: own.certificate.clone(),
            key: own.key.clone(),
        }),
        api_key: Some(Secret::new("hunter2").into()),
        proxy: Some(proxy.parse().unwrap()),
        ..settings(&format!("https://localhost:{}/base", server.address.port()))
    };
    let client = WebSocketClient::new(&settings, SocketSettings::default()).unwrap();
    let mut socket = client.open("/ws").await.unwrap();
    let (mut guest, headers, is_known) = guests.recv().await.unwrap();
    assert!(is_known, "the client showed its certificate");
    assert_eq!(headers["x-api-key"], "hunter2");
    socket.send("through".to_owned()).await.unwrap();
    assert_eq!(guest.recv().await.unwrap().unwrap(), Message::text("through"));
    let heard = heard.lock().unwrap().clone();
    assert!(
        heard.starts_with("CONNECT localhost:") && !heard.contains("hunter2"),
        "{heard}"
    );

    let distrusting = ClientSettings {
        ca_file: None,
        proxy: None,
        ..settings
    };
    let client = WebSocketClient::new(&distrusting, SocketSettings::default()).unwrap();
    let error = client.open("/ws").await.unwrap_err();
    let Some(SendError::Certificate { fault, .. }) = error.send_error() else {
        panic!("{error:?}");
    };
    assert_eq!(*fault, CertificateFault::UnknownIssuer);
    drop((guest, socket));
    server.end().await;
}
