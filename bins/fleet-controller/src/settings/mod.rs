//! What can be configured, and what is wrong with it.
mod live;

pub(crate) use live::{Boot, Live};

use conf::{Check, Settings};
use core_model::{ByteSize, Period};
use daemon_kit::{DatabaseSettings, LoggingSettings, telemetry::TelemetrySettings};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, path::PathBuf, time::Duration};
use transport_http::{ClientAuth, TlsFiles};

/// Keys renewed more often would be exchanged more than they are used.
const SHORTEST_LIFE: Duration = Duration::from_secs(3600);

/// Hosts are away for hours every day somewhere.
const SHORTEST_SILENCE: Duration = Duration::from_secs(24 * 3600);

/// The controller's configuration.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct ControllerConfig {
    /// Where it listens.
    pub(crate) server: ListenSettings,
    /// How connections are encrypted.
    pub(crate) tls: TlsSettings,
    /// Where its data lie, and their backups.
    pub(crate) store: DatabaseSettings,
    /// Agents.
    pub(crate) agents: AgentsSettings,
    /// Operators.
    pub(crate) auth: AuthSettings,
    /// How long what agents told is kept.
    pub(crate) retention: RetentionSettings,
    /// What is logged, and where.
    pub(crate) logging: LoggingSettings,
    /// Where metrics and the log go besides.
    pub(crate) telemetry: TelemetrySettings,
}

/// Where the controller listens.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct ListenSettings {
    /// Address and port; port 0 takes a free one.
    pub(crate) listen: SocketAddr,
    /// Listen off loopback although there is no TLS: keys then cross the network readable.
    pub(crate) allow_http: bool,
    /// The largest request body, after decompression.
    pub(crate) max_body: ByteSize,
    /// The most connections at one time.
    pub(crate) max_connections: u32,
    /// How long a request may take.
    pub(crate) request_timeout: Period,
    /// How long requests in flight may finish at shutdown.
    pub(crate) shutdown_grace: Period,
    /// Where people and agents reach it, such as `https://fleet.example.com`; agents show it with their claim codes.
    pub(crate) public_url: Option<String>,
}

impl Default for ListenSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7600)),
            allow_http: false,
            max_body: ByteSize::new(16 << 20),
            max_connections: 10_000,
            request_timeout: Period::from_secs(60),
            shutdown_grace: Period::from_secs(10),
            public_url: None,
        }
    }
}

/// How connections are encrypted. Renewed files are taken up within half a minute.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct TlsSettings {
    /// The server's certificate with those between it and its authority, PEM; without it connections are plain HTTP.
    pub(crate) certificate: Option<PathBuf>,
    /// The certificate's private key, PEM, without a passphrase.
    pub(crate) key: Option<PathBuf>,
    /// Authorities that issue certificates of clients, PEM.
    pub(crate) client_ca: Option<PathBuf>,
    /// Whether clients have to show a certificate of `client_ca`.
    pub(crate) client_auth: ClientAuthChoice,
}

/// Whether clients have to show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ClientAuthChoice {
    /// They are not asked.
    #[default]
    None,
    /// They are asked; who shows none is served.
    Optional,
    /// Who shows none is not served.
    Required,
}

impl TlsSettings {
    /// The files, where there is TLS.
    pub(crate) fn files(&self) -> Option<TlsFiles> {
        Some(TlsFiles {
            certificate: self.certificate.clone()?,
            key: self.key.clone()?,
            client_ca: self.client_ca.clone(),
            client_auth: match self.client_auth {
                ClientAuthChoice::None => ClientAuth::None,
                ClientAuthChoice::Optional => ClientAuth::Optional,
                ClientAuthChoice::Required => ClientAuth::Required,
            },
        })
    }

    fn check(&self, check: &mut Check<'_>) {
        match (&self.certificate, &self.key) {
            (Some(_), None) => check.problem("tls.key", "is missing", Some("name the certificate's private key")),
            (None, Some(_)) => check.problem("tls.certificate", "is missing", Some("name the key's certificate")),
            _ => {}
        }
        if self.client_auth != ClientAuthChoice::None && self.client_ca.is_none() {
            let help = Some("name the authorities that issue the certificates of clients");
            check.problem(
                "tls.client_ca",
                "is missing, and `tls.client_auth` asks clients for certificates",
                help,
            );
        }
    }
}

/// Agents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct AgentsSettings {
    /// An agent not heard of for so long is offline.
    pub(crate) offline_after: Period,
    /// How often an agent on the link tells that it is alive. One that is silent for three times as long is cut off.
    pub(crate) heartbeat: Period,
    /// The most agents on the link at one time.
    pub(crate) max_links: u32,
    /// How long a claim waits for an operator.
    pub(crate) claim_life: Period,
    /// How long commands that have ended are kept.
    pub(crate) keep_commands: Period,
    /// Whether a client certificate proves the agent that it names, where no key does. Every certificate that an
    /// authority of `tls.client_ca` issued for a client is then that of an agent.
    pub(crate) by_certificate: bool,
    /// Agents are asked for another key when theirs is older [default: never].
    pub(crate) rotate_keys_after: Option<Period>,
    /// Agents not heard of for so long are removed with all that they told, but for those in maintenance; one that comes
    /// back then has to join again [default: never].
    pub(crate) remove_silent_after: Option<Period>,
}

impl Default for AgentsSettings {
    fn default() -> Self {
        Self {
            offline_after: Period::from_secs(180),
            heartbeat: Period::from_secs(30),
            max_links: 10_000,
            claim_life: Period::from_secs(24 * 3600),
            keep_commands: Period::from_secs(30 * 24 * 3600),
            by_certificate: false,
            rotate_keys_after: None,
            remove_silent_after: None,
        }
    }
}

impl AgentsSettings {
    fn check(&self, tls: &TlsSettings, check: &mut Check<'_>) {
        if self.by_certificate && (tls.files().is_none() || tls.client_auth == ClientAuthChoice::None) {
            let message = "clients are not asked for certificates that could prove an agent";
            let help =
                "set `tls.certificate`, `tls.key`, `tls.client_ca`, and `tls.client_auth` to `optional` or `required`";
            check.conflict(&["agents.by_certificate", "tls.client_auth"], message, Some(help));
        }
        if self.rotate_keys_after.is_some_and(|after| after.get() < SHORTEST_LIFE) {
            let help = Some("write `90d`, or leave the key out");
            check.problem("agents.rotate_keys_after", "must be at least an hour", help);
        }
        if self
            .remove_silent_after
            .is_some_and(|after| after.get() < SHORTEST_SILENCE)
        {
            let help = Some("write `90d`, or leave the key out");
            let message = "must be at least a day: a weekend's outage is no reason to forget a host";
            check.problem("agents.remove_silent_after", message, help);
        }
    }
}

/// Operators.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct AuthSettings {
    /// How long a sign-in lasts.
    pub(crate) session: Period,
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            session: Period::from_secs(12 * 3600),
        }
    }
}

/// How long what agents told is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct RetentionSettings {
    /// Detections of malware, with what was done about them, are kept for so long after they arrived.
    pub(crate) detections: Period,
    /// Scans for malware are kept for so long after they arrived.
    pub(crate) scans: Period,
}

impl Default for RetentionSettings {
    fn default() -> Self {
        Self {
            detections: Period::from_secs(400 * 24 * 3600),
            scans: Period::from_secs(90 * 24 * 3600),
        }
    }
}

impl Settings for ControllerConfig {
    fn check(&self, check: &mut Check<'_>) {
        self.logging.check("logging", check);
        self.telemetry.check("telemetry", check);
        let server = &self.server;
        self.tls.check(check);
        self.store.check("store", check);
        if !server.listen.ip().is_loopback() && !server.allow_http && self.tls.files().is_none() {
            check.problem(
                "server.listen",
                format!(
                    "{} is reachable from other machines, and there is no TLS",
                    server.listen
                ),
                Some(
                    "name `tls.certificate` and `tls.key`, or listen on 127.0.0.1 behind a proxy that terminates TLS, or \
                     write `server.allow_http = true`",
                ),
            );
        }
        if server.max_body.bytes() < 1 << 20 {
            check.problem(
                "server.max_body",
                "must be at least 1MB, or batches of agents do not fit",
                None,
            );
        }
        self.agents.check(&self.tls, check);
        if self.agents.max_links == 0 {
            check.problem("agents.max_links", "must be at least 1", None);
        }
        if let Some(url) = &server.public_url
            && !url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        {
            let help = Some("write it as https://HOST or https://HOST:PORT");
            check.problem("server.public_url", format!("`{url}` is no URL"), help);
        }
        if server.max_connections == 0 {
            check.problem("server.max_connections", "must be at least 1", None);
        }
        for (key, period) in [
            ("server.request_timeout", server.request_timeout),
            ("agents.offline_after", self.agents.offline_after),
            ("agents.heartbeat", self.agents.heartbeat),
            ("agents.claim_life", self.agents.claim_life),
            ("agents.keep_commands", self.agents.keep_commands),
            ("auth.session", self.auth.session),
            ("retention.detections", self.retention.detections),
            ("retention.scans", self.retention.scans),
        ] {
            if period.get().is_zero() {
                check.problem(key, "must be longer than zero", None);
            }
        }
    }
}

/// Short names of variables, and the keys they stand for.
pub(crate) const SHORT_NAMES: &[(&str, &str)] =
    &[("FLEET_LOG_LEVEL", "logging.level"), ("FLEET_LISTEN", "server.listen")];

/// Variables with the prefix that are no keys.
pub(crate) const OTHER_NAMES: &[&str] = &["FLEET_SERVER", "FLEET_TOKEN_FILE"];

#[cfg(test)]
mod tests {
    use super::ControllerConfig;

    /// The keys with a problem in this text.
    fn wrong(text: &str) -> Vec<String> {
        let loaded = conf::Layers::new()
            .file("c.yaml", text, conf::Format::Yaml)
            .load::<ControllerConfig>();
        let problems = loaded.err().map(|problems| {
            let keys = problems
                .iter()
                .map(|problem| problem.key().unwrap_or_default().to_owned());
            keys.collect()
        });
        problems.unwrap_or_default()
    }

    #[test]
    fn certificates_prove_agents_only_where_clients_are_asked_for_them() {
        let tls = "tls: {certificate: a.pem, key: a.key, client_ca: ca.pem, client_auth: ";
        for (text, keys) in [
            ("agents: {by_certificate: true}", vec!["agents.by_certificate"]),
            (
                &format!("{tls}none}}\nagents: {{by_certificate: true}}"),
                vec!["agents.by_certificate"],
            ),
            (&format!("{tls}optional}}\nagents: {{by_certificate: true}}"), vec![]),
            (&format!("{tls}required}}\nagents: {{by_certificate: true}}"), vec![]),
            (
                "tls: {client_ca: ca.pem, client_auth: required}\nagents: {by_certificate: true}",
                vec!["agents.by_certificate"],
            ),
            ("agents: {rotate_keys_after: 10m}", vec!["agents.rotate_keys_after"]),
            ("agents: {rotate_keys_after: 90d}", vec![]),
            ("agents: {remove_silent_after: 23h}", vec!["agents.remove_silent_after"]),
            ("agents: {remove_silent_after: 30d}", vec![]),
            (
                "retention: {detections: 0s, scans: 0s}",
                vec!["retention.detections", "retention.scans"],
            ),
            ("retention: {detections: 400d, scans: 1h}", vec![]),
        ] {
            assert_eq!(wrong(text), keys, "{text}");
        }
    }
}
