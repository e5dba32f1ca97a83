//! Requests over HTTP/1.1 and HTTP/2, with and without TLS, and whether what is answered is what was expected.
//!
//! Every check is a connection of its own: that is what is measured, each step apart. It runs in the future of whoever
//! calls it, and leaves nothing behind when that is dropped.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use netcheck::http::{self, BodyCheck, HttpOptions};
//! # use std::io::{Read, Write};
//! # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! # let url = format!("http://{}/health", listener.local_addr()?);
//! # let server = std::thread::spawn(move || {
//! #     let (mut stream, _) = listener.accept()?;
//! #     stream.read(&mut [0; 1024])?;
//! #     stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nall ok\n")
//! # });
//!
//! let options = HttpOptions {
//!     body_checks: vec![BodyCheck::Contains("ok".into())],
//!     ..HttpOptions::default()
//! };
//! let report = http::check(&url, &options).await;
//! assert!(report.failure.is_none(), "{report:?}");
//! println!("{} in {:?}, first byte after {:?}", report.url, report.total, report.times.first_byte);
//! # server.join().unwrap()?;
//! # Ok::<(), std::io::Error>(()) }).unwrap();
//! ```
mod driver;
mod error;
mod exchange;
mod expect;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod options;
mod redirect;
mod report;
mod request;

pub use expect::{BodyCheck, HeaderCheck, StatusRange};
pub use hyper::{
    HeaderMap, Method,
    body::Bytes,
    header::{HeaderName, HeaderValue},
};
pub use options::{HttpOptions, HttpVersion};
pub use report::{Hop, HttpReport, HttpTimes};

use crate::{
    Failure, FailureKind,
    dial::Clock,
    tls::{load_system_roots, plain},
};
use exchange::{Answer, Asked, exchange};
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION};
use redirect::Step;
use url::Url;

/// As many characters are shown of what a body begins with.
const SHOWN: usize = 200;

/// As many characters are told of a target that is not one.
const LONGEST: usize = 2_048;

/// Asks for `target`, a URL such as `https://example.net/health`, and follows where the answers lead. Without a scheme
/// it is one of `http`; a user and a password in it are sent as basic authentication, and are in no report.
pub async fn check(target: &str, options: &HttpOptions) -> HttpReport {
    let url = redirect::target(target);
    if options.tls.system_roots && url.as_ref().is_ok_and(|url| url.scheme() == "https") {
        // What is read once in a process is not measured.
        load_system_roots().await;
    }
    let clock = Clock::start(options.timeout);
    let mut report = HttpReport {
        url: plain::text(&redirect::without_credentials(target), LONGEST),
        method: options.method.to_string(),
        ..HttpReport::default()
    };
    let mut answer = Answer::default();
    let asked = match url {
        Ok(url) => ask(url, options, &clock, &mut report, &mut answer).await,
        Err(failure) => Err(failure),
    };
    let checked = asked.and_then(|()| expected(options, &answer));
    // What is left of the certificates is that they end soon, which matters less than anything else.
    let of_certificates = || {
        let tls = answer.tls.as_ref()?;
        if options.accept_invalid_certificates {
            let is_wanted = !options.expires_within.is_zero();
            is_wanted.then(|| tls.ends()).flatten()
        } else {
            tls.failure()
        }
    };
    report.failure = checked.err().or_else(of_certificates);
    if report.failure.is_some() && !answer.body.is_empty() {
        report.body_start = Some(plain::bytes(&answer.body, SHOWN));
    }
    report.address = answer.address;
    report.version = answer.version;
    report.status = answer.status;
    report.headers = answer.headers;
    report.times = answer.times;
    report.tls = answer.tls;
    report.body_bytes = answer.body_bytes;
    report.body_is_cut = answer.is_cut;
    report.content_length = answer.content_length;
    report.total = clock.took();
    report
}

/// Asks until an answer sends nowhere else; that one is in `answer`.
async fn ask(
    mut url: Url,
    options: &HttpOptions,
    clock: &Clock,
    report: &mut HttpReport,
    answer: &mut Answer,
) -> Result<(), Failure> {
    clock.check()?;
    if options.method == Method::CONNECT {
        let detail = "CONNECT asks for a way through, not for an answer";
        return Err(Failure::new(FailureKind::Invalid, detail));
    }
    let mut headers = options.headers.clone();
    take_credentials(&mut url, &mut headers);
    let first = url.clone();
    let (mut method, mut body) = (options.method.clone(), options.body.clone());
    let mut asked_before = Vec::new();
    loop {
        report.url.clear();
        report.url.push_str(url.as_str());
        report.method.clear();
        report.method.push_str(method.as_str());
        let is_followed = options.max_redirects > 0;
        let asked = Asked {
            url: &url,
            method: &method,
            headers: &headers,
            body: body.clone(),
            connect_to: options.connect_to.filter(|_| is_same_host(&first, &url)),
            is_first_host: first.host() == url.host(),
            is_followed,
        };
        *answer = Answer::default();
        exchange(&asked, options, clock, answer).await?;
        let Some(status) = answer
            .status
            .filter(|status| is_followed && redirect::is_redirect(*status))
        else {
            return Ok(());
        };
        let Some(location) = answer.headers.get(LOCATION) else {
            return Ok(());
        };
        let step = redirect::step(&url, &method, status, location.as_bytes(), options.allow_downgrade)?;
        let Step {
            url: next,
            method: next_method,
            keeps_body,
            keeps_secrets,
        } = step;
        report.redirects.push(Hop {
            url: url.to_string(),
            status,
            address: answer.address,
            times: answer.times,
        });
        asked_before.push((method, url));
        (method, url) = (next_method, next);
        refuse_circle(&asked_before, (&method, &url), options.max_redirects)?;
        if !keeps_secrets {
            for name in options::SECRETS.iter().chain([&HOST]) {
                headers.remove(name);
            }
        }
        if !keeps_body {
            body = Bytes::new();
            headers.remove(CONTENT_TYPE);
            headers.remove(CONTENT_LENGTH);
        }
    }
}

fn is_same_host(one: &Url, other: &Url) -> bool {
    one.host() == other.host() && one.port_or_known_default() == other.port_or_known_default()
}

fn refuse_circle(before: &[(Method, Url)], next: (&Method, &Url), most: usize) -> Result<(), Failure> {
    let unexpected = |detail: String| Err(Failure::new(FailureKind::Unexpected, detail));
    // Nothing of an answer is sent back (no cookies): what is asked again is answered again.
    let again = before.iter().position(|(method, url)| (method, url) == next);
    if let Some(at) = again {
        let circle: Vec<_> = before[at..]
            .iter()
            .map(|(_, url)| url)
            .chain([next.1])
            .map(|url| plain::text(url.as_str(), SHOWN))
            .collect();
        return unexpected(format!("the redirects go in a circle: {}", circle.join(" to ")));
    }
    if before.len() > most {
        let last = plain::text(next.1.as_str(), SHOWN);
        return unexpected(format!("more than {most} redirects; the last one leads to {last}"));
    }
    Ok(())
}

/// Who asks, out of the URL and into the header.
fn take_credentials(url: &mut Url, headers: &mut HeaderMap) {
    if url.username().is_empty() && url.password().is_none() {
        return;
    }
    let mut credentials = redirect::percent_decoded(url.username());
    credentials.push(b':');
    credentials.extend(redirect::percent_decoded(url.password().unwrap_or_default()));
    headers
        .entry(AUTHORIZATION)
        .or_insert_with(|| options::basic(&credentials));
    // Both fail only without a host, and HTTP has one.
    let _ = url.set_username("");
    let _ = url.set_password(None);
}

/// Everything that is not as it should be, as one failure of the kind of the first.
fn expected(options: &HttpOptions, answer: &Answer) -> Result<(), Failure> {
    let mut failures = Vec::new();
    let mut note = |checked: Result<(), Failure>| failures.extend(checked.err());
    if let Some(status) = answer.status {
        note(expect::status(&options.expected_status, status));
    }
    for check in &options.header_checks {
        note(check.check(&answer.headers));
    }
    let body = expect::Read {
        bytes: &answer.body,
        is_cut: answer.is_cut,
    };
    for check in &options.body_checks {
        note(check.check(&body));
    }
    let mut failures = failures.into_iter();
    let Some(mut first) = failures.next() else {
        return Ok(());
    };
    for other in failures {
        first.detail.push_str("; ");
        first.detail.push_str(&other.detail);
    }
    Err(first)
}
