//! The agent that a client certificate is for.
//!
//! It is the first DNS name among the certificate's subject alternative names, and the common name of its subject only
//! where there is no DNS name at all: the order of RFC 6125, section 6.4.4. RFC 9525 has dropped the common name for
//! services, which are found by DNS; an agent's name need not be one of DNS, so it stays for agents. Names are compared
//! letter by letter. A wildcard is for many, and so for none.
use crate::{error::ApiError, state::Shared};
use axum::http::{Extensions, StatusCode};
use fleet_core::Store;
use transport_http::PeerCertificate;
use x509_parser::{extensions::GeneralName, parse_x509_certificate};

/// The name in the certificate that the client showed; `None` where it showed none, or certificates prove no agents here.
///
/// # Errors
/// When the certificate names no agent.
pub(crate) fn shown<S: Store>(shared: &Shared<S>, request: &Extensions) -> Result<Option<String>, ApiError> {
    let Some(certificate) = request
        .get::<PeerCertificate>()
        .filter(|_| shared.fleet.settings().agents_by_certificate)
    else {
        return Ok(None);
    };
    name(certificate.der()).map(Some).ok_or_else(|| {
        let detail = "the client certificate names no agent: its first DNS name, or where it has none the one common name of \
                      its subject, is the agent's name; wildcards are none";
        ApiError::new(StatusCode::FORBIDDEN, "certificate_unnamed", detail)
    })
}

/// Refuses the agent called `name` when the certificate beside its key or token is another agent's. One that names no
/// agent is for the connection only, as that of a host or of a proxy may be.
///
/// # Errors
/// When it is another agent's, or the store fails.
pub(crate) async fn check_beside<S: Store>(
    shared: &Shared<S>,
    certified: Result<Option<String>, ApiError>,
    name: &str,
) -> Result<(), ApiError> {
    let Some(certified) = certified.unwrap_or_default().filter(|certified| certified != name) else {
        return Ok(());
    };
    let other = shared.fleet.agent_certified(&certified).await?;
    if other.is_none_or(|other| other.revoked) {
        return Ok(());
    }
    let detail = format!(
        "the client certificate is of the agent `{certified}`, and what came with it of `{name}`: give each agent a \
         certificate of its own"
    );
    Err(ApiError::new(StatusCode::FORBIDDEN, "certificate_mismatch", detail))
}

fn name(der: &[u8]) -> Option<String> {
    let (_, certificate) = parse_x509_certificate(der).ok()?;
    let alternatives = certificate.subject_alternative_name().ok()?;
    let mut alternatives = alternatives.iter().flat_map(|extension| &extension.value.general_names);
    let dns = alternatives.find_map(|name| match name {
        GeneralName::DNSName(name) => Some(*name),
        _ => None,
    });
    let name = match dns {
        Some(name) => name,
        None => {
            let mut names = certificate.subject().iter_common_name();
            let only = names.next()?.as_str().ok()?;
            if names.next().is_some() {
                return None;
            }
            only
        }
    };
    let is_usable = !name.trim().is_empty() && !name.contains('*') && !name.chars().any(char::is_control);
    is_usable.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::name;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    fn of(common: &[&str], alternatives: Vec<SanType>) -> Option<String> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for common in common {
            params.distinguished_name.push(DnType::CommonName, *common);
        }
        params.subject_alt_names = alternatives;
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        name(certificate.der())
    }

    fn dns(names: &[&str]) -> Vec<SanType> {
        let san = |name: &&str| SanType::DnsName((*name).try_into().unwrap());
        names.iter().map(san).collect()
    }

    #[test]
    fn the_first_dns_name_is_the_agent_s_and_the_common_name_only_without_one() {
        let found = |name: &str| Some(name.to_owned());
        assert_eq!(of(&["cn"], dns(&["web-1", "web-2"])), found("web-1"));
        let address = SanType::IpAddress("192.0.2.1".parse().unwrap());
        assert_eq!(of(&["web 1/scanner"], vec![address.clone()]), found("web 1/scanner"));
        let beside = [vec![address], dns(&["web-1"])].concat();
        assert_eq!(of(&["cn"], beside), found("web-1"), "whatever stands before it");
        assert_eq!(of(&["Web-1"], Vec::new()), found("Web-1"), "as it is written");
    }

    #[test]
    fn what_is_for_nobody_or_for_many_names_no_agent() {
        assert_eq!(of(&[], Vec::new()), None);
        assert_eq!(of(&[" "], Vec::new()), None);
        assert_eq!(of(&["a\nb"], Vec::new()), None);
        assert_eq!(of(&["*"], Vec::new()), None);
        assert_eq!(of(&["cn"], dns(&["*.example.org"])), None);
        assert_eq!(name(b"no certificate"), None);
    }
}
