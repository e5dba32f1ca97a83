//! Answers that send elsewhere.
use super::*;

#[tokio::test]
async fn redirects_are_followed_and_each_is_listed() {
    let site = Site::new(|request| match request.uri().path() {
        "/a" => sent_to(301, "/b?x"),
        "/b" => sent_to(307, "c"),
        _ => text("there"),
    });
    let report = at(&site, "/a", &HttpOptions::default()).await;
    assert_eq!(
        (report.failure.as_ref(), report.status, report.body_bytes),
        (None, Some(200), 5)
    );
    let hops: Vec<_> = report
        .redirects
        .iter()
        .map(|hop| (hop.status, hop.url.rsplit('/').next().unwrap()))
        .collect();
    assert_eq!(hops, [(301, "a"), (307, "b?x")]);
    assert!(report.url.ends_with("/c") && report.redirects.iter().all(|hop| hop.times.first_byte.is_some()));
    assert!(report.redirects.iter().map(|hop| hop.times.total).sum::<Duration>() + report.times.total <= report.total);
    let options = HttpOptions {
        max_redirects: 0,
        ..HttpOptions::default()
    };
    let unfollowed = at(&site, "/a", &options).await;
    assert_eq!(
        (kind(&unfollowed), unfollowed.status),
        (Some(FailureKind::Unexpected), Some(301))
    );
    assert_eq!(unfollowed.headers["location"], "/b?x");
}

#[tokio::test]
async fn redirects_that_go_in_a_circle_or_never_end_are_named() {
    let site = Site::new(|request| match request.uri().path() {
        "/a" => sent_to(302, "/b"),
        "/b" => sent_to(302, "/a"),
        other => sent_to(302, &format!("{other}x")),
    });
    let circle = at(&site, "/a", &HttpOptions::default()).await;
    assert_eq!(kind(&circle), Some(FailureKind::Unexpected));
    assert!(
        detail(&circle).starts_with("the redirects go in a circle: http://"),
        "{circle:?}"
    );
    assert!(
        detail(&circle).ends_with("/a") && circle.redirects.len() == 2,
        "{circle:?}"
    );
    site.asked();
    let endless = at(
        &site,
        "/x",
        &HttpOptions {
            max_redirects: 3,
            ..HttpOptions::default()
        },
    )
    .await;
    assert!(detail(&endless).starts_with("more than 3 redirects"), "{endless:?}");
    assert_eq!(site.asked().len(), 4);
}

#[tokio::test]
async fn who_asks_is_not_told_to_another_place() {
    let (other_listener, other_address) = listen().await;
    let other = Site::new(|_| text("hello"));
    let site = Site::new(move |request| match request.uri().path() {
        "/a" => sent_to(302, "/b"),
        _ => sent_to(302, &format!("http://{other_address}/")),
    });
    let mut options = HttpOptions {
        method: Method::POST,
        body: Bytes::from_static(b"secret"),
        ..HttpOptions::default()
    };
    options.set_bearer_auth("secret").unwrap();
    options.add_header("cookie", "secret").unwrap();
    options.add_header("x-kept", "1").unwrap();
    let report = tokio::select! {
        report = at(&site, "/a", &options) => report,
        () = other.serve(&other_listener, None, false) => unreachable!("it serves for ever"),
    };
    assert_eq!(report.failure, None, "{report:?}");
    let asked = site.asked();
    assert_eq!(
        asked
            .iter()
            .map(|request| header(request, "authorization"))
            .collect::<Vec<_>>(),
        [Some("Bearer secret"); 2]
    );
    assert_eq!(
        (asked[0].method(), asked[1].method(), asked[1].body().len()),
        (&Method::POST, &Method::GET, 0)
    );
    let there = other.asked().remove(0);
    assert_eq!(
        (
            header(&there, "authorization"),
            header(&there, "cookie"),
            header(&there, "x-kept")
        ),
        (None, None, Some("1"))
    );
    assert!(!format!("{there:?}").contains("secret"), "{there:?}");
}

#[tokio::test]
async fn https_is_not_left_for_http() {
    let authority = CertificateAuthority::new().unwrap();
    let certified = authority.server(NAMES, Validity::Now).unwrap();
    let (plain_listener, plain_address) = listen().await;
    let plain = Site::new(|_| text("hello"));
    let site = Site::new(move |_| sent_to(302, &format!("http://{plain_address}/")));
    let mut options = trusting(&authority);
    let one = async |options: &HttpOptions| {
        let (listener, address) = listen().await;
        let servers = async {
            let server = site.serve(&listener, Some(tls(&certified, BOTH, &[])), false);
            tokio::join!(server, plain.serve(&plain_listener, None, false));
        };
        beside(servers, check(&format!("https://{address}/"), options)).await
    };
    let refused = one(&options).await;
    assert_eq!(
        (kind(&refused), refused.status),
        (Some(FailureKind::Unexpected), Some(302))
    );
    assert!(detail(&refused).contains("from https to"), "{refused:?}");
    assert!(plain.asked().is_empty());
    options.allow_downgrade = true;
    let allowed = one(&options).await;
    assert_eq!(
        (allowed.failure.as_ref(), allowed.tls.is_none()),
        (None, true),
        "{allowed:?}"
    );
}

#[tokio::test]
async fn what_is_set_for_the_first_host_is_not_for_another() {
    let authority = CertificateAuthority::new().unwrap();
    let first = authority.server(&["a.example"], Validity::Now).unwrap();
    let other = authority.server(NAMES, Validity::Now).unwrap();
    let (other_listener, other_address) = listen().await;
    let site = Site::new(move |_| sent_to(302, &format!("https://{other_address}/")));
    let other_site = Site::new(|_| text("there"));
    let (listener, address) = listen().await;
    let mut options = HttpOptions {
        connect_to: Some(address),
        ..trusting(&authority)
    };
    options.tls.server_name = Some("a.example".into());
    let client = authority.client("a client").unwrap();
    let (certificate, key) = (fs::read(client.certificate).unwrap(), fs::read(client.key).unwrap());
    options.tls.identity = Some(ClientIdentity::from_pem(&certificate, &key).unwrap());
    let servers = async {
        let first = site.serve(&listener, Some(mutual_tls(&authority, &first, BOTH)), false);
        let other = other_site.serve(&other_listener, Some(mutual_tls(&authority, &other, BOTH)), false);
        tokio::join!(first, other);
    };
    let report = beside(servers, check("https://b.example/", &options)).await;
    assert_eq!(
        (report.redirects.len(), report.address),
        (1, Some(other_address)),
        "{report:?}"
    );
    assert!(
        detail(&report).contains("certificate_required"),
        "who asks is not shown there: {report:?}"
    );
    let session = report.tls.unwrap();
    assert_eq!(
        (session.server_name.as_str(), session.has_name),
        ("127.0.0.1", Some(true))
    );
}
