//! An authority of the test's own, and certificates of every kind that it may issue.
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use std::{fs, path::PathBuf};
use tempfile::TempDir;
use transport_http::{ClientAuth, ClientIdentity, ServerTls, TlsFiles};

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    dir: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = params("Authority", &[], 2090);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        fs::write(dir.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self {
            issuer: Issuer::new(params, key),
            dir,
        }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// A server for `localhost` that asks its clients for certificates of this authority.
    pub(crate) fn server(&self, client_auth: ClientAuth) -> ServerTls {
        let mut params = params("Server", &["localhost"], 2090);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let ClientIdentity { certificate, key } = self.issue(&params, "server");
        let files = TlsFiles {
            certificate,
            key,
            client_ca: Some(self.file()),
            client_auth,
        };
        ServerTls::from_files(&files).unwrap()
    }

    /// A client whose subject has this common name, and no other name.
    pub(crate) fn client(&self, common: &str) -> ClientIdentity {
        self.client_of(common, &[], 2090)
    }

    /// A client with these DNS names, until the end of the year before.
    pub(crate) fn client_of(&self, common: &str, dns: &[&str], until: i32) -> ClientIdentity {
        let mut params = params(common, dns, until);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(&params, &format!("{common}-{until}-{}", dns.len()))
    }

    fn issue(&self, params: &CertificateParams, file: &str) -> ClientIdentity {
        let own = KeyPair::generate().unwrap();
        let issued = params.signed_by(&own, &self.issuer).unwrap();
        let place = |end: &str| self.dir.path().join(format!("{file}.{end}"));
        let (certificate, key) = (place("pem"), place("key"));
        fs::write(&certificate, issued.pem()).unwrap();
        fs::write(&key, own.serialize_pem()).unwrap();
        ClientIdentity { certificate, key }
    }
}

fn params(common: &str, dns: &[&str], until: i32) -> CertificateParams {
    let dns: Vec<String> = dns.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(dns).unwrap();
    params.distinguished_name.push(DnType::CommonName, common);
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    params
}
