//! From the text of a target to a connection, with the time of each step.
use crate::{Failure, FailureKind, reach, source::Way, target::Host, tcp};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};

/// Longer than any check takes.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// How long a whole check may take, and what is left of it for one step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    whole: Duration,
    since: Instant,
}

/// How long one step may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    /// The time for this step.
    pub(crate) time: Duration,
    /// What that time is said to be: the step's own, or what the whole check was given.
    said: Duration,
    is_whole: bool,
}

impl Clock {
    pub(crate) fn start(whole: Duration) -> Self {
        Self {
            whole,
            since: Instant::now(),
        }
    }

    /// # Errors
    /// When the check was given no time, or more than it may have.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let problem = reach::wrong_timeout(self.whole);
        problem.map_or(Ok(()), |problem| Err(Failure::new(FailureKind::Invalid, problem)))
    }

    /// The time since the check began.
    pub(crate) fn took(&self) -> Duration {
        self.since.elapsed()
    }

    /// What a step may take that has `own` time, or as much as there is.
    pub(crate) fn limit(&self, own: Option<Duration>) -> Limit {
        let left = self.whole.saturating_sub(self.since.elapsed());
        match own {
            Some(own) if own < left => Limit {
                time: own,
                said: own,
                is_whole: false,
            },
            _ => Limit {
                time: left,
                said: self.whole,
                is_whole: true,
            },
        }
    }
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "within {:?}", self.said)?;
        if self.is_whole {
            f.write_str(" since the check began")?;
        }
        Ok(())
    }
}

/// A connection, and how it came about.
#[derive(Debug)]
pub(crate) struct Dialled {
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    /// How long the name took; nothing for an address.
    pub(crate) dns: Option<Duration>,
    pub(crate) connect: Duration,
}

/// Why there is no connection, and what there was before.
#[derive(Debug)]
pub(crate) struct NotDialled {
    pub(crate) failure: Failure,
    /// How long the name took, where it was found.
    pub(crate) dns: Option<Duration>,
}

/// A connection to a host: to the first of its addresses that accepts.
pub(crate) async fn dial(
    host: Host<'_>,
    port: u16,
    way: Way,
    clock: &Clock,
    own: (Option<Duration>, Option<Duration>),
) -> Result<Dialled, NotDialled> {
    let limit = clock.limit(own.0);
    // Whose time it is that ran out is said here, so that the resolver is given more than it will get.
    let found = timeout(limit.time, way.resolve(host, port, LONGEST)).await;
    let found = found.unwrap_or_else(|_| {
        let detail = format!("no name server answered about {host} {limit}");
        Err(Failure::new(FailureKind::NameServer, detail))
    });
    let found = found.map_err(|failure| NotDialled { failure, dns: None })?;
    let dns = found.name_took();
    let since = Instant::now();
    let connected = connect(host, found.addresses, way.source, clock.limit(own.1)).await;
    let (peer, stream) = connected.map_err(|failure| NotDialled { failure, dns })?;
    let connect = since.elapsed();
    // What follows is small and wants an answer: it must not wait for the acknowledgement of what went before.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "could not ask for small packets to be sent at once");
    }
    Ok(Dialled {
        stream,
        peer,
        dns,
        connect,
    })
}

async fn connect(
    host: Host<'_>,
    addresses: Vec<SocketAddr>,
    source: Option<IpAddr>,
    limit: Limit,
) -> Result<(SocketAddr, TcpStream), Failure> {
    let first = addresses.first().map(SocketAddr::to_string).unwrap_or_default();
    let opened = tcp::open(&first, addresses, source, Instant::now() + limit.time).await;
    opened.map_err(|failure| match failure.kind {
        FailureKind::TimedOut => {
            let at = match host {
                Host::Name(name) => format!("{name} ({first})"),
                Host::Address(_) | Host::Scoped(..) => first,
            };
            Failure::new(FailureKind::TimedOut, format!("no answer from {at} {limit}"))
        }
        _ => failure,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_step_has_its_own_time_or_what_is_left_of_the_whole() {
        let clock = Clock::start(Duration::from_secs(10));
        assert_eq!(clock.limit(Some(Duration::from_secs(3))).to_string(), "within 3s");
        tokio::time::advance(Duration::from_secs(8)).await;
        let limit = clock.limit(Some(Duration::from_secs(3)));
        assert_eq!(limit.time, Duration::from_secs(2));
        assert_eq!(limit.to_string(), "within 10s since the check began");
    }

    #[tokio::test]
    async fn the_next_address_is_tried_and_a_failure_names_the_address() {
        let bound = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = bound.local_addr().unwrap();
        // Nobody else gets the port of a socket that is bound and does not listen.
        let deaf = tokio::net::TcpSocket::new_v4().unwrap();
        deaf.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let closed = deaf.local_addr().unwrap();
        let limit = Clock::start(Duration::from_secs(60)).limit(None);
        let host = Host::Address(open.ip());
        let (peer, _) = connect(host, vec![closed, open], None, limit).await.unwrap();
        assert_eq!(peer, open);
        let failure = connect(host, vec![closed, closed], None, limit).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Refused);
        assert!(failure.detail.contains(&closed.to_string()), "{failure}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_that_has_no_time_left_says_so() {
        let bound = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = bound.local_addr().unwrap();
        let limit = Clock::start(Duration::ZERO).limit(Some(Duration::from_secs(1)));
        let failure = connect(Host::Address(address.ip()), vec![address], None, limit)
            .await
            .unwrap_err();
        let expected = format!("no answer from {address} within 0ns since the check began");
        assert_eq!((failure.kind, failure.detail), (FailureKind::TimedOut, expected));
    }
}
