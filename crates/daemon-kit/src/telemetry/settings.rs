//! The section `telemetry`.

use crate::settings::is_loopback;
use conf::Check;
use core_model::{ByteSize, Period, Secret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};
use telemetry_otel::{ExportSettings, Signal};
use transport_http::{HeaderName, HeaderValue};
use url::Url;

/// Where what is recorded goes, besides the log and `/metrics`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TelemetrySettings {
    /// A receiver of OTLP, such as an OpenTelemetry collector.
    pub otlp: OtlpSettings,
}

/// A receiver of OTLP, and how to treat it. Without `endpoint` nothing is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct OtlpSettings {
    /// The receiver's address, such as `https://otel.example.com:4318`. `/v1/metrics`, `/v1/traces` and `/v1/logs` are
    /// appended to it; with `grpc` it has no path.
    pub endpoint: Option<String>,
    /// `http` for OTLP over HTTP (protobuf), `grpc` where this build has it.
    pub protocol: OtlpProtocol,
    /// Headers sent with every request, for keys and tenants. The values are secrets: take them from the environment,
    /// as in `authorization: "Bearer ${OTLP_TOKEN}"`.
    pub headers: BTreeMap<String, Secret>,
    /// What is sent: `metrics`, `traces`, `logs`.
    pub signals: Vec<OtlpSignal>,
    /// How often metrics are sent.
    pub interval: Period,
    /// How long one attempt may take, from connecting to the last byte of the answer.
    pub timeout: Period,
    /// How requests are compressed: `gzip` or `none`.
    pub compression: OtlpCompression,
    /// Permits plain `http://` to another machine. Headers and telemetry then travel readable by anyone on the way.
    pub allow_http: bool,
    /// A file of certificates (PEM) of authorities to trust besides those of the system.
    pub ca_file: Option<PathBuf>,
    /// More attributes of the resource, such as `deployment.environment.name: production`. They win over
    /// `service.name`, `service.version`, `service.instance.id` and `host.name`, which are set from the start.
    pub resource_attributes: BTreeMap<String, String>,
    /// What may wait for the receiver.
    pub queue: OtlpQueueSettings,
}

/// Bounds of the queue of telemetry. The oldest gives way, and is counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct OtlpQueueSettings {
    /// How much may wait on disk.
    pub max_bytes: ByteSize,
    /// How long it may wait before it is dropped as too old to be of use.
    pub max_age: Period,
}

/// How a receiver is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OtlpProtocol {
    /// Protobuf in HTTP requests.
    #[default]
    Http,
    /// gRPC.
    Grpc,
}

/// How requests are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OtlpCompression {
    /// Not at all.
    None,
    /// gzip, which every receiver takes.
    #[default]
    Gzip,
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OtlpSignal {
    /// What `/metrics` shows, under the same names.
    Metrics,
    /// A span for each run.
    Traces,
    /// The lines of the log, by its level.
    Logs,
}

impl Default for OtlpQueueSettings {
    fn default() -> Self {
        Self {
            max_bytes: ByteSize::new(64 << 20),
            max_age: Period::from_secs(2 * 86_400),
        }
    }
}

impl Default for OtlpSettings {
    fn default() -> Self {
        Self {
            endpoint: None,
            protocol: OtlpProtocol::default(),
            headers: BTreeMap::new(),
            signals: vec![OtlpSignal::Metrics, OtlpSignal::Traces, OtlpSignal::Logs],
            interval: Period::from_secs(60),
            timeout: Period::from_secs(10),
            compression: OtlpCompression::default(),
            allow_http: false,
            ca_file: None,
            resource_attributes: BTreeMap::new(),
            queue: OtlpQueueSettings::default(),
        }
    }
}

impl From<OtlpSignal> for Signal {
    fn from(signal: OtlpSignal) -> Self {
        match signal {
            OtlpSignal::Metrics => Self::Metrics,
            OtlpSignal::Traces => Self::Traces,
            OtlpSignal::Logs => Self::Logs,
        }
    }
}

impl OtlpQueueSettings {
    /// The least that `max_bytes` may be: what is held in memory at most has to fit.
    pub const LEAST_BYTES: ByteSize = ByteSize::new(16 << 20);
}

impl OtlpSettings {
    /// What an exporter of `service` wants. Without an `endpoint` it records nothing.
    pub fn export_settings(&self, service: &str, version: &str, agent_id: Option<&str>) -> ExportSettings {
        let signals = self.signals.iter().copied().filter(|_| self.endpoint.is_some());
        ExportSettings {
            instance_id: agent_id.map(str::to_owned),
            host: gethostname::gethostname().into_string().ok(),
            attributes: self.resource_attributes.clone(),
            signals: signals.map(Signal::from).collect(),
            ..ExportSettings::new(service, version)
        }
    }

    /// Reports what types alone cannot say. `at` is the key of this section, such as `telemetry.otlp`.
    pub fn check(&self, at: &str, check: &mut Check<'_>) {
        let key = |name: &str| format!("{at}.{name}");
        self.check_endpoint(at, check);
        if self.protocol == OtlpProtocol::Grpc && cfg!(not(feature = "otlp-grpc")) {
            let help = Some("write `http`, and the receiver's address for it, most often with port 4318");
            check.problem(&key("protocol"), "is `grpc`, which this build cannot speak", help);
        }
        for (name, value) in &self.headers {
            let is_name = HeaderName::from_bytes(name.as_bytes()).is_ok();
            if !is_name || HeaderValue::from_str(value.reveal()).is_err() {
                let help = Some("names have letters, digits and dashes, values no line breaks");
                check.problem(&key("headers"), format!("`{name}` cannot be sent as a header"), help);
            } else if is_own(name) {
                let message = format!("`{name}` belongs to the protocol and cannot be set");
                check.problem(&key("headers"), message, Some("leave it out"));
            }
        }
        if self.signals.is_empty() {
            let help = Some("write `[metrics, traces, logs]`, or leave `endpoint` out to send nothing");
            check.problem(&key("signals"), "names nothing to send", help);
        }
        if self.interval.get() < Duration::from_secs(1) {
            check.problem(&key("interval"), "must be a second or more", Some("write `60s`"));
        }
        if self.timeout.get().is_zero() {
            check.problem(&key("timeout"), "must be longer than nothing", Some("write `10s`"));
        }
        if self.resource_attributes.keys().any(String::is_empty) {
            check.problem(&key("resource_attributes"), "has an attribute without a name", None);
        }
        let least = OtlpQueueSettings::LEAST_BYTES;
        if self.queue.max_bytes < least {
            check.problem(
                &key("queue.max_bytes"),
                format!("is less than {least}: what is recorded within seconds might not fit"),
                Some("write `64MB`"),
            );
        }
        if self.queue.max_age.get().is_zero() {
            check.problem(
                &key("queue.max_age"),
                "must be longer than nothing: everything would be dropped before it is sent",
                Some("write `2d`"),
            );
        }
    }

    fn check_endpoint(&self, at: &str, check: &mut Check<'_>) {
        let key = format!("{at}.endpoint");
        let Some(endpoint) = &self.endpoint else { return };
        let help = Some("write it as `https://otel.example.com:4318`");
        let url = match Url::parse(endpoint) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => url,
            _ => return check.problem(&key, "is no address of a receiver", help),
        };
        if !url.username().is_empty() || url.password().is_some() {
            let help = Some("leave them out, and set a header `authorization`");
            check.problem(&key, "carries a user name or a password", help);
        } else if url.query().is_some() || url.fragment().is_some() {
            check.problem(
                &key,
                "carries a query or a fragment, after which no path can stand",
                help,
            );
        } else if self.protocol == OtlpProtocol::Grpc && url.path() != "/" {
            check.problem(&key, "has a path, which gRPC knows none of", Some("leave the path out"));
        } else if url.scheme() == "http" && !self.allow_http && !is_loopback(&url) {
            let keys = [key, format!("{at}.allow_http")];
            let message = "is not HTTPS: headers and telemetry would travel readable by anyone on the way";
            let help = Some("use `https://`, or set `allow_http` if the network between is trusted");
            check.conflict(&keys.each_ref().map(String::as_str), message, help);
        }
    }
}

/// Headers that say what is sent and how, and so are not for others to set.
fn is_own(name: &str) -> bool {
    let own = [
        "content-type",
        "content-encoding",
        "content-length",
        "host",
        "te",
        "transfer-encoding",
    ];
    own.iter().any(|own| own.eq_ignore_ascii_case(name)) || name.to_ascii_lowercase().starts_with("grpc-")
}

impl TelemetrySettings {
    /// Reports what types alone cannot say. `at` is the section's key.
    pub fn check(&self, at: &str, check: &mut Check<'_>) {
        self.otlp.check(&format!("{at}.otlp"), check);
    }
}
