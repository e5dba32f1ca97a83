//! What can be wrong with certificates and keys, told by file and fault.
use std::{io, path::PathBuf};

/// Why certificate files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("could not read the {what} `{}`", path.display())]
    Read {
        /// `certificate`, `key` or `client CA`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file begins as PEM and does not go on as such.
    #[error("the {what} `{}` is damaged: it is not whole PEM", path.display())]
    NotPem {
        /// `certificate`, `key` or `client CA`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// No certificate where one should be.
    #[error(
        "the {what} `{}` holds no certificate: expected PEM, beginning with `-----BEGIN CERTIFICATE-----`", path.display()
    )]
    NoCertificate {
        /// `certificate` or `client CA`.
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// No key where one should be.
    #[error("the key `{}` holds no private key: expected PEM, beginning with `-----BEGIN PRIVATE KEY-----`", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The key wants a passphrase, which nobody is there to type.
    #[error(
        "the key `{}` is locked by a passphrase, which nobody can type at a start: unlock it with `openssl pkey -in … -out …` \
         and let nobody but the service read it", path.display()
    )]
    LockedKey {
        /// The file.
        path: PathBuf,
    },
    /// The key is of a kind that is not known, or is damaged.
    #[error("the key `{}` cannot be used: expected an RSA, ECDSA (P-256, P-384) or Ed25519 key", path.display())]
    BadKey {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// Both are fine, and they do not belong together.
    #[error(
        "the key `{}` does not belong to the certificate `{}`: name the two that were made together, the key's own \
         certificate first in its file", key.display(), certificate.display()
    )]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// PEM, and what is in it is no certificate.
    #[error("the {what} `{}` holds a certificate that is damaged", path.display())]
    BadCertificate {
        /// `certificate` or `client CA`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// Certificates of clients are wanted, and nothing says who issues them.
    #[error("certificates of clients are wanted, and no CA file says whose: set the client CA")]
    NoClientCa,
    /// The certificates of clients cannot be checked by the given authorities.
    #[error("certificates of clients cannot be checked by the client CA `{}`", path.display())]
    Verifier {
        /// The client CA's file.
        path: PathBuf,
        /// Why.
        source: rustls::server::VerifierBuilderError,
    },
}
