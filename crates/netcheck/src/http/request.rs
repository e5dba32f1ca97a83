//! What is sent: the request with its headers, as the version wants it.
use super::exchange::Asked;
use crate::{Failure, FailureKind};
use http_body_util::Full;
use hyper::{
    Request, Uri, Version,
    body::Bytes,
    header::{ACCEPT, CONNECTION, HOST, HeaderValue, USER_AGENT},
};
use url::Position;

/// Who asks, where nothing else is said.
const AGENT: &str = concat!("netcheck/", env!("CARGO_PKG_VERSION"));

/// What is sent, in the version that is spoken.
pub(crate) fn build(asked: &Asked<'_>, is_http2: bool) -> Result<Request<Full<Bytes>>, Failure> {
    let Asked { url, headers, .. } = *asked;
    let invalid = || Failure::new(FailureKind::Invalid, format!("{url} cannot be asked for"));
    let mut request = Request::new(Full::new(asked.body.clone()));
    *request.method_mut() = asked.method.clone();
    let authority = &url[Position::BeforeHost..Position::AfterPort];
    let path = &url[Position::BeforePath..Position::AfterQuery];
    let sent = request.headers_mut();
    sent.clone_from(headers);
    sent.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
    sent.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    if is_http2 {
        // What `host` is to HTTP/1 is a part of the address here; and a connection is not ended by a header.
        let host = sent.remove(HOST);
        sent.remove(CONNECTION);
        let authority = host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or(authority);
        let uri = Uri::builder()
            .scheme(url.scheme())
            .authority(authority)
            .path_and_query(path);
        *request.uri_mut() = uri.build().map_err(|_| invalid())?;
        *request.version_mut() = Version::HTTP_2;
        return Ok(request);
    }
    if !sent.contains_key(HOST) {
        sent.insert(HOST, HeaderValue::from_str(authority).map_err(|_| invalid())?);
    }
    // Nothing is asked for after this: the server need not keep the connection, and ends it first.
    sent.entry(CONNECTION).or_insert(HeaderValue::from_static("close"));
    *request.uri_mut() = path.parse().map_err(|_| invalid())?;
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::redirect;
    use hyper::{HeaderMap, Method};
    use proptest::prelude::*;

    fn built(url: &str, headers: &HeaderMap, is_http2: bool) -> Result<Request<Full<Bytes>>, Failure> {
        let asked = Asked {
            url: &redirect::target(url).unwrap(),
            method: &Method::GET,
            headers,
            body: Bytes::new(),
            connect_to: None,
            is_first_host: true,
            is_followed: true,
        };
        build(&asked, is_http2)
    }

    #[test]
    fn each_version_has_its_own_way_to_tell_the_host() {
        let mut headers = HeaderMap::new();
        let one = built("http://[2001:db8::1]:81/x?y#z", &headers, false).unwrap();
        assert_eq!(
            (one.uri().to_string(), &one.headers()[HOST]),
            ("/x?y".to_owned(), &"[2001:db8::1]:81".parse().unwrap())
        );
        let two = built("https://a.example:443/x?y#z", &headers, true).unwrap();
        assert_eq!(
            (two.uri().to_string(), two.headers().get(HOST)),
            ("https://a.example/x?y".to_owned(), None)
        );
        headers.insert(HOST, HeaderValue::from_static("b.example"));
        assert_eq!(
            built("http://a.example", &headers, false).unwrap().headers()[HOST],
            "b.example"
        );
        assert_eq!(
            built("http://a.example", &headers, true).unwrap().uri(),
            "http://b.example/"
        );
    }

    proptest! {
        #[test]
        fn whatever_is_a_url_can_be_asked_for(rest in "[/?][ -~é]{0,30}", is_http2 in any::<bool>()) {
            let request = built(&format!("http://a.example{rest}"), &HeaderMap::new(), is_http2).unwrap();
            prop_assert!(request.uri().path().starts_with('/'));
        }
    }
}
