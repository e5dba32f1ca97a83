//! A clamd that is not there, ends, hangs or is busy.
use crate::{clamd, file, folder, guarded, patient, unix};
use clamd_proto::{ClamError, Daemon, Endpoint, ErrorKind, Request, Session, SessionOptions, Timeouts};
use std::{os::unix::net::UnixListener, sync::Arc, time::Duration};
use testkit::{Clamd, ClamdOptions};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

/// Some time that surely passes in silence.
const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn each_failure_to_connect_has_its_own_error_and_a_remedy() {
    let folder = folder();
    let path = folder.path().join("clamd.sock");
    let ping = |path: &std::path::Path| {
        let daemon = Daemon::new(Endpoint::Unix(path.to_owned()));
        async move { daemon.ping().await.unwrap_err() }
    };
    let none = ping(&path).await;
    assert!(
        matches!(none, ClamError::NoSocket { .. }) && none.to_string().contains("start clamd"),
        "{none}"
    );
    drop(UnixListener::bind(&path).unwrap());
    let refused = ping(&path).await;
    assert!(
        matches!(refused, ClamError::Refused { .. }) && refused.to_string().contains("start clamd"),
        "{refused}"
    );
    assert_eq!((none.kind(), refused.kind()), (ErrorKind::Down, ErrorKind::Down));
    let port = testkit::free_loopback_port().unwrap();
    let tcp = Daemon::new(Endpoint::Tcp {
        host: "127.0.0.1".to_owned(),
        port,
    })
    .ping()
    .await
    .unwrap_err();
    assert!(matches!(tcp, ClamError::Refused { .. }), "{tcp}");
}

#[tokio::test]
async fn a_killed_clamd_leaves_no_request_without_an_outcome() {
    let mut clamd = clamd();
    let mut session = Session::open(
        &unix(&clamd),
        SessionOptions {
            window: 2000,
            ..patient()
        },
    )
    .await
    .unwrap();
    // Large enough that not all are scanned at once.
    let large = file(&vec![b'x'; 1 << 20]);
    let mut sent = 0;
    while sent < 2000 && session.submit(sent, Request::File(Arc::clone(&large))).is_ok() {
        sent += 1;
    }
    let (_, first) = guarded(session.next()).await.unwrap();
    first.unwrap();
    clamd.kill_hard().unwrap();
    let (mut verdicts, mut lost) = (1, 0);
    while let Some((_, outcome)) = guarded(session.next()).await {
        match outcome {
            Ok(_) => verdicts += 1,
            Err(error) => {
                assert!(matches!(error, ClamError::Lost { .. }) && error.is_passing(), "{error}");
                lost += 1;
            }
        }
    }
    assert_eq!(verdicts + lost, sent);
    assert!(!session.is_open());
    let gone = Session::<()>::open(&unix(&clamd), patient()).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::Down);
}

#[tokio::test]
async fn a_clamd_whose_connections_are_all_taken_is_busy() {
    let clamd = Clamd::start(ClamdOptions {
        max_threads: 1,
        max_queue: 2,
        ..ClamdOptions::default()
    })
    .unwrap();
    let mut idle = Vec::new();
    for _ in 0..20 {
        let mut stream = UnixStream::connect(clamd.socket()).await.unwrap();
        stream.write_all(b"zIDSESSION\0").await.unwrap();
        idle.push(stream);
    }
    let timeouts = Timeouts {
        answer: SHORT,
        ..Timeouts::default()
    };
    let error = Daemon::new(unix(&clamd)).timeouts(timeouts).ping().await.unwrap_err();
    assert!(
        matches!(error, ClamError::Busy { .. }) && error.to_string().contains("MaxQueue"),
        "{error}"
    );
    drop(idle);
    let patient = Timeouts {
        answer: testkit::GUARD,
        ..Timeouts::default()
    };
    Daemon::new(unix(&clamd)).timeouts(patient).ping().await.unwrap();
}

#[tokio::test]
async fn a_session_that_clamd_gave_up_says_so_to_the_next_request() {
    let clamd = Clamd::start(ClamdOptions {
        read_timeout: 1,
        command_read_timeout: 1,
        ..ClamdOptions::default()
    })
    .unwrap();
    let mut session = Session::open(&unix(&clamd), patient()).await.unwrap();
    // Another that was silent for as long, and began later, has been ended.
    let mut other = UnixStream::connect(clamd.socket()).await.unwrap();
    other.write_all(b"zIDSESSION\0").await.unwrap();
    let mut words = Vec::new();
    guarded(other.read_to_end(&mut words)).await.unwrap();
    assert_eq!(words, b"COMMAND READ TIMED OUT\n");
    session.submit(1, Request::File(file(b"nothing"))).unwrap();
    let (_, outcome) = guarded(session.next()).await.unwrap();
    match outcome {
        Err(ClamError::Lost { said: Some(said), .. }) => assert_eq!(said, "COMMAND READ TIMED OUT"),
        other => panic!("{other:?}"),
    }
}

/// A server that takes everything and says nothing, or what it is told to.
async fn silent(folder: &std::path::Path, says: &'static [u8]) -> (Endpoint, impl Future<Output = ()>) {
    let path = folder.join("silent.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let serve = async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(says).await.unwrap();
            stream.read_to_end(&mut Vec::new()).await.ok();
        }
    };
    (Endpoint::Unix(path), serve)
}

#[tokio::test]
async fn a_clamd_that_hangs_ends_in_a_timeout_for_each_request_and_takes_no_more() {
    let folder = folder();
    let (endpoint, serve) = silent(folder.path(), b"").await;
    let asks = async {
        let options = SessionOptions {
            reply: SHORT,
            ..patient()
        };
        let mut session = Session::open(&endpoint, options).await.unwrap();
        for tag in 0..3 {
            session.submit(tag, Request::File(file(b"nothing"))).unwrap();
        }
        let mut tags = Vec::new();
        while let Some((tag, outcome)) = guarded(session.next()).await {
            let error = outcome.unwrap_err();
            assert!(
                matches!(error, ClamError::TimedOut { after, .. } if after == SHORT),
                "{error}"
            );
            tags.push(tag);
        }
        assert_eq!(tags, [0, 1, 2]);
        assert!(!session.is_open());
    };
    tokio::select! {
        () = asks => {}
        () = serve => {}
    }
}

#[tokio::test]
async fn replies_that_clamd_never_sends_are_errors() {
    for says in [
        &b"9: fd[3]: OK\0"[..],
        b"1: stream: OK\0",
        b"hello\0",
        b"1: fd[3]: \0",
        b"HTTP/1.1 400 Bad Request\r\n\r\n\0",
    ] {
        let folder = folder();
        let (endpoint, serve) = silent(folder.path(), says).await;
        let asks = async {
            let mut session = Session::open(&endpoint, patient()).await.unwrap();
            let error = crate::one(&mut session, Request::File(file(b"nothing")))
                .await
                .unwrap_err();
            assert!(matches!(error, ClamError::Reply(_)), "{}: {error}", says.escape_ascii());
            assert!(!session.is_open());
        };
        tokio::select! {
            () = asks => {}
            () = serve => {}
        }
    }
}

#[tokio::test]
async fn words_about_the_connection_are_told_to_all_of_a_session_and_can_be_asked_again() {
    let says = b"2: PROTOCOL ERROR: ancillary data sent without FILDES. ERROR\x002: Error processing command. ERROR\0";
    let folder = folder();
    let (endpoint, serve) = silent(folder.path(), says).await;
    let asks = async {
        let mut session = Session::open(&endpoint, patient()).await.unwrap();
        session.submit(1, Request::File(file(b"nothing"))).unwrap();
        session.submit(2, Request::File(file(b"nothing"))).unwrap();
        for expected in [1, 2] {
            let (tag, outcome) = guarded(session.next()).await.unwrap();
            let error = outcome.unwrap_err();
            assert!(
                error.is_passing() && error.to_string().contains("PROTOCOL ERROR"),
                "{error}"
            );
            assert_eq!(tag, expected);
        }
    };
    tokio::select! {
        () = asks => {}
        () = serve => {}
    }
}
