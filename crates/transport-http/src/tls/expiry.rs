//! Until when a certificate is valid.
//!
//! No parser of certificates is needed for that: the verifier that rustls brings is asked whether the certificate is
//! valid in the far future, and says in its refusal when it ends. Validity is the first thing it looks at.
use super::provider;
use chrono::{DateTime, Utc};
use rustls::{
    CertificateError, Error, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use std::{sync::Arc, time::Duration};

/// After every certificate there is: the last year that one can name is 9999.
const FAR_FUTURE: Duration = Duration::from_secs(300_000_000_000);

/// When `certificate` ends; `None` where that cannot be read.
pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<DateTime<Utc>> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone().into_owned()).ok()?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .ok()?;
    let name = ServerName::try_from("localhost").ok()?;
    let far = UnixTime::since_unix_epoch(FAR_FUTURE);
    match verifier.verify_server_cert(certificate, &[], &name, &[], far) {
        Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            DateTime::from_timestamp(i64::try_from(not_after.as_secs()).ok()?, 0)
        }
        _ => None,
    }
}
