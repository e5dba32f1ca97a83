//! Why no secure connection came about, told apart by what an administrator can do about it.
use chrono::{DateTime, Utc};
use rustls::{AlertDescription, CertificateError, Error, pki_types::UnixTime};
use std::fmt;

/// What was wrong with a certificate, or with TLS at all. `Display` says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateFault {
    /// No authority that this machine trusts issued it.
    UnknownIssuer,
    /// It is another host's.
    WrongName {
        /// The names it is for, as it gives them.
        presented: Vec<String>,
    },
    /// It is over.
    Expired {
        /// Since when, where that is known.
        since: Option<DateTime<Utc>>,
    },
    /// It is not valid yet.
    NotYetValid {
        /// From when on, where that is known.
        from: Option<DateTime<Utc>>,
    },
    /// It is damaged, revoked, or for another purpose.
    Unusable,
    /// The server wants a certificate of the client, and got none.
    IdentityWanted,
    /// The server does not accept the certificate that the client showed.
    IdentityRefused,
    /// What answered does not speak TLS.
    NotTls,
    /// The two could not agree on anything.
    Other,
}

impl CertificateFault {
    pub(crate) fn of(error: &Error) -> Self {
        match error {
            Error::InvalidCertificate(why) => Self::of_certificate(why),
            Error::AlertReceived(AlertDescription::CertificateRequired) => Self::IdentityWanted,
            Error::AlertReceived(
                AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied
                | AlertDescription::DecryptError,
            ) => Self::IdentityRefused,
            Error::InvalidMessage(_) => Self::NotTls,
            _ => Self::Other,
        }
    }

    fn of_certificate(why: &CertificateError) -> Self {
        match why {
            // A bad signature mostly is one by an authority of the same name with another key: one made anew, say.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownIssuer,
            CertificateError::NotValidForName => Self::WrongName { presented: Vec::new() },
            CertificateError::NotValidForNameContext { presented, .. } => Self::WrongName {
                presented: presented.clone(),
            },
            CertificateError::Expired => Self::Expired { since: None },
            CertificateError::ExpiredContext { not_after, .. } => Self::Expired {
                since: instant(*not_after),
            },
            CertificateError::NotValidYet => Self::NotYetValid { from: None },
            CertificateError::NotValidYetContext { not_before, .. } => Self::NotYetValid {
                from: instant(*not_before),
            },
            // The system's own verifier says it in words of its own.
            CertificateError::Other(other) if other.to_string().contains("UnknownIssuer") => Self::UnknownIssuer,
            _ => Self::Unusable,
        }
    }
}

fn instant(time: UnixTime) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(i64::try_from(time.as_secs()).ok()?, 0)
}

impl fmt::Display for CertificateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownIssuer => f.write_str(
                "no authority that is trusted here issued its certificate; if a private authority did, name that \
                 authority's file in `ca_file`",
            ),
            Self::WrongName { presented } if presented.is_empty() => {
                f.write_str("its certificate is for another host: use the name that the certificate is for")
            }
            Self::WrongName { presented } => write!(
                f,
                "its certificate is for another host: use a name that it is for ({}), or have one issued for this name",
                presented.join(", ")
            ),
            Self::Expired { since } => {
                write!(f, "its certificate expired")?;
                since.map_or(Ok(()), |since| write!(f, " on {}", since.format("%Y-%m-%d %H:%M UTC")))?;
                f.write_str(": renew it on the server; if it is not over yet, the clock of this machine is wrong")
            }
            Self::NotYetValid { from } => {
                write!(f, "its certificate is not valid yet")?;
                from.map_or(Ok(()), |from| {
                    write!(f, ", but from {}", from.format("%Y-%m-%d %H:%M UTC"))
                })?;
                f.write_str(": look at the clock of this machine first, then at the certificate")
            }
            Self::Unusable => {
                f.write_str("its certificate cannot be used: it is damaged, revoked, or not one for servers")
            }
            Self::IdentityWanted => {
                f.write_str("it wants a certificate from this client: set the client certificate and its key")
            }
            Self::IdentityRefused => f.write_str(
                "it does not accept this client's certificate: have it issued by the authority that the server trusts, \
                 and see that it has not expired",
            ),
            Self::NotTls => {
                f.write_str("it does not speak TLS: is it the right port, or does its address begin with `http://`?")
            }
            Self::Other => f.write_str("the two could not agree on a way to speak TLS"),
        }
    }
}
