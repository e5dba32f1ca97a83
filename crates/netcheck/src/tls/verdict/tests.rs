//! What is said of each fault of a certificate.
use super::*;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

const DAY: u64 = 86_400;

/// A moment so many days from the one at which all is judged here.
fn at(days: i64) -> SystemTime {
    date::moment(1_772_000_000 + days * 86_400)
}

struct Made {
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate that holds from one day to another; without an issuer it is signed by itself.
fn made(name: &str, is_authority: bool, days: (i64, i64), by: Option<&Made>) -> Made {
    let names = if is_authority { vec![] } else { vec![name.to_owned()] };
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    if is_authority {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let date =
        |days: i64| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs((1_772_000_000 + days * 86_400) as u64);
    (params.not_before, params.not_after) = (date(days.0), date(days.1));
    let key = KeyPair::generate().unwrap();
    let certificate = match by {
        Some(by) => params.signed_by(&key, &by.issuer).unwrap(),
        None => params.self_signed(&key).unwrap(),
    };
    Made {
        der: certificate.der().clone(),
        issuer: Issuer::new(params, key),
    }
}

/// What comes of these certificates as a server sends them, where this root is trusted.
fn judged(chain: &[&Made], root: Option<&Made>, ahead_days: u64) -> Verdict {
    let chain: Vec<_> = chain.iter().map(|made| made.der.clone()).collect();
    let read: Vec<_> = chain.iter().map(|der| Certificate::read(der, at(0))).collect();
    let mut roots = RootCertStore::empty();
    if let Some(root) = root {
        roots.add(root.der.clone()).unwrap();
    }
    let empty = RootCertStore::empty();
    Case {
        chain: &chain,
        read: &read,
        name: &ServerName::try_from("a.example").unwrap(),
        roots: &[&empty, &roots],
        now: at(0),
        ahead: Duration::from_secs(ahead_days * DAY),
    }
    .judge()
}

fn kinds(verdict: &Verdict) -> Vec<FindingKind> {
    verdict.findings.iter().map(|finding| finding.kind).collect()
}

const LONG: (i64, i64) = (-1000, 1000);

#[test]
fn a_whole_chain_is_trusted_and_one_with_a_hole_is_said_to_have_one() {
    let root = made("Root", true, LONG, None);
    let middle = made("Middle", true, LONG, Some(&root));
    let leaf = made("a.example", false, LONG, Some(&middle));
    let whole = judged(&[&leaf, &middle], Some(&root), 14);
    assert_eq!(
        whole,
        Verdict {
            is_trusted: Some(true),
            has_name: Some(true),
            findings: vec![]
        }
    );
    let hole = judged(&[&leaf], Some(&root), 14);
    assert_eq!(
        (kinds(&hole), hole.is_trusted),
        (vec![FindingKind::UnknownIssuer], Some(false))
    );
    let detail = &hole.findings[0].detail;
    assert!(
        detail.starts_with("the issuer CN=Middle is not among the trusted") && detail.contains("miss"),
        "{detail}"
    );
    let unknown = judged(&[&leaf, &middle, &root], None, 14);
    let expected = "the issuer CN=Root, which the server sent, is not among the trusted";
    assert_eq!(unknown.findings[0].detail, expected);
}

#[test]
fn an_issuer_that_ended_is_named_and_one_that_nobody_needs_is_not() {
    let root = made("Root", true, LONG, None);
    let ended = made("Middle", true, (-1000, -3), Some(&root));
    let leaf = made("a.example", false, LONG, Some(&ended));
    let verdict = judged(&[&leaf, &ended], Some(&root), 14);
    assert_eq!(
        (kinds(&verdict), verdict.is_trusted),
        (vec![FindingKind::Expired], Some(true))
    );
    assert!(
        verdict.findings[0]
            .detail
            .starts_with("the certificate of CN=Middle ended on 2026-02-22 (2 days ago)")
    );
    // The same issuer, whose way to an old root has ended; the new way does not go through it.
    let new_root = made("Middle", true, LONG, None);
    let leaf = made("a.example", false, LONG, Some(&new_root));
    let unneeded = judged(&[&leaf, &ended], Some(&new_root), 14);
    assert_eq!(kinds(&unneeded), []);
}

#[test]
fn an_issuer_that_ends_soon_is_named_and_one_that_nobody_needs_is_not() {
    let root = made("Root", true, LONG, None);
    let soon = made("Middle", true, (-1000, 5), Some(&root));
    let leaf = made("a.example", false, LONG, Some(&soon));
    let verdict = judged(&[&leaf, &soon], Some(&root), 14);
    assert_eq!(
        (kinds(&verdict), verdict.is_trusted),
        (vec![FindingKind::ExpiresSoon], Some(true))
    );
    assert_eq!(
        verdict.findings[0].detail,
        "the certificate of CN=Middle ends in 5 days (2026-03-02)"
    );
    assert_eq!(kinds(&judged(&[&leaf, &soon], Some(&root), 4)), []);
    let other = made("a.example", false, LONG, Some(&root));
    assert_eq!(kinds(&judged(&[&other, &soon], Some(&root), 14)), []);
}

#[test]
fn one_whose_dates_and_issuer_are_wrong_is_told_both() {
    let root = made("Root", true, LONG, None);
    let middle = made("Middle", true, (-1000, -500), Some(&root));
    let leaf = made("a.example", false, (-1000, -500), Some(&middle));
    assert_eq!(
        kinds(&judged(&[&leaf, &middle], Some(&root), 14)),
        [FindingKind::Expired]
    );
    assert_eq!(
        kinds(&judged(&[&leaf, &middle], None, 14)),
        [FindingKind::Expired, FindingKind::UnknownIssuer]
    );
}

#[test]
fn an_authority_that_shows_its_own_certificate_is_self_signed_also_when_webpki_finds_another_fault_first() {
    let itself = made("a.example", true, LONG, None);
    let verdict = judged(&[&itself], None, 14);
    assert_eq!(kinds(&verdict), [FindingKind::SelfSigned, FindingKind::WrongName]);
    assert!(verdict.findings[1].detail.contains("holds for no name"), "{verdict:?}");
    let given = judged(&[&itself], Some(&itself), 14);
    assert_eq!(
        (kinds(&given), given.is_trusted),
        (vec![FindingKind::WrongName], Some(true))
    );
    let namesake = made("a.example", true, LONG, None);
    assert_eq!(
        judged(&[&namesake], Some(&itself), 14).is_trusted,
        Some(false),
        "its key is another"
    );
}

#[test]
fn a_certificate_for_another_purpose_is_unsuitable() {
    let root = made("Root", true, LONG, None);
    let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    (params.not_before, params.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2090, 1, 1));
    let key = KeyPair::generate().unwrap();
    let der = params.signed_by(&key, &root.issuer).unwrap().der().clone();
    let client = Made {
        der,
        issuer: Issuer::new(params, key),
    };
    let verdict = judged(&[&client], Some(&root), 14);
    assert_eq!(kinds(&verdict), [FindingKind::Unsuitable]);
    assert!(
        verdict.findings[0].detail.contains("not one for servers"),
        "{verdict:?}"
    );
}

#[test]
fn the_same_subject_without_the_same_key_is_not_trusted() {
    let root = made("Root", true, LONG, None);
    let false_root = made("Root", true, LONG, None);
    let leaf = made("a.example", false, LONG, Some(&false_root));
    let verdict = judged(&[&leaf], Some(&root), 14);
    assert_eq!(verdict.is_trusted, Some(false));
    assert_eq!(verdict.findings.len(), 1);
}
