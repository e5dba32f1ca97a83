//! Each way to fail has an error of its own, and none tells the key.
use crate::peer::{Peer, Turn, answer, settings};
use core_model::{ByteSize, Secret};
use std::{error::Error as _, time::Duration};
use tokio::net::TcpSocket;
use transport_http::{Client, ClientSettings, SendError, SetupError};

/// The error of one GET, without retries, with everything that could leak shown.
async fn fail(settings: ClientSettings) -> SendError {
    let settings = ClientSettings {
        api_key: Some(Secret::new("hunter2").into()),
        retry_attempts: 0,
        ..settings
    };
    let client = Client::new(settings).unwrap();
    let error = client.get_json::<u8>("/x?token=s3cret").await.unwrap_err();
    let shown = format!("{error} {error:?} {:?} {client:?}", client.stats());
    assert!(!shown.contains("hunter2") && !shown.contains("s3cret"), "{shown}");
    error
}

async fn fail_at(turn: Turn) -> (SendError, String) {
    let peer = Peer::new([turn]).await;
    (fail(peer.settings()).await, format!("http://{}", peer.address))
}

#[tokio::test]
async fn nobody_listens() {
    // Bound and not listening: the port refuses, and no other test can have it.
    let held = TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = held.local_addr().unwrap();
    let error = fail(settings(&format!("http://{address}"))).await;
    assert!(matches!(error, SendError::Connect { .. }), "{error:?}");
    assert_eq!(error.to_string(), format!("could not connect to http://{address}"));
    assert!(error.source().is_some() && error.is_temporary());
}

#[tokio::test]
async fn no_such_host() {
    let error = fail(settings("https://nowhere.invalid")).await;
    // Where no name server answers either, it says how long it waited.
    let said = error.to_string();
    assert!(
        said.starts_with("could not connect to https://nowhere.invalid:443"),
        "{said}"
    );
}

#[tokio::test]
async fn a_server_that_hangs() {
    let peer = Peer::new([Turn::Hang]).await;
    let settings = ClientSettings {
        timeout: Duration::from_millis(50),
        ..peer.settings()
    };
    let error = fail(settings).await;
    assert!(matches!(error, SendError::Timeout { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        format!("http://{}/x gave no complete answer within 0.05 s", peer.address)
    );
}

#[tokio::test]
async fn an_answer_that_stalls() {
    let begun = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n12";
    let peer = Peer::new([Turn::Stall(begun.to_owned())]).await;
    let settings = ClientSettings {
        idle_timeout: Duration::from_millis(50),
        ..peer.settings()
    };
    let error = fail(settings).await;
    assert!(
        matches!(error, SendError::Stalled { .. }) && error.is_temporary(),
        "{error:?}"
    );
    assert_eq!(
        error.to_string(),
        format!(
            "http://{}/x began to answer and then said nothing for 0.05 s",
            peer.address
        )
    );
}

#[tokio::test]
async fn a_body_cut_midway() {
    let (error, _) = fail_at(Turn::Say("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{".to_owned())).await;
    assert!(matches!(error, SendError::Interrupted { .. }), "{error:?}");
}

#[tokio::test]
async fn a_connection_closed_without_a_word() {
    let (error, _) = fail_at(Turn::Close).await;
    assert!(matches!(error, SendError::Interrupted { .. }), "{error:?}");
}

#[tokio::test]
async fn something_that_is_no_http() {
    let (error, _) = fail_at(Turn::Say("220 mail.example.org ESMTP\r\n".to_owned())).await;
    assert!(matches!(error, SendError::NotHttp { .. }), "{error:?}");
}

#[tokio::test]
async fn garbage_for_json() {
    let (error, server) = fail_at(answer("200 OK", "", "<html>")).await;
    assert!(matches!(error, SendError::NotJson { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        format!("the answer of {server}/x is not the JSON expected")
    );
}

#[tokio::test]
async fn a_body_packed_badly() {
    let (error, _) = fail_at(answer("200 OK", "content-encoding: gzip\r\n", "this is no gzip")).await;
    assert!(matches!(error, SendError::Interrupted { .. }), "{error:?}");
}

#[tokio::test]
async fn an_answer_without_end() {
    for said in [
        answer("200 OK", "", &"a".repeat(2000)),
        Turn::Say(format!(
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}",
            "a".repeat(2000)
        )),
    ] {
        let peer = Peer::new([said]).await;
        let settings = ClientSettings {
            max_response: ByteSize::new(1000),
            ..peer.settings()
        };
        assert!(matches!(fail(settings).await, SendError::TooLarge { limit: 1000, .. }));
    }
}

#[tokio::test]
async fn a_refusal_in_the_servers_own_words() {
    let problem = r#"{"status":413,"code":"too_large","title":"Too large","detail":"at most 8 MB"}"#;
    let (error, server) = fail_at(answer(
        "413 Payload Too Large",
        "content-type: application/problem+json\r\n",
        problem,
    ))
    .await;
    assert_eq!(
        error.to_string(),
        format!("{server}/x refused the request (413 Payload Too Large): Too large: at most 8 MB (too_large)")
    );
    assert!(!error.is_temporary() && error.problem().unwrap().code == "too_large");
}

#[tokio::test]
async fn a_refusal_without_words_or_with_broken_ones() {
    for (headers, body) in [
        ("", ""),
        ("content-type: text/html\r\n", "<h1>no</h1>"),
        ("content-type: application/json\r\n", "{"),
        ("content-type: application/json\r\n", "{}"),
    ] {
        let (error, server) = fail_at(answer("403 Forbidden", headers, body)).await;
        assert_eq!(
            error.to_string(),
            format!("{server}/x refused the request (403 Forbidden)")
        );
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = Peer::new([answer("200 OK", "", "1")]).await;
    let location = format!("location: http://{}/y?token=s3cret\r\n", other.address);
    let (error, server) = fail_at(answer("302 Found", &location, "")).await;
    let target = format!("http://{}", other.address);
    assert!(
        error
            .to_string()
            .starts_with(&format!("{server}/x redirects (302 Found) to {target}; ")),
        "{error}"
    );
    assert_eq!(other.seen().len(), 0);
    let (error, _) = fail_at(answer("301 Moved Permanently", "location: /y\r\n", "")).await;
    assert!(
        error.to_string().contains("another path of the same server, /y"),
        "{error}"
    );
    let (error, _) = fail_at(answer("307 Temporary Redirect", "", "")).await;
    assert!(error.to_string().contains("to nowhere"), "{error}");
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_at_once() {
    let peer = Peer::new([Turn::Close]).await;
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let with = |change: &dyn Fn(&mut ClientSettings)| {
        let mut settings = peer.settings();
        change(&mut settings);
        Client::new(settings).unwrap_err()
    };
    let error = with(&|settings| settings.api_key = Some(Secret::new("hunter2\n").into()));
    assert!(matches!(error, SetupError::Header { name: "api_key" }));
    assert!(!format!("{error} {error:?}").contains("hunter2"));
    let error = with(&|settings| settings.ca_file = Some(dir.join("no-such-file")));
    assert!(matches!(error, SetupError::CaFile { .. }), "{error:?}");
    let error = with(&|settings| settings.ca_file = Some(dir.join("Cargo.toml")));
    assert!(matches!(error, SetupError::NoCertificate { .. }), "{error:?}");
}
