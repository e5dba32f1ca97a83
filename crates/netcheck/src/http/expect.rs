//! What an answer has to be.
use crate::{Failure, FailureKind, tls::plain};
use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};
use ring::digest;
use std::{fmt, str::FromStr};

/// As many characters are shown of what came or was expected.
const SHOWN: usize = 80;

/// Status codes from one to another, both among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusRange {
    /// The first, from 100.
    pub from: u16,
    /// The last, up to 999.
    pub to: u16,
}

impl StatusRange {
    /// Those that tell of success: 200 to 299.
    pub const SUCCESS: Self = Self { from: 200, to: 299 };

    /// Whether a status is one of these.
    #[must_use]
    pub const fn has(self, status: u16) -> bool {
        self.from <= status && status <= self.to
    }
}

/// One status (`404`), those from one to another (`200-204`), or a class (`2xx`).
///
/// ```
/// use netcheck::http::StatusRange;
/// assert_eq!("2xx".parse(), Ok(StatusRange::SUCCESS));
/// assert!("301-308".parse::<StatusRange>().unwrap().has(307));
/// assert!("300-200".parse::<StatusRange>().is_err());
/// ```
impl FromStr for StatusRange {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let invalid = || {
            let detail = format!("{text:?} is not a status such as 404, 200-204 or 2xx");
            Failure::new(FailureKind::Invalid, detail)
        };
        let number = |text: &str| {
            let is_number = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
            let number = text.parse().ok().filter(|number| is_number && *number >= 100);
            number.ok_or_else(invalid)
        };
        let class = text.strip_suffix("xx").or_else(|| text.strip_suffix("XX"));
        if let Some(class) = class {
            let from: u16 = number(&format!("{class}00"))?;
            return Ok(Self { from, to: from + 99 });
        }
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        let (from, to) = (number(from)?, number(to)?);
        if from > to {
            return Err(invalid());
        }
        Ok(Self { from, to })
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.from == self.to {
            return write!(f, "{}", self.from);
        }
        write!(f, "{}-{}", self.from, self.to)
    }
}

/// What a header of the answer has to be. Of several with the same name, one has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderCheck {
    /// It is there.
    Present(HeaderName),
    /// It is not there.
    Absent(HeaderName),
    /// Its value is this, byte for byte.
    Equals(HeaderName, String),
    /// Its value has this in it, byte for byte.
    Contains(HeaderName, String),
}

/// What the body of the answer has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyCheck {
    /// This is in it, byte for byte.
    Contains(String),
    /// This is not in it.
    ContainsNot(String),
    /// It is this, byte for byte.
    Equals(String),
    /// Its SHA-256 digest is this, in hexadecimal.
    Sha256(String),
}

/// A body as far as it was read.
pub(crate) struct Read<'a> {
    pub(crate) bytes: &'a [u8],
    /// Whether there was more.
    pub(crate) is_cut: bool,
}

pub(crate) fn status(ranges: &[StatusRange], status: u16) -> Result<(), Failure> {
    if ranges.is_empty() || ranges.iter().any(|range| range.has(status)) {
        return Ok(());
    }
    let wanted: Vec<_> = ranges.iter().map(ToString::to_string).collect();
    let wanted = wanted.join(", ");
    Err(unexpected(format!("the status is {status}, not one of {wanted}")))
}

impl HeaderCheck {
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Failure> {
        let (Self::Present(name) | Self::Absent(name) | Self::Equals(name, _) | Self::Contains(name, _)) = self;
        let mut values = headers.get_all(name).iter().map(HeaderValue::as_bytes);
        let Some(first) = headers.get(name) else {
            return match self {
                Self::Absent(_) => Ok(()),
                _ => Err(unexpected(format!("there is no header `{name}`"))),
            };
        };
        let (is_right, wanted) = match self {
            Self::Present(_) => return Ok(()),
            Self::Absent(_) => (false, "which should not be there".to_owned()),
            Self::Equals(_, wanted) => (
                values.any(|value| value == wanted.as_bytes()),
                format!("not `{}`", shown(wanted)),
            ),
            Self::Contains(_, wanted) => (
                values.any(|value| has(value, wanted.as_bytes())),
                format!("without `{}` in it", shown(wanted)),
            ),
        };
        if is_right {
            return Ok(());
        }
        let came = plain::bytes(first.as_bytes(), SHOWN);
        Err(unexpected(format!("the header `{name}` is `{came}`, {wanted}")))
    }
}

impl BodyCheck {
    pub(crate) fn check(&self, body: &Read<'_>) -> Result<(), Failure> {
        let bytes = body.bytes;
        match self {
            Self::Contains(wanted) if has(bytes, wanted.as_bytes()) => Ok(()),
            Self::Contains(wanted) if body.is_cut => Err(body.too_large(&format!("`{}` is not in it", shown(wanted)))),
            Self::Contains(wanted) => Err(unexpected(format!("the body does not have `{}` in it", shown(wanted)))),
            Self::ContainsNot(wanted) if has(bytes, wanted.as_bytes()) => Err(unexpected(format!(
                "the body has `{}` in it, which should not be there",
                shown(wanted)
            ))),
            Self::ContainsNot(wanted) if body.is_cut => {
                Err(body.too_large(&format!("`{}` is not in it", shown(wanted))))
            }
            Self::ContainsNot(_) => Ok(()),
            Self::Equals(wanted) if !body.is_cut && bytes == wanted.as_bytes() => Ok(()),
            Self::Equals(wanted) if body.is_cut && wanted.as_bytes().starts_with(bytes) => {
                Err(body.too_large("it is as expected"))
            }
            Self::Equals(wanted) => {
                let came = plain::bytes(bytes, SHOWN);
                Err(unexpected(format!("the body is `{came}`, not `{}`", shown(wanted))))
            }
            Self::Sha256(_) if body.is_cut => Err(body.too_large("its digest cannot be told")),
            Self::Sha256(wanted) => {
                let came = crate::tls::hexadecimal(digest::digest(&digest::SHA256, bytes).as_ref());
                if came.eq_ignore_ascii_case(wanted.trim()) {
                    return Ok(());
                }
                Err(unexpected(format!(
                    "the SHA-256 digest of the body is {came}, not {}",
                    shown(wanted)
                )))
            }
        }
    }
}

impl Read<'_> {
    fn too_large(&self, so_far: &str) -> Failure {
        let count = self.bytes.len();
        let detail =
            format!("the body is longer than the {count} bytes that may be read, and as far as those {so_far}");
        Failure::new(FailureKind::TooLarge, detail)
    }
}

fn unexpected(detail: String) -> Failure {
    Failure::new(FailureKind::Unexpected, detail)
}

fn shown(text: &str) -> String {
    plain::text(text, SHOWN)
}

/// Whether `wanted` is somewhere in `bytes`.
///
/// Its first byte is looked for, which the processor does many at a time; what is between such bytes is never compared.
fn has(bytes: &[u8], wanted: &[u8]) -> bool {
    let Some((first, rest)) = wanted.split_first() else {
        return true;
    };
    let mut left = bytes;
    while let Some(at) = left.iter().position(|byte| byte == first) {
        left = &left[at + 1..];
        if left.starts_with(rest) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kind(check: &BodyCheck, bytes: &[u8], is_cut: bool) -> Option<FailureKind> {
        check.check(&Read { bytes, is_cut }).err().map(|failure| failure.kind)
    }

    #[test]
    fn a_body_that_is_too_long_is_said_to_be_only_where_the_rest_matters() {
        let large = Some(FailureKind::TooLarge);
        let wrong = Some(FailureKind::Unexpected);
        let contains = BodyCheck::Contains("ok".into());
        assert_eq!(kind(&contains, b"all ok so far", true), None);
        assert_eq!(
            (kind(&contains, b"so far", true), kind(&contains, b"so far", false)),
            (large, wrong)
        );
        let without = BodyCheck::ContainsNot("error".into());
        assert_eq!(
            (kind(&without, b"an error", true), kind(&without, b"so far", true)),
            (wrong, large)
        );
        assert_eq!(kind(&without, b"so far", false), None);
        let equals = BodyCheck::Equals("hello".into());
        assert_eq!(
            (kind(&equals, b"hello", false), kind(&equals, b"help", true)),
            (None, wrong)
        );
        assert_eq!(
            (kind(&equals, b"hel", true), kind(&equals, b"hel", false)),
            (large, wrong)
        );
    }

    #[test]
    fn a_digest_is_compared_whatever_the_case_of_its_letters() {
        // The digest of "abc", from FIPS 180-2.
        let digest = "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD";
        assert_eq!(kind(&BodyCheck::Sha256(digest.into()), b"abc", false), None);
        assert_eq!(
            kind(&BodyCheck::Sha256(digest.into()), b"abd", false),
            Some(FailureKind::Unexpected)
        );
        assert_eq!(
            kind(&BodyCheck::Sha256(digest.into()), b"abc", true),
            Some(FailureKind::TooLarge)
        );
    }

    #[test]
    fn one_of_several_headers_is_enough() {
        let mut headers = HeaderMap::new();
        let name = HeaderName::from_static("x-a");
        headers.append(&name, HeaderValue::from_static("one"));
        headers.append(&name, HeaderValue::from_static("two\u{9}"));
        let missing = HeaderName::from_static("x-b");
        for right in [
            HeaderCheck::Present(name.clone()),
            HeaderCheck::Absent(missing.clone()),
            HeaderCheck::Equals(name.clone(), "one".into()),
            HeaderCheck::Contains(name.clone(), "tw".into()),
        ] {
            assert_eq!(right.check(&headers), Ok(()), "{right:?}");
        }
        for wrong in [
            HeaderCheck::Present(missing),
            HeaderCheck::Absent(name.clone()),
            HeaderCheck::Equals(name.clone(), "On".into()),
            HeaderCheck::Contains(name, "three".into()),
        ] {
            assert_eq!(
                wrong.check(&headers).unwrap_err().kind,
                FailureKind::Unexpected,
                "{wrong:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_in_it_is_found(
            bytes in proptest::collection::vec(0_u8..3, 0..40), wanted in proptest::collection::vec(0_u8..3, 0..5)
        ) {
            let slow = wanted.is_empty() || bytes.windows(wanted.len()).any(|window| window == wanted);
            prop_assert_eq!(has(&bytes, &wanted), slow);
        }

        #[test]
        fn a_status_is_read_or_refused(text in "[0-9x]{0,4}(-[0-9]{0,4})?") {
            if let Ok(range) = text.parse::<StatusRange>() {
                prop_assert!(100 <= range.from && range.from <= range.to && range.to <= 999);
                let again: StatusRange = range.to_string().parse().unwrap();
                prop_assert_eq!(again, range);
            }
        }
    }
}
