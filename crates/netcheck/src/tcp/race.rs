//! Several addresses, of which the first that accepts wins (RFC 8305).
use super::{
    TcpAttempt, TcpOutcome,
    connection::{self, Begun, Connection},
};
use crate::{Failure, FailureKind, Family, reach};
use std::{
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};

/// Sorts addresses so that the families take turns; the first is of the family that is preferred, or the first as it was.
pub(super) fn order(addresses: &mut Vec<SocketAddr>, prefer: Family) {
    let v6_first = match prefer {
        Family::Any => addresses.first().is_some_and(SocketAddr::is_ipv6),
        Family::V4 => false,
        Family::V6 => true,
    };
    let (first, second): (Vec<_>, Vec<_>) = addresses
        .iter()
        .copied()
        .partition(|address| address.is_ipv6() == v6_first);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    addresses.clear();
    loop {
        let turn = [first.next(), second.next()];
        if turn == [None, None] {
            return;
        }
        addresses.extend(turn.into_iter().flatten());
    }
}

/// The connection that won with its attempt, and all attempts.
pub(super) type Ended = (Option<(TcpAttempt, Connection)>, Vec<TcpAttempt>);

/// Tries the addresses until one is connected, all have failed or the time is over.
pub(super) async fn run(addresses: &[SocketAddr], source: Option<IpAddr>, delay: Duration, deadline: Instant) -> Ended {
    let begun = Instant::now();
    let mut trials: Vec<Trial> = Vec::with_capacity(addresses.len());
    let mut waiting = addresses.iter();
    let mut next_at = begun;
    loop {
        let now = Instant::now();
        let none_open = trials.iter().all(|trial| trial.stream.is_none());
        if (none_open || now >= next_at)
            && now < deadline
            && let Some(address) = waiting.next()
        {
            let (trial, connection) = Trial::start(*address, source, begun);
            // A failure lets the next begin at once; otherwise each has a while for itself.
            next_at = if trial.stream.is_some() { now + delay } else { now };
            let won = connection.map(|connection| (trial.attempt.clone(), connection));
            trials.push(trial);
            if won.is_some() {
                return finish(trials, begun, won);
            }
            continue;
        }
        if none_open {
            return finish(trials, begun, None);
        }
        let wake = match waiting.len() {
            0 => deadline,
            _ => next_at.min(deadline),
        };
        match timeout_at(wake, poll_fn(|context| poll_any(&mut trials, begun, context))).await {
            Ok(Some(won)) => return finish(trials, begun, Some(won)),
            Ok(None) => next_at = Instant::now(),
            Err(_) if Instant::now() >= deadline => trials.iter_mut().for_each(|trial| trial.give_up(begun)),
            Err(_) => {}
        }
    }
}

fn finish(mut trials: Vec<Trial>, race: Instant, won: Option<(TcpAttempt, Connection)>) -> Ended {
    for trial in &mut trials {
        trial.end(race, TcpOutcome::Overtaken);
    }
    (won, trials.into_iter().map(|trial| trial.attempt).collect())
}

/// The failure of a target none of whose addresses was connected to: of several the one that tells most.
pub(super) fn most_telling(target: &str, attempts: &[TcpAttempt]) -> Failure {
    let Some((_, telling)) = telling(attempts) else {
        return Failure::new(
            FailureKind::TimedOut,
            format!("no time was left to connect to {target}"),
        );
    };
    let mut failure = telling.clone();
    if attempts.len() > 1 {
        failure.detail = format!("none of {} addresses accepts; {}", attempts.len(), failure.detail);
    }
    failure
}

/// The failed attempt that tells most, with its failure; of several that tell as much the first.
pub(super) fn telling(attempts: &[TcpAttempt]) -> Option<(&TcpAttempt, &Failure)> {
    let rank = |failure: &Failure| match failure.kind {
        // What this machine could not do leaves open what the target would have done.
        kind if kind.is_own() => 0,
        FailureKind::Refused => 1,
        FailureKind::Closed => 2,
        FailureKind::Unreachable => 3,
        FailureKind::TimedOut => 4,
        _ => 5,
    };
    let failed = attempts
        .iter()
        .filter_map(|attempt| Some((attempt, attempt.failure.as_ref()?)));
    failed.min_by_key(|(_, failure)| rank(failure))
}

/// An attempt, with its socket as long as it goes on.
struct Trial {
    attempt: TcpAttempt,
    stream: Option<TcpStream>,
}

impl Trial {
    /// Begins it; the connection is there where the answer came at once.
    fn start(address: SocketAddr, source: Option<IpAddr>, race: Instant) -> (Self, Option<Connection>) {
        let mut trial = Self {
            attempt: TcpAttempt {
                address,
                begun: race.elapsed(),
                took: Duration::ZERO,
                outcome: TcpOutcome::Failed,
                failure: None,
            },
            stream: None,
        };
        let failure = match connection::begin(address, source) {
            Ok(Begun::Going(stream)) => {
                trial.stream = Some(stream);
                return (trial, None);
            }
            Ok(Begun::AtOnce(connection)) => {
                trial.settle(race, TcpOutcome::Connected);
                return (trial, Some(connection));
            }
            Err(failure) => failure,
        };
        trial.settle(race, TcpOutcome::Failed);
        trial.attempt.failure = Some(failure);
        (trial, None)
    }

    fn settle(&mut self, race: Instant, outcome: TcpOutcome) {
        self.attempt.took = race.elapsed().saturating_sub(self.attempt.begun);
        self.attempt.outcome = outcome;
    }

    /// Ends it, unless it has ended.
    fn end(&mut self, race: Instant, outcome: TcpOutcome) -> Option<TcpStream> {
        let stream = self.stream.take()?;
        self.settle(race, outcome);
        Some(stream)
    }

    fn give_up(&mut self, race: Instant) {
        if self.end(race, TcpOutcome::Failed).is_some() {
            let TcpAttempt { address, took, .. } = &self.attempt;
            let detail = format!("{address} did not answer within {took:.0?}");
            self.attempt.failure = Some(Failure::new(FailureKind::TimedOut, detail));
        }
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(stream) = &self.stream else {
            return Poll::Pending;
        };
        ready!(stream.poll_write_ready(context))?;
        Poll::Ready(match stream.take_error() {
            Ok(None) => Ok(()),
            Ok(Some(error)) | Err(error) => Err(error),
        })
    }
}

/// The next attempt that ends: with its connection, or with nothing where it failed.
fn poll_any(trials: &mut [Trial], race: Instant, context: &mut Context<'_>) -> Poll<Option<(TcpAttempt, Connection)>> {
    for trial in trials {
        match trial.poll(context) {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => {
                let stream = trial.end(race, TcpOutcome::Connected);
                return Poll::Ready(stream.map(|stream| (trial.attempt.clone(), Connection::Known(stream))));
            }
            Poll::Ready(Err(error)) => {
                let said = trial.end(race, TcpOutcome::Failed).as_ref().and_then(connection::said);
                trial.attempt.failure = Some(reach::later(trial.attempt.address, &error, said));
                return Poll::Ready(None);
            }
        }
    }
    Poll::Pending
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn attempt(kind: Option<FailureKind>) -> TcpAttempt {
        TcpAttempt {
            address: "192.0.2.1:1".parse().unwrap(),
            begun: Duration::ZERO,
            took: Duration::ZERO,
            outcome: TcpOutcome::Failed,
            failure: kind.map(|kind| Failure::new(kind, kind.name())),
        }
    }

    #[test]
    fn the_families_take_turns() {
        let found = ["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"];
        let sorted = |prefer| {
            let mut addresses = addresses(&found);
            order(&mut addresses, prefer);
            addresses
        };
        let v6_first = addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]);
        assert_eq!(sorted(Family::Any), v6_first);
        assert_eq!(sorted(Family::V6), v6_first);
        assert_eq!(
            sorted(Family::V4),
            addresses(&["1.1.1.1:1", "[::1]:1", "2.2.2.2:1", "[::2]:1", "[::3]:1"])
        );
    }

    #[test]
    fn of_several_failures_the_one_that_tells_most_is_told() {
        use FailureKind::{NoRoute, Refused, System, TimedOut};
        let told = |kinds: &[FailureKind]| {
            let attempts: Vec<_> = kinds.iter().map(|kind| attempt(Some(*kind))).collect();
            most_telling("host:1", &attempts)
        };
        assert_eq!(told(&[NoRoute, Refused, TimedOut]).kind, Refused);
        assert_eq!(
            told(&[NoRoute, TimedOut]).detail,
            "none of 2 addresses accepts; timed_out"
        );
        assert_eq!(told(&[Refused, System]).kind, System);
        assert_eq!(told(&[Refused]).detail, "refused");
        assert_eq!(most_telling("host:1", &[]).kind, TimedOut);
        let mut attempts = [TimedOut, Refused, NoRoute].map(|kind| attempt(Some(kind)));
        attempts[1].address = "192.0.2.2:1".parse().unwrap();
        assert_eq!(telling(&attempts).unwrap().0, &attempts[1]);
    }

    /// Two addresses: one that never answers, as the one connection that waits there fills its queue, and one that accepts.
    async fn silent_and_open() -> (impl Sized, [SocketAddr; 2]) {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let silent = socket.listen(0).unwrap();
        let address = silent.local_addr().unwrap();
        let held = TcpStream::connect(address).await.unwrap();
        let open = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addresses = [address, open.local_addr().unwrap()];
        ((silent, held, open), addresses)
    }

    #[tokio::test]
    async fn an_address_that_is_silent_is_overtaken_after_the_delay() {
        let (_servers, addresses) = silent_and_open().await;
        let delay = Duration::from_millis(20);
        let (won, attempts) = run(&addresses, None, delay, Instant::now() + Duration::from_secs(60)).await;
        let (attempt, connection) = won.unwrap();
        let stream = connection.into_stream(attempt.address).unwrap();
        assert_eq!(
            (attempt.address, stream.peer_addr().unwrap()),
            (addresses[1], addresses[1])
        );
        let outcomes: Vec<_> = attempts.iter().map(|attempt| attempt.outcome).collect();
        assert_eq!(outcomes, [TcpOutcome::Overtaken, TcpOutcome::Connected]);
        assert!(attempts[1].begun >= delay && attempts[0].took >= delay && attempts[1].took < attempts[0].took);
    }

    #[tokio::test]
    async fn the_first_that_accepts_leaves_the_others_untried() {
        let (_servers, [silent, open]) = silent_and_open().await;
        let deadline = Instant::now() + Duration::from_secs(60);
        let (won, attempts) = run(&[open, silent], None, Duration::from_secs(2), deadline).await;
        assert!(won.is_some());
        assert_eq!(attempts.len(), 1);
    }

    #[tokio::test]
    async fn a_refusal_begins_the_next_at_once() {
        let (_servers, [_, open]) = silent_and_open().await;
        // The port is taken, and nobody listens at it.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let closed = socket.local_addr().unwrap();
        let (delay, deadline) = (Duration::from_secs(3600), Instant::now() + Duration::from_secs(60));
        let (won, attempts) = run(&[closed, open], None, delay, deadline).await;
        assert_eq!(won.unwrap().0.address, open);
        assert_eq!(attempts[0].failure.as_ref().unwrap().kind, FailureKind::Refused);
    }

    #[tokio::test]
    async fn all_that_are_open_at_the_end_of_the_time_were_silent() {
        let (_servers, [silent, _]) = silent_and_open().await;
        let deadline = Instant::now() + Duration::from_secs(1);
        let (won, attempts) = run(&[silent, silent], None, Duration::from_millis(10), deadline).await;
        assert!(won.is_none());
        let kinds: Vec<_> = attempts.iter().filter_map(|attempt| attempt.failure.as_ref()).collect();
        assert_eq!(kinds.len(), 2);
        assert!(
            kinds.iter().all(|failure| failure.kind == FailureKind::TimedOut),
            "{kinds:?}"
        );
    }
}
