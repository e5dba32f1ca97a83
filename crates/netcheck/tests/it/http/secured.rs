//! Requests over TLS, and over HTTP/2.
use super::*;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

#[tokio::test]
async fn one_connects_elsewhere_and_asks_for_the_same_name() {
    let authority = CertificateAuthority::new().unwrap();
    let certified = authority.server(&["a.example"], Validity::Now).unwrap();
    let site = Site::new(|_| text("hello"));
    let (listener, address) = listen().await;
    let options = HttpOptions {
        connect_to: Some(address),
        ..trusting(&authority)
    };
    let server = site.serve(&listener, Some(tls(&certified, BOTH, &[])), false);
    let report = beside(server, check("https://a.example:444/x", &options)).await;
    assert_eq!(
        (report.failure.as_ref(), report.address),
        (None, Some(address)),
        "{report:?}"
    );
    assert_eq!(header(&site.asked()[0], "host"), Some("a.example:444"));
    assert_eq!(report.tls.unwrap().server_name, "a.example");
}

#[tokio::test]
async fn the_version_is_the_one_that_was_agreed_on() {
    let authority = CertificateAuthority::new().unwrap();
    let certified = authority.server(NAMES, Validity::Now).unwrap();
    let site = Site::new(|request| {
        text(if request.version() == hyper::Version::HTTP_2 {
            "two"
        } else {
            "one"
        })
    });
    let both: &[&str] = &["h2", "http/1.1"];
    for (version, offered, expected) in [
        (HttpVersion::Auto, both, "HTTP/2"),
        (HttpVersion::Auto, &[][..], "HTTP/1.1"),
        (HttpVersion::Http1, both, "HTTP/1.1"),
        (HttpVersion::Http2, both, "HTTP/2"),
    ] {
        let (listener, address) = listen().await;
        let options = HttpOptions {
            version,
            body_checks: vec![BodyCheck::Equals(
                if expected == "HTTP/2" { "two" } else { "one" }.into(),
            )],
            ..trusting(&authority)
        };
        let server = site.serve(&listener, Some(tls(&certified, BOTH, offered)), false);
        let report = beside(server, check(&format!("https://{address}/x"), &options)).await;
        assert_eq!(
            (report.failure.as_ref(), report.version),
            (None, Some(expected)),
            "{report:?}"
        );
        assert!(report.times.tls.is_some() && report.times.first_byte.is_some());
        let session = report.tls.unwrap();
        assert!(session.days_left > Some(20_000) && session.is_trusted == Some(true));
    }
    let (listener, address) = listen().await;
    let options = HttpOptions {
        version: HttpVersion::Http2,
        ..trusting(&authority)
    };
    let server = site.serve(&listener, Some(tls(&certified, BOTH, &[])), false);
    let report = beside(server, check(&format!("https://{address}/"), &options)).await;
    assert!(detail(&report).contains("does not speak HTTP/2"), "{report:?}");
}

#[tokio::test]
async fn http2_is_spoken_without_asking_and_one_that_does_not_is_named() {
    let site = Site::new(|_| Response::new(Full::from("x".repeat(200_000))));
    let (listener, address) = listen().await;
    let options = HttpOptions {
        version: HttpVersion::Http2,
        ..HttpOptions::default()
    };
    let mut with_host = options.clone();
    with_host.add_header("host", "other.example").unwrap();
    let url = format!("http://{address}/x?y");
    let report = beside(site.serve(&listener, None, true), check(&url, &with_host)).await;
    assert_eq!(
        (report.failure.as_ref(), report.version, report.body_bytes),
        (None, Some("HTTP/2"), 200_000)
    );
    assert_eq!(site.asked()[0].uri(), "http://other.example/x?y");
    let report = answered(b"HTTP/1.1 400 Bad Request\r\n\r\n", true, &options).await;
    assert_eq!(kind(&report), Some(FailureKind::Protocol));
    assert!(
        detail(&report).starts_with("the server did not speak HTTP/2: it sent `HTTP/1.1 400"),
        "{report:?}"
    );
    let report = answered(b"", true, &options).await;
    assert_eq!(kind(&report), Some(FailureKind::Closed), "{report:?}");
}

#[tokio::test]
async fn nothing_is_sent_to_a_server_that_is_not_to_be_trusted_unless_that_is_allowed() {
    let authority = CertificateAuthority::new().unwrap();
    let certified = authority.server(&["b.example"], Validity::Ended).unwrap();
    let site = Site::new(|_| text("hello"));
    let mut options = trusting(&authority);
    let one = async |options: &HttpOptions| {
        let (listener, address) = listen().await;
        let server = site.serve(&listener, Some(tls(&certified, BOTH, &[])), false);
        beside(server, check(&format!("https://{address}/"), options)).await
    };
    let refused = one(&options).await;
    assert_eq!((kind(&refused), refused.status), (Some(FailureKind::Certificate), None));
    assert!(
        detail(&refused).contains("ended on 2002-01-01") && detail(&refused).contains("holds for b.example"),
        "{refused:?}"
    );
    assert!(refused.times.tls.is_some() && site.asked().is_empty());
    options.accept_invalid_certificates = true;
    let ended = one(&options).await;
    assert_eq!(
        (kind(&ended), ended.status),
        (Some(FailureKind::Certificate), Some(200))
    );
    assert!(!detail(&ended).contains("b.example"), "of its end alone: {ended:?}");
    options.expires_within = Duration::ZERO;
    let accepted = one(&options).await;
    assert_eq!((accepted.failure.as_ref(), accepted.status), (None, Some(200)));
    let findings = accepted.tls.unwrap().findings;
    assert_eq!(
        findings.iter().map(|finding| finding.kind).collect::<Vec<_>>(),
        [FindingKind::Expired, FindingKind::WrongName]
    );
}

#[tokio::test]
async fn a_certificate_that_ends_soon_is_a_failure_and_the_server_is_asked_all_the_same() {
    let authority = CertificateAuthority::new().unwrap();
    let certified = authority.server(NAMES, Validity::Now).unwrap();
    let site = Site::new(|_| text("hello"));
    let (listener, address) = listen().await;
    // Also where nobody asks who issued it.
    for accept_invalid_certificates in [false, true] {
        let options = HttpOptions {
            expires_within: Duration::MAX,
            accept_invalid_certificates,
            ..trusting(&authority)
        };
        let server = site.serve(&listener, Some(tls(&certified, BOTH, &[])), false);
        let report = beside(server, check(&format!("https://{address}/"), &options)).await;
        assert_eq!(
            (kind(&report), report.status),
            (Some(FailureKind::Certificate), Some(200))
        );
        assert!(detail(&report).contains("(2090-01-01)"), "{report:?}");
    }
}

#[tokio::test]
async fn two_weeks_are_soon_unless_something_else_is_said() {
    let authority = CertificateAuthority::new().unwrap();
    let certified = authority.server(NAMES, Validity::EndsSoon).unwrap();
    let site = Site::new(|_| text("hello"));
    let (listener, address) = listen().await;
    let five_days = Duration::from_secs(5 * 86_400);
    for (expires_within, expected) in [
        (None, Some(FailureKind::Certificate)),
        (Some(five_days / 2), None),
        (Some(Duration::ZERO), None),
    ] {
        let mut options = trusting(&authority);
        options.expires_within = expires_within.unwrap_or(options.expires_within);
        let server = site.serve(&listener, Some(tls(&certified, BOTH, &[])), false);
        let report = beside(server, check(&format!("https://{address}/"), &options)).await;
        assert_eq!((kind(&report), report.status), (expected, Some(200)), "{report:?}");
        assert!(
            report
                .tls
                .unwrap()
                .days_left
                .is_some_and(|days| (4..=5).contains(&days))
        );
    }
}

#[tokio::test]
async fn a_server_that_wants_to_know_who_asks_refuses_by_name() {
    let authority = CertificateAuthority::new().unwrap();
    let certified = authority.server(NAMES, Validity::Now).unwrap();
    let site = Site::new(|_| text("hello"));
    let mut options = trusting(&authority);
    let one = async |options: &HttpOptions| {
        let (listener, address) = listen().await;
        let server = site.serve(&listener, Some(mutual_tls(&authority, &certified, BOTH)), false);
        beside(server, check(&format!("https://{address}/"), options)).await
    };
    let refused = one(&options).await;
    assert_eq!(kind(&refused), Some(FailureKind::Tls));
    assert!(detail(&refused).contains("certificate_required"), "{refused:?}");
    let client = authority.client("a client").unwrap();
    let (certificate, key) = (fs::read(client.certificate).unwrap(), fs::read(client.key).unwrap());
    options.tls.identity = Some(ClientIdentity::from_pem(&certificate, &key).unwrap());
    assert_eq!(one(&options).await.failure, None);
}

#[tokio::test]
async fn a_head_that_is_too_long_in_http2_is_a_failure_that_says_so() {
    let options = HttpOptions {
        version: HttpVersion::Http2,
        max_head: 4_096,
        ..HttpOptions::default()
    };
    for (size, expected) in [
        (3_000, None),
        (4_200, Some(FailureKind::TooLarge)),
        (8_100, Some(FailureKind::TooLarge)),
        (12_000, Some(FailureKind::TooLarge)),
        (40_000, Some(FailureKind::TooLarge)),
    ] {
        let head = move || {
            Response::builder()
                .header("x-a", "x".repeat(size))
                .body(Full::default())
                .unwrap()
        };
        let site = Site::new(move |_| head());
        let (listener, address) = listen().await;
        let report = beside(site.serve(&listener, None, true), check(&address.to_string(), &options)).await;
        assert_eq!(kind(&report), expected, "{report:?}");
        let is_said = |failure: &netcheck::Failure| failure.detail.contains("more than 4096 bytes");
        assert!(report.failure.as_ref().is_none_or(is_said), "{report:?}");
    }
}

#[tokio::test]
async fn a_head_that_is_wrong_in_http2_is_not_called_too_long() {
    let (listener, address) = listen().await;
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_exact(&mut [0; 24]).await.unwrap();
        // The settings of a server, and after the head of the request a head with a field that HTTP/2 does not have:
        // `:status: 200`, `connection: close`.
        stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        loop {
            let mut frame = [0; 9];
            stream.read_exact(&mut frame).await.unwrap();
            let length = u32::from_be_bytes([0, frame[0], frame[1], frame[2]]);
            stream.read_exact(&mut vec![0; length as usize]).await.unwrap();
            if frame[3] == 1 {
                break;
            }
        }
        let block = [&b"\x88\x00\x0aconnection\x05close"[..]].concat();
        let head = [0, 0, block.len() as u8, 1, 5, 0, 0, 0, 1];
        stream.write_all(&[&head[..], &block].concat()).await.unwrap();
        drain(&mut stream).await;
    };
    let options = HttpOptions {
        version: HttpVersion::Http2,
        ..HttpOptions::default()
    };
    let report = beside(server, check(&address.to_string(), &options)).await;
    assert_eq!(kind(&report), Some(FailureKind::Protocol), "{report:?}");
    assert!(
        detail(&report).starts_with("the answer in HTTP/2 broke off"),
        "{report:?}"
    );
}

#[tokio::test]
async fn a_server_of_tls_is_told_that_nothing_more_comes() {
    let authority = CertificateAuthority::new().unwrap();
    let certified = authority.server(NAMES, Validity::Now).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(tls(&certified, BOTH, &[])));
    let (listener, address) = listen().await;
    let left = async {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        head(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")
            .await
            .unwrap();
        // Without a goodbye, this is an error.
        stream.read(&mut [0; 16]).await
    };
    let (options, url) = (trusting(&authority), format!("https://{address}/"));
    let (report, left) = tokio::join!(check(&url, &options), left);
    assert_eq!((report.failure, left.unwrap()), (None, 0));
}
