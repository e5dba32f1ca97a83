//! Which cryptography TLS uses: `ring`, named once for the whole process.

/// Makes `ring` the provider of rustls for this process, unless one was chosen already.
///
/// rustls refuses to guess when several providers are compiled in, so whoever opens a TLS connection calls this
/// first; [`Client::new`](crate::Client::new) does. Calling it again costs nothing.
pub fn ensure_crypto_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Another thread may have been faster; then there is a provider, which is all that is wanted.
        rustls::crypto::ring::default_provider().install_default().ok();
    }
}
