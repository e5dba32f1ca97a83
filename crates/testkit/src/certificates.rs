//! Certificates for tests: an authority of one's own, and what it issues, good and bad.
use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};
use tempfile::TempDir;

/// Whether a certificate is valid now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Validity {
    /// From 2020 to 2090.
    #[default]
    Now,
    /// From 2020 to five days from now.
    EndsSoon,
    /// It ended with the year 2001.
    Ended,
    /// It begins with the year 2090.
    NotYet,
}

impl Validity {
    fn years(self) -> (i32, i32) {
        match self {
            Self::Now | Self::EndsSoon => (2020, 2090),
            Self::Ended => (2000, 2002),
            Self::NotYet => (2090, 2099),
        }
    }
}

/// A certificate and its key, in files (PEM) that are there for as long as this or its authority is.
#[derive(Clone, Debug)]
pub struct Certified {
    /// The file of the certificate.
    pub certificate: PathBuf,
    /// The file of its private key.
    pub key: PathBuf,
    _dir: Arc<TempDir>,
}

/// An authority that nobody trusts by itself. `Debug` shows no key.
#[derive(Debug)]
pub struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    file: PathBuf,
    dir: Arc<TempDir>,
}

impl CertificateAuthority {
    /// A new authority with a key of its own.
    ///
    /// # Errors
    /// When its files cannot be written.
    pub fn new() -> Result<Self> {
        let dir = Arc::new(tempfile::tempdir().context("no folder for certificates")?);
        let key = KeyPair::generate().context("no key for the authority")?;
        let mut params = params(&[], "Authority of a test", Validity::Now)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).context("no certificate of the authority")?;
        let file = dir.path().join("authority.pem");
        fs::write(&file, certificate.pem()).context("could not write the authority's certificate")?;
        Ok(Self {
            issuer: Issuer::new(params, key),
            file,
            dir,
        })
    }

    /// The authority's own certificate (PEM): what has to be trusted.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// A server's certificate for these names or addresses.
    ///
    /// # Errors
    /// When a name is none, or its files cannot be written.
    pub fn server(&self, names: &[&str], validity: Validity) -> Result<Certified> {
        let mut params = params(names, "Server of a test", validity)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(&params, "server")
    }

    /// A client's certificate.
    ///
    /// # Errors
    /// When its files cannot be written.
    pub fn client(&self, name: &str) -> Result<Certified> {
        let mut params = params(&[], name, Validity::Now)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(&params, "client")
    }

    fn issue(&self, params: &CertificateParams, what: &str) -> Result<Certified> {
        let key = KeyPair::generate().context("no key")?;
        let certificate = params.signed_by(&key, &self.issuer).context("no certificate")?;
        write(&self.dir, what, &certificate.pem(), &key)
    }
}

/// A server's certificate that it issued itself.
///
/// # Errors
/// When a name is none, or its files cannot be written.
pub fn self_signed(names: &[&str]) -> Result<Certified> {
    let dir = Arc::new(tempfile::tempdir().context("no folder for certificates")?);
    let key = KeyPair::generate().context("no key")?;
    let certificate = params(names, "Server of a test", Validity::Now)?
        .self_signed(&key)
        .context("no certificate")?;
    write(&dir, "server", &certificate.pem(), &key)
}

fn params(names: &[&str], subject: &str, validity: Validity) -> Result<CertificateParams> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).context("not a name for a certificate")?;
    params.distinguished_name.push(DnType::CommonName, subject);
    let (from, until) = validity.years();
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    if validity == Validity::EndsSoon {
        params.not_after = (SystemTime::now() + Duration::from_secs(5 * 86_400)).into();
    }
    Ok(params)
}

/// Each certificate gets a folder of its own, so that one for the same purpose does not take its place.
fn write(dir: &Arc<TempDir>, what: &str, certificate: &str, key: &KeyPair) -> Result<Certified> {
    let place = tempfile::Builder::new()
        .prefix(what)
        .disable_cleanup(true)
        .tempdir_in(dir.path())
        .context("no folder for a certificate")?;
    let (certificate_file, key_file) = (place.path().join("certificate.pem"), place.path().join("key.pem"));
    fs::write(&certificate_file, certificate).context("could not write a certificate")?;
    fs::write(&key_file, key.serialize_pem()).context("could not write a key")?;
    Ok(Certified {
        certificate: certificate_file,
        key: key_file,
        _dir: Arc::clone(dir),
    })
}
