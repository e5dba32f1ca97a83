//! Who is trusted to issue certificates: those whom this machine trusts, and those that are given.
use crate::{Failure, FailureKind};
use rustls::{
    RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use std::{
    fmt,
    sync::{Arc, OnceLock},
};
use tokio::sync::OnceCell;

/// No more certificates are taken from one text.
const MOST: usize = 10_000;

/// Issuers that are trusted beside those of the system, or instead of them.
///
/// A clone shares them: read them once, and give them to as many checks as there are.
#[derive(Clone)]
pub struct Roots(Arc<RootCertStore>);

impl Roots {
    /// Those of a text in PEM. A server's own certificate may be among them, when it issued that itself.
    ///
    /// # Errors
    /// When there is no certificate in it, or one cannot be read.
    pub fn from_pem(pem: &[u8]) -> Result<Self, Failure> {
        let invalid = |detail: String| Failure::new(FailureKind::Invalid, detail);
        let mut store = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem).take(MOST) {
            let certificate =
                certificate.map_err(|error| invalid(format!("the trusted issuers are not PEM: {error}")))?;
            let number = store.len() + 1;
            store.add(certificate).map_err(|error| {
                let detail = format!("certificate {number} of the trusted issuers cannot be read: {error}");
                invalid(detail)
            })?;
        }
        if store.is_empty() {
            return Err(invalid(
                "there is no certificate in the text of the trusted issuers".to_owned(),
            ));
        }
        Ok(Self(Arc::new(store)))
    }

    pub(crate) fn store(&self) -> &RootCertStore {
        &self.0
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Roots({})", self.0.len())
    }
}

/// A certificate with its key, by which a check tells a server who it is.
#[derive(Clone)]
pub struct ClientIdentity(pub(crate) Arc<CertifiedKey>);

impl ClientIdentity {
    /// A certificate with those of its issuers behind it, and its private key (PKCS #8, PKCS #1 or SEC 1), both in PEM.
    ///
    /// # Errors
    /// When one of them cannot be read, or the two do not belong together.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, Failure> {
        let invalid = |detail: String| Failure::new(FailureKind::Invalid, detail);
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificates).take(MOST).collect();
        let chain = chain.map_err(|error| invalid(format!("the client's certificate is not PEM: {error}")))?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| invalid(format!("the client's private key is not PEM: {error}")))?;
        let made = CertifiedKey::from_der(chain, key, provider());
        let made = made.map_err(|error| invalid(format!("the client's certificate cannot be used: {error}")))?;
        Ok(Self(Arc::new(made)))
    }
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key is nobody's business.
        write!(f, "ClientIdentity({} certificates)", self.0.cert.len())
    }
}

/// The issuers that this machine trusts.
#[derive(Debug)]
pub(crate) struct System {
    pub(crate) store: RootCertStore,
    /// Why there are none, or fewer than there might be.
    pub(crate) trouble: Option<String>,
}

/// Reads the issuers that this machine trusts, and says how many there are.
///
/// They are read once in a process, by the first check that needs them, which takes some milliseconds: a program that
/// measures from its first check on calls this before. What is installed later is seen after a restart.
pub async fn load_system_roots() -> usize {
    system().await.store.len()
}

pub(crate) async fn system() -> &'static System {
    static SYSTEM: OnceCell<System> = OnceCell::const_new();
    SYSTEM
        .get_or_init(|| async {
            let loaded = tokio::task::spawn_blocking(load).await;
            loaded.unwrap_or_else(|error| System {
                store: RootCertStore::empty(),
                trouble: Some(error.to_string()),
            })
        })
        .await
}

fn load() -> System {
    let loaded = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    // A certificate of the system that cannot be read is one of many: the others serve.
    let (_, left_out) = store.add_parsable_certificates(loaded.certs);
    let trouble = loaded.errors.first().map(ToString::to_string);
    if left_out > 0 || trouble.is_some() {
        tracing::warn!(
            left_out,
            trouble,
            "not every trusted certificate of the system could be read"
        );
    }
    System { store, trouble }
}

/// The cryptography of every handshake of this library.
pub(crate) fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(ring::default_provider()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_refused_where_there_is_none_or_one_is_broken() {
        assert!(Roots::from_pem(b"").unwrap_err().detail.contains("no certificate"));
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let refused = Roots::from_pem(broken.as_bytes()).unwrap_err();
        assert_eq!(refused.kind, FailureKind::Invalid);
        assert!(refused.detail.contains("certificate 1 of"), "{refused}");
        let authority = testkit::CertificateAuthority::new().unwrap();
        let pem = std::fs::read(authority.file()).unwrap();
        assert_eq!(format!("{:?}", Roots::from_pem(&pem).unwrap()), "Roots(1)");
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let authority = testkit::CertificateAuthority::new().unwrap();
        let read = |path: &std::path::Path| std::fs::read(path).unwrap();
        let (one, other) = (authority.client("one").unwrap(), authority.client("other").unwrap());
        ClientIdentity::from_pem(&read(&one.certificate), &read(&one.key)).unwrap();
        let refused = ClientIdentity::from_pem(&read(&one.certificate), &read(&other.key)).unwrap_err();
        assert_eq!(refused.kind, FailureKind::Invalid);
    }
}
