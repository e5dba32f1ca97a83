//! The same conversation by requests, where no WebSocket passes.
use super::{
    Inner, LinkError,
    connection::End,
    socket::replaced,
    status::Transport,
    talk::{Heard, Talk},
};
use core_model::Secret;
use fleet_wire::link::{AgentMessage, Envelope, PollRequest, PollResponse};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use transport_http::{ApiKey, HeaderMap};

const PATH: &str = "/api/v1/agents/me/messages";

/// What goes into one request; what is more goes into the next, at once.
const MAX_REQUEST: usize = 1 << 20;

/// Bounds for what a controller asks, in seconds.
const SHORTEST: u32 = 1;
const LONGEST: u32 = 300;

impl Inner {
    /// Polls until something fails, or `until`.
    pub(super) async fn by_polling(
        self: &Arc<Self>,
        until: Option<Instant>,
        stop: &CancellationToken,
        drained: &CancellationToken,
    ) -> End {
        let mut talk = Talk::new(self, Transport::Polling);
        match self.poll_on(&mut talk, until, stop, drained).await {
            Ok(end) | Err(end) => end,
        }
    }

    async fn poll_on(
        &self,
        talk: &mut Talk<'_>,
        until: Option<Instant>,
        stop: &CancellationToken,
        drained: &CancellationToken,
    ) -> Result<End, End> {
        let hello = talk
            .hello()
            .await
            .map_err(|error| End::Failed(LinkError::Journal(error)))?;
        let mut waiting = VecDeque::new();
        add(&mut waiting, talk, hello);
        // The controller ends a session with the key that it was begun with.
        let mut key = self.client.api_key().map(ApiKey::subscribe);
        loop {
            let is_replaced = |key: &watch::Receiver<Secret>| key.has_changed().unwrap_or(false);
            if talk.is_welcome() && key.as_ref().is_some_and(is_replaced) {
                return Ok(End::KeyRenewed);
            }
            let request = PollRequest {
                messages: fit(&mut waiting),
                epoch: talk.epoch(),
            };
            let asked = self
                .client
                .post_json::<_, PollResponse>(PATH, &request, HeaderMap::new());
            // An agent that stops does not wait for an answer: what it does not hear is said again.
            let Some(answered) = stop_or(stop, drained, asked).await else {
                return Ok(End::Stopped);
            };
            let answer = answered.map_err(|error| End::Failed(LinkError::of_poll(error)))?;
            for envelope in &answer.messages {
                let Heard {
                    replies,
                    goaway,
                    is_hello_wanted,
                } = talk.hear(envelope).await;
                add(&mut waiting, talk, replies);
                if let Some(goaway) = goaway {
                    return Ok(End::SentAway(goaway));
                }
                if is_hello_wanted {
                    return Ok(End::HelloWanted);
                }
            }
            if !talk.is_welcome() {
                return Ok(End::Failed(LinkError::NotWelcome));
            }
            if until.is_some_and(|until| until <= Instant::now()) {
                return Ok(End::SocketDue);
            }
            let pause = Duration::from_secs(answer.poll_after_secs.clamp(SHORTEST, LONGEST).into());
            if waiting.is_empty() {
                tokio::select! {
                    () = drained.cancelled() => {}
                    () = replaced(key.as_mut()) => return Ok(End::KeyRenewed),
                    () = self.outgoing.ready() => {}
                    messages = talk.timely() => add(&mut waiting, talk, messages),
                    () = sleep(pause) => {}
                }
            }
            add(&mut waiting, talk, self.outgoing.take());
            if drained.is_cancelled() && waiting.is_empty() {
                return Ok(End::Stopped);
            }
        }
    }
}

/// While commands still run, an agent that stops goes on polling; once none does, the last request gets its answer.
async fn stop_or<T>(
    stop: &CancellationToken,
    drained: &CancellationToken,
    asked: impl Future<Output = T>,
) -> Option<T> {
    let is_last = drained.is_cancelled();
    tokio::pin!(asked);
    if is_last || stop.is_cancelled() {
        return Some(asked.await);
    }
    stop.run_until_cancelled(asked).await
}

fn add(waiting: &mut VecDeque<(Envelope, usize)>, talk: &Talk<'_>, messages: Vec<AgentMessage>) {
    waiting.extend(messages.into_iter().filter_map(|message| talk.pack(message)));
}

/// The first of those that wait, as many as go into one request.
fn fit(waiting: &mut VecDeque<(Envelope, usize)>) -> Vec<Envelope> {
    let (mut messages, mut total) = (Vec::new(), 0);
    while let Some((envelope, bytes)) = waiting.pop_front() {
        total += bytes;
        if total > MAX_REQUEST && !messages.is_empty() {
            waiting.push_front((envelope, bytes));
            break;
        }
        messages.push(envelope);
    }
    messages
}
