//! Connections that begin in plain text.
use super::*;

/// Speaks plain text up to the consent, and then TLS.
async fn mail(listener: tokio::net::TcpListener, config: ServerConfig, script: &[(&str, &str)]) {
    let (stream, _) = listener.accept().await.unwrap();
    let mut stream = BufReader::new(stream);
    for (say, expect) in script {
        stream.write_all(say.as_bytes()).await.unwrap();
        let mut line = String::new();
        if !expect.is_empty() {
            stream.read_line(&mut line).await.unwrap();
            assert_eq!(&line, expect);
        }
    }
    if let Ok(mut stream) = TlsAcceptor::from(Arc::new(config)).accept(stream.into_inner()).await {
        drain(&mut stream).await;
    }
}

#[tokio::test]
async fn a_connection_that_begins_as_mail_becomes_tls() {
    let authority = CertificateAuthority::new().unwrap();
    let certified = authority.server(NAMES, Validity::Now).unwrap();
    let smtp = [
        ("220-hello\r\n220 there\r\n", "EHLO netcheck.invalid\r\n"),
        ("250-SIZE\r\n250-STARTTLS\r\n250 HELP\r\n", "STARTTLS\r\n"),
        ("220 go\r\n", ""),
    ];
    let imap = [("* OK hello\r\n", "a STARTTLS\r\n"), ("a OK go\r\n", "")];
    for (protocol, script) in [(StartTls::Smtp, &smtp[..]), (StartTls::Imap, &imap)] {
        let (listener, address) = listen().await;
        let options = TlsOptions {
            start_tls: Some(protocol),
            ..trusting(Some(authority.file()))
        };
        let server = mail(listener, tls(&certified, BOTH, &[]), script);
        let report = beside(server, check(&address.to_string(), &options)).await;
        assert_eq!(report.failure, None, "{report:?}");
        assert!(report.start_tls.is_some() && report.handshake.is_some());
    }
    let (listener, address) = listen().await;
    let options = TlsOptions {
        start_tls: Some(StartTls::Pop3),
        timeout: Duration::from_millis(100),
        ..trusting(None)
    };
    let report = beside(says(listener, false, b"+OK"), check(&address.to_string(), &options)).await;
    assert_eq!(kind(&report), Some(FailureKind::TimedOut), "{report:?}");
}
