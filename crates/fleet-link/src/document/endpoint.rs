//! One endpoint that is asked again and again, and may not be there.
use super::EndpointStatus;
use crate::presence::under;
use chrono::Utc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use transport_http::{Client, Method, Request, Response, SendError, StatusCode};

/// How often it is looked whether a server that has no such endpoint has one by now.
const SELDOM: Duration = Duration::from_secs(3600);

/// An endpoint of the document.
pub(super) struct Endpoint {
    path: String,
    what: &'static str,
    /// The server had no such endpoint: until then it is not asked again.
    absent_until: Option<Instant>,
    pub(super) status: EndpointStatus,
}

/// What came of asking.
pub(super) enum Answer {
    /// Something.
    Something(Response),
    /// That there is nothing (204).
    Nothing,
    /// None that can be used.
    None,
}

impl Endpoint {
    /// `/api/agents/{name}/config`.
    pub(super) fn config(name: &str) -> Self {
        Self::of(name, "config", "configuration")
    }

    /// `/api/agents/{name}/commands`.
    pub(super) fn commands(name: &str) -> Self {
        Self::of(name, "commands", "commands")
    }

    fn of(name: &str, part: &str, what: &'static str) -> Self {
        Self {
            path: format!("{}/{part}", under("/api/agents", name)),
            what,
            absent_until: None,
            status: EndpointStatus::default(),
        }
    }

    /// Asks, unless the server had no such endpoint a short while ago.
    pub(super) async fn ask(&mut self, client: &Client, stop: &CancellationToken) -> Answer {
        if self.absent_until.is_some_and(|until| Instant::now() < until) {
            return Answer::None;
        }
        match client.send(Request::new(Method::GET, self.path.clone()), stop).await {
            Ok(response) => {
                self.absent_until = None;
                self.status.is_absent = false;
                if response.status == StatusCode::NO_CONTENT {
                    Answer::Nothing
                } else {
                    Answer::Something(response)
                }
            }
            Err(SendError::Cancelled { .. }) => Answer::None,
            Err(error) if is_absent(&error) => {
                if !self.status.is_absent {
                    info!(
                        path = self.path,
                        "the server has no {} for agents: it is asked every hour whether that has changed", self.what
                    );
                }
                self.absent_until = Some(Instant::now() + SELDOM);
                self.status.is_absent = true;
                self.status.error = None;
                Answer::None
            }
            Err(error) => {
                self.failed(&error);
                Answer::None
            }
        }
    }

    /// It answered with something that could be used.
    pub(super) fn succeeded(&mut self) {
        if self.status.error.take().is_some() {
            info!(path = self.path, "the server gives {} again", self.what);
        }
        self.status.answered_at = Some(Utc::now());
    }

    /// It did not, which is said when it begins. Why may read otherwise each time, and stands in the status.
    pub(super) fn failed(&mut self, error: &dyn std::error::Error) {
        let text = core_model::chain(error);
        if self.status.error.is_some() {
            debug!(
                error = text,
                path = self.path,
                "the server still does not give {}",
                self.what
            );
        } else {
            warn!(
                error = text,
                path = self.path,
                "the server does not give {}: the agent goes on without",
                self.what
            );
        }
        self.status.error = Some(text);
    }
}

/// Whether the server says that it has no such endpoint, as one of the document's first version does.
fn is_absent(error: &SendError) -> bool {
    matches!(
        error.status(),
        Some(StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::GONE | StatusCode::NOT_IMPLEMENTED)
    )
}
