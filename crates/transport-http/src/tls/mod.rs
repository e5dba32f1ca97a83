//! TLS: which cryptography it uses, and the certificates and keys of the server and of a client that shows one.
mod client;
mod error;
mod expiry;
mod fault;
mod pem;
mod server;

pub use client::IdentityWatch;
pub use error::TlsError;
pub use fault::CertificateFault;
pub(crate) use pem::identity;
pub use server::{ClientAuth, PeerCertificate, ServerTls, TlsFiles};

use rustls::crypto::{CryptoProvider, ring};
use std::sync::Arc;

/// Makes `ring` the provider of rustls for this process, unless one was chosen already.
///
/// rustls refuses to guess when several providers are compiled in, so whoever opens a TLS connection calls this
/// first; [`Client::new`](crate::Client::new) does. Calling it again costs nothing.
pub fn ensure_crypto_provider() {
    if CryptoProvider::get_default().is_none() {
        // Another thread may have been faster; then there is a provider, which is all that is wanted.
        ring::default_provider().install_default().ok();
    }
}

/// The process's provider.
fn provider() -> Arc<CryptoProvider> {
    ensure_crypto_provider();
    CryptoProvider::get_default().map_or_else(|| Arc::new(ring::default_provider()), Arc::clone)
}
