//! One connection after another, and what is waited for between them.
use super::{Inner, LinkError, settings::TransportChoice, status::Transport, tries::Tries};
use fleet_wire::link::GoAway;
use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

/// How a connection ended.
pub(super) enum End {
    /// The agent stops.
    Stopped,
    /// It failed, or never came about.
    Failed(LinkError),
    /// The controller wants the agent to come back.
    SentAway(GoAway),
    /// The controller wants HELLO again.
    HelloWanted,
    /// It was polled for long enough: a socket is due.
    SocketDue,
    /// The agent has another key: the connection that was made with the one before ends.
    KeyRenewed,
}

impl Inner {
    /// Connects again and again until `stop`; a connection that is there then stays until `drained`.
    pub(super) async fn keep_connected(self: &Arc<Self>, stop: &CancellationToken, drained: &CancellationToken) {
        let mut tries = Tries::default();
        while !stop.is_cancelled() {
            let settings = *self.settings.borrow();
            let transport = match settings.transport {
                TransportChoice::WebSocket => Transport::WebSocket,
                TransportChoice::Polling => Transport::Polling,
                TransportChoice::Auto => tries.transport(Instant::now()),
            };
            let begun = Instant::now();
            let end = match transport {
                Transport::WebSocket => self.by_socket(stop, drained).await,
                Transport::Polling => {
                    let until = (settings.transport == TransportChoice::Auto).then(|| tries.polling_until());
                    self.by_polling(until.flatten(), stop, drained).await
                }
            };
            self.outgoing.close();
            let was_connected = self.status.borrow().connected.is_some();
            let lasted = was_connected.then(|| begun.elapsed());
            if matches!(end, End::Stopped) {
                self.status.send_modify(|status| status.connected = None);
                return;
            }
            // Without randomness the longest wait is the safe one.
            let random = getrandom::u64().unwrap_or(u64::MAX);
            let wait = tries.after(&end, transport, lasted, &settings, random);
            self.ended(end, &tries, wait);
            stop.run_until_cancelled(sleep(wait)).await;
        }
    }

    /// Puts the end into the status, and into the log where it is news.
    /// Whether it was refused as a copy before, so long ago that an original that had gone by then would not be in the way
    /// any more: a host that was moved is let in the second time.
    fn is_surely_a_clone(&self, goaway: &GoAway) -> bool {
        let mut first = self.cloned_at.lock().unwrap_or_else(PoisonError::into_inner);
        let first = *first.get_or_insert_with(Instant::now);
        first.elapsed() >= Duration::from_secs(goaway.within_secs.into())
    }

    fn ended(&self, end: End, tries: &Tries, wait: Duration) {
        let failure = match end {
            End::Failed(failure) => Some(failure),
            End::SentAway(goaway) => Some(LinkError::SentAway(goaway)),
            End::Stopped | End::HelloWanted | End::SocketDue | End::KeyRenewed => None,
        };
        let text = failure.as_ref().map(|failure| core_model::chain(failure));
        let is_refusal = failure.as_ref().is_some_and(LinkError::is_refusal);
        let clone = match &failure {
            Some(LinkError::SentAway(goaway)) if goaway.reason == "cloned" => Some(goaway),
            _ => None,
        };
        let is_clone = clone.is_some();
        let is_surely = clone.is_some_and(|goaway| self.is_surely_a_clone(goaway));
        let before = self.status.borrow().clone();
        match &text {
            None => debug!("the link begins anew"),
            Some(text) if before.connected.is_none() && before.error.as_ref() == Some(text) => {
                debug!(error = text, "the link is still down");
            }
            Some(text) if is_refusal || is_clone => error!(error = text, "the link is down"),
            Some(text) if matches!(failure, Some(LinkError::SentAway(_))) => {
                info!(reason = text, ?wait, "the link is down")
            }
            Some(text) => warn!(error = text, ?wait, "the link is down"),
        }
        self.status.send_modify(|status| {
            status.connected = None;
            status.failures = tries.failures();
            status.is_doubled |= is_clone;
            status.is_clone |= is_surely;
            status.unauthorized = is_refusal || is_clone || (status.unauthorized && text.is_some());
            status.error = text.or_else(|| status.error.take());
            let wait = chrono::TimeDelta::from_std(wait).unwrap_or_default();
            status.next_try = chrono::Utc::now().checked_add_signed(wait);
        });
    }
}
