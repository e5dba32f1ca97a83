//! What comes in a session: replies, its end, and nothing in time.
use super::{About, Session, State, Waiting, refused};
use crate::{
    error::ClamError,
    refusal::RefusalKind,
    reply::{Reply, ReplyError, Subject, split_id},
    verdict::{Finding, Verdict},
};
use std::{
    future::Future,
    io, mem,
    task::{Context, Poll},
};
use tokio::time::{Instant, sleep_until};

impl<T> Session<T> {
    /// Whether anything came.
    pub(super) fn poll_read(&mut self, context: &mut Context<'_>) -> bool {
        if self.state == State::Closed {
            return false;
        }
        match self.connection.poll_read(context, self.decoder.room()) {
            Poll::Pending => return false,
            Poll::Ready(Ok(0)) => self.closed(None),
            Poll::Ready(Ok(count)) => {
                self.decoder.filled(count);
                self.take_replies();
            }
            Poll::Ready(Err(error)) => self.closed(Some(error)),
        }
        true
    }

    fn take_replies(&mut self) {
        // Out of the way, since replies are borrowed from it.
        let mut decoder = mem::take(&mut self.decoder);
        loop {
            match decoder.next_reply() {
                Ok(Some(reply)) => {
                    if let Err(error) = self.take_reply(reply) {
                        return self.fail(&error);
                    }
                }
                Ok(None) => break,
                Err(error) => return self.fail(&error.into()),
            }
        }
        self.decoder = decoder;
    }

    /// Takes one reply. An error is one of the whole connection.
    fn take_reply(&mut self, reply: &[u8]) -> Result<(), ClamError> {
        let (id, said) = match split_id(reply) {
            _ if self.is_single => (1, reply),
            Ok(parted) => parted,
            Err(error) => {
                // Words to all of a session: clamd ends it.
                return match Reply::parse(reply, Subject::Descriptor)?.finding {
                    Finding::Refused(_) => Err(ClamError::lost(Some(reply), None)),
                    Finding::Clean | Finding::Found(_) => Err(error.into()),
                };
            }
        };
        let was_asked = (1..=self.last_id).contains(&id);
        if was_asked {
            self.read_until = self.read_until.max(id);
        }
        let Some(waiting) = self.waiting.get_mut(&id) else {
            // A second reply about a path, or one that came too late.
            return if was_asked {
                Ok(())
            } else {
                Err(ReplyError::new(reply).into())
            };
        };
        let subject = match &waiting.about {
            About::Descriptor => Subject::Descriptor,
            About::Stream { .. } => Subject::Stream,
            About::Path { path, .. } => Subject::Path(path),
        };
        let reply = Reply::parse(said, subject)?;
        let outcome = match (reply.finding, &mut waiting.about) {
            (Finding::Found(name), _) => Ok(Verdict::of(vec![name])),
            (
                Finding::Clean,
                About::Path {
                    held: Some(refusal), ..
                },
            ) => Err(refused(refusal.clone())),
            (Finding::Clean, _) => Ok(Verdict::Clean),
            (Finding::Refused(refusal), About::Path { held, .. }) if reply.below.is_some() => {
                held.get_or_insert(refusal);
                self.end();
                return Ok(());
            }
            (Finding::Refused(refusal), About::Stream { .. }) if refusal.kind() == RefusalKind::StreamTooLong => {
                // clamd reads nothing more, and closes.
                self.sending = None;
                self.state = State::Ended;
                Err(refused(refusal))
            }
            // About the connection, whichever request they came with; the others can be asked for again.
            (Finding::Refused(refusal), _)
                if matches!(refusal.kind(), RefusalKind::OutOfStep | RefusalKind::ReadTimedOut) =>
            {
                return Err(ClamError::lost(Some(said), None));
            }
            (Finding::Refused(refusal), _) => Err(refused(refusal)),
        };
        self.answer(id, outcome);
        Ok(())
    }

    /// Gives a tag back.
    pub(super) fn answer(&mut self, id: u32, outcome: Result<Verdict, ClamError>) {
        if let Some(waiting) = self.waiting.remove(&id) {
            self.done.push_back(waiting.ended(outcome));
        }
    }

    /// The connection has ended.
    fn closed(&mut self, source: Option<io::Error>) {
        let was_ended = self.state == State::Ended && source.is_none();
        if was_ended {
            // clamd has said all that it has to say.
            let held = |waiting: &Waiting<T>| match &waiting.about {
                About::Path { held, .. } => held.clone(),
                About::Descriptor | About::Stream { .. } => None,
            };
            let held: Vec<_> = self
                .waiting
                .iter()
                .filter_map(|(id, waiting)| Some((*id, held(waiting)?)))
                .collect();
            for (id, refusal) in held {
                self.answer(id, Err(refused(refusal)));
            }
        }
        let error = match self.decoder.finish() {
            Ok(said) => ClamError::lost(said, source),
            Err(_) => ClamError::lost(None, source),
        };
        self.fail(&error);
    }

    /// Gives all tags back with an error, and closes.
    fn fail(&mut self, error: &ClamError) {
        self.state = State::Closed;
        self.sending = None;
        for (_, waiting) in mem::take(&mut self.waiting) {
            self.done.push_back(waiting.ended(Err(error.clone())));
        }
    }

    /// Whether the time of any request is over. The timer is set to the first deadline and left there while requests come
    /// and go: it is looked at again when it fires, not once a file.
    pub(super) fn poll_timer(&mut self, context: &mut Context<'_>) -> bool {
        if self.timer.is_none() {
            let first = self.waiting.values().map(|waiting| waiting.deadline).min();
            self.timer = first.map(|first| Box::pin(sleep_until(first)));
        }
        self.poll_expiry(context)
    }

    fn poll_expiry(&mut self, context: &mut Context<'_>) -> bool {
        let Some(timer) = &mut self.timer else { return false };
        if self.waiting.is_empty() || timer.as_mut().poll(context).is_pending() {
            return false;
        }
        self.timer = None;
        let now = Instant::now();
        let late: Vec<u32> = self
            .waiting
            .iter()
            .filter(|(_, waiting)| waiting.deadline <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            let after = self.options.reply;
            self.answer(id, Err(ClamError::TimedOut { what: "a scan", after }));
            // clamd still works on it, or is stuck; what else is under way may end, and nothing new joins it.
            if self.sending.as_ref().is_some_and(|(sent, _)| *sent == id) {
                self.sending = None;
                self.state = State::Ended;
            }
            self.end();
        }
        // With the timer gone the next one is set.
        true
    }
}
