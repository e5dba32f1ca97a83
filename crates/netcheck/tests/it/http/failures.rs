//! Servers that do not answer, or not as they should.
use super::*;

#[tokio::test]
async fn the_step_that_takes_too_long_is_named() {
    let soon = Duration::from_millis(100);
    let first_byte = HttpOptions {
        first_byte_timeout: Some(soon),
        ..HttpOptions::default()
    };
    let silent = answered(b"", false, &first_byte).await;
    assert_eq!(
        (kind(&silent), detail(&silent)),
        (Some(FailureKind::TimedOut), "no first byte within 100ms")
    );
    assert!(silent.times.connect.is_some() && silent.times.first_byte.is_none());
    let handshake = HttpOptions {
        handshake_timeout: Some(soon),
        ..HttpOptions::default()
    };
    let (listener, address) = listen().await;
    let report = beside(
        says(listener, false, b""),
        check(&format!("https://{address}/"), &handshake),
    )
    .await;
    assert_eq!(
        detail(&report),
        "no TLS handshake within 100ms: the server said nothing"
    );
}

/// A time-out that is long enough for what is sent at once to come, on this machine and now; what never comes it waits for.
async fn too_late(bytes: &[u8], came: &str, options: impl Fn(Duration) -> HttpOptions) -> (HttpReport, Duration) {
    for millis in [100, 1_000, 20_000] {
        let time = Duration::from_millis(millis);
        let report = answered(bytes, false, &options(time)).await;
        if detail(&report).contains(came) {
            return (report, time);
        }
    }
    panic!("what was sent at once did not come");
}

#[tokio::test]
async fn an_answer_that_stops_in_the_middle_is_told_with_how_much_of_it_came() {
    let first_byte = |time| HttpOptions {
        first_byte_timeout: Some(time),
        ..HttpOptions::default()
    };
    let (report, time) = too_late(b"HTTP/1.1 200", "12 bytes", first_byte).await;
    let expected = format!("the head of the answer was not complete within {time:?}: 12 bytes had come");
    assert_eq!(
        (kind(&report), detail(&report)),
        (Some(FailureKind::TimedOut), expected.as_str())
    );
    let whole = |timeout| HttpOptions {
        timeout,
        ..HttpOptions::default()
    };
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf";
    let (report, time) = too_late(half, "4 bytes", whole).await;
    let expected = format!("the body was not complete within {time:?} since the check began: 4 bytes had come");
    assert_eq!(
        (kind(&report), detail(&report)),
        (Some(FailureKind::TimedOut), expected.as_str())
    );
    assert_eq!((report.status, report.body_bytes), (Some(200), 4));
}

#[tokio::test]
async fn a_body_without_an_end_is_cut_and_is_a_failure_only_where_the_rest_matters() {
    let endless = |listener: TcpListener| async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        while stream.write_all(&[b'x'; 16 * 1024]).await.is_ok() {}
    };
    let one = async |body_checks: Vec<BodyCheck>| {
        let (listener, address) = listen().await;
        let options = HttpOptions {
            max_body: 100_000,
            body_checks,
            ..HttpOptions::default()
        };
        beside(endless(listener), check(&address.to_string(), &options)).await
    };
    let report = one(vec![]).await;
    assert_eq!(
        (report.failure, report.body_bytes, report.body_is_cut),
        (None, 100_000, true)
    );
    let report = one(vec![BodyCheck::Contains("xxx".into())]).await;
    assert_eq!(report.failure, None);
    let report = one(vec![BodyCheck::Contains("y".into())]).await;
    assert_eq!(kind(&report), Some(FailureKind::TooLarge), "{report:?}");
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let options = HttpOptions {
        max_head: 16 * 1024,
        ..HttpOptions::default()
    };
    let long = format!("HTTP/1.1 200 OK\r\nx-a: {}\r\n\r\n", "x".repeat(20_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x-a: 1\r\n".repeat(200));
    let unfinished = format!("HTTP/1.1 200 OK\r\nx-a: {}", "x".repeat(100_000));
    for head in [long, many, unfinished] {
        let report = answered(head.as_bytes(), false, &options).await;
        assert_eq!(kind(&report), Some(FailureKind::TooLarge), "{report:?}");
        assert!(detail(&report).contains("16384 bytes"), "{report:?}");
    }
    let right = format!(
        "HTTP/1.1 200 OK\r\nx-a: {}\r\ncontent-length: 0\r\n\r\n",
        "x".repeat(12_000)
    );
    assert_eq!(answered(right.as_bytes(), false, &options).await.failure, None);
}

#[tokio::test]
async fn a_server_that_does_not_speak_http_is_quoted() {
    let options = HttpOptions::default();
    let report = answered(b"SSH-2.0-OpenSSH_9.6\r\n", false, &options).await;
    assert_eq!(kind(&report), Some(FailureKind::Protocol));
    assert_eq!(
        detail(&report),
        "the server did not speak HTTP: it sent `SSH-2.0-OpenSSH_9.6\\r\\n`"
    );
    let report = answered(&[0x15, 3, 1, 0, 2, 2, 0x46], false, &options).await;
    assert_eq!(detail(&report), "the server speaks TLS here: ask for https");
    let report = answered(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", false, &options).await;
    assert!(
        detail(&report).starts_with("the head of the answer cannot be understood"),
        "{report:?}"
    );
    for (sent, expected) in [
        (&b""[..], "the server ended the connection without an answer"),
        (
            b"HTTP/1.1 200",
            "the server ended the connection in the middle of the head, after 12 bytes",
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
            "the server ended the connection in the middle of the body",
        ),
    ] {
        let report = answered(sent, true, &options).await;
        assert_eq!((kind(&report), detail(&report)), (Some(FailureKind::Closed), expected));
    }
}

fn run(bytes: &[u8], version: HttpVersion) -> HttpReport {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let options = HttpOptions {
        version,
        max_redirects: 0,
        ..HttpOptions::default()
    };
    runtime.block_on(answered(bytes, true, &options))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_a_server_sends_is_an_answer_or_a_failure_and_nothing_worse(
        is_http2 in any::<bool>(),
        prefix in prop::sample::select(vec![
            &b""[..],
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            &[0, 0, 0, 4, 0, 0, 0, 0, 0],
        ]),
        garbage in proptest::collection::vec(any::<u8>(), 0..300)
    ) {
        let version = if is_http2 { HttpVersion::Http2 } else { HttpVersion::Http1 };
        let report = run(&[prefix, &garbage].concat(), version);
        prop_assert!(report.status.is_some() || report.failure.is_some());
        if let Some(failure) = report.failure {
            prop_assert!(!failure.kind.is_own(), "{failure:?}");
            prop_assert!(!failure.detail.contains(char::is_control), "{failure:?}");
        }
    }
}

#[tokio::test]
async fn a_check_that_is_given_up_leaves_no_connection_behind() {
    let (listener, address) = listen().await;
    let (options, url) = (HttpOptions::default(), address.to_string());
    let asked = Notify::new();
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        head(&mut stream).await;
        asked.notify_one();
        drain(&mut stream).await;
    };
    let given_up = async {
        tokio::select! {
            report = check(&url, &options) => panic!("nobody answered: {report:?}"),
            () = asked.notified() => {}
        }
    };
    // The server ends only when it sees that the connection is gone.
    let both = async { tokio::join!(server, given_up) };
    tokio::time::timeout(testkit::GUARD, both)
        .await
        .expect("the server sees the end");
}

#[test]
fn a_check_begins_no_task_also_in_http2() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let own = runtime();
    let handle = own.handle().clone();
    let site = Site::new(move |_| {
        let tasks = handle.metrics().num_alive_tasks();
        Response::new(Full::from(format!("{tasks} tasks")))
    });
    for (version, is_http2) in [(HttpVersion::Http1, false), (HttpVersion::Http2, true)] {
        let (listener, address) = runtime().block_on(async {
            let (listener, address) = listen().await;
            (listener.into_std().unwrap(), address)
        });
        let (ended, mut end) = tokio::sync::oneshot::channel::<()>();
        let site = site.clone();
        let server = std::thread::spawn(move || {
            runtime().block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    () = site.serve(&listener, None, is_http2) => {}
                    _ = &mut end => {}
                }
            });
        });
        let options = HttpOptions {
            version,
            body_checks: vec![BodyCheck::Equals("0 tasks".into())],
            ..HttpOptions::default()
        };
        let report = own.block_on(check(&format!("http://{address}/"), &options));
        drop(ended);
        server.join().unwrap();
        assert_eq!(report.failure, None, "{report:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_refused_before_anything_is_sent() {
    let options = HttpOptions {
        method: Method::CONNECT,
        ..HttpOptions::default()
    };
    let report = check("http://127.0.0.1:9/", &options).await;
    assert_eq!(
        (kind(&report), report.times.connect),
        (Some(FailureKind::Invalid), None)
    );
    for target in ["", "ftp://a.example/", "http://"] {
        let report = check(target, &HttpOptions::default()).await;
        assert_eq!(
            (kind(&report), report.url.as_str()),
            (Some(FailureKind::Invalid), target)
        );
    }
}
