//! Where an answer sends to, and what may be taken along: no network, no time.
use crate::{Failure, FailureKind, tls::plain};
use hyper::Method;
use std::borrow::Cow;
use url::Url;

/// As many characters are shown of an address.
const SHOWN: usize = 200;

/// What is asked for next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) url: Url,
    pub(crate) method: Method,
    /// Whether the body is sent again.
    pub(crate) keeps_body: bool,
    /// Whether what tells who asks is kept: not where somebody else is asked.
    pub(crate) keeps_secrets: bool,
}

/// The address of a target, such as `https://example.net/path`; without a scheme it is one of `http`.
///
/// # Errors
/// When it is none, or not of HTTP.
pub(crate) fn target(text: &str) -> Result<Url, Failure> {
    let invalid = |why: String| Failure::new(FailureKind::Invalid, why);
    let with_scheme;
    let whole = if text.contains("://") {
        text
    } else {
        with_scheme = format!("http://{text}");
        &with_scheme
    };
    let url = Url::parse(whole).map_err(|error| {
        invalid(format!(
            "{:?} is not a URL: {error}",
            plain::text(&without_credentials(text), SHOWN)
        ))
    })?;
    if !is_http(&url) {
        return Err(invalid(format!("{}: is not a scheme of HTTP", url.scheme())));
    }
    Ok(url)
}

/// A text that should be a URL, without what may be a password in it.
pub(crate) fn without_credentials(text: &str) -> Cow<'_, str> {
    let Some((before, after)) = text.rsplit_once('@') else {
        return text.into();
    };
    let scheme = before.find("://").map_or("", |at| &before[..at + 3]);
    format!("{scheme}…@{after}").into()
}

/// Whether an answer with this status sends elsewhere, when it says where.
pub(crate) const fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

/// What is to be asked after an answer.
///
/// # Errors
/// When it sends where nobody can go, or should.
pub(crate) fn step(
    from: &Url,
    method: &Method,
    status: u16,
    location: &[u8],
    may_downgrade: bool,
) -> Result<Step, Failure> {
    let unexpected = |detail: String| Failure::new(FailureKind::Unexpected, detail);
    let location = String::from_utf8_lossy(location);
    let sent_to = || plain::text(&location, SHOWN);
    let mut url = from.join(location.trim()).map_err(|error| {
        let detail = format!("the server redirects to `{}`, which is not a URL: {error}", sent_to());
        Failure::new(FailureKind::Protocol, detail)
    })?;
    if !is_http(&url) {
        return Err(unexpected(format!(
            "the server redirects to `{}`, which is not HTTP",
            sent_to()
        )));
    }
    if from.scheme() == "https" && url.scheme() == "http" && !may_downgrade {
        return Err(unexpected(format!(
            "the server redirects from https to `{}`, which nobody protects",
            sent_to()
        )));
    }
    // What a server puts there is not who the user is. Setting them fails only without a host, and HTTP has one.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    // The part after `#` is never sent, and where a new one misses the old one would make the same place look like
    // another.
    url.set_fragment(None);
    let becomes_get = match status {
        303 => *method != Method::HEAD,
        301 | 302 => *method == Method::POST,
        _ => false,
    };
    Ok(Step {
        keeps_secrets: is_same_place(from, &url),
        keeps_body: !becomes_get,
        method: if becomes_get { Method::GET } else { method.clone() },
        url,
    })
}

/// Whether both are served at the same place: scheme, host and port.
pub(crate) fn is_same_place(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host() == other.host()
        && one.port_or_known_default() == other.port_or_known_default()
}

/// The bytes that stand behind `%41` and the like.
pub(crate) fn percent_decoded(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut left = text.as_bytes();
    while let Some((first, rest)) = left.split_first() {
        let hexadecimal = rest
            .get(..2)
            .filter(|two| *first == b'%' && two.iter().all(u8::is_ascii_hexdigit));
        let decoded = hexadecimal.and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        out.push(decoded.unwrap_or(*first));
        left = if decoded.is_some() { &rest[2..] } else { rest };
    }
    out
}

fn is_http(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.has_host()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn from(url: &str, method: &Method, status: u16, location: &str) -> Result<Step, Failure> {
        step(&Url::parse(url).unwrap(), method, status, location.as_bytes(), false)
    }

    #[test]
    fn a_target_may_leave_out_its_scheme() {
        assert_eq!(target("example.net").unwrap().as_str(), "http://example.net/");
        assert_eq!(target("192.0.2.1:81/x").unwrap().as_str(), "http://192.0.2.1:81/x");
        assert_eq!(target("HTTPS://Example.net").unwrap().as_str(), "https://example.net/");
        for wrong in [
            "",
            "ftp://example.net",
            "http://",
            "http://a:99999/",
            "unix:///x",
            "http://[::1",
        ] {
            assert_eq!(target(wrong).unwrap_err().kind, FailureKind::Invalid, "{wrong}");
        }
    }

    #[test]
    fn a_password_may_have_any_character() {
        assert_eq!(percent_decoded("a%3Ab%25%C3%A9%zz%4"), "a:b%é%zz%4".as_bytes());
    }

    #[test]
    fn a_place_may_be_told_in_any_way() {
        let next = |location| {
            from("http://a.example/x/y?z#f", &Method::GET, 302, location)
                .unwrap()
                .url
                .to_string()
        };
        assert_eq!(next("/n"), "http://a.example/n");
        assert_eq!(next("n?q"), "http://a.example/x/n?q");
        assert_eq!(next("//b.example"), "http://b.example/");
        assert_eq!(next(" https://b.example:444/#g "), "https://b.example:444/");
        assert_eq!(next(""), "http://a.example/x/y?z");
        assert_eq!(next("http://who:secret@b.example/"), "http://b.example/");
    }

    #[test]
    fn method_and_body_go_along_as_the_status_says() {
        let next = |method, status| {
            let step = from("http://a.example/", &method, status, "/n").unwrap();
            (step.method, step.keeps_body)
        };
        assert_eq!(next(Method::POST, 301), (Method::GET, false));
        assert_eq!(next(Method::POST, 303), (Method::GET, false));
        assert_eq!(next(Method::PUT, 302), (Method::PUT, true));
        assert_eq!(next(Method::HEAD, 303), (Method::HEAD, true));
        assert_eq!(next(Method::POST, 307), (Method::POST, true));
        assert_eq!(next(Method::POST, 308), (Method::POST, true));
    }

    #[test]
    fn secrets_stay_at_their_place() {
        let keeps = |location| {
            from("https://a.example/", &Method::GET, 302, location)
                .unwrap()
                .keeps_secrets
        };
        assert!(keeps("/n") && keeps("https://A.example:443/"));
        assert!(!keeps("https://a.example:444/") && !keeps("https://b.example/"));
        assert!(
            !from("http://a.example/", &Method::GET, 302, "https://a.example/")
                .unwrap()
                .keeps_secrets
        );
    }

    #[test]
    fn the_protection_is_not_given_up_unless_that_is_allowed() {
        let refused = from("https://a.example/", &Method::GET, 302, "http://a.example/").unwrap_err();
        assert_eq!(refused.kind, FailureKind::Unexpected);
        assert!(
            refused.detail.contains("from https to `http://a.example/`"),
            "{refused}"
        );
        let allowed = step(
            &target("https://a.example").unwrap(),
            &Method::GET,
            302,
            b"http://a.example/",
            true,
        );
        assert!(!allowed.unwrap().keeps_secrets);
        assert_eq!(
            from("http://a.example/", &Method::GET, 302, "file:///etc")
                .unwrap_err()
                .kind,
            FailureKind::Unexpected
        );
        assert_eq!(
            from("http://a.example/", &Method::GET, 302, "http://[")
                .unwrap_err()
                .kind,
            FailureKind::Protocol
        );
    }

    proptest! {
        #[test]
        fn any_place_is_one_of_http_or_refused(location in proptest::collection::vec(any::<u8>(), 0..60)) {
            let base = target("https://who:secret@a.example/x").unwrap();
            if let Ok(step) = step(&base, &Method::GET, 302, &location, false) {
                prop_assert!(step.url.scheme() == "https" && step.url.has_host());
                prop_assert!(step.url.username().is_empty() && step.url.password().is_none());
                prop_assert!(step.url.fragment().is_none());
            }
        }
    }
}
