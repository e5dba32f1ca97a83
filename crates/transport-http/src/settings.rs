//! What a client is told about its server, and what is checked before it sends anything.
use crate::{ApiKey, Observation, TlsError};
use core_model::{Backoff, BreakerSettings, ByteSize, Secret};
use std::{fmt, io, path::PathBuf, sync::Arc, time::Duration};
use url::{Host, Url};

/// How a request's body is packed. Bodies below 1 KiB are always sent as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// As it is.
    #[default]
    None,
    /// gzip, which every server takes.
    Gzip,
    /// Zstandard: smaller and faster, where the server takes it.
    Zstd,
}

/// Called once for each request that ended, after its last attempt.
pub type Observer = Arc<dyn Fn(&Observation) + Send + Sync>;

/// A certificate that says who the client is, and its key: files, both PEM, read when the client is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The client's certificate, followed by those between it and its authority.
    pub certificate: PathBuf,
    /// The private key of the first certificate, without a passphrase.
    pub key: PathBuf,
}

/// One server and how to treat it. `Debug` shows no key, token or proxy password.
#[derive(Clone)]
pub struct ClientSettings {
    /// Where the server is; paths of requests are appended to it.
    pub base_url: Url,
    /// Sent as `X-API-KEY`. All that is made of these settings and their clones shares it, and its exchange.
    pub api_key: Option<ApiKey>,
    /// Sent as `Authorization: Bearer`.
    pub bearer: Option<Secret>,
    /// For the connection itself, TLS included.
    pub connect_timeout: Duration,
    /// For one attempt as a whole, from the connection to the last byte of the answer.
    pub timeout: Duration,
    /// The longest pause within an answer.
    pub idle_timeout: Duration,
    /// How often a request that may be repeated is sent again after its first failure.
    pub retry_attempts: u32,
    /// The waits between attempts.
    pub backoff: Backoff,
    /// The longest wait that a server may ask for by `Retry-After`.
    pub retry_after_max: Duration,
    /// When to leave the server alone.
    pub breaker: BreakerSettings,
    /// How many requests may be under way at once, at least one.
    pub max_parallel: usize,
    /// How bodies are packed.
    pub compression: Compression,
    /// The longest answer that is read, unpacked.
    pub max_response: ByteSize,
    /// Certificates (PEM) of authorities to trust besides those of the system.
    pub ca_file: Option<PathBuf>,
    /// What to show to servers that ask clients for a certificate.
    pub identity: Option<ClientIdentity>,
    /// Through which proxy (`http`, `https`, `socks5`). Without it the usual variables of the environment decide,
    /// but for a loopback host, which is always reached directly.
    pub proxy: Option<Url>,
    /// Sent as `User-Agent`.
    pub user_agent: String,
    /// Permits plain `http` to a host that is not loopback.
    pub allow_http: bool,
    /// Told of every request that ended, so that a binary can record metrics.
    pub observe: Option<Observer>,
}

impl ClientSettings {
    /// The defaults for `base_url`: 10 s to connect, 30 s in all with pauses of 15 s, six retries from 1 s to 5 min, four at once.
    pub fn new(base_url: Url) -> Self {
        Self {
            base_url,
            api_key: None,
            bearer: None,
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(15),
            retry_attempts: 6,
            backoff: Backoff {
                first: Duration::from_secs(1),
                longest: Duration::from_secs(300),
            },
            retry_after_max: Duration::from_secs(300),
            breaker: BreakerSettings::default(),
            max_parallel: 4,
            compression: Compression::None,
            max_response: ByteSize::new(16 << 20),
            ca_file: None,
            identity: None,
            proxy: None,
            user_agent: concat!("shoal/", env!("CARGO_PKG_VERSION")).to_owned(),
            allow_http: false,
            observe: None,
        }
    }

    /// Refuses an address that would send a key in the clear, or that is no address of a server at all.
    pub(crate) fn check(&self) -> Result<(), SetupError> {
        let url = &self.base_url;
        let plain = match url.scheme() {
            "https" => false,
            "http" => true,
            other => {
                return Err(SetupError::Scheme {
                    scheme: other.to_owned(),
                });
            }
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(SetupError::Credentials { server: origin(url) });
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(SetupError::NotABase { server: origin(url) });
        }
        if plain && !self.allow_http && !is_loopback(url) {
            return Err(SetupError::Insecure { server: origin(url) });
        }
        Ok(())
    }
}

/// Why a client could not be made. All of these are mistakes in settings.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Plain HTTP to another host.
    #[error(
        "`{server}` is not HTTPS: keys and data would travel readable by anyone; use `https://`, or set \
         `server.allow_http = true` if the network between is trusted"
    )]
    Insecure {
        /// Scheme, host and port.
        server: String,
    },
    /// Neither HTTP nor HTTPS.
    #[error("a server's address starts with `https://`, not with `{scheme}:`")]
    Scheme {
        /// What it starts with.
        scheme: String,
    },
    /// A user name or password in the address.
    #[error("the address of `{server}` carries a user name or password: set a key or a token instead")]
    Credentials {
        /// Scheme, host and port.
        server: String,
    },
    /// A query or fragment in the address.
    #[error("the address of `{server}` carries a query or a fragment: paths of requests could not be appended")]
    NotABase {
        /// Scheme, host and port.
        server: String,
    },
    /// The key, token or user agent cannot be sent in a header.
    #[error("`{name}` contains characters that cannot be sent in an HTTP header, such as a line break")]
    Header {
        /// The setting.
        name: &'static str,
    },
    /// The CA file cannot be read.
    #[error("could not read the CA file `{}`", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The CA file holds no certificates.
    #[error("`{}` holds no certificate: expected PEM, beginning with `-----BEGIN CERTIFICATE-----`", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The certificates in the CA file are damaged.
    #[error("the certificates in `{}` are damaged", path.display())]
    BadCertificate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: reqwest::Error,
    },
    /// The client's certificate or key cannot be used.
    #[error("the client's certificate cannot be shown to {server}")]
    Identity {
        /// Scheme, host and port.
        server: String,
        /// The file and the fault.
        source: Box<TlsError>,
    },
    /// The proxy's address is not usable.
    #[error("`{proxy}` is not usable as a proxy")]
    Proxy {
        /// Scheme, host and port.
        proxy: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The client could not be built from its parts.
    #[error("could not set up the HTTP client for `{server}`")]
    Build {
        /// Scheme, host and port.
        server: String,
        /// Why.
        source: reqwest::Error,
    },
}

/// Scheme, host and port: what may be shown of an address that could hold a secret.
pub(crate) fn origin(url: &Url) -> String {
    let host = url.host().map_or_else(String::new, |host| host.to_string());
    match url.port_or_known_default() {
        Some(port) => format!("{}://{host}:{port}", url.scheme()),
        None => format!("{}://{host}", url.scheme()),
    }
}

/// Whether the host is this machine by its very name, so that nothing leaves it.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.trim_end_matches('.').eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

impl fmt::Debug for ClientSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSettings")
            .field("base_url", &origin(&self.base_url))
            .field("api_key", &self.api_key)
            .field("bearer", &self.bearer)
            .field("connect_timeout", &self.connect_timeout)
            .field("timeout", &self.timeout)
            .field("idle_timeout", &self.idle_timeout)
            .field("retry_attempts", &self.retry_attempts)
            .field("backoff", &self.backoff)
            .field("retry_after_max", &self.retry_after_max)
            .field("breaker", &self.breaker)
            .field("max_parallel", &self.max_parallel)
            .field("compression", &self.compression)
            .field("max_response", &self.max_response)
            .field("ca_file", &self.ca_file)
            .field("identity", &self.identity)
            .field("proxy", &self.proxy.as_ref().map(origin))
            .field("user_agent", &self.user_agent)
            .field("allow_http", &self.allow_http)
            .field("observe", &self.observe.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str) -> Result<(), SetupError> {
        ClientSettings::new(url.parse().unwrap()).check()
    }

    #[test]
    fn plain_http_is_for_this_machine_only() {
        for fine in [
            "https://fleet.example.org",
            "http://127.0.0.1:7600",
            "http://127.9.9.9",
            "http://[::1]:7600/api",
            "http://localhost:7600",
        ] {
            check(fine).unwrap();
        }
        for wrong in [
            "http://fleet.example.org",
            "http://10.0.0.1",
            "http://localhost.evil.org",
            "http://[::2]",
        ] {
            let error = check(wrong).unwrap_err();
            assert!(matches!(error, SetupError::Insecure { .. }), "{wrong}: {error}");
            assert!(error.to_string().contains("`server.allow_http = true`"), "{error}");
        }
        let mut settings = ClientSettings::new("http://10.0.0.1".parse().unwrap());
        settings.allow_http = true;
        settings.check().unwrap();
    }

    #[test]
    fn an_address_is_a_place_and_nothing_more() {
        assert!(matches!(check("ftp://a"), Err(SetupError::Scheme { .. })));
        assert!(matches!(check("https://a/?x=1"), Err(SetupError::NotABase { .. })));
        let error = check("https://user:hunter2@a").unwrap_err();
        assert!(matches!(error, SetupError::Credentials { .. }));
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    #[test]
    fn debug_shows_no_secret() {
        let settings = ClientSettings {
            api_key: Some(Secret::new("hunter2").into()),
            bearer: Some(Secret::new("hunter2")),
            proxy: Some("http://me:hunter2@proxy:3128".parse().unwrap()),
            ..ClientSettings::new("https://a".parse().unwrap())
        };
        let shown = format!("{settings:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("http://proxy:3128"), "{shown}");
    }
}
