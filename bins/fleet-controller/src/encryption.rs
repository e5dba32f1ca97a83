//! TLS as the controller serves it: read at start, looked at for `/health`.
use crate::settings::TlsSettings;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};
use std::path::Path;
use transport_http::{ServerTls, Status, TlsError};

/// A certificate that ends sooner than this should have been renewed.
pub(crate) const RENEWED_BEFORE: TimeDelta = TimeDelta::days(14);

/// Reads the certificate and its key, where they are configured.
pub(crate) fn read(settings: &TlsSettings) -> Result<Option<ServerTls>, TlsError> {
    let Some(files) = settings.files() else {
        return Ok(None);
    };
    let tls = ServerTls::from_files(&files)?;
    if let Some(mode) = readable_by_others(&files.key) {
        tracing::warn!(
            key = %files.key.display(),
            mode = format!("{mode:04o}"),
            "other users may read the key of the certificate: take their permission away (`chmod o-rwx`)"
        );
    }
    Ok(Some(tls))
}

/// The permission bits of a key that more than its owner and group may use. A group is how packages hand keys to
/// services, so it is no fault.
#[cfg(unix)]
pub(crate) fn readable_by_others(key: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(key).ok()?.permissions().mode() & 0o7777;
    (mode & 0o007 != 0).then_some(mode)
}

#[cfg(not(unix))]
pub(crate) fn readable_by_others(_: &Path) -> Option<u32> {
    None
}

/// The component `tls` of `/health`.
pub(crate) fn health(tls: &ServerTls, now: DateTime<Utc>) -> (Status, Map<String, Value>) {
    let expires_at = tls.expires_at();
    let (status, detail) = match expires_at {
        Some(at) if at <= now => (Status::Unhealthy, Some("the certificate has expired: renew it")),
        Some(at) if at - now < RENEWED_BEFORE => (Status::Degraded, Some("the certificate ends soon: renew it")),
        _ => (Status::Healthy, None),
    };
    let mut block = Map::new();
    block.insert("expires_at".to_owned(), json!(expires_at));
    block.extend(detail.map(|detail| ("detail".to_owned(), detail.into())));
    (status, block)
}
