//! What a certificate says, for people.
use super::{date, plain};
use ring::digest;
use std::{fmt::Write as _, net::IpAddr, time::SystemTime};
use x509_parser::prelude::{FromDer, GeneralName, SubjectPublicKeyInfo, X509Certificate};

/// No more names of one certificate are kept; how many more there were is told.
const MOST_NAMES: usize = 1_000;
/// No text of a certificate is kept beyond so many characters.
const MOST_TEXT: usize = 512;

/// What one certificate of a server says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Certificate {
    /// Whom it is for, such as `C=NO, O=Example, CN=www.example.net`. What cannot be seen is written as an escape.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// The names and addresses it holds for (the subject's alternative names); at most 1,000.
    pub names: Vec<String>,
    /// How many more names there are than were kept.
    pub names_left_out: usize,
    /// Its number, given by the issuer, in hexadecimal with colons.
    pub serial: String,
    /// The moment from which on it holds.
    #[cfg_attr(feature = "serde", serde(serialize_with = "date::serialize"))]
    pub not_before: SystemTime,
    /// The last moment at which it holds.
    #[cfg_attr(feature = "serde", serde(serialize_with = "date::serialize"))]
    pub not_after: SystemTime,
    /// Whole days until then, rounded down: negative when it has ended.
    pub days_left: i64,
    /// Kind and size of its key, such as `RSA 2048` or `ECDSA P-256`.
    pub key: String,
    /// How its issuer signed it, such as `sha256WithRSAEncryption`.
    pub signature_algorithm: String,
    /// The SHA-256 digest of the whole certificate, in hexadecimal.
    pub sha256: String,
    /// Whether it may issue others.
    pub is_authority: bool,
    /// Whether subject and issuer are the same.
    pub is_self_issued: bool,
}

impl Certificate {
    /// What a certificate in DER says at a moment; nothing where it cannot be read.
    #[must_use]
    pub fn read(der: &[u8], now: SystemTime) -> Option<Self> {
        let (rest, read) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let (names, names_left_out) = names(&read);
        let (not_before, not_after) = (read.validity().not_before, read.validity().not_after);
        let (not_before, not_after) = (
            date::moment(not_before.timestamp()),
            date::moment(not_after.timestamp()),
        );
        Some(Self {
            subject: plain::text(&read.subject().to_string(), MOST_TEXT),
            issuer: plain::text(&read.issuer().to_string(), MOST_TEXT),
            names,
            names_left_out,
            serial: plain::text(&read.raw_serial_as_string(), MOST_TEXT),
            not_before,
            not_after,
            days_left: date::days_between(now, not_after),
            key: key(read.public_key()),
            signature_algorithm: signature(&read.signature_algorithm.algorithm.to_id_string()),
            sha256: hexadecimal(digest::digest(&digest::SHA256, der).as_ref()),
            is_authority: read.is_ca(),
            is_self_issued: read.subject().as_raw() == read.issuer().as_raw(),
        })
    }

    /// Whether a moment is within its dates.
    #[must_use]
    pub fn holds_at(&self, moment: SystemTime) -> bool {
        (self.not_before..=self.not_after).contains(&moment)
    }
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
            // Writing to a String cannot fail.
            let _ = write!(out, "{byte:02x}");
            out
        })
}

fn names(read: &X509Certificate<'_>) -> (Vec<String>, usize) {
    let Ok(Some(extension)) = read.subject_alternative_name() else {
        return (Vec::new(), 0);
    };
    let all = &extension.value.general_names;
    let names = all.iter().take(MOST_NAMES).map(name).collect();
    (names, all.len().saturating_sub(MOST_NAMES))
}

fn name(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) => plain::text(name, MOST_TEXT),
        GeneralName::IPAddress(bytes) => address(bytes),
        GeneralName::RFC822Name(name) => plain::text(&format!("email:{name}"), MOST_TEXT),
        GeneralName::URI(name) => plain::text(&format!("uri:{name}"), MOST_TEXT),
        GeneralName::DirectoryName(name) => plain::text(&format!("directory:{name}"), MOST_TEXT),
        GeneralName::RegisteredID(id) => format!("id:{}", plain::text(&id.to_id_string(), MOST_TEXT)),
        _ => "another kind of name".to_owned(),
    }
}

fn address(bytes: &[u8]) -> String {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let address = v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from));
    address.map_or_else(
        |_| format!("no address: {}", plain::text(&hexadecimal(bytes), 64)),
        |address| address.to_string(),
    )
}

fn key(info: &SubjectPublicKeyInfo<'_>) -> String {
    let algorithm = info.algorithm.algorithm.to_id_string();
    match algorithm.as_str() {
        "1.2.840.113549.1.1.1" => match info.parsed() {
            Ok(key) => format!("RSA {}", key.key_size()),
            Err(_) => "RSA".to_owned(),
        },
        "1.2.840.10045.2.1" => {
            let curve = info
                .algorithm
                .parameters
                .as_ref()
                .and_then(|parameters| parameters.as_oid().ok());
            format!(
                "ECDSA {}",
                curve.map_or_else(
                    || "of a curve of its own".to_owned(),
                    |oid| named_curve(&oid.to_id_string())
                )
            )
        }
        "1.3.101.112" => "Ed25519".to_owned(),
        "1.3.101.113" => "Ed448".to_owned(),
        "1.2.840.10040.4.1" => "DSA".to_owned(),
        other => plain::text(other, MOST_TEXT),
    }
}

fn named_curve(oid: &str) -> String {
    match oid {
        "1.2.840.10045.3.1.7" => "P-256",
        "1.3.132.0.34" => "P-384",
        "1.3.132.0.35" => "P-521",
        "1.3.132.0.10" => "secp256k1",
        other => return plain::text(other, MOST_TEXT),
    }
    .to_owned()
}

/// The names of RFC 8017, RFC 5758 and RFC 8410, by which other programs call them too.
fn signature(oid: &str) -> String {
    match oid {
        "1.2.840.113549.1.1.4" => "md5WithRSAEncryption",
        "1.2.840.113549.1.1.5" => "sha1WithRSAEncryption",
        "1.2.840.113549.1.1.10" => "RSASSA-PSS",
        "1.2.840.113549.1.1.11" => "sha256WithRSAEncryption",
        "1.2.840.113549.1.1.12" => "sha384WithRSAEncryption",
        "1.2.840.113549.1.1.13" => "sha512WithRSAEncryption",
        "1.2.840.10045.4.1" => "ecdsa-with-SHA1",
        "1.2.840.10045.4.3.2" => "ecdsa-with-SHA256",
        "1.2.840.10045.4.3.3" => "ecdsa-with-SHA384",
        "1.2.840.10045.4.3.4" => "ecdsa-with-SHA512",
        "1.3.101.112" => "Ed25519",
        "1.3.101.113" => "Ed448",
        other => return plain::text(other, MOST_TEXT),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn made(names: &[&str]) -> Vec<u8> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 3, 1);
        params.serial_number = Some(rcgen::SerialNumber::from_slice(&[1, 0xab]));
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, "a\u{1b}[31m");
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn a_certificate_is_told_as_it_is() {
        let der = made(&["a.example", "192.0.2.1", "2001:db8::1"]);
        let read = Certificate::read(&der, date::moment(1_772_000_000)).unwrap();
        assert_eq!(read.names, ["a.example", "192.0.2.1", "2001:db8::1"]);
        assert_eq!(read.subject, "CN=a\\u{1b}[31m");
        assert_eq!(
            (read.issuer.as_str(), read.is_self_issued, read.is_authority),
            (read.subject.as_str(), true, false)
        );
        assert_eq!(read.serial, "01:ab");
        assert_eq!(
            (date::day(read.not_before), date::day(read.not_after)),
            ("2026-01-01".into(), "2026-03-01".into())
        );
        assert_eq!(read.days_left, 3, "from 2026-02-25 06:13:20");
        assert_eq!(
            (read.key.as_str(), read.signature_algorithm.as_str()),
            ("ECDSA P-256", "ecdsa-with-SHA256")
        );
        assert_eq!(read.sha256.len(), 64);
    }

    #[test]
    fn what_comes_after_a_certificate_makes_it_none() {
        let mut der = made(&["a.example"]);
        der.push(0);
        assert!(Certificate::read(&der, SystemTime::now()).is_none());
    }

    proptest! {
        #[test]
        fn a_certificate_with_any_bytes_changed_is_read_or_not_and_nothing_else(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            cut in any::<prop::sample::Index>()
        ) {
            let mut der = made(&["a.example", "192.0.2.1"]);
            for (index, byte) in changes {
                let index = index.index(der.len());
                der[index] = byte;
            }
            let whole = Certificate::read(&der, SystemTime::UNIX_EPOCH);
            if let Some(read) = whole {
                prop_assert!(!read.subject.chars().any(char::is_control));
                prop_assert!(read.names.iter().all(|name| !name.chars().any(char::is_control)));
            }
            der.truncate(cut.index(der.len()));
            prop_assert!(Certificate::read(&der, SystemTime::UNIX_EPOCH).is_none());
        }
    }
}
