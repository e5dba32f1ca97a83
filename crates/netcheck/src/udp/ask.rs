//! One check: which addresses are asked, how often, and what that comes to.
use super::{UdpAttempt, UdpOptions, UdpReport, UdpState, exchange};
use crate::{Failure, FailureKind, source::Way, target::Target};
use std::net::SocketAddr;
use tokio::time::Instant;

/// No more addresses of a name are asked.
const MOST_ADDRESSES: usize = 8;

pub(super) async fn run(report: &mut UdpReport, options: &UdpOptions) -> Result<UdpState, Failure> {
    options.check()?;
    let (host, port) = Target::with_port(&report.target, options.probe.port())?;
    let way = Way {
        family: options.family,
        source: options.source,
    };
    let resolved = way.resolve(host, port, options.timeout).await?;
    report.dns = resolved.name_took();
    report.found = resolved.addresses.len();
    let asked = each(report, &resolved.addresses, options).await;
    let is_answer_due = options.probe.is_answer_due();
    report.count_lost(is_answer_due);
    match asked {
        Ok(()) => Ok(UdpState::Answered),
        Err(failure) if failure.kind == FailureKind::TimedOut && !is_answer_due => Ok(UdpState::OpenOrSilent),
        Err(failure) => Err(failure),
    }
}

/// Asks one address after another, until one is there. One that is silent is not passed over: that is a result.
async fn each(report: &mut UdpReport, addresses: &[SocketAddr], options: &UdpOptions) -> Result<(), Failure> {
    let mut buffer = vec![0; options.max_reply];
    let mut telling: Option<Failure> = None;
    let addresses = addresses.get(..MOST_ADDRESSES).unwrap_or(addresses);
    for address in addresses {
        let Err(failure) = one(report, *address, options, &mut buffer).await else {
            return Ok(());
        };
        if !matches!(failure.kind, FailureKind::NoRoute | FailureKind::Unreachable) {
            return Err(failure);
        }
        // What somebody on the way said tells more than that this machine knows none.
        if telling
            .as_ref()
            .is_none_or(|before| before.kind == FailureKind::NoRoute)
        {
            telling = Some(failure);
        }
    }
    let mut failure = telling.unwrap_or_else(|| Failure::new(FailureKind::Invalid, "nothing was sent"));
    if addresses.len() > 1 {
        failure.detail = format!("none of {} addresses can be reached; {failure}", addresses.len());
    }
    Err(failure)
}

/// Asks one address until it answers.
async fn one(
    report: &mut UdpReport,
    address: SocketAddr,
    options: &UdpOptions,
    buffer: &mut [u8],
) -> Result<(), Failure> {
    report.address = Some(address);
    let mut last = Ok(());
    for _ in 0..options.attempts {
        let begun = Instant::now();
        last = exchange::once(report, address, options, buffer).await;
        report.attempts.push(UdpAttempt {
            address,
            took: begun.elapsed(),
            answered: last.is_ok(),
            failure: last.as_ref().err().cloned(),
        });
        let kind = last.as_ref().err().map(|failure| failure.kind);
        if !matches!(kind, Some(FailureKind::TimedOut | FailureKind::Unreachable)) {
            break;
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::udp::{Expect, Probe};
    use std::time::Duration;
    use tokio::net::UdpSocket;

    fn options(timeout: Duration) -> UdpOptions {
        UdpOptions {
            probe: Probe::bytes("hello").unwrap().expecting(Expect::Any),
            attempts: 2,
            timeout,
            ..UdpOptions::default()
        }
    }

    /// To which nothing may be sent without having asked for it.
    fn forbidden() -> SocketAddr {
        "255.255.255.255:9".parse().unwrap()
    }

    #[tokio::test]
    async fn an_address_to_which_there_is_no_way_is_passed_over_and_stays_in_the_report() {
        let echo = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let answers = async {
            let mut asked = [0; 16];
            let (length, from) = echo.recv_from(&mut asked).await.unwrap();
            echo.send_to(&asked[..length], from).await.unwrap();
        };
        let at = echo.local_addr().unwrap();
        let mut report = UdpReport::new("a name");
        let addresses = [forbidden(), at];
        let options = options(Duration::from_secs(60));
        let (asked, ()) = tokio::join!(each(&mut report, &addresses, &options), answers);
        assert_eq!((asked, report.address), (Ok(()), Some(at)));
        let tried: Vec<_> = report
            .attempts
            .iter()
            .map(|attempt| (attempt.address, attempt.answered))
            .collect();
        assert_eq!(tried, [(forbidden(), false), (at, true)]);
        let failure = report.attempts[0].failure.as_ref().unwrap();
        assert_eq!(failure.kind, FailureKind::NoRoute, "{failure}");
        let none = each(&mut report, &[forbidden(), forbidden()], &options)
            .await
            .unwrap_err();
        assert!(
            none.detail.starts_with("none of 2 addresses can be reached; "),
            "{none}"
        );
    }

    #[tokio::test]
    async fn an_address_that_is_silent_is_the_result() {
        let (silent, other) = (UdpSocket::bind("127.0.0.1:0").await.unwrap(), forbidden());
        let at = silent.local_addr().unwrap();
        let mut report = UdpReport::new("a name");
        let failure = each(&mut report, &[at, other], &options(Duration::from_millis(20)))
            .await
            .unwrap_err();
        assert_eq!((failure.kind, report.address), (FailureKind::TimedOut, Some(at)));
        assert_eq!(report.attempts.len(), 2, "both of them its own");
    }

    #[test]
    fn an_address_that_a_router_refuses_is_passed_over() {
        use testkit::net::{Topology, TopologyOptions, address};
        let Some(topology) = Topology::new_or_skip(&TopologyOptions::default()).unwrap() else {
            return;
        };
        let told = topology.a().block_on(|| async {
            let at = |address: std::net::Ipv4Addr| SocketAddr::from((address, 9));
            let mut report = UdpReport::new("a name");
            let options = options(Duration::from_secs(60));
            let addresses = [at(address::UNREACHABLE.v4), at(address::B.v4)];
            let failure = each(&mut report, &addresses, &options).await.unwrap_err();
            // Nobody listens at the second, which is there.
            assert_eq!(
                (failure.kind, report.address),
                (FailureKind::Refused, Some(addresses[1]))
            );
            let kinds: Vec<_> = report
                .attempts
                .iter()
                .flat_map(|attempt| &attempt.failure)
                .map(|why| why.kind)
                .collect();
            assert_eq!(
                kinds,
                [FailureKind::Unreachable, FailureKind::Unreachable, FailureKind::Refused]
            );
        });
        told.unwrap();
    }
}
