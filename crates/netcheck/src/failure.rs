//! Why a check has no result, or the wrong one.
use std::{fmt, io};

/// Why a check has no result, or the wrong one: what it was doing, what happened, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Failure {
    /// What sort of failure it is, for programs.
    pub kind: FailureKind,
    /// What happened, for people: one line, without the remedy.
    pub detail: String,
}

/// What sort of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum FailureKind {
    /// What was asked for cannot be done by anybody, such as a payload of a megabyte in one packet.
    Invalid,
    /// This process may not do it.
    Permission,
    /// This machine could not: too many open files, no memory.
    System,
    /// There is no such name, or none with an address of the family that was asked for.
    NameNotFound,
    /// The name server could not be asked, or did not know what to answer.
    NameServer,
    /// This machine knows no way to the target.
    NoRoute,
    /// Somebody on the way said that the target cannot be reached.
    Unreachable,
    /// The target said that nobody listens there.
    Refused,
    /// Nothing came within the time.
    TimedOut,
    /// The target ended the connection before it had answered.
    Closed,
    /// No TLS session came about.
    Tls,
    /// The certificate is not one to be trusted for this name at this time.
    Certificate,
    /// What came cannot be understood.
    Protocol,
    /// What came, or would have to be sent, is longer than it may be.
    TooLarge,
    /// What came was understood, and is not what was expected.
    Unexpected,
}

impl FailureKind {
    /// In one word, as it is serialized.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Permission => "permission",
            Self::System => "system",
            Self::NameNotFound => "name_not_found",
            Self::NameServer => "name_server",
            Self::NoRoute => "no_route",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::TimedOut => "timed_out",
            Self::Closed => "closed",
            Self::Tls => "tls",
            Self::Certificate => "certificate",
            Self::Protocol => "protocol",
            Self::TooLarge => "too_large",
            Self::Unexpected => "unexpected",
        }
    }

    /// Whether it is for this machine, and says nothing about the target.
    #[must_use]
    pub const fn is_own(self) -> bool {
        matches!(self, Self::Invalid | Self::Permission | Self::System)
    }

    /// What somebody does about it who did not expect it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Invalid => "correct what was asked for",
            Self::Permission => {
                "run it as root, give the program the right (`setcap cap_net_raw+ep PROGRAM`), or let groups send pings \
                 (`sysctl net.ipv4.ping_group_range='0 2147483647'`)"
            }
            Self::System => "see what this machine has run out of: `ulimit -n`, free memory, free ports",
            Self::NameNotFound => {
                "see whether the name is written right: `dig NAME`, or `getent ahosts NAME` for all that this machine asks"
            }
            Self::NameServer => {
                "see whether the name server answers such questions; those of this machine stand in `/etc/resolv.conf`"
            }
            Self::NoRoute => "see whether this machine has a way there: `ip route get ADDRESS`",
            Self::Unreachable => "see where the way ends: trace the target",
            Self::Refused => "see whether the service runs there, and listens on this address and port",
            Self::TimedOut => "see whether the target is up, and whether a firewall drops what is sent to it",
            Self::Closed => "see in the log of the service why it hangs up",
            Self::Tls => "see whether the service speaks TLS on this port, and which versions",
            Self::Certificate => {
                "see the dates, names and issuer of the certificate; give its issuer where it is your own"
            }
            Self::Protocol => "see whether it is the right service that listens there",
            Self::TooLarge => "allow more, or send less: a smaller --size, or packets that may be split",
            Self::Unexpected => "compare what came with what was expected",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Failure {
    /// A failure of this sort.
    pub fn new(kind: FailureKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
        }
    }

    /// What the system said while something was done, such as `connect to 192.0.2.1:80`.
    #[must_use]
    pub fn of_io(doing: &str, error: &io::Error) -> Self {
        Self::new(kind_of(error), format!("could not {doing}: {error}"))
    }

    /// What somebody does about it who did not expect it.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        self.kind.remedy()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Failure {}

fn kind_of(error: &io::Error) -> FailureKind {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::PermissionDenied => FailureKind::Permission,
        Kind::ConnectionRefused => FailureKind::Refused,
        // What comes back from a router is told apart where the message of the router is read.
        Kind::NetworkUnreachable | Kind::AddrNotAvailable => FailureKind::NoRoute,
        Kind::HostUnreachable => FailureKind::Unreachable,
        Kind::TimedOut => FailureKind::TimedOut,
        Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe | Kind::UnexpectedEof => FailureKind::Closed,
        Kind::InvalidInput => FailureKind::Invalid,
        Kind::InvalidData => FailureKind::Protocol,
        _ => FailureKind::System,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_told_apart() {
        let kind = |error: rustix::io::Errno| Failure::of_io("connect", &error.into()).kind;
        assert_eq!(kind(rustix::io::Errno::PERM), FailureKind::Permission);
        assert_eq!(kind(rustix::io::Errno::NETUNREACH), FailureKind::NoRoute);
        assert_eq!(kind(rustix::io::Errno::HOSTUNREACH), FailureKind::Unreachable);
        assert_eq!(kind(rustix::io::Errno::CONNREFUSED), FailureKind::Refused);
        assert_eq!(kind(rustix::io::Errno::CONNRESET), FailureKind::Closed);
        assert_eq!(kind(rustix::io::Errno::MFILE), FailureKind::System);
    }

    #[test]
    fn only_what_is_wrong_here_is_for_this_machine() {
        assert!(FailureKind::Permission.is_own() && !FailureKind::NoRoute.is_own() && !FailureKind::Refused.is_own());
    }
}
