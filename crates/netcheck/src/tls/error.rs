//! Why no TLS session came about, from what the library, the system and the first bytes of the server say.
use super::{plain, watched::Seen};
use crate::{Failure, FailureKind};
use rustls::{AlertDescription, Error, PeerIncompatible};
use std::io;

/// As many characters are shown of what a server sent that is not what it should be.
pub(crate) const SHOWN: usize = 60;

/// Why the handshake failed, with what came of the server before.
pub(crate) fn of_handshake(error: &io::Error, seen: &Seen) -> Failure {
    if let Some(cause) = tls_cause(error) {
        return of_tls(cause, seen.first());
    }
    if !may_be_tls(seen.first()) {
        return not_tls(seen.first());
    }
    match Failure::of_io("shake hands", error) {
        Failure {
            kind: FailureKind::Closed,
            ..
        } if seen.count == 0 => {
            let detail = "the server ended the connection as soon as it was asked for TLS, without a word";
            Failure::new(FailureKind::Closed, detail)
        }
        Failure {
            kind: FailureKind::Closed,
            ..
        } => Failure::new(
            FailureKind::Closed,
            "the server ended the connection in the middle of the TLS handshake",
        ),
        other => other,
    }
}

/// What TLS itself says was wrong, where that is what is behind an error of the stream.
pub(crate) fn tls_cause(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

/// What is behind an error of TLS, in words; `first` is what the server said first, where it may not have been TLS.
pub(crate) fn of_tls(error: &Error, first: &[u8]) -> Failure {
    let tls = |detail: String| Failure::new(FailureKind::Tls, detail);
    match error {
        Error::AlertReceived(alert) => tls(format!(
            "the server refused with the alert {}: {}",
            name(*alert),
            meaning(*alert)
        )),
        Error::InvalidMessage(_) if !may_be_tls(first) => not_tls(first),
        Error::InvalidMessage(_) => tls(format!("what the server sent is not TLS as it should be: {error}")),
        Error::PeerIncompatible(cause) => tls(incompatible(cause)),
        Error::InvalidCertificate(cause) => {
            let detail = format!(
                "the certificate of the server cannot be used: {}",
                plain::text(&cause.to_string(), 200)
            );
            Failure::new(FailureKind::Certificate, detail)
        }
        Error::NoCertificatesPresented => Failure::new(FailureKind::Certificate, "the server sent no certificate"),
        other => tls(format!(
            "the TLS handshake failed: {}",
            plain::text(&other.to_string(), 200)
        )),
    }
}

/// No bytes, or such as an answer in TLS begins with: a handshake or an alert of any version.
fn may_be_tls(first: &[u8]) -> bool {
    match first {
        [] => true,
        [kind] => matches!(kind, 0x15 | 0x16),
        [kind, major, ..] => matches!(kind, 0x15 | 0x16) && *major == 3,
    }
}

fn not_tls(first: &[u8]) -> Failure {
    let sent = plain::bytes(first, SHOWN);
    Failure::new(
        FailureKind::Tls,
        format!("the server did not speak TLS: it sent `{sent}`"),
    )
}

fn incompatible(cause: &PeerIncompatible) -> String {
    use PeerIncompatible as Cause;
    match cause {
        Cause::ServerDoesNotSupportTls12Or13 => "the server speaks only versions of TLS older than 1.2".to_owned(),
        Cause::ServerTlsVersionIsDisabledByOurConfig => {
            "the server speaks only versions of TLS older than the least that is allowed".to_owned()
        }
        Cause::NoCipherSuitesInCommon => "the server and this check have no cipher suite in common".to_owned(),
        Cause::NoKxGroupsInCommon => "the server and this check have no key exchange in common".to_owned(),
        other => format!("the server and this check do not fit together: {other:?}"),
    }
}

/// The alert by the name that RFC 8446 gives it.
fn name(alert: AlertDescription) -> String {
    let Some(camel) = alert.as_str() else {
        return format!("number {}", u8::from(alert));
    };
    let mut out = String::with_capacity(camel.len() + 4);
    for (index, character) in camel.char_indices() {
        let after_small = camel[..index].ends_with(|before: char| before.is_ascii_lowercase());
        if character.is_ascii_uppercase() && after_small {
            out.push('_');
        }
        out.push(character.to_ascii_lowercase());
    }
    // The one that is written in another way.
    out.replace("unrecognised", "unrecognized")
}

const fn meaning(alert: AlertDescription) -> &'static str {
    use AlertDescription as Alert;
    match alert {
        Alert::ProtocolVersion => "it does not speak any of the versions that were offered",
        Alert::HandshakeFailure => "it takes none of the cipher suites and keys that were offered",
        Alert::InsufficientSecurity => "what was offered is too weak for it",
        Alert::UnrecognisedName => "it does not know the name that was asked for",
        Alert::NoApplicationProtocol => "it speaks none of the protocols that were offered (ALPN)",
        Alert::CertificateRequired => "it wants a certificate of the client",
        Alert::BadCertificate | Alert::UnsupportedCertificate | Alert::CertificateUnknown => {
            "it does not accept the certificate of the client"
        }
        Alert::CertificateExpired => "the certificate of the client has ended",
        Alert::CertificateRevoked => "the certificate of the client is revoked",
        Alert::UnknownCA => "it does not trust the issuer of the client's certificate",
        Alert::AccessDenied => "it does not let this client in",
        Alert::InternalError => "something is wrong on the server",
        _ => "it does not say more",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_have_the_names_of_their_standard() {
        for (alert, expected) in [
            (AlertDescription::ProtocolVersion, "protocol_version"),
            (AlertDescription::UnrecognisedName, "unrecognized_name"),
            (AlertDescription::UnknownCA, "unknown_ca"),
            (AlertDescription::HandshakeFailure, "handshake_failure"),
            (AlertDescription::Unknown(200), "number 200"),
        ] {
            assert_eq!(name(alert), expected);
        }
    }
}
