//! What happens in a handshake, kept for the report: the certificates as they came, and whether the server wants one
//! too.
use super::roots::provider;
use rustls::{
    DigitallySignedStruct, Error, SignatureScheme,
    client::{
        ResolvesClientCert,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    sign::CertifiedKey,
};
use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

/// It lets every certificate pass, so that the report has it, good or bad; it is judged after the handshake, and before
/// anything is sent. That the server has the key of its certificate is proved here all the same.
#[derive(Debug)]
pub(crate) struct Recorder {
    chain: OnceLock<Vec<CertificateDer<'static>>>,
    was_asked: AtomicBool,
    identity: Option<Arc<CertifiedKey>>,
}

impl Recorder {
    pub(crate) fn new(identity: Option<Arc<CertifiedKey>>) -> Self {
        Self {
            chain: OnceLock::new(),
            was_asked: AtomicBool::new(false),
            identity,
        }
    }

    /// The certificates in the order in which they came; the server's own is the first.
    pub(crate) fn chain(&self) -> &[CertificateDer<'static>] {
        self.chain.get().map_or(&[], Vec::as_slice)
    }

    /// Whether the server asked for a certificate of the client.
    pub(crate) fn was_asked(&self) -> bool {
        self.was_asked.load(Ordering::Relaxed)
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.chain.get_or_init(|| {
            let all = std::iter::once(end_entity).chain(intermediates);
            all.map(|certificate| certificate.clone().into_owned()).collect()
        });
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &provider().signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &provider().signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

impl ResolvesClientCert for Recorder {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.was_asked.store(true, Ordering::Relaxed);
        self.identity.clone()
    }

    /// Always, so that it is known whether the server asked.
    fn has_certs(&self) -> bool {
        true
    }
}
