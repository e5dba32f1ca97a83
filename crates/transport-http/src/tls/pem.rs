//! Reads PEM files, and says of what is wrong with them which file it is and what to do.
use super::{TlsError, provider};
use rustls::{
    Error as RustlsError, InconsistentKeys,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject as _},
    },
    sign::CertifiedKey,
};
use std::{fs, path::Path};

/// How a key begins that wants a passphrase: as PKCS#8 says it, and as older tools do.
const LOCKED: [&[u8]; 2] = [b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED"];

pub(super) fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Read {
        what,
        path: path.to_owned(),
        source,
    })
}

pub(super) fn certificates(
    what: &'static str,
    path: &Path,
    text: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let certificates = read.map_err(|source| TlsError::NotPem {
        what,
        path: path.to_owned(),
        source,
    })?;
    if certificates.is_empty() {
        return Err(TlsError::NoCertificate {
            what,
            path: path.to_owned(),
        });
    }
    Ok(certificates)
}

fn private_key(path: &Path, text: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    let path = path.to_owned();
    if LOCKED
        .iter()
        .any(|sign| text.windows(sign.len()).any(|window| window == *sign))
    {
        return Err(TlsError::LockedKey { path });
    }
    PrivateKeyDer::from_pem_slice(text).map_err(|source| match source {
        pem::Error::NoItemsFound => TlsError::NoKey { path },
        source => TlsError::NotPem {
            what: "key",
            path,
            source,
        },
    })
}

/// The chain and its key, known to belong together.
pub(super) fn certified_key(
    (certificate, chain): (&Path, &[u8]),
    (key, key_text): (&Path, &[u8]),
) -> Result<CertifiedKey, TlsError> {
    let chain = certificates("certificate", certificate, chain)?;
    let private_key = private_key(key, key_text)?;
    let signing_key = provider()
        .key_provider
        .load_private_key(private_key)
        .map_err(|source| TlsError::BadKey {
            path: key.to_owned(),
            source,
        })?;
    let certified = CertifiedKey::new(chain, signing_key);
    match certified.keys_match() {
        Ok(()) | Err(RustlsError::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(RustlsError::InconsistentKeys(_)) => Err(TlsError::Mismatch {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        }),
        Err(source) => Err(TlsError::BadCertificate {
            what: "certificate",
            path: certificate.to_owned(),
            source,
        }),
    }
}

/// What a client shows to servers that ask who it is: its chain and key, checked, as one PEM text.
pub(crate) fn identity(certificate: &Path, key: &Path) -> Result<Vec<u8>, TlsError> {
    let (chain, private) = (read("certificate", certificate)?, read("key", key)?);
    certified_key((certificate, &chain), (key, &private))?;
    Ok([chain.as_slice(), b"\n", private.as_slice()].concat())
}
