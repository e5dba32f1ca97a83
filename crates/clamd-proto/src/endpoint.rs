//! Where clamd listens.
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where clamd listens.
///
/// ```
/// use clamd_proto::Endpoint;
/// let socket: Endpoint = "/run/clamav/clamd.ctl".parse()?;
/// assert_eq!(socket.to_string(), "unix:/run/clamav/clamd.ctl");
/// assert!(socket.passes_descriptors());
/// let remote: Endpoint = "tcp:[::1]:3310".parse()?;
/// assert_eq!(remote, Endpoint::Tcp { host: "::1".to_owned(), port: 3310 });
/// # Ok::<(), clamd_proto::ParseEndpointError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// A Unix socket, clamd's `LocalSocket`.
    Unix(PathBuf),
    /// An address, clamd's `TCPAddr` and `TCPSocket`. clamd neither asks who is there nor encrypts.
    Tcp {
        /// A host's name or address, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
}

/// A text that names no endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no address of clamd: {problem}; write `unix:/run/clamav/clamd.ctl` or `tcp:HOST:3310`")]
pub struct ParseEndpointError {
    text: String,
    problem: &'static str,
}

impl Endpoint {
    /// Whether descriptors can be passed there.
    pub const fn passes_descriptors(&self) -> bool {
        matches!(self, Self::Unix(_))
    }
}

impl FromStr for Endpoint {
    type Err = ParseEndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |problem| ParseEndpointError {
            text: text.to_owned(),
            problem,
        };
        if let Some(rest) = text.strip_prefix("tcp:") {
            let rest = rest.strip_prefix("//").unwrap_or(rest);
            let (host, port) = rest.rsplit_once(':').ok_or_else(|| wrong("it has no port"))?;
            let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            if bare.is_none() && host.contains(':') {
                return Err(wrong("an IPv6 address stands in brackets"));
            }
            let host = bare.unwrap_or(host);
            if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/') {
                return Err(wrong("it has no host"));
            }
            let port = port.parse().ok().filter(|port| *port > 0);
            return Ok(Self::Tcp {
                host: host.to_owned(),
                port: port.ok_or_else(|| wrong("its port is none from 1 to 65535"))?,
            });
        }
        let path = text.strip_prefix("unix:").unwrap_or(text);
        let path = path.strip_prefix("//").unwrap_or(path);
        if !path.starts_with('/') {
            return Err(wrong("the path of a socket is absolute"));
        }
        Ok(Self::Unix(PathBuf::from(path)))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp:[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp:{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_can_be_read_again() {
        for text in [
            "unix:/run/a b",
            "tcp:localhost:3310",
            "tcp:[fe80::1]:1",
            "tcp:10.0.0.1:65535",
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(endpoint.to_string(), text);
        }
        assert_eq!("unix:///run/a".parse(), Ok(Endpoint::Unix("/run/a".into())));
        assert!(!"tcp://h:1".parse::<Endpoint>().unwrap().passes_descriptors());
    }

    #[test]
    fn what_names_no_endpoint_is_refused_with_the_forms_that_do() {
        for text in [
            "",
            "run/clamd",
            "unix:clamd",
            "tcp:host",
            "tcp::3310",
            "tcp:host:0",
            "tcp:host:65536",
            "tcp:::1:3310",
            "tcp:a/b:1",
        ] {
            let error = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.contains("tcp:HOST:3310"), "{error}");
        }
    }
}
