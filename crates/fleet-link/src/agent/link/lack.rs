//! What the server lacks, or has that we do not know: then everything is told anew.
use super::Membership;
use crate::agent::AgentConfig;
use chrono::Utc;
use core_model::{Queue, StreamId};
use daemon_kit::blocking;
use fleet_wire::Delivered;
use state_sqlite::{Outbox, ResyncReason, StateError};

impl<C: AgentConfig> Membership<C> {
    /// The controller lacks records that we hold for delivered: everything is told anew.
    pub(super) fn lacks_records(&self) {
        match note_lack(self.outbox(), self.outbox().stream()) {
            Ok(_) => self.agent.linked.wake().notify_one(),
            Err(error) => tracing::error!(%error, "that the server wants a snapshot could not be written down"),
        }
    }

    /// The server lacks what we hold for delivered.
    pub(super) async fn want_snapshot(&self, stream: StreamId) {
        let outbox = self.outbox().clone();
        let wanted = move || {
            let is_news = note_lack(&outbox, stream)?;
            if is_news {
                // Said here: whoever waits for this may be cut off by the end of a scan.
                tracing::warn!(%stream, "the server lacks records that it had taken: everything is told anew");
            }
            Ok(is_news)
        };
        match blocking(wanted).await {
            Ok(true) => self.agent.linked.wake().notify_one(),
            Ok(false) => {}
            Err(error) => tracing::error!(
                error = format!("{error:#}"),
                "that the server wants a snapshot could not be written down"
            ),
        }
    }

    /// Whether the server has seen records that were never made here: the state and all beside it was put back.
    pub(super) async fn went_back(&self, seen: Option<Delivered>) -> bool {
        let Some(seen) = seen else { return false };
        let outbox = self.outbox().clone();
        match blocking(move || Ok(outbox.was_seen(seen.stream, seen.through, Utc::now())?)).await {
            Ok(false) => false,
            Ok(true) => {
                tracing::error!(
                    stream = %seen.stream,
                    "the state went back in time: the server has seen records of it that are not known here; everything is \
                     told anew"
                );
                self.agent.linked.wake().notify_one();
                true
            }
            Err(error) => {
                tracing::error!(
                    error = format!("{error:#}"),
                    "that the state went back in time could not be written down"
                );
                false
            }
        }
    }

    pub(super) fn outbox(&self) -> &Outbox {
        &self.agent.state.outbox
    }
}

/// Wants everything told anew because the server lacks records of `stream`; whether that is news: it may be asked for
/// already, or be told anew since.
fn note_lack(outbox: &Outbox, stream: StreamId) -> Result<bool, StateError> {
    if outbox.resync()?.is_some() || outbox.stream() != stream {
        return Ok(false);
    }
    let detail = format!("the server lacks records of the stream {stream} that it had taken");
    outbox.want_resync(ResyncReason::Wanted, &detail, Utc::now())?;
    Ok(true)
}
