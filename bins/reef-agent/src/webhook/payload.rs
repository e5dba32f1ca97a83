//! What is posted of a detection.
use crate::settings::WebhookFormat;
use chrono::{DateTime, Utc};
use core_model::ByteSize;
use daemon_kit::printable;
use fleet_wire::{Detection, Outcome, malware_kind};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Who tells.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    /// The machine's name.
    pub(crate) host: String,
    /// The agent's, where it has one of its own.
    pub(crate) agent_id: Option<String>,
}

/// A detection as it waits on disk. What is posted is made of it when it is sent, by the settings of then.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Event {
    pub(super) at: DateTime<Utc>,
    pub(super) detection: Detection,
}

impl Event {
    /// The body of the request.
    pub(super) fn body(&self, format: WebhookFormat, from: &Sender) -> Vec<u8> {
        let body = match format {
            WebhookFormat::Json => json!({
                "type": malware_kind::DETECTED,
                "timestamp": self.at,
                "data": {"host": from.host, "agent_id": from.agent_id, "detection": self.detection},
            }),
            WebhookFormat::Text => json!({"text": self.line(from)}),
        };
        body.to_string().into_bytes()
    }

    /// A line for people. Whoever names a file must not be able to address a whole channel by it, or to end the line.
    fn line(&self, from: &Sender) -> String {
        let Detection {
            path,
            signatures,
            size,
            rule,
            engine,
            outcome,
            detail,
            ..
        } = &self.detection;
        let became = match outcome {
            Outcome::Reported => "it was left where it is",
            Outcome::Quarantined => "it is in quarantine",
            Outcome::Deleted => "it was deleted",
            Outcome::LeftThere => "IT IS STILL THERE",
            Outcome::Restored => "it was restored",
            Outcome::Purged => "it is gone for good",
            Outcome::Other => "see the agent's log",
        };
        let path = printable(path.as_bytes());
        let mut line = format!(
            "Malware on {}: {path} ({}): {}; {became}",
            from.host,
            ByteSize::new(*size).human(),
            signatures.join(", ")
        );
        if let Some(detail) = detail {
            line.push_str(&format!(" ({})", printable(detail.as_bytes())));
        }
        line.push_str(&format!(". Rule {rule}, {engine}"));
        line.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
    }
}
