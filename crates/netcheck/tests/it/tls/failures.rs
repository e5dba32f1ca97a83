//! Servers that do not come to a session.
use super::*;
use netcheck::Family;

#[tokio::test]
async fn a_server_that_does_not_speak_tls_is_quoted() {
    for (after_a_word, sent) in [
        (false, "SSH-2.0-OpenSSH_9.6\r\n"),
        (true, "HTTP/1.1 400 Bad Request\r\n\r\n"),
    ] {
        let (listener, address) = listen().await;
        let report = beside(
            says(listener, after_a_word, sent.as_bytes()),
            check(&address.to_string(), &trusting(None)),
        )
        .await;
        assert_eq!(kind(&report), Some(FailureKind::Tls));
        let expected = format!(
            "the server did not speak TLS: it sent `{}",
            sent.split('\r').next().unwrap()
        );
        assert!(detail(&report).starts_with(&expected), "{report:?}");
        assert!(report.connect.is_some() && report.handshake.is_none());
    }
}

#[tokio::test]
async fn alerts_and_versions_that_nobody_speaks_any_more_are_named() {
    // The hello of a server of TLS 1.0: 32 random bytes, no session, one of the suites that were offered, no compression.
    let hello = [
        &[0x16, 3, 1, 0, 42, 2, 0, 0, 38, 3, 1][..],
        &[7; 32],
        &[0, 0xc0, 0x2f, 0],
    ]
    .concat();
    for (sent, expected) in [
        (&[0x15, 3, 3, 0, 2, 2, 0x70][..], "unrecognized_name"),
        (&[0x15, 3, 3, 0, 2, 2, 0x28], "handshake_failure"),
        (&hello, "older than"),
    ] {
        let (listener, address) = listen().await;
        let report = beside(says(listener, true, sent), check(&address.to_string(), &trusting(None))).await;
        assert_eq!(kind(&report), Some(FailureKind::Tls));
        assert!(detail(&report).contains(expected), "{report:?}");
    }
}

#[tokio::test]
async fn one_that_hangs_up_is_told_from_one_that_says_nothing_and_from_one_that_is_not_there() {
    let (listener, address) = listen().await;
    let hangs_up = async {
        drop(listener.accept().await.unwrap());
    };
    let report = beside(hangs_up, check(&address.to_string(), &trusting(None))).await;
    assert_eq!(kind(&report), Some(FailureKind::Closed), "{report:?}");
    let options = TlsOptions {
        handshake_timeout: Some(Duration::from_millis(100)),
        ..trusting(None)
    };
    let report = beside(says(listener, false, b""), check(&address.to_string(), &options)).await;
    assert_eq!(kind(&report), Some(FailureKind::TimedOut));
    assert_eq!(
        detail(&report),
        "no TLS handshake within 100ms: the server said nothing"
    );
    // Nobody else gets the port of a socket that is bound and does not listen.
    let deaf = tokio::net::TcpSocket::new_v4().unwrap();
    deaf.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = deaf.local_addr().unwrap().port();
    for (host, is_asked_about) in [("127.0.0.1", false), ("localhost", true)] {
        let options = TlsOptions {
            family: Family::V4,
            ..options.clone()
        };
        let report = check(&format!("{host}:{port}"), &options).await;
        assert_eq!(kind(&report), Some(FailureKind::Refused), "{report:?}");
        assert!(report.tls.is_none() && report.dns.is_some() == is_asked_about);
    }
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_before_anything_is_sent() {
    for target in ["", "a b", "a:0", "[::1"] {
        assert_eq!(
            kind(&check(target, &TlsOptions::default()).await),
            Some(FailureKind::Invalid),
            "{target}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_a_server_sends_is_a_failure_and_nothing_worse(
        prefix in prop_oneof![Just(vec![]), Just(vec![0x16, 3, 3, 0, 40, 2, 0, 0, 36]), Just(vec![0x15, 3, 3, 0, 2])],
        garbage in proptest::collection::vec(any::<u8>(), 1..400)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let report = runtime.block_on(async {
            let (listener, address) = listen().await;
            let bytes = [prefix, garbage].concat();
            let server = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
                drain(&mut stream).await;
            };
            beside(server, check(&address.to_string(), &trusting(None))).await
        });
        let failure = report.failure.unwrap();
        prop_assert!(matches!(failure.kind, FailureKind::Tls | FailureKind::Closed), "{failure:?}");
        prop_assert!(!failure.detail.contains(char::is_control));
    }
}
