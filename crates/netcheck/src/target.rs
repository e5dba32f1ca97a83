//! What is to be checked, as people write it: `host`, `host:port`, `[v6]:port`.
use crate::{Failure, FailureKind};
use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

/// The longest name of a host (RFC 1035), without the dot at its end.
const LONGEST_NAME: usize = 253;
/// The longest part of one.
const LONGEST_LABEL: usize = 63;
/// How much of a wrong text is shown.
const SHOWN: usize = 80;

/// A host, and a port where one was written.
///
/// ```
/// use netcheck::target::{Host, Target};
/// let target = Target::parse("[2001:db8::1]:443")?;
/// assert_eq!(target.host, Host::Address("2001:db8::1".parse().unwrap()));
/// assert_eq!(target.port, Some(443));
/// assert_eq!(Target::parse("2001:db8::1")?.port, None);
/// let error = Target::parse("example.org:https").unwrap_err();
/// assert_eq!(error.detail, "`example.org:https` is no target: `https` is no port from 1 to 65535");
/// # Ok::<(), netcheck::Failure>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// The host.
    pub host: Host<'a>,
    /// The port, from 1.
    pub port: Option<u16>,
}

/// A host as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host<'a> {
    /// An address.
    Address(IpAddr),
    /// An address that means something on one interface only, with the name or number of that (`fe80::1%eth0`, RFC 4007).
    Scoped(Ipv6Addr, &'a str),
    /// A name that can be asked about.
    Name(&'a str),
}

impl<'a> Target<'a> {
    /// Reads `host`, `host:port`, `v6`, `[v6]` or `[v6]:port`; an IPv6 address may end in `%interface`.
    ///
    /// # Errors
    /// [`FailureKind::Invalid`], which says what is wrong and how to write it.
    pub fn parse(text: &'a str) -> Result<Self, Failure> {
        Self::read(text).map_err(|problem| invalid(text, "target", &problem))
    }

    /// As [`parse`](Self::parse), for what cannot be checked without a port; `default` is that of its protocol.
    ///
    /// # Errors
    /// [`FailureKind::Invalid`], also where there is neither a port nor a default.
    pub fn with_port(text: &'a str, default: Option<u16>) -> Result<(Host<'a>, u16), Failure> {
        let target = Self::parse(text)?;
        let port = target.port.or(default).ok_or_else(|| {
            let problem = match target.host {
                Host::Name(name) => format!("it has no port: write `{name}:PORT`"),
                Host::Address(IpAddr::V4(address)) => format!("it has no port: write `{address}:PORT`"),
                host => format!("it has no port: write `[{host}]:PORT`"),
            };
            invalid(text, "target", &problem)
        })?;
        Ok((target.host, port))
    }

    fn read(text: &'a str) -> Result<Self, String> {
        if text.contains("://") {
            return Err("it is a URL; write `HOST:PORT`".to_owned());
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (inner, after) = rest.split_once(']').ok_or("the bracket is not closed")?;
            let host = v6(inner).ok_or_else(|| format!("`{inner}` in brackets is no IPv6 address"))?;
            let port = match after.strip_prefix(':') {
                Some(port) => Some(read_port(port)?),
                None if after.is_empty() => None,
                None => return Err(format!("`{after}` after the bracket is no `:PORT`")),
            };
            return Ok(Self { host, port });
        }
        if let Some(host) = v6(text) {
            return Ok(Self { host, port: None });
        }
        let (host, port) = match text.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err("it is no IPv6 address; one with a port is written `[ADDRESS]:PORT`".to_owned());
            }
            Some((host, port)) => (host, Some(read_port(port)?)),
            None => (text, None),
        };
        Ok(Self {
            host: Host::read(host)?,
            port,
        })
    }
}

impl<'a> Host<'a> {
    /// Reads an address or a name, without a port; an IPv6 address may stand in brackets.
    ///
    /// # Errors
    /// [`FailureKind::Invalid`], which says what is wrong.
    pub fn parse(text: &'a str) -> Result<Self, Failure> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        let read = match bare {
            Some(bare) => v6(bare).ok_or_else(|| format!("`{bare}` in brackets is no IPv6 address")),
            None => v6(text).map_or_else(|| Self::read(text), Ok),
        };
        read.map_err(|problem| invalid(text, "host", &problem))
    }

    /// An IPv4 address or a name.
    fn read(text: &'a str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.is_empty() {
            return Err("it names no host".to_owned());
        }
        if name.len() > LONGEST_NAME {
            return Err(format!("a name has {LONGEST_NAME} characters at most"));
        }
        if !name.is_ascii() {
            return Err("a name in other letters is written as the name servers know it, `xn--...`".to_owned());
        }
        for label in name.split('.') {
            if label.is_empty() || label.len() > LONGEST_LABEL {
                return Err(format!("each part of a name has 1 to {LONGEST_LABEL} characters"));
            }
            if let Some(wrong) = label.chars().find(|c| !c.is_ascii_alphanumeric() && !"-_".contains(*c)) {
                return Err(format!("{wrong:?} does not stand in the name of a host"));
            }
        }
        // The system would read such a thing as an address by the rules of 1983, `10.0.0.010` as 10.0.0.8.
        let last = name.rsplit('.').next().unwrap_or(name);
        let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
        if last.bytes().all(|byte| byte.is_ascii_digit())
            || hex.is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
        {
            return Err("it ends in a number, and is no IPv4 address of four decimal numbers".to_owned());
        }
        Ok(Self::Name(text))
    }
}

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Scoped(address, interface) => write!(f, "{address}%{interface}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

fn v6(text: &str) -> Option<Host<'_>> {
    let Some((address, interface)) = text.split_once('%') else {
        return text.parse().ok().map(|address| Host::Address(IpAddr::V6(address)));
    };
    let is_name = !interface.is_empty()
        && interface
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b":/%".contains(&byte));
    address
        .parse()
        .ok()
        .filter(|_| is_name)
        .map(|address| Host::Scoped(address, interface))
}

fn read_port(text: &str) -> Result<u16, String> {
    let port = text.parse().ok().filter(|port| *port > 0 && !text.starts_with('+'));
    port.ok_or_else(|| format!("`{text}` is no port from 1 to 65535"))
}

fn invalid(text: &str, what: &str, problem: &str) -> Failure {
    let shown: String = text.chars().take(SHOWN).collect();
    let shown = shown.escape_debug();
    Failure::new(FailureKind::Invalid, format!("`{shown}` is no {what}: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_form_is_read() {
        let address = |text: &str| Host::Address(text.parse().unwrap());
        for (text, host, port) in [
            ("192.0.2.1", address("192.0.2.1"), None),
            ("192.0.2.1:80", address("192.0.2.1"), Some(80)),
            ("::1", address("::1"), None),
            ("[::1]", address("::1"), None),
            ("[::1]:65535", address("::1"), Some(65535)),
            // It is an address as a whole.
            ("2001:db8::1:80", address("2001:db8::1:80"), None),
            ("fe80::1%eth0", Host::Scoped("fe80::1".parse().unwrap(), "eth0"), None),
            (
                "[fe80::1%2]:22",
                Host::Scoped("fe80::1".parse().unwrap(), "2"),
                Some(22),
            ),
            ("host", Host::Name("host"), None),
            (
                "_srv.a-b.example.org.:53",
                Host::Name("_srv.a-b.example.org."),
                Some(53),
            ),
            ("1.2.3.4.example:1", Host::Name("1.2.3.4.example"), Some(1)),
        ] {
            assert_eq!(Target::parse(text).unwrap(), Target { host, port }, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, part) in [
            ("", "names no host"),
            (":80", "names no host"),
            ("host:", "`` is no port"),
            ("host:0", "`0` is no port"),
            ("host:65536", "is no port"),
            ("host:+80", "`+80` is no port"),
            ("host:80:90", "`[ADDRESS]:PORT`"),
            ("[::1", "not closed"),
            ("[::1]80", "after the bracket"),
            ("[host]:80", "`host` in brackets"),
            ("fe80::1%:80", "`[ADDRESS]:PORT`"),
            ("http://host/", "is a URL"),
            ("a b", "' ' does not stand"),
            ("a\nb", "'\\n' does not stand"),
            ("a..b", "each part"),
            ("10.0.0.010:80", "ends in a number"),
            ("127.1", "ends in a number"),
            ("0x7f000001", "ends in a number"),
            ("bücher.example:80", "xn--"),
            (&"a".repeat(300), "253 characters"),
        ] {
            let failure = Target::parse(text).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Invalid, "{text}");
            assert!(failure.detail.contains(part), "{text:?}: {}", failure.detail);
            assert!(
                failure.detail.len() < 300 && !failure.detail.contains('\n'),
                "{}",
                failure.detail
            );
        }
    }

    #[test]
    fn a_missing_port_is_asked_for_in_the_form_that_is_right() {
        let detail = |text| Target::with_port(text, None).unwrap_err().detail;
        assert!(detail("::1").contains("`[::1]:PORT`"), "{}", detail("::1"));
        assert!(detail("10.0.0.1").contains("`10.0.0.1:PORT`"));
        assert!(detail("host").contains("`host:PORT`"));
        assert_eq!(Target::with_port("host", Some(53)).unwrap(), (Host::Name("host"), 53));
        assert_eq!(Target::with_port("host:1", Some(53)).unwrap().1, 1);
    }

    proptest! {
        #[test]
        fn any_address_with_any_port_comes_back(address: std::net::SocketAddr) {
            prop_assume!(address.port() > 0);
            let address = std::net::SocketAddr::new(address.ip(), address.port());
            let text = address.to_string();
            let target = Target::parse(&text).unwrap();
            prop_assert_eq!(target.host, Host::Address(address.ip()));
            prop_assert_eq!(target.port, Some(address.port()));
        }

        #[test]
        fn no_text_at_all_makes_it_panic_or_lets_blanks_through(text in "\\PC{0,40}|[\\[\\]:%.a0-9 ]{0,20}") {
            if let Ok(target) = Target::parse(&text) {
                prop_assert!(!target.host.to_string().contains(char::is_whitespace));
                prop_assert!(target.port != Some(0));
            }
        }
    }
}
