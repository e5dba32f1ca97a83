//! From which of its addresses this machine asks: which addresses of a target that leaves, and how a socket takes it.
use crate::{Failure, FailureKind, Family, Resolved, target::Host};
use rustix::io::Errno;
use socket2::Socket;
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
    time::Duration,
};

/// Which addresses of a target serve, and from which address of this machine they are asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) family: Family,
    /// One of this machine's; any where nothing is said.
    pub(crate) source: Option<IpAddr>,
}

impl Way {
    /// The addresses of a host that can be asked this way.
    pub(crate) async fn resolve(self, host: Host<'_>, port: u16, within: Duration) -> Result<Resolved, Failure> {
        let Some(source) = self.source else {
            return host.resolve(port, self.family, within).await;
        };
        let (own, other) = match source {
            IpAddr::V4(_) => (Family::V4, "IPv6"),
            IpAddr::V6(_) => (Family::V6, "IPv4"),
        };
        if !self.family.has(source) {
            return Err(invalid(format!("{other} alone was asked for, and not from {source}")));
        }
        if let Host::Address(address) = host
            && !own.has(address)
        {
            return Err(invalid(format!(
                "{address} cannot be asked from {source}: give an {other} address as the source"
            )));
        }
        let resolved = host.resolve(port, own, within).await;
        resolved.map_err(|failure| Failure::new(failure.kind, format!("{failure} (to be asked from {source})")))
    }
}

/// No address in particular, of that version.
pub(crate) const fn any(is_v6: bool) -> IpAddr {
    if is_v6 {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    } else {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED)
    }
}

/// Whether a socket of that version can send from `source`.
///
/// # Errors
/// When it is an address of the other.
pub(crate) fn is_for(source: IpAddr, is_v6: bool) -> Result<(), Failure> {
    if source.is_ipv6() == is_v6 {
        return Ok(());
    }
    let version = if is_v6 { "IPv6" } else { "IPv4" };
    Err(invalid(format!(
        "no {version} address can be reached from {source}: give an {version} address as the source"
    )))
}

/// Has a socket send from `source`, an address of the family of `peer`; the port is chosen with the connection.
pub(crate) fn bind(socket: &Socket, source: IpAddr, peer: SocketAddr) -> Result<(), Failure> {
    let local = match (source, peer) {
        // An address of one link is bound on the link of the peer.
        (IpAddr::V6(source), SocketAddr::V6(peer)) => SocketAddrV6::new(source, 0, 0, peer.scope_id()).into(),
        _ => SocketAddr::new(source, 0),
    };
    late_port(socket);
    socket.bind(&local.into()).map_err(|error| refused(source, &error))
}

/// Why it cannot send from `source`.
pub(crate) fn refused(source: IpAddr, error: &io::Error) -> Failure {
    match Errno::from_io_error(error) {
        Some(Errno::ADDRNOTAVAIL) => invalid(format!(
            "this machine has no address {source} to send from: `ip address` lists those that it has"
        )),
        _ => Failure::of_io(&format!("send from {source}"), error),
    }
}

fn invalid(detail: String) -> Failure {
    Failure::new(FailureKind::Invalid, detail)
}

/// A port that is taken before the peer is known is taken for all peers, and there are some 28,000 of them.
#[cfg(target_os = "linux")]
fn late_port(socket: &Socket) {
    use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
    if let Err(error) = setsockopt(socket, IpBindAddressNoPort, &true) {
        tracing::debug!(%error, "a port is taken before the peer is known");
    }
}

#[cfg(not(target_os = "linux"))]
fn late_port(_: &Socket) {}

#[cfg(test)]
mod tests {
    use super::*;

    async fn asked(host: &str, family: Family, source: &str) -> Result<Resolved, Failure> {
        let source = Some(source.parse().unwrap());
        let way = Way { family, source };
        way.resolve(Host::parse(host).unwrap(), 53, Duration::from_secs(60))
            .await
    }

    #[tokio::test]
    async fn only_addresses_of_the_family_of_the_source_are_asked() {
        let found = asked("localhost", Family::Any, "127.0.0.1").await.unwrap();
        assert_eq!(found.addresses, ["127.0.0.1:53".parse().unwrap()]);
        for (host, family, source) in [
            ("127.0.0.1", Family::Any, "::1"),
            ("::1", Family::Any, "127.0.0.1"),
            ("localhost", Family::V6, "127.0.0.1"),
            ("localhost", Family::V4, "::1"),
        ] {
            let failure = asked(host, family, source).await.unwrap_err();
            assert_eq!(failure.kind, FailureKind::Invalid, "{failure}");
            assert!(failure.detail.contains(source), "{failure}");
        }
    }
}
