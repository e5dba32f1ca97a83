//! Names to addresses, by whatever this machine asks: its hosts file, its name servers.
use crate::{Failure, FailureKind, target::Host};
use std::{
    net::{IpAddr, SocketAddr, SocketAddrV6},
    time::Duration,
};
use tokio::{
    net::lookup_host,
    time::{Instant, timeout},
};

/// Which addresses of a target serve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Family {
    /// Those of both versions, in the order of the system (RFC 6724).
    #[default]
    Any,
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
}

impl Family {
    /// Whether an address is one of these.
    #[must_use]
    pub const fn has(self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }

    const fn of(self) -> &'static str {
        match self {
            Self::Any => "an address",
            Self::V4 => "an IPv4 address",
            Self::V6 => "an IPv6 address",
        }
    }
}

/// What a name led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Its addresses, with the port that was asked for, each once; at least one.
    pub addresses: Vec<SocketAddr>,
    /// How long it took; zero for an address, which is not asked about.
    pub took: Duration,
}

impl Resolved {
    /// How long the name took; nothing for an address.
    pub(crate) fn name_took(&self) -> Option<Duration> {
        (!self.took.is_zero()).then_some(self.took)
    }

    /// The first address, without a port: what to ping, or to trace the way to.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.addresses[0].ip()
    }
}

/// The addresses of a name, or of an address as text, each with `port`.
///
/// # Errors
/// When there is none, or none within the time.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use netcheck::{Family, resolve};
/// let found = resolve("127.0.0.1", 80, Family::Any, std::time::Duration::from_secs(5)).await?;
/// assert_eq!(found.addresses, ["127.0.0.1:80".parse().unwrap()]);
/// # Ok::<(), netcheck::Failure>(()) }).unwrap();
/// ```
pub async fn resolve(host: &str, port: u16, family: Family, within: Duration) -> Result<Resolved, Failure> {
    Host::parse(host)?.resolve(port, family, within).await
}

impl Host<'_> {
    /// Its addresses, each with `port`. Only a name is asked about, on a thread for that; neither an address nor the name
    /// of an interface costs more than a look.
    ///
    /// # Errors
    /// When there is none, or none within the time.
    pub async fn resolve(&self, port: u16, family: Family, within: Duration) -> Result<Resolved, Failure> {
        let address = match *self {
            Self::Address(address) => SocketAddr::new(address, port),
            Self::Scoped(address, interface) => SocketAddrV6::new(address, port, 0, index_of(interface)?).into(),
            Self::Name(name) => return look_up(name, port, family, within).await,
        };
        if !family.has(address.ip()) {
            // Nothing is wrong with the name then, but with what was asked for.
            let detail = format!("{self} is not {}, and no other was to be asked", family.of());
            return Err(Failure::new(FailureKind::Invalid, detail));
        }
        Ok(Resolved {
            addresses: vec![address],
            took: Duration::ZERO,
        })
    }
}

async fn look_up(host: &str, port: u16, family: Family, within: Duration) -> Result<Resolved, Failure> {
    let since = Instant::now();
    let found = timeout(within, lookup_host((host, port))).await.map_err(|_| {
        let detail = format!("no name server answered about {host} within {within:?}");
        Failure::new(FailureKind::NameServer, detail)
    })?;
    let took = since.elapsed();
    let mut addresses = Vec::new();
    for address in found.map_err(|error| not_resolved(host, &error))? {
        if family.has(address.ip()) && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(none_of(host, family));
    }
    Ok(Resolved { addresses, took })
}

/// The number of an interface, which may be given instead of its name.
pub(crate) fn index_of(interface: &str) -> Result<u32, Failure> {
    if let Ok(index) = interface.parse() {
        return Ok(index);
    }
    nix::net::if_::if_nametoindex(interface).map_err(|_| {
        Failure::new(
            FailureKind::NoRoute,
            format!("this machine has no interface {interface}"),
        )
    })
}

fn none_of(host: &str, family: Family) -> Failure {
    Failure::new(FailureKind::NameNotFound, format!("{host} has not {}", family.of()))
}

/// The system gives its reason as text alone: only a failure for the moment is one of a name server.
fn not_resolved(host: &str, error: &std::io::Error) -> Failure {
    let text = error.to_string();
    let is_for_now = ["emporary failure", "ry again"].iter().any(|part| text.contains(part));
    if is_for_now {
        return Failure::new(
            FailureKind::NameServer,
            format!("no name server could say what {host} is: {text}"),
        );
    }
    Failure::new(
        FailureKind::NameNotFound,
        format!("there is no address of {host}: {text}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITHIN: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn an_address_is_taken_as_it_is_and_only_of_the_family() {
        let found = resolve("[::1]", 53, Family::Any, WITHIN).await.unwrap();
        assert_eq!(found.addresses, ["[::1]:53".parse().unwrap()]);
        let wrong = resolve("::1", 53, Family::V4, WITHIN).await.unwrap_err();
        assert_eq!(wrong.kind, FailureKind::Invalid);
    }

    #[tokio::test]
    async fn a_link_local_address_is_taken_with_its_interface() {
        let found = resolve("fe80::1%lo", 53, Family::Any, WITHIN).await.unwrap();
        assert_eq!(found.addresses, ["[fe80::1%1]:53".parse().unwrap()]);
        let unknown = resolve("fe80::1%nosuchthing", 53, Family::Any, WITHIN)
            .await
            .unwrap_err();
        assert_eq!(unknown.kind, FailureKind::NoRoute);
    }

    #[tokio::test]
    async fn a_name_of_the_hosts_file_is_found() {
        let found = resolve("localhost", 1, Family::V4, WITHIN).await.unwrap();
        assert_eq!(found.addresses, ["127.0.0.1:1".parse().unwrap()]);
    }

    #[tokio::test]
    async fn what_is_no_name_is_not_asked_about() {
        for name in ["", "a b", "a\nb", &"a".repeat(254)] {
            let refused = resolve(name, 1, Family::Any, WITHIN).await.unwrap_err();
            assert_eq!(refused.kind, FailureKind::Invalid, "{name}");
        }
    }
}
