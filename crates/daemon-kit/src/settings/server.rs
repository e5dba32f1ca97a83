//! The section `server`: the server that an agent reports to.

use conf::Check;
use core_model::{Backoff, BreakerSettings, Period, Secret, Share};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};
use transport_http::{ClientIdentity, ClientSettings, Compression};
use url::{Host, Url};

/// The server that this agent reports to, and how to treat it. Without `base_url` the agent works alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ServerSettings {
    /// The server's address, such as `https://fleet.example.com`. Its paths are appended to it.
    pub base_url: Option<String>,
    /// The key that is sent as `X-API-KEY`. Never written out in a file: `${SCANNER_API_KEY}` takes it from the
    /// environment or from an `env` file. Not needed where enrolment has stored one.
    pub api_key: Option<Secret>,
    /// How long one attempt may take, from connecting to the last byte of the answer.
    pub timeout: Period,
    /// How long connecting may take.
    pub connect_timeout: Period,
    /// How often a request that may be repeated is sent again after it failed.
    pub retry_attempts: u32,
    /// The wait before the first repetition; it doubles with each, and a random share of it is waited.
    pub retry_delay: Period,
    /// The longest wait before a repetition, and the longest that the server may ask for by `Retry-After`.
    pub max_retry_delay: Period,
    /// When to leave a failing server alone.
    pub circuit_breaker: CircuitBreakerSettings,
    /// Permits plain `http://` to another machine. Keys and data then travel readable by anyone on the way.
    pub allow_http: bool,
    /// A file of certificates (PEM) of authorities to trust besides those of the system.
    pub ca_file: Option<PathBuf>,
    /// This agent's own certificate (PEM), followed by those between it and its authority: shown to a server that asks
    /// for one. A fleet controller may know the agent by it. Renewed files are taken up within a minute.
    pub client_certificate: Option<PathBuf>,
    /// The private key of `client_certificate` (PEM), without a passphrase.
    pub client_key: Option<PathBuf>,
    /// The proxy to go through: `http://`, `https://` or `socks5://`, with a password where it wants one, for which
    /// reason it is never shown. Without it `HTTPS_PROXY` and its kin decide.
    pub proxy: Option<Secret>,
    /// How bodies are compressed: `gzip`, `zstd` or `none`.
    pub compression: BodyCompression,
    /// What the server speaks: `shoal` for a fleet controller, `files-v1` for a server of the file-scanner document.
    pub dialect: Dialect,
}

/// When a failing server is left alone, and for how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CircuitBreakerSettings {
    /// The share of failures among the last requests at which no more are sent.
    pub failure_threshold: Share,
    /// How many of the last requests are looked at. With fewer, requests go on.
    pub window: u32,
    /// How long the server is left alone before one request tries again.
    pub recovery_timeout: Period,
}

/// How bodies are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BodyCompression {
    /// Not at all.
    None,
    /// gzip, which every server takes.
    #[default]
    Gzip,
    /// Zstandard: smaller and faster, where the server takes it.
    Zstd,
}

/// What a server speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Dialect {
    /// A fleet controller: numbered records, answered one by one.
    #[default]
    #[serde(rename = "shoal")]
    Shoal,
    /// A server of the file-scanner document: files, deletions and moves in batches, answered as a whole.
    #[serde(rename = "files-v1")]
    FilesV1,
}

impl Default for CircuitBreakerSettings {
    fn default() -> Self {
        let BreakerSettings { window, recovery, .. } = BreakerSettings::default();
        Self {
            failure_threshold: Share::percent(50),
            window: u32::try_from(window).unwrap_or(u32::MAX),
            recovery_timeout: Period::new(recovery),
        }
    }
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            base_url: None,
            api_key: None,
            timeout: Period::from_secs(30),
            connect_timeout: Period::from_secs(10),
            retry_attempts: 6,
            retry_delay: Period::from_secs(1),
            max_retry_delay: Period::from_secs(300),
            circuit_breaker: CircuitBreakerSettings::default(),
            allow_http: false,
            ca_file: None,
            client_certificate: None,
            client_key: None,
            proxy: None,
            compression: BodyCompression::default(),
            dialect: Dialect::default(),
        }
    }
}

impl ServerSettings {
    /// What a client for this server wants, with the key of these settings. `None` without a `base_url`, and where
    /// an address cannot be read, which [`ServerSettings::check`] reports with its place.
    pub fn client_settings(&self) -> Option<ClientSettings> {
        let mut settings = ClientSettings::new(Url::parse(self.base_url.as_deref()?).ok()?);
        settings.api_key = self.api_key.clone().filter(|key| !key.is_empty()).map(Into::into);
        settings.connect_timeout = self.connect_timeout.get();
        settings.timeout = self.timeout.get();
        settings.retry_attempts = self.retry_attempts;
        settings.backoff = Backoff {
            first: self.retry_delay.get(),
            longest: self.max_retry_delay.get(),
        };
        settings.retry_after_max = self.max_retry_delay.get();
        settings.breaker = BreakerSettings {
            window: usize::try_from(self.circuit_breaker.window).unwrap_or(usize::MAX),
            threshold: self.circuit_breaker.failure_threshold.fraction(),
            recovery: self.circuit_breaker.recovery_timeout.get(),
        };
        settings.allow_http = self.allow_http;
        settings.ca_file = self.ca_file.clone();
        settings.identity = self.identity();
        settings.proxy = match &self.proxy {
            Some(proxy) => Some(Url::parse(proxy.reveal()).ok()?),
            None => None,
        };
        settings.compression = match self.compression {
            BodyCompression::None => Compression::None,
            BodyCompression::Gzip => Compression::Gzip,
            BodyCompression::Zstd => Compression::Zstd,
        };
        Some(settings)
    }

    /// The agent's own certificate and its key, where both are named.
    pub fn identity(&self) -> Option<ClientIdentity> {
        Some(ClientIdentity {
            certificate: self.client_certificate.clone()?,
            key: self.client_key.clone()?,
        })
    }

    /// Reports what types alone cannot say. `at` is the section's key.
    pub fn check(&self, at: &str, check: &mut Check<'_>) {
        let key = |name: &str| format!("{at}.{name}");
        if let Some(url) = &self.base_url {
            match Url::parse(url) {
                Ok(url) if !matches!(url.scheme(), "http" | "https") || !url.has_host() => {
                    check.problem(&key("base_url"), "is no address of a server", Some(URL_HELP));
                }
                Ok(url) if url.scheme() == "http" && !self.allow_http && !is_loopback(&url) => {
                    let keys = [key("base_url"), key("allow_http")];
                    let message = "is not HTTPS: keys and data would travel readable by anyone on the way";
                    let help = Some("use `https://`, or set `allow_http` if the network between is trusted");
                    check.conflict(&keys.each_ref().map(String::as_str), message, help);
                }
                Ok(_) => {}
                Err(error) => {
                    check.problem(
                        &key("base_url"),
                        format!("is no address of a server: {error}"),
                        Some(URL_HELP),
                    );
                }
            }
        }
        if let Some(proxy) = &self.proxy
            && Url::parse(proxy.reveal()).is_err()
        {
            let help = Some("write it as `http://proxy.example.com:3128`");
            check.problem(&key("proxy"), "is no address of a proxy", help);
        }
        self.check_identity(key, check);
        for (name, period) in [("timeout", self.timeout), ("connect_timeout", self.connect_timeout)] {
            if period.get() == Duration::ZERO {
                check.problem(&key(name), "must be longer than nothing", Some("write `30s`"));
            }
        }
        if self.retry_delay > self.max_retry_delay {
            let keys = [key("retry_delay"), key("max_retry_delay")];
            check.conflict(
                &keys.each_ref().map(String::as_str),
                "is longer than `max_retry_delay`",
                None,
            );
        }
        if self.circuit_breaker.window == 0 {
            check.problem(&key("circuit_breaker.window"), "must be at least 1", Some("write `10`"));
        }
        // A threshold of nothing would open the breaker on success.
        if self.circuit_breaker.failure_threshold.fraction() == 0.0 {
            check.problem(
                &key("circuit_breaker.failure_threshold"),
                "must be more than 0%",
                Some("write `50%`"),
            );
        }
    }

    /// Whether the files can be used is found out when a connection is made: they may come later than the configuration.
    fn check_identity(&self, key: impl Fn(&str) -> String, check: &mut Check<'_>) {
        let (certificate, private) = (key("client_certificate"), key("client_key"));
        match (&self.client_certificate, &self.client_key) {
            (Some(_), None) => {
                let message = format!("is missing, and `{certificate}` is set");
                check.problem(
                    &private,
                    message,
                    Some("name the file of the certificate's private key"),
                );
            }
            (None, Some(_)) => {
                let message = format!("is missing, and `{private}` is set");
                check.problem(&certificate, message, Some("name the file of the key's certificate"));
            }
            (Some(_), Some(_)) => {
                let url = self.base_url.as_deref().and_then(|url| Url::parse(url).ok());
                if url.is_some_and(|url| url.scheme() == "http") {
                    let keys = [key("base_url"), certificate];
                    let message = "is not HTTPS: the client certificate is never shown to it";
                    let help = Some("use `https://`, or take `client_certificate` and `client_key` out");
                    check.conflict(&keys.each_ref().map(String::as_str), message, help);
                }
            }
            (None, None) => {}
        }
    }
}

const URL_HELP: &str = "write it as `https://fleet.example.com`";

/// Whether requests to `url` do not leave this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.trim_end_matches('.').eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
