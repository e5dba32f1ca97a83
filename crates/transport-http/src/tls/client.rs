//! A client's own certificate: looked at before it is shown, and noticed when it is renewed.
use super::{TlsError, expiry, pem};
use crate::ClientIdentity;
use chrono::{DateTime, Utc};
use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Duration,
};
use tokio::{task, time};

/// How often the files are looked at.
const RECHECK: Duration = Duration::from_secs(30);

impl ClientIdentity {
    /// Until when the certificate is valid, where that can be read from it, after a look whether both files can be used
    /// and belong together. Blocks on the disk.
    ///
    /// # Errors
    /// The file and the fault.
    pub fn expires_at(&self) -> Result<Option<DateTime<Utc>>, TlsError> {
        let certificate = pem::read("certificate", &self.certificate)?;
        let key = pem::read("key", &self.key)?;
        let certified = pem::certified_key((&self.certificate, &certificate), (&self.key, &key))?;
        Ok(certified.cert.first().and_then(expiry::of))
    }

    /// Watches for a renewal. To be begun before a client is made of these files, so that none falls in between. Blocks
    /// on the disk.
    pub fn watch(&self) -> IdentityWatch {
        IdentityWatch {
            seen: self.fingerprint(),
            identity: self.clone(),
        }
    }

    /// Tells apart what differs; `None` where the files cannot be used. Their texts, the key above all, are not kept.
    fn fingerprint(&self) -> Option<u64> {
        let texts = pem::identity(&self.certificate, &self.key).ok()?;
        let mut hasher = DefaultHasher::new();
        texts.hash(&mut hasher);
        Some(hasher.finish())
    }
}

/// Notices when a client's certificate was renewed: [`ClientIdentity::watch`].
#[derive(Debug)]
pub struct IdentityWatch {
    identity: ClientIdentity,
    seen: Option<u64>,
}

impl IdentityWatch {
    /// Waits until the files hold another certificate and key that can be used; they are looked at every 30 s. What is
    /// half renewed is waited out.
    pub async fn renewed(&mut self) {
        loop {
            time::sleep(RECHECK).await;
            let identity = self.identity.clone();
            let now = task::spawn_blocking(move || identity.fingerprint())
                .await
                .ok()
                .flatten();
            if now.is_some() && now != self.seen {
                self.seen = now;
                return;
            }
        }
    }
}
