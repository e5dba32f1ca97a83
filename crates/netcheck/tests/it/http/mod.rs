//! Requests to servers, good and bad.
mod failures;
mod redirects;
mod secured;

use crate::serve::{BOTH, Site, beside, drain, head, listen, mutual_tls, says, tls};
use http_body_util::Full;
use hyper::{Request, Response};
use netcheck::{
    FailureKind,
    http::{BodyCheck, Bytes, HeaderCheck, HttpOptions, HttpReport, HttpVersion, Method, check},
    tls::{ClientIdentity, FindingKind, Roots, SessionOptions},
};
use proptest::prelude::*;
use std::{fs, time::Duration};
use testkit::{CertificateAuthority, Validity};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::Notify,
};

const NAMES: &[&str] = &["a.example", "127.0.0.1"];

fn kind(report: &HttpReport) -> Option<FailureKind> {
    report.failure.as_ref().map(|failure| failure.kind)
}

fn detail(report: &HttpReport) -> &str {
    &report.failure.as_ref().expect("a failure").detail
}

fn text(body: &'static str) -> Response<Full<Bytes>> {
    Response::new(Full::new(Bytes::from_static(body.as_bytes())))
}

fn sent_to(status: u16, location: &str) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .header("location", location)
        .body(Full::default())
        .unwrap()
}

fn header<'a>(request: &'a Request<Bytes>, name: &str) -> Option<&'a str> {
    request.headers().get(name).map(|value| value.to_str().unwrap())
}

/// Checks a path of a site that speaks HTTP/1.1 without TLS.
async fn at(site: &Site, path: &str, options: &HttpOptions) -> HttpReport {
    let (listener, address) = listen().await;
    let url = format!("http://{address}{path}");
    beside(site.serve(&listener, None, false), check(&url, options)).await
}

/// Checks what answers any request with these bytes, and then ends the connection or not.
async fn answered(bytes: &[u8], ends: bool, options: &HttpOptions) -> HttpReport {
    let (listener, address) = listen().await;
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(bytes).await;
        if ends {
            let _ = stream.shutdown().await;
        }
        drain(&mut stream).await;
    };
    beside(server, check(&address.to_string(), options)).await
}

#[tokio::test]
async fn an_answer_is_told_with_the_time_of_each_step() {
    let site = Site::new(|_| text("all ok\n"));
    let report = at(&site, "/health?deep=1", &HttpOptions::default()).await;
    assert_eq!(report.failure, None, "{report:?}");
    assert_eq!(
        (report.status, report.version, report.method.as_str()),
        (Some(200), Some("HTTP/1.1"), "GET")
    );
    assert_eq!(
        (report.body_bytes, report.body_is_cut, report.content_length),
        (7, false, Some(7))
    );
    let times = report.times;
    assert_eq!((times.dns, times.tls), (None, None));
    let steps = times.connect.unwrap() + times.first_byte.unwrap() + times.body.unwrap();
    assert!(steps <= times.total && times.total <= report.total, "{report:?}");
    assert!(report.body_start.is_none() && report.redirects.is_empty());
    let asked = site.asked();
    assert_eq!(
        (asked.len(), asked[0].uri().to_string()),
        (1, "/health?deep=1".to_owned())
    );
    assert!(header(&asked[0], "user-agent").unwrap().starts_with("netcheck/"));
    assert_eq!(header(&asked[0], "connection"), Some("close"));
    assert!(report.url.contains(header(&asked[0], "host").unwrap()), "{report:?}");
}

#[tokio::test]
async fn method_headers_and_body_are_those_that_were_asked_for() {
    let site = Site::new(|_| text("done"));
    let mut options = HttpOptions {
        method: Method::POST,
        body: Bytes::from_static(b"{}"),
        ..HttpOptions::default()
    };
    options.add_header("content-type", "application/json").unwrap();
    options.add_header("Host", "other.example").unwrap();
    options.add_header("user-agent", "somebody").unwrap();
    assert_eq!(at(&site, "/", &options).await.failure, None);
    let asked = site.asked().remove(0);
    assert_eq!((asked.method(), asked.body().as_ref()), (&Method::POST, &b"{}"[..]));
    for (name, value) in [
        ("content-type", "application/json"),
        ("host", "other.example"),
        ("user-agent", "somebody"),
    ] {
        assert_eq!(header(&asked, name), Some(value));
    }
    let options = HttpOptions {
        method: Method::HEAD,
        ..HttpOptions::default()
    };
    let report = at(&site, "/", &options).await;
    assert_eq!(
        (report.failure, report.content_length, report.body_bytes),
        (None, Some(4), 0)
    );
}

#[tokio::test]
async fn a_password_in_the_url_is_sent_and_is_in_no_report() {
    let site = Site::new(|_| text("hello"));
    let (listener, address) = listen().await;
    let url = format!("http://Aladdin:open%20sesame@{address}/");
    let report = beside(site.serve(&listener, None, false), check(&url, &HttpOptions::default())).await;
    assert_eq!(
        header(&site.asked()[0], "authorization"),
        Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
    );
    assert!(
        report.failure.is_none() && !format!("{report:?}").contains("sesame"),
        "{report:?}"
    );
    let refused = check("http://Aladdin:sesame@a b/", &HttpOptions::default()).await;
    assert_eq!(kind(&refused), Some(FailureKind::Invalid));
    assert!(!format!("{refused:?}").contains("sesame"), "{refused:?}");
}

#[tokio::test]
async fn everything_that_is_not_as_expected_is_told_with_what_the_body_begins_with() {
    let site = Site::new(|_| {
        Response::builder()
            .status(503)
            .header("x-a", "1")
            .body(Full::from("down\u{7} for repair"))
            .unwrap()
    });
    let options = HttpOptions {
        header_checks: vec![HeaderCheck::Equals("x-a".parse().unwrap(), "2".into())],
        body_checks: vec![BodyCheck::Contains("ok".into())],
        ..HttpOptions::default()
    };
    let report = at(&site, "/", &options).await;
    assert_eq!(kind(&report), Some(FailureKind::Unexpected));
    let expected =
        "the status is 503, not one of 200-299; the header `x-a` is `1`, not `2`; the body does not have `ok` in it";
    assert_eq!(detail(&report), expected);
    assert_eq!(report.body_start.as_deref(), Some("down\\u{7} for repair"));
    let options = HttpOptions {
        expected_status: vec!["404".parse().unwrap(), "5xx".parse().unwrap()],
        header_checks: vec![HeaderCheck::Contains("x-a".parse().unwrap(), "1".into())],
        ..HttpOptions::default()
    };
    assert_eq!(at(&site, "/", &options).await.failure, None);
}

fn trusting(authority: &CertificateAuthority) -> HttpOptions {
    HttpOptions {
        tls: SessionOptions {
            system_roots: false,
            extra_roots: Some(Roots::from_pem(&fs::read(authority.file()).unwrap()).unwrap()),
            ..SessionOptions::default()
        },
        ..HttpOptions::default()
    }
}

#[tokio::test]
async fn an_answer_that_is_late_has_its_time_before_the_first_byte() {
    let (listener, address) = listen().await;
    let go = Notify::new();
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        head(&mut stream).await;
        let since = tokio::time::Instant::now();
        go.notified().await;
        let held = since.elapsed();
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        drain(&mut stream).await;
        held
    };
    let url = address.to_string();
    let options = HttpOptions::default();
    // Whoever lets it go sees first that the check waits: it is polled after the check and the server, many times.
    let let_go = async {
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        go.notify_one();
    };
    let (report, held, ()) = tokio::join!(check(&url, &options), server, let_go);
    assert_eq!((report.failure.as_ref(), report.status), (None, Some(204)));
    assert!(report.times.first_byte.unwrap() >= held, "{report:?}");
}

#[tokio::test]
async fn a_report_is_written_with_times_as_numbers_and_headers_as_pairs() {
    let site = Site::new(|_| {
        Response::builder()
            .header("x-a", "1")
            .header("x-a", "2")
            .body(Full::from("hi"))
            .unwrap()
    });
    let json = serde_json::to_value(at(&site, "/", &HttpOptions::default()).await).unwrap();
    assert_eq!(
        (&json["headers"][0], &json["headers"][1]),
        (&serde_json::json!(["x-a", "1"]), &serde_json::json!(["x-a", "2"]))
    );
    assert!(
        json["times"]["first_byte_ms"].is_f64() && json["times"]["tls_ms"].is_null() && json["failure"].is_null(),
        "{json:#}"
    );
    // Nobody was asked about an address.
    assert_eq!(json["times"]["dns_ms"], serde_json::Value::Null);
}

/// A check is moved between threads, and many of them are held at once.
#[test]
fn a_check_is_small_and_may_be_sent_to_another_thread() {
    fn is_send(_: &impl Send) {}
    let options = HttpOptions::default();
    let future = check("http://a.example", &options);
    is_send(&future);
    assert!(size_of_val(&future) < 6_000, "{} bytes", size_of_val(&future));
}

proptest! {
    #[test]
    fn any_place_to_be_sent_to_is_safe_or_refused(
        from in "(http|https)://(a@)?[a-c]{1,3}(:[0-9]{1,5})?/[a-z?#/.]{0,8}",
        to in "((http|https|ftp):)?(//)?(a:b@)?[a-c\\[\\]:.]{0,6}[ -~]{0,10}",
    ) {
        netcheck::http::fuzzing::redirect(format!("{from}\n{to}").as_bytes());
    }
}
