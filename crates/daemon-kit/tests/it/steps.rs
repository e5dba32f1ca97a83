//! The doctor's way to a server, step by step, against real listeners: the first step that fails is the one named.
use daemon_kit::{
    Dialect, ServerSettings, Surroundings,
    doctor::{self, Finding, Verdict},
};
use std::{fs, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

use Verdict::{Failure, Ok as Fine, Skipped, Warning};

const MINUTE: Duration = Duration::from_secs(60);

const STEPS: [&str; 5] = [
    "server name",
    "server connection",
    "server certificate",
    "server answer",
    "clock",
];

fn at(base_url: impl Into<String>) -> ServerSettings {
    ServerSettings {
        base_url: Some(base_url.into()),
        // Every listener below looks for it, and must not find it.
        api_key: Some(core_model::Secret::new("hunter2")),
        ..ServerSettings::default()
    }
}

/// Checks the verdicts of the five steps, and gives the findings.
async fn judged(settings: &ServerSettings, expected: [Verdict; 5]) -> Vec<Finding> {
    transport_http::ensure_crypto_provider();
    let findings = doctor::server(settings, &Surroundings::default(), MINUTE).await;
    let checks: Vec<_> = findings.iter().map(|finding| finding.check.as_str()).collect();
    assert_eq!(checks, STEPS, "{findings:?}");
    let verdicts: Vec<_> = findings.iter().map(|finding| finding.verdict).collect();
    assert_eq!(verdicts, expected, "{findings:#?}");
    for finding in &findings {
        let is_bad = matches!(finding.verdict, Warning | Failure);
        assert_eq!(finding.remedy.is_some(), is_bad, "{finding:?}");
    }
    findings
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &str) {
    let mut request = Vec::new();
    let mut part = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut part).await {
            Ok(length) if length > 0 => request.extend_from_slice(&part[..length]),
            // Whoever only connects has nothing to say.
            _ => return,
        }
    }
    assert!(
        !String::from_utf8_lossy(&request)
            .to_ascii_lowercase()
            .contains("x-api-key"),
        "the key is not sent"
    );
    // The peer may have left in the meantime: that is its right.
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// Runs `ask` beside a server of plain HTTP that gives `answer` to every request.
async fn beside<T>(answer: &str, ask: impl AsyncFnOnce(String) -> T) -> T {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serve = async {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            exchange(stream, answer).await;
        }
    };
    tokio::select! {
        () = serve => unreachable!("it serves for ever"),
        asked = ask(url) => asked,
    }
}

fn ok(headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn without_an_address_there_is_nothing_to_reach() {
    let findings = doctor::server(&ServerSettings::default(), &Surroundings::default(), MINUTE).await;
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].verdict, Skipped);
}

#[tokio::test]
async fn a_server_that_is_well_passes_every_step() {
    let health = transport_http::HealthRegistry::new("1.2.3", None);
    let router = transport_http::health_routes(health, &transport_http::HealthOptions::default());
    let server = transport_http::Server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let settings = at(format!("http://{}", server.local_addr()));
    let stop = tokio_util::sync::CancellationToken::new();
    let (served, findings) = tokio::join!(server.run(router, stop.clone(), MINUTE), async {
        let findings = judged(&settings, [Fine, Fine, Skipped, Fine, Fine]).await;
        stop.cancel();
        findings
    });
    served.unwrap();
    assert!(
        findings[3].found.contains("200") && findings[3].found.contains("version 1.2.3"),
        "{findings:?}"
    );
    assert_eq!(findings[4].found, "as the server's");
}

#[tokio::test]
async fn a_name_without_an_address_stops_at_the_name() {
    let findings = judged(
        &at("https://no-such-host.invalid"),
        [Failure, Skipped, Skipped, Skipped, Skipped],
    )
    .await;
    assert!(findings[0].found.contains("no-such-host.invalid"), "{findings:?}");
    assert!(
        findings[0].remedy.as_ref().unwrap().contains("getent hosts"),
        "{findings:?}"
    );
}

#[tokio::test]
async fn a_port_where_nobody_listens_stops_at_the_connection() {
    // Bound and given back: the next to get this port is nobody in particular.
    let address = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let findings = judged(
        &at(format!("http://{address}")),
        [Fine, Failure, Skipped, Skipped, Skipped],
    )
    .await;
    assert!(
        findings[1].remedy.as_ref().unwrap().contains("nothing listens"),
        "{findings:?}"
    );
}

#[tokio::test]
async fn what_answers_wrongly_stops_at_the_answer() {
    let date = httpdate::fmt_http_date(std::time::SystemTime::now());
    for (answer, verdict, found) in [
        ("SSH-2.0-OpenSSH_9.2\r\n".to_owned(), Failure, "did not answer in HTTP"),
        (String::new(), Failure, "broke"),
        ("HTTP/1.1 500 E\r\ncontent-length: 0\r\n\r\n".to_owned(), Failure, "500"),
        (
            "HTTP/1.1 301 M\r\nlocation: https://other.example.com/\r\ncontent-length: 0\r\n\r\n".to_owned(),
            Failure,
            "other.example.com",
        ),
        ("HTTP/1.1 404 N\r\ncontent-length: 0\r\n\r\n".to_owned(), Warning, "404"),
        ("HTTP/1.1 401 U\r\ncontent-length: 0\r\n\r\n".to_owned(), Fine, "401"),
    ] {
        let ask = async |url| judged(&at(url), [Fine, Fine, Skipped, verdict, Skipped]).await;
        let findings = beside(&answer, ask).await;
        assert!(findings[3].found.contains(found), "{answer}: {findings:?}");
    }
    // A server of the document need not have such a path.
    let other = async |url| {
        let mut settings = at(url);
        settings.dialect = Dialect::FilesV1;
        judged(&settings, [Fine, Fine, Skipped, Fine, Skipped]).await
    };
    beside("HTTP/1.1 404 N\r\ncontent-length: 0\r\n\r\n", other).await;
    // A status text is not believed to be harmless.
    let ask = async |url| judged(&at(url), [Fine, Fine, Skipped, Fine, Fine]).await;
    let body = r#"{"status": "fine\u001b[31m\n"}"#;
    let findings = beside(&ok(&format!("date: {date}\r\n"), body), ask).await;
    assert_eq!(findings[3].found, "/health: 200 OK, fine\\u{1b}[31m\\n");
}

#[tokio::test]
async fn a_clock_that_differs_is_told_with_its_direction() {
    for (date, verdict, found) in [
        ("date: Sun, 06 Nov 1994 08:49:37 GMT\r\n", Warning, "ahead of"),
        ("date: Fri, 06 Nov 2099 08:49:37 GMT\r\n", Warning, "behind"),
        ("date: yesterday\r\n", Skipped, "no date"),
        ("", Skipped, "no date"),
    ] {
        let ask = async |url| judged(&at(url), [Fine, Fine, Skipped, Fine, verdict]).await;
        let findings = beside(&ok(date, "{}"), ask).await;
        assert!(findings[4].found.contains(found), "{findings:?}");
    }
}

/// An HTTPS server for `name` with a certificate that nobody knows, which is written to the path given back.
struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    authority: PathBuf,
    _dir: tempfile::TempDir,
}

impl Tls {
    async fn new(name: &str) -> Self {
        transport_http::ensure_crypto_provider();
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let authority = dir.path().join("ca.pem");
        fs::write(&authority, made.cert.pem()).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            acceptor: TlsAcceptor::from(Arc::new(config)),
            authority,
            _dir: dir,
        }
    }

    fn url(&self) -> String {
        format!("https://localhost:{}", self.listener.local_addr().unwrap().port())
    }

    async fn beside<T>(&self, asked: impl Future<Output = T>) -> T {
        let serve = async {
            loop {
                let (stream, _) = self.listener.accept().await.unwrap();
                // A client that does not trust us breaks the handshake off.
                if let Ok(stream) = self.acceptor.accept(stream).await {
                    exchange(stream, &ok("", "{}")).await;
                }
            }
        };
        tokio::select! {
            () = serve => unreachable!("it serves for ever"),
            asked = asked => asked,
        }
    }
}

#[tokio::test]
async fn a_certificate_is_told_from_everything_else() {
    let tls = Tls::new("localhost").await;
    let mut settings = at(tls.url());
    let unknown = tls
        .beside(judged(&settings, [Fine, Fine, Failure, Skipped, Skipped]))
        .await;
    assert!(
        unknown[2].remedy.as_ref().unwrap().contains("server.ca_file"),
        "{unknown:?}"
    );
    settings.ca_file = Some(tls.authority.clone());
    tls.beside(judged(&settings, [Fine, Fine, Fine, Fine, Skipped])).await;
    let other = Tls::new("other.example.com").await;
    let mut settings = at(other.url());
    settings.ca_file = Some(other.authority.clone());
    let wrong_name = other
        .beside(judged(&settings, [Fine, Fine, Failure, Skipped, Skipped]))
        .await;
    assert!(wrong_name[2].found.contains("certificate"), "{wrong_name:?}");
}

#[tokio::test]
async fn https_to_a_port_of_plain_http_stops_at_the_handshake() {
    let ask = async |url: String| {
        let settings = at(url.replace("http://", "https://"));
        judged(&settings, [Fine, Fine, Failure, Skipped, Skipped]).await
    };
    // It never sees the end of a request in a client's greeting, and answers when that goes away.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serve = async {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    };
    let findings = tokio::select! {
        () = serve => unreachable!("it serves for ever"),
        findings = ask(url) => findings,
    };
    assert!(findings[2].remedy.as_ref().unwrap().contains("port"), "{findings:?}");
}

#[tokio::test]
async fn behind_a_proxy_the_first_steps_are_the_proxy_s() {
    let proxied = async |url: String| {
        let mut settings = at("http://fleet.example.com");
        settings.allow_http = true;
        settings.proxy = Some(core_model::Secret::new(url));
        judged(&settings, [Skipped, Skipped, Skipped, Fine, Skipped]).await
    };
    let findings = beside(&ok("", "{}"), proxied).await;
    assert!(findings[0].found.contains("`server.proxy`"), "{findings:?}");
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_a_failure() {
    let address = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for (url, certificate, answer) in [
        ("http://fleet.example.com", Skipped, Failure),
        ("https://fleet.example.com", Failure, Skipped),
    ] {
        let mut settings = at(url);
        settings.allow_http = true;
        settings.proxy = Some(core_model::Secret::new(format!("http://{address}")));
        let findings = judged(&settings, [Skipped, Skipped, certificate, answer, Skipped]).await;
        let failed = findings.iter().find(|finding| finding.verdict == Failure).unwrap();
        assert!(failed.remedy.as_ref().unwrap().contains("proxy"), "{failed:?}");
    }
}
