//! That an agent is there, and how it goes.

use chrono::SecondsFormat;
use core_model::{AgentId, Queue};
use daemon_kit::Dialect;
use fleet_wire::{Delivered, Heartbeat, HeartbeatResponse, files_v1};
use transport_http::{Client, HeaderMap, SendError, StatusCode};
use url::Url;

/// Tells a server of this agent.
#[derive(Clone, Debug)]
pub struct Presence {
    client: Client,
    dialect: Dialect,
    name: String,
}

impl Presence {
    /// For the agent called `name`, in what the server speaks.
    pub fn new(client: Client, dialect: Dialect, name: impl Into<String>) -> Self {
        Self {
            client,
            dialect,
            name: name.into(),
        }
    }

    /// Registers the agent at a server of the file-scanner document. A fleet controller knows it from its enrolment,
    /// and nothing is sent.
    ///
    /// # Errors
    /// When the server does not answer with success.
    pub async fn register(
        &self,
        hostname: &str,
        version: &str,
        scan_paths: &[String],
        capabilities: &[String],
    ) -> Result<(), SendError> {
        if self.dialect == Dialect::Shoal {
            return Ok(());
        }
        let register = files_v1::Register {
            agent_id: self.name.clone(),
            hostname: hostname.to_owned(),
            version: version.to_owned(),
            scan_paths: scan_paths.to_vec(),
            capabilities: capabilities.to_vec(),
        };
        self.post("/api/agents/register", &register).await
    }

    /// Sends one heartbeat. `memory_bytes` is the resident memory of the process, which only the file-scanner document
    /// has a place for. Gives what a fleet controller answered, which a server of that document never does.
    ///
    /// # Errors
    /// When the server does not answer with success.
    pub async fn heartbeat(&self, heartbeat: &Heartbeat, memory_bytes: u64) -> Result<HeartbeatResponse, SendError> {
        if self.dialect == Dialect::Shoal {
            let path = "/api/v1/agents/me/heartbeat";
            return match self.client.post_json(path, heartbeat, HeaderMap::new()).await {
                // An older controller answers with nothing.
                Err(SendError::NotJson { .. }) => Ok(HeartbeatResponse::default()),
                answered => answered,
            };
        }
        self.heartbeat_of_the_document(heartbeat, memory_bytes).await?;
        Ok(HeartbeatResponse::default())
    }

    async fn heartbeat_of_the_document(&self, heartbeat: &Heartbeat, memory_bytes: u64) -> Result<(), SendError> {
        let mut document = files_v1::Heartbeat {
            agent_id: None,
            status: if heartbeat.status == "unhealthy" {
                "error".to_owned()
            } else {
                heartbeat.status.clone()
            },
            last_scan_time: heartbeat
                .last_scan_time
                .map(|time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            files_processed: heartbeat.files_processed,
            error_count: heartbeat.error_count,
            memory_usage: memory_bytes,
        };
        match self.post(&under("/api/agents/heartbeat", &self.name), &document).await {
            // The document's first version has the name in the body alone, and knows neither `degraded`.
            Err(error)
                if matches!(
                    error.status(),
                    Some(StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED)
                ) =>
            {
                document.agent_id = Some(self.name.clone());
                if document.status == "degraded" {
                    "healthy".clone_into(&mut document.status);
                }
                self.post("/api/agents/heartbeat", &document).await
            }
            answered => answered,
        }
    }

    // The answer's body, if any, says nothing that an agent needs.
    async fn post<B: serde::Serialize>(&self, path: &str, body: &B) -> Result<(), SendError> {
        let answer: Result<serde::de::IgnoredAny, _> = self.client.post_json(path, body, HeaderMap::new()).await;
        match answer {
            Ok(_) | Err(SendError::NotJson { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// What of a queue is delivered, for a heartbeat. May block on the disk; `None` where another stream is being opened.
///
/// # Errors
/// Those of the queue.
pub fn delivered<Q: Queue>(queue: &Q) -> Result<Option<Delivered>, Q::Error> {
    let stream = queue.stream();
    // Asked for first: what is enqueued from here on is in the queue, and not taken for delivered.
    let last = queue.stats()?.last_seq;
    let waiting = queue.peek(stream, 0, 1)?;
    let through = waiting.first().map_or(last, |run| run.seqs.first - 1);
    Ok((queue.stream() == stream).then_some(Delivered { stream, through }))
}

/// `path` with one more part, which may hold any character.
pub(crate) fn under(path: &str, part: &str) -> String {
    let Ok(mut url) = Url::parse("http://localhost") else {
        return path.to_owned();
    };
    url.set_path(path);
    if let Ok(mut parts) = url.path_segments_mut() {
        parts.push(part);
    }
    url.path().to_owned()
}

/// Whether the server refuses this agent, whose key `client` sends: it was revoked or removed there. A server that is away,
/// or says anything else, refuses nobody.
pub async fn is_refused(client: &Client, agent: AgentId) -> bool {
    let asked: Result<serde_json::Value, _> = client.get_json(&format!("/api/agents/{agent}/config")).await;
    let status = asked.err().and_then(|error| error.status());
    matches!(status, Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN))
}

#[cfg(test)]
mod tests {
    use super::under;

    #[test]
    fn a_name_is_one_part_of_the_path_whatever_it_holds() {
        assert_eq!(
            under("/api/agents/heartbeat", "web 1/a?b#c"),
            "/api/agents/heartbeat/web%201%2Fa%3Fb%23c"
        );
    }
}
