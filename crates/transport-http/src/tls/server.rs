//! The server's certificate and key, read from files and read again when those change.
use super::{TlsError, expiry, pem, provider};
use chrono::{DateTime, Utc};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::CertificateDer,
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::SingleCertAndKey,
};
use std::{
    fmt,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How often the files are looked at while connections come.
const RECHECK: Duration = Duration::from_secs(30);

/// Whether clients have to show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked.
    #[default]
    None,
    /// They are asked. Who shows none is served; who shows one that the client CA did not issue is not.
    Optional,
    /// Who shows none that the client CA issued is not served.
    Required,
}

/// Where certificates and keys are, all PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, followed by those between it and its authority.
    pub certificate: PathBuf,
    /// The private key of the first certificate, without a passphrase.
    pub key: PathBuf,
    /// The authorities that issue certificates of clients.
    pub client_ca: Option<PathBuf>,
    /// Whether clients have to show a certificate; for `None` the `client_ca` is not read.
    pub client_auth: ClientAuth,
}

/// The certificate that a client showed and that the client CA issued: an extension of each of its requests.
#[derive(Clone, PartialEq, Eq)]
pub struct PeerCertificate(CertificateDer<'static>);

impl PeerCertificate {
    pub(crate) fn new(certificate: &CertificateDer<'_>) -> Self {
        Self(certificate.clone().into_owned())
    }

    /// The certificate itself, as X.509 encodes it (DER).
    pub fn der(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for PeerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerCertificate({} bytes)", self.0.len())
    }
}

/// What a server needs for TLS, for [`Server::with_tls`](crate::Server::with_tls). Clones are the same.
///
/// Renewed files are taken up within half a minute, by connections that come after. Files that are broken, or half
/// renewed, change nothing: the log says so, and what was read last serves on.
#[derive(Clone)]
pub struct ServerTls {
    inner: Arc<Inner>,
}

struct Inner {
    files: TlsFiles,
    state: Mutex<State>,
}

struct State {
    current: Current,
    /// Of the texts last looked at, those that could not be used included.
    seen: u64,
    /// What the log said last of files that cannot be used: it is said once.
    complaint: Option<String>,
    looked: Instant,
    recheck: Duration,
}

#[derive(Clone)]
struct Current {
    config: Arc<ServerConfig>,
    expires_at: Option<DateTime<Utc>>,
}

/// The files' contents at one time.
struct Texts {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<(PathBuf, Vec<u8>)>,
}

impl ServerTls {
    /// Reads the files.
    ///
    /// # Errors
    /// The file and the fault, when one is missing or cannot be used, or when the key is another certificate's.
    pub fn from_files(files: &TlsFiles) -> Result<Self, TlsError> {
        let texts = Texts::read(files)?;
        let state = State {
            current: texts.load(files)?,
            seen: texts.fingerprint(),
            complaint: None,
            looked: Instant::now(),
            recheck: RECHECK,
        };
        let inner = Inner {
            files: files.clone(),
            state: Mutex::new(state),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Looks at the files for the next connection that comes `recheck` after the last look, instead of 30 s after it.
    #[must_use]
    pub fn with_recheck(self, recheck: Duration) -> Self {
        self.lock().recheck = recheck;
        self
    }

    /// Until when the certificate is valid that is served now, for `/health` and metrics; `None` where that cannot be
    /// read from it.
    pub fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.lock().current.expires_at
    }

    /// Whether it is time to look at the files; the next answer is `false` until it is time again, so that of many
    /// connections one looks.
    pub(crate) fn is_due(&self) -> bool {
        let mut state = self.lock();
        let is_due = state.looked.elapsed() >= state.recheck;
        if is_due {
            state.looked = Instant::now();
        }
        is_due
    }

    /// Looks at the files and takes up what is new. Blocks on the disk.
    pub(crate) fn renew(&self) {
        let files = &self.inner.files;
        let loaded = Texts::read(files).and_then(|texts| {
            let seen = texts.fingerprint();
            // Another connection may have been quicker with the same.
            let is_news = std::mem::replace(&mut self.lock().seen, seen) != seen;
            is_news.then(|| texts.load(files)).transpose()
        });
        let mut state = self.lock();
        match loaded {
            Ok(None) => {}
            Ok(Some(current)) => {
                tracing::info!(
                    certificate = %files.certificate.display(),
                    expires_at = ?current.expires_at,
                    "took up renewed certificate files"
                );
                state.current = current;
                state.complaint = None;
            }
            Err(error) => {
                let complaint = core_model::chain(&error);
                if state.complaint.as_ref() != Some(&complaint) {
                    tracing::error!(
                        error = complaint,
                        "renewed certificate files cannot be used; those read before serve on"
                    );
                    state.complaint = Some(complaint);
                }
            }
        }
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.lock().current.config)
    }

    /// What it guards is replaced as a whole, so it is whole after any panic.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls")
            .field("files", &self.inner.files)
            .field("expires_at", &self.expires_at())
            .finish_non_exhaustive()
    }
}

impl Texts {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let client_ca = match (&files.client_ca, files.client_auth) {
            (_, ClientAuth::None) => None,
            (None, _) => return Err(TlsError::NoClientCa),
            (Some(path), _) => Some((path.clone(), pem::read("client CA", path)?)),
        };
        Ok(Self {
            certificate: pem::read("certificate", &files.certificate)?,
            key: pem::read("key", &files.key)?,
            client_ca,
        })
    }

    /// Tells apart what differs; the texts themselves, the key above all, are not kept.
    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.certificate, &self.key, &self.client_ca).hash(&mut hasher);
        hasher.finish()
    }

    fn load(&self, files: &TlsFiles) -> Result<Current, TlsError> {
        let certified = pem::certified_key((&files.certificate, &self.certificate), (&files.key, &self.key))?;
        let expires_at = certified.cert.first().and_then(expiry::of);
        if expires_at.is_some_and(|end| end < Utc::now()) {
            tracing::warn!(
                certificate = %files.certificate.display(),
                ?expires_at,
                "the certificate has expired: clients will refuse it until it is renewed"
            );
        }
        let client_ca = self.client_ca.as_ref();
        let verifier = client_ca
            .map(|(path, text)| verifier(path, text, files.client_auth))
            .transpose()?;
        let bad = |source| TlsError::BadCertificate {
            what: "certificate",
            path: files.certificate.clone(),
            source,
        };
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(bad)?;
        let asks_clients = verifier.is_some();
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        if asks_clients {
            // A session that is taken up again is not checked again: it would outlive the client's certificate.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Current {
            config: Arc::new(config),
            expires_at,
        })
    }
}

fn verifier(path: &Path, text: &[u8], auth: ClientAuth) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in pem::certificates("client CA", path, text)? {
        roots.add(certificate).map_err(|source| TlsError::BadCertificate {
            what: "client CA",
            path: path.to_owned(),
            source,
        })?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let builder = if auth == ClientAuth::Optional {
        builder.allow_unauthenticated()
    } else {
        builder
    };
    builder.build().map_err(|source| TlsError::Verifier {
        path: path.to_owned(),
        source,
    })
}
