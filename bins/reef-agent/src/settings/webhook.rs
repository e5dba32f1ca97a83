//! The `webhook` section.
use base64::{Engine as _, engine::general_purpose::STANDARD};
use conf::Check;
use core_model::{ByteSize, Period, Secret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf};
use transport_http::{HeaderName, HeaderValue};
use url::Url;

/// Where each detection is told at once, besides the log and the controller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct WebhookSettings {
    /// The address to which each detection is posted [default: none]. It may hold a token, so it is never shown.
    pub(crate) url: Option<Secret>,
    /// Signs each request, so that the receiver knows whose it is (`webhook-signature`). A `whsec_…` of the receiver's, or
    /// any text.
    pub(crate) secret: Option<Secret>,
    /// Further headers, such as `authorization`. Their values are never shown.
    pub(crate) headers: BTreeMap<String, Secret>,
    /// What is posted: `json` for programs, `text` for chats that take Slack's incoming webhooks.
    pub(crate) format: WebhookFormat,
    /// How long one attempt may take.
    pub(crate) timeout: Period,
    /// Permits plain `http://` to another machine. What is told then travels readable by anyone on the way.
    pub(crate) allow_http: bool,
    /// A file of certificates (PEM) of authorities to trust besides those of the system.
    pub(crate) ca_file: Option<PathBuf>,
    /// The proxy to go through. Without it `HTTPS_PROXY` and its kin decide.
    pub(crate) proxy: Option<Secret>,
    /// How much may wait on disk while the receiver is away; beyond it the oldest give way.
    pub(crate) max_bytes: ByteSize,
    /// What has waited for longer is given up.
    pub(crate) max_age: Period,
}

/// What is posted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WebhookFormat {
    /// The whole detection, for programs.
    #[default]
    Json,
    /// `{"text": "…"}`: a line for people.
    Text,
}

impl Default for WebhookSettings {
    fn default() -> Self {
        Self {
            url: None,
            secret: None,
            headers: BTreeMap::new(),
            format: WebhookFormat::Json,
            timeout: Period::from_secs(10),
            allow_http: false,
            ca_file: None,
            proxy: None,
            max_bytes: ByteSize::new(16 << 20),
            max_age: Period::from_secs(7 * 24 * 3600),
        }
    }
}

/// Headers that the sender sets itself.
const OWN: [&str; 6] = [
    "content-type",
    "content-length",
    "host",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
];

impl WebhookSettings {
    pub(super) fn check(&self, check: &mut Check<'_>) {
        if let Some(url) = &self.url {
            self.check_url(url, check);
        }
        for (name, value) in &self.headers {
            let key = format!("webhook.headers.\"{}\"", name.replace('\\', r"\\").replace('"', "\\\""));
            let lower = name.to_ascii_lowercase();
            if HeaderName::from_bytes(name.as_bytes()).is_err() {
                check.problem(&key, "is no name of a header", None);
            } else if OWN.contains(&lower.as_str()) {
                check.problem(&key, "is set by the agent itself", None);
            } else if HeaderValue::from_str(value.reveal()).is_err() {
                let what = "cannot be sent in a header, for its line breaks or the like";
                check.problem(&key, what, None);
            }
        }
        if self.secret.is_some() && self.signing_key().is_none() {
            let help = Some("copy all of it, or take any text that does not begin with `whsec_`");
            check.problem(
                "webhook.secret",
                "begins with `whsec_` and is no base64 behind it",
                help,
            );
        }
        if let Some(proxy) = &self.proxy
            && Url::parse(proxy.reveal()).is_err()
        {
            let help = Some("write it as `http://proxy.example.com:3128`");
            check.problem("webhook.proxy", "is no address of a proxy", help);
        }
        if self.timeout.get().is_zero() {
            check.problem("webhook.timeout", "must be longer than zero", Some("write `10s`"));
        }
        if self.max_age.get().is_zero() {
            check.problem("webhook.max_age", "must be longer than zero", Some("write `7d`"));
        }
        if self.max_bytes.bytes() < 64 << 10 {
            check.problem("webhook.max_bytes", "must be at least 64KB", Some("write `16MB`"));
        }
    }

    /// What requests are signed by; none without a secret, or one that cannot be read.
    pub(crate) fn signing_key(&self) -> Option<Vec<u8>> {
        let secret = self
            .secret
            .as_ref()
            .map(Secret::reveal)
            .filter(|secret| !secret.is_empty())?;
        match secret.strip_prefix("whsec_") {
            Some(key) => STANDARD.decode(key).ok().filter(|key| !key.is_empty()),
            None => Some(secret.as_bytes().to_vec()),
        }
    }

    fn check_url(&self, url: &Secret, check: &mut Check<'_>) {
        const KEY: &str = "webhook.url";
        const HELP: Option<&str> = Some("write it as `https://hooks.example.com/…`");
        match Url::parse(url.reveal()) {
            Err(error) => check.problem(KEY, format!("is no address: {error}"), HELP),
            Ok(url) if !matches!(url.scheme(), "http" | "https") || !url.has_host() => {
                check.problem(KEY, "is no address of a web server", HELP);
            }
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                let help = Some("set the header `authorization` in `webhook.headers` instead");
                check.problem(KEY, "carries a user name or a password", help);
            }
            Ok(url) if url.scheme() == "http" && !self.allow_http && !is_loopback(&url) => {
                let help = Some("use `https://`, or set `allow_http` if the network between is trusted");
                let what = "is not HTTPS: what is told would travel readable by anyone";
                check.problem(KEY, what, help);
            }
            Ok(_) => {}
        }
    }
}

/// Whether requests to `url` do not leave this machine.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name.trim_end_matches('.').eq_ignore_ascii_case("localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::settings::{Freshclam, ReefConfig};

    fn load(text: &str) -> Result<ReefConfig, conf::Problems> {
        let loaded = conf::Layers::new().file("c.toml", text, conf::Format::Toml).load();
        loaded.map(|loaded| loaded.value)
    }

    #[test]
    fn every_mistake_of_the_daemon_s_sections_is_found_at_its_place_and_no_secret_is_repeated() {
        for (text, key) in [
            ("[canary]\nevery = \"5s\"", "canary.every"),
            ("[signatures]\nfreshclam = \"bin/freshclam\"", "signatures.freshclam"),
            ("[signatures]\nconfig = \"freshclam.conf\"", "signatures.config"),
            ("[signatures]\nmax_age = \"0s\"", "signatures.max_age"),
            ("[signatures]\ntimeout = \"1s\"", "signatures.timeout"),
            (
                "[signatures]\nfreshclam = false\nschedule.when = \"@daily\"",
                "signatures.schedule.when",
            ),
            ("[webhook]\nurl = \"hunter2\"", "webhook.url"),
            ("[webhook]\nurl = \"ftp://a/hunter2\"", "webhook.url"),
            ("[webhook]\nurl = \"http://chat.example.com/hunter2\"", "webhook.url"),
            (
                "[webhook]\nurl = \"https://me:hunter2@chat.example.com\"",
                "webhook.url",
            ),
            ("[webhook.headers]\nhost = \"hunter2\"", "webhook.headers.host"),
            ("[webhook.headers]\nx-a = \"hunter2\\n\"", "webhook.headers.x-a"),
            ("[webhook]\nproxy = \"hunter2\"", "webhook.proxy"),
            (
                "[webhook.headers]\n\"a.b c\" = \"hunter2\"",
                "webhook.headers.\"a.b c\"",
            ),
            ("[webhook]\nsecret = \"whsec_hunter2\"", "webhook.secret"),
            ("[webhook]\nmax_bytes = \"1KB\"", "webhook.max_bytes"),
        ] {
            let problems = load(text).err().unwrap();
            let keys: Vec<_> = problems.iter().filter_map(conf::Problem::key).collect();
            assert_eq!(keys, [key], "{text}");
            // The section stands in the first line, the value in the last.
            let last = text.lines().count();
            assert_eq!(problems.iter().next().unwrap().place().unwrap().line, last, "{text}");
            assert!(
                !problems.render(false).contains("hunter2"),
                "{}",
                problems.render(false)
            );
        }
    }

    #[test]
    fn headers_and_address_come_from_variables_and_what_is_wrong_with_them_shows_no_value() {
        const REEF: conf::EnvironmentSpec = conf::EnvironmentSpec {
            prefix: "REEF",
            short: &[],
            other: &[],
        };
        let load = |name: &str, value: &str| {
            let variables = [(name, value), ("REEF__WEBHOOK__SECRET", "hunter3")];
            let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
            conf::Layers::new().environment(REEF, variables).load::<ReefConfig>()
        };
        let headers = load("REEF__WEBHOOK__HEADERS", r#"{"authorization": "Bearer hunter2"}"#).unwrap();
        assert_eq!(
            headers.value.webhook.headers["authorization"].reveal(),
            "Bearer hunter2"
        );
        for (name, value) in [
            ("REEF__WEBHOOK__HEADERS", r#"{"authorization":"Bearer hunter2""#),
            ("REEF__WEBHOOK__HEADERS", r#"{"authorization":{"Bearer":"hunter2"}}"#),
            ("REEF__WEBHOOK__URL", "ftp://chat.example.com/hunter2"),
            ("REEF__WEBHOOK__PROXY", "hunter2"),
            ("REEF__TELEMETRY__OTLP__HEADERS", "authorization=hunter2"),
        ] {
            let problems = load(name, value).unwrap_err();
            let shown = problems.render(false);
            assert!(!shown.contains("hunter") && !shown.contains("Bearer"), "{shown}");
            assert_eq!(problems.iter().next().unwrap().place().unwrap().file, name, "{shown}");
        }
    }

    #[test]
    fn freshclam_is_yes_no_or_a_path_and_is_written_as_it_was_read() {
        for (text, expected, shown) in [
            ("", Freshclam::Found, "true"),
            ("freshclam = false", Freshclam::Off, "false"),
            ("freshclam = true", Freshclam::Found, "true"),
            ("freshclam = \"/opt/f\"", Freshclam::At("/opt/f".into()), "\"/opt/f\""),
        ] {
            let config = load(&format!("[signatures]\n{text}")).ok().unwrap();
            assert_eq!(config.signatures.freshclam, expected);
            assert_eq!(serde_json::to_string(&config.signatures.freshclam).unwrap(), shown);
        }
    }

    #[test]
    fn a_webhook_s_address_and_headers_are_never_shown() {
        let text = "[webhook]\nurl = \"https://chat.example.com/hunter2\"\nheaders.authorization = \"hunter2\"";
        let config = load(text).ok().unwrap();
        assert_eq!(config.webhook.headers["authorization"].reveal(), "hunter2");
        let shown = format!(
            "{:?} {}",
            config.webhook,
            serde_json::to_string(&config.webhook).unwrap()
        );
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
