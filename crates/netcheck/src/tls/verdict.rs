//! Whether a chain of certificates is one to be trusted, and each reason why not: the dates, the names and the issuers
//! apart.
use super::{certificate::Certificate, date, plain};
use rustls::{
    CertificateError, Error, RootCertStore,
    client::{verify_server_cert_signed_by_trust_anchor, verify_server_name},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use std::time::{Duration, SystemTime};

/// As many names of a certificate are told in one sentence.
const TOLD_NAMES: usize = 5;

/// One thing that is wrong with the certificates of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Finding {
    /// What sort of thing, for programs.
    pub kind: FindingKind,
    /// The thing with its dates and names, for people: one line.
    pub detail: String,
}

/// What may be wrong with the certificates of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum FindingKind {
    /// A certificate that is needed has ended.
    Expired,
    /// A certificate that is needed does not hold yet.
    NotYetValid,
    /// A certificate that is needed ends sooner than it should.
    ExpiresSoon,
    /// The server issued its certificate itself, and that is not among the trusted.
    SelfSigned,
    /// Nobody who is trusted has issued it, or a certificate is missing between.
    UnknownIssuer,
    /// It holds for other names.
    WrongName,
    /// It cannot be read.
    Unreadable,
    /// It is not to be used for this: a broken signature, a key for another purpose.
    Unsuitable,
}

/// What is judged, and by what.
pub(crate) struct Case<'a> {
    /// As they came; the server's own is the first.
    pub(crate) chain: &'a [CertificateDer<'static>],
    /// What each of them says, at the same place.
    pub(crate) read: &'a [Option<Certificate>],
    pub(crate) name: &'a ServerName<'a>,
    pub(crate) roots: &'a [&'a RootCertStore],
    pub(crate) now: SystemTime,
    /// As long at least it should hold.
    pub(crate) ahead: Duration,
}

/// What came out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) is_trusted: Option<bool>,
    pub(crate) has_name: Option<bool>,
    pub(crate) findings: Vec<Finding>,
}

impl Verdict {
    fn add(&mut self, kind: FindingKind, detail: String) {
        self.findings.push(Finding { kind, detail });
    }
}

impl Case<'_> {
    pub(crate) fn judge(&self) -> Verdict {
        let mut verdict = Verdict::default();
        let Some(leaf) = self.chain.first() else {
            return verdict;
        };
        let (Ok(parsed), Some(Some(said))) = (ParsedCertificate::try_from(leaf), self.read.first()) else {
            verdict.add(
                FindingKind::Unreadable,
                "the certificate of the server cannot be read".to_owned(),
            );
            return verdict;
        };
        self.judge_dates(said, &mut verdict);
        self.judge_issuers(&parsed, said, &mut verdict);
        let has_name = verify_server_name(&parsed, self.name).is_ok();
        verdict.has_name = Some(has_name);
        if !has_name {
            let detail = format!("{}, not for {}", names(said), self.name.to_str());
            verdict.add(FindingKind::WrongName, detail);
        }
        verdict
    }

    /// The server's own certificate is always needed.
    fn judge_dates(&self, said: &Certificate, verdict: &mut Verdict) {
        if said.not_after < self.now {
            verdict.add(FindingKind::Expired, ended(said));
        } else if self.now < said.not_before {
            verdict.add(FindingKind::NotYetValid, not_yet(said));
        } else if ends_before(said, self.then()) {
            verdict.add(FindingKind::ExpiresSoon, ends_soon(said));
        }
    }

    fn judge_issuers(&self, parsed: &ParsedCertificate<'_>, said: &Certificate, verdict: &mut Verdict) {
        if said.is_self_issued && self.is_root() {
            verdict.is_trusted = Some(true);
            return;
        }
        let now = self.verify(parsed, self.now);
        let issuers = || self.read.iter().skip(1).flatten();
        match now {
            Ok(()) => {
                verdict.is_trusted = Some(true);
                // One of its issuers may end first. Only if that is needed is it worth a word: an old way to a trusted
                // root is often sent beside the new one.
                let then = self.then();
                let ending: Vec<_> = issuers()
                    .filter(|issuer| issuer.holds_at(self.now) && ends_before(issuer, then))
                    .collect();
                if !ending.is_empty() && !ends_before(said, then) && is_about_dates(&self.verify(parsed, then)) {
                    ending
                        .iter()
                        .for_each(|issuer| verdict.add(FindingKind::ExpiresSoon, ends_soon(issuer)));
                }
            }
            Err(ref error) if is_about_dates(&now) => {
                // The dates are told apart from the trust: would it be trusted at a time at which all of them hold?
                let then = self.verify(parsed, self.common_moment(said));
                let is_trusted = then.is_ok();
                verdict.is_trusted = Some(is_trusted);
                if is_trusted && said.holds_at(self.now) {
                    issuers()
                        .filter(|issuer| issuer.not_after < self.now)
                        .for_each(|issuer| verdict.add(FindingKind::Expired, ended(issuer)));
                    issuers()
                        .filter(|issuer| self.now < issuer.not_before)
                        .for_each(|issuer| verdict.add(FindingKind::NotYetValid, not_yet(issuer)));
                }
                if !is_trusted {
                    let error = then.as_ref().err().unwrap_or(error);
                    self.name_distrust(error, said, verdict);
                }
            }
            Err(error) => {
                verdict.is_trusted = Some(false);
                self.name_distrust(&error, said, verdict);
            }
        }
    }

    /// Whether the server's own certificate is itself among those that are trusted: the same subject with the same key.
    ///
    /// Many a device has such a one, and it mostly says of itself that it may issue others, which is no fault then.
    fn is_root(&self) -> bool {
        let mut own = RootCertStore::empty();
        let is_readable = self.chain.first().is_some_and(|leaf| own.add(leaf.clone()).is_ok());
        is_readable
            && self
                .roots
                .iter()
                .any(|roots| own.roots.iter().all(|own| roots.roots.contains(own)))
    }

    /// Until when the certificates have to hold on.
    fn then(&self) -> SystemTime {
        let longest = Duration::from_secs(100 * 366 * 86_400);
        self.now + self.ahead.min(longest)
    }

    fn verify(&self, parsed: &ParsedCertificate<'_>, at: SystemTime) -> Result<(), Error> {
        let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let algorithms = super::roots::provider().signature_verification_algorithms.all;
        let mut found = Err(Error::InvalidCertificate(CertificateError::UnknownIssuer));
        for roots in self.roots {
            let (others, at) = (&self.chain[1..], UnixTime::since_unix_epoch(since));
            match verify_server_cert_signed_by_trust_anchor(parsed, roots, others, at, algorithms) {
                Ok(()) => return Ok(()),
                // That another store does not know the issuer says less than what came of the one that does.
                Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {}
                Err(error) => found = Err(error),
            }
        }
        found
    }

    /// A moment at which all certificates hold, or the server's own where there is none.
    fn common_moment(&self, said: &Certificate) -> SystemTime {
        let all = || self.read.iter().flatten();
        let since = all().map(|one| one.not_before).max().unwrap_or(said.not_before);
        let until = all().map(|one| one.not_after).min().unwrap_or(said.not_after);
        if since <= until { until } else { said.not_after }
    }

    fn name_distrust(&self, error: &Error, said: &Certificate, verdict: &mut Verdict) {
        if said.is_self_issued {
            let detail = format!(
                "the certificate of {} is signed by itself, and is not among the trusted",
                said.subject
            );
            verdict.add(FindingKind::SelfSigned, detail);
        } else if matches!(error, Error::InvalidCertificate(CertificateError::UnknownIssuer)) {
            verdict.add(FindingKind::UnknownIssuer, self.missing_issuer(said));
        } else {
            verdict.add(
                FindingKind::Unsuitable,
                format!(
                    "the certificate of {} is not to be used here: {}",
                    said.subject,
                    cause(error)
                ),
            );
        }
    }

    /// How far the way to a trusted issuer goes.
    fn missing_issuer(&self, said: &Certificate) -> String {
        let mut last = said;
        // A chain has an end, even one that goes round.
        for _ in 0..self.read.len() {
            let next = self
                .read
                .iter()
                .flatten()
                .find(|one| one.subject == last.issuer && !last.is_self_issued);
            let Some(next) = next else { break };
            last = next;
        }
        if last.is_self_issued {
            return format!(
                "the issuer {}, which the server sent, is not among the trusted",
                last.subject
            );
        }
        format!(
            "the issuer {} is not among the trusted, and the server did not send its certificate (does a certificate \
             between the two miss on the server?)",
            last.issuer
        )
    }
}

fn is_about_dates(result: &Result<(), Error>) -> bool {
    use CertificateError as Cause;
    let Err(Error::InvalidCertificate(cause)) = result else {
        return false;
    };
    matches!(
        cause,
        Cause::Expired | Cause::ExpiredContext { .. } | Cause::NotValidYet | Cause::NotValidYetContext { .. }
    )
}

fn ends_before(one: &Certificate, moment: SystemTime) -> bool {
    one.not_after < moment
}

fn ended(one: &Certificate) -> String {
    let ago = one.days_left.saturating_add(1).unsigned_abs();
    format!(
        "the certificate of {} ended on {} ({} ago)",
        one.subject,
        date::day(one.not_after),
        days(ago)
    )
}

fn not_yet(one: &Certificate) -> String {
    format!(
        "the certificate of {} does not hold before {}",
        one.subject,
        date::day(one.not_before)
    )
}

fn ends_soon(one: &Certificate) -> String {
    let left = one.days_left.unsigned_abs();
    format!(
        "the certificate of {} ends in {} ({})",
        one.subject,
        days(left),
        date::day(one.not_after)
    )
}

fn days(count: u64) -> String {
    match count {
        0 => "less than a day".to_owned(),
        1 => "1 day".to_owned(),
        more => format!("{more} days"),
    }
}

fn names(said: &Certificate) -> String {
    if said.names.is_empty() {
        return format!(
            "the certificate of {} holds for no name (the subject's is not looked at)",
            said.subject
        );
    }
    let told: Vec<_> = said.names.iter().take(TOLD_NAMES).map(String::as_str).collect();
    let more = said.names.len() - told.len() + said.names_left_out;
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("the certificate holds for {}{more}", told.join(", "))
}

fn cause(error: &Error) -> String {
    use CertificateError as Cause;
    let Error::InvalidCertificate(cause) = error else {
        return plain::text(&error.to_string(), 200);
    };
    match cause {
        Cause::BadSignature => "a signature in its chain is wrong".to_owned(),
        Cause::InvalidPurpose | Cause::InvalidPurposeContext { .. } => {
            "it is not one for servers (extended key usage)".to_owned()
        }
        Cause::UnsupportedSignatureAlgorithmContext { .. }
        | Cause::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "its chain is signed in a way that is not trusted (any more)".to_owned()
        }
        other => plain::text(&other.to_string(), 200),
    }
}

#[cfg(test)]
mod tests;
