//! One handshake, and what is known of the session that came of it.
use super::{
    certificate::Certificate,
    error, plain,
    recorder::Recorder,
    roots::{self, ClientIdentity, Roots, System},
    verdict::{Case, Finding, FindingKind, Verdict},
    watched::Watched,
};
use crate::{Failure, FailureKind, dial::Limit};
use rustls::{
    ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion,
    client::Resumption,
    pki_types::ServerName,
    version::{TLS12, TLS13},
};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246); nothing older is spoken here.
    #[default]
    #[cfg_attr(feature = "serde", serde(rename = "1.2"))]
    V1_2,
    /// TLS 1.3 (RFC 8446).
    #[cfg_attr(feature = "serde", serde(rename = "1.3"))]
    V1_3,
}

/// How a session is opened, and who is trusted.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// The name that is asked for (SNI), and that the certificate has to hold for. By default the host of the target;
    /// an address is never asked for by name.
    pub server_name: Option<String>,
    /// The least version of TLS that serves.
    pub min_version: TlsVersion,
    /// Issuers that are trusted beside those of the system.
    pub extra_roots: Option<Roots>,
    /// Whether the issuers that the system trusts are trusted; true by default.
    pub system_roots: bool,
    /// Who the check says it is, where the server asks.
    pub identity: Option<ClientIdentity>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            server_name: None,
            min_version: TlsVersion::default(),
            extra_roots: None,
            system_roots: true,
            identity: None,
        }
    }
}

/// What is known of a session, or of the handshake that came to no session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct TlsSession {
    /// Such as `TLS 1.3`.
    pub version: Option<&'static str>,
    /// Such as `TLS_AES_128_GCM_SHA256`.
    pub cipher_suite: Option<String>,
    /// The group of the key exchange, such as `X25519`.
    pub key_exchange: Option<&'static str>,
    /// The protocol that was agreed on (ALPN), such as `h2`.
    pub alpn: Option<String>,
    /// The name that the certificate had to hold for.
    pub server_name: String,
    /// Whether the server asked for a certificate of the client.
    pub client_certificate_asked: bool,
    /// The certificates in the order in which they came; the server's own is the first.
    pub chain: Vec<Certificate>,
    /// How many of them could not be read.
    pub unreadable_certificates: usize,
    /// Whole days until the server's own certificate ends, rounded down.
    pub days_left: Option<i64>,
    /// Whole days until the first of the chain ends, needed or not.
    pub chain_days_left: Option<i64>,
    /// Whether the chain leads to a trusted issuer, whatever its dates and names.
    pub is_trusted: Option<bool>,
    /// Whether the certificate holds for the name.
    pub has_name: Option<bool>,
    /// Everything that is wrong with the certificates.
    pub findings: Vec<Finding>,
}

impl TlsSession {
    /// What is wrong with the certificates, as one failure.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        self.failure_of(|_| true)
    }

    /// Why the server is not to be trusted now: what is only about the days to come is no reason.
    #[must_use]
    pub fn distrust(&self) -> Option<Failure> {
        self.failure_of(|finding| finding.kind != FindingKind::ExpiresSoon)
    }

    /// That a certificate has ended, or ends sooner than it should, which matters also where it is not looked at who issued it.
    #[must_use]
    pub fn ends(&self) -> Option<Failure> {
        self.failure_of(|finding| matches!(finding.kind, FindingKind::Expired | FindingKind::ExpiresSoon))
    }

    fn failure_of(&self, counts: impl Fn(&Finding) -> bool) -> Option<Failure> {
        let all = self.findings.iter().filter(|finding| counts(finding));
        let all: Vec<_> = all.map(|finding| finding.detail.as_str()).collect();
        (!all.is_empty()).then(|| Failure::new(FailureKind::Certificate, all.join("; ")))
    }
}

/// What came of a handshake.
pub(crate) struct Opened {
    /// What is known, also where there is no stream.
    pub(crate) session: TlsSession,
    /// The time of the handshake alone.
    pub(crate) took: Duration,
    pub(crate) stream: Result<TlsStream<Watched<TcpStream>>, Failure>,
}

/// One handshake.
pub(crate) struct Opening<'a> {
    pub(crate) name: ServerName<'static>,
    pub(crate) alpn: Vec<Vec<u8>>,
    pub(crate) options: &'a SessionOptions,
    pub(crate) identity: Option<&'a ClientIdentity>,
    /// As long the certificates that are needed have to hold on.
    pub(crate) expires_within: Duration,
    pub(crate) limit: Limit,
}

/// The name that a certificate has to hold for.
pub(crate) fn server_name(name: &str) -> Result<ServerName<'static>, Failure> {
    ServerName::try_from(name.to_owned()).map_err(|_| {
        let detail = format!(
            "{:?} is not a name that a certificate can hold for",
            plain::text(name, 253)
        );
        Failure::new(FailureKind::Invalid, detail)
    })
}

/// Shakes hands, and judges the certificates: what is wrong with those is in the session, and is no failure of the
/// stream.
pub(crate) async fn open(stream: TcpStream, opening: Opening<'_>) -> Opened {
    let Opening {
        name, options, limit, ..
    } = &opening;
    let recorder = Arc::new(Recorder::new(opening.identity.map(|identity| Arc::clone(&identity.0))));
    let mut session = TlsSession {
        server_name: name.to_str().into_owned(),
        ..TlsSession::default()
    };
    let config = match config(&recorder, &opening) {
        Ok(config) => config,
        Err(failure) => {
            return Opened {
                session,
                took: Duration::ZERO,
                stream: Err(failure),
            };
        }
    };
    // Read before, so that the first handshake is not measured with it.
    let system = if options.system_roots {
        Some(roots::system().await)
    } else {
        None
    };
    let watched = Watched::new(stream);
    let log = watched.log();
    let since = tokio::time::Instant::now();
    let shaken = timeout(limit.time, TlsConnector::from(config).connect(name.clone(), watched)).await;
    let took = since.elapsed();
    let stream = match shaken {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(cause)) => Err(error::of_handshake(&cause, &log.seen())),
        Err(_) => Err(too_late(log.seen().count, *limit)),
    };
    if let Ok(stream) = &stream {
        tell(&mut session, stream);
    }
    session.client_certificate_asked = recorder.was_asked();
    judge(&mut session, &recorder, &opening, system.map(|system| &system.store));
    if let Some(system) = system.filter(|system| system.store.is_empty()) {
        say_that_nobody_is_trusted(&mut session, system);
    }
    Opened { session, took, stream }
}

/// An issuer that is not among the trusted is no surprise on a machine that trusts nobody.
fn say_that_nobody_is_trusted(session: &mut TlsSession, system: &System) {
    use FindingKind as Kind;
    let is_about_trust = |finding: &&mut Finding| matches!(finding.kind, Kind::UnknownIssuer | Kind::SelfSigned);
    for finding in session.findings.iter_mut().filter(is_about_trust) {
        finding
            .detail
            .push_str(" (this machine trusts nobody: it has no certificates of issuers");
        if let Some(trouble) = &system.trouble {
            finding.detail.push_str(": ");
            finding.detail.push_str(&plain::text(trouble, 200));
        }
        finding.detail.push(')');
    }
}

fn config(recorder: &Arc<Recorder>, opening: &Opening<'_>) -> Result<Arc<ClientConfig>, Failure> {
    const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
    const NEWEST: &[&SupportedProtocolVersion] = &[&TLS13];
    let versions = match opening.options.min_version {
        TlsVersion::V1_2 => BOTH,
        TlsVersion::V1_3 => NEWEST,
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(roots::provider())).with_protocol_versions(versions);
    let builder =
        builder.map_err(|error| Failure::new(FailureKind::System, format!("no TLS to be had here: {error}")))?;
    let verifier = Arc::clone(recorder);
    let mut config = builder
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::clone(recorder) as _);
    // Each check is a whole handshake of its own: that is what is measured.
    config.resumption = Resumption::disabled();
    config.alpn_protocols.clone_from(&opening.alpn);
    Ok(Arc::new(config))
}

fn too_late(came: u64, limit: Limit) -> Failure {
    let what = match came {
        0 => "the server said nothing".to_owned(),
        came => format!("only {came} bytes came"),
    };
    Failure::new(FailureKind::TimedOut, format!("no TLS handshake {limit}: {what}"))
}

fn tell(session: &mut TlsSession, stream: &TlsStream<Watched<TcpStream>>) {
    let (_, connection) = stream.get_ref();
    session.version = connection.protocol_version().map(|version| match version {
        ProtocolVersion::TLSv1_2 => "TLS 1.2",
        ProtocolVersion::TLSv1_3 => "TLS 1.3",
        _ => "another version",
    });
    let suite = connection
        .negotiated_cipher_suite()
        .and_then(|suite| suite.suite().as_str());
    // The library tells the suites of TLS 1.3 apart by a name that is not theirs.
    session.cipher_suite = suite.map(|suite| suite.replace("TLS13_", "TLS_"));
    session.key_exchange = connection
        .negotiated_key_exchange_group()
        .and_then(|group| group.name().as_str());
    session.alpn = connection.alpn_protocol().map(|protocol| plain::bytes(protocol, 64));
}

fn judge(session: &mut TlsSession, recorder: &Recorder, opening: &Opening<'_>, system: Option<&RootCertStore>) {
    let (chain, now) = (recorder.chain(), SystemTime::now());
    let read: Vec<_> = chain.iter().map(|one| Certificate::read(one, now)).collect();
    let extra = opening.options.extra_roots.as_ref();
    let stores: Vec<_> = extra.map(Roots::store).into_iter().chain(system).collect();
    let case = Case {
        chain,
        read: &read,
        name: &opening.name,
        roots: &stores,
        now,
        ahead: opening.expires_within,
    };
    let Verdict {
        is_trusted,
        has_name,
        findings,
    } = case.judge();
    (session.is_trusted, session.has_name, session.findings) = (is_trusted, has_name, findings);
    session.days_left = read.first().and_then(Option::as_ref).map(|leaf| leaf.days_left);
    session.chain_days_left = read.iter().flatten().map(|one| one.days_left).min();
    session.unreadable_certificates = read.iter().filter(|one| one.is_none()).count();
    session.chain = read.into_iter().flatten().collect();
}
