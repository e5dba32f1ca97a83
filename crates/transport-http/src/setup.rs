//! Builds the HTTP library's client from checked settings.
use crate::{
    ClientIdentity, ClientSettings, SetupError, ensure_crypto_provider,
    settings::{is_loopback, origin},
    tls,
};
use core_model::Secret;
use reqwest::{
    Certificate, Identity, Proxy,
    header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue},
    redirect,
};
use std::{fs, path::Path, time::Duration};

pub(crate) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// How long a connection is kept that nothing is sent on.
const IDLE: Duration = Duration::from_secs(20);

/// For requests, by whichever version of HTTP the server prefers.
pub(crate) fn build(settings: &ClientSettings) -> Result<reqwest::Client, SetupError> {
    build_with(settings, |builder| builder)
}

/// For connections that are to become something else, which only HTTP/1.1 can.
pub(crate) fn build_for_upgrades(settings: &ClientSettings) -> Result<reqwest::Client, SetupError> {
    build_with(settings, reqwest::ClientBuilder::http1_only)
}

fn build_with(
    settings: &ClientSettings,
    finish: impl Fn(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
) -> Result<reqwest::Client, SetupError> {
    settings.check()?;
    ensure_crypto_provider();
    let authorities = settings.ca_file.as_deref().map(authorities).transpose()?;
    let wrong = |source| SetupError::Build {
        server: origin(&settings.base_url),
        source,
    };
    let builder = finish(base(settings)?);
    match authorities {
        // Nothing will speak TLS, and gathering the system's certificates costs time and fails where there are none.
        None if settings.base_url.scheme() == "http" && settings.proxy.is_none() => builder.tls_certs_only([]).build(),
        None => builder.build(),
        Some(authorities) => match builder.tls_certs_merge(authorities.clone()).build() {
            Ok(client) => Ok(client),
            // A bare container has no certificates of its own to add these to.
            Err(_) => finish(base(settings)?).tls_certs_only(authorities).build(),
        },
    }
    .map_err(wrong)
}

fn base(settings: &ClientSettings) -> Result<reqwest::ClientBuilder, SetupError> {
    let user_agent =
        HeaderValue::from_str(&settings.user_agent).map_err(|_| SetupError::Header { name: "user_agent" })?;
    let builder = reqwest::Client::builder()
        .connect_timeout(settings.connect_timeout)
        // Shorter than servers wait (ours 30 s): whoever sends just as the other side closes loses the request.
        .pool_idle_timeout(IDLE)
        .default_headers(authentication(settings)?)
        .user_agent(user_agent)
        // A key must not travel to whatever host an answer names.
        .redirect(redirect::Policy::none())
        .referer(false)
        // One place decides on attempts, and it is not the library.
        .retry(reqwest::retry::never());
    let builder = match &settings.identity {
        Some(identity) => builder.identity(own(settings, identity)?),
        None => builder,
    };
    match &settings.proxy {
        Some(url) => {
            let proxy = Proxy::all(url.clone()).map_err(|source| SetupError::Proxy {
                proxy: origin(url),
                source: source.without_url(),
            })?;
            Ok(builder.proxy(proxy))
        }
        None if is_loopback(&settings.base_url) => Ok(builder.no_proxy()),
        None => Ok(builder),
    }
}

fn own(settings: &ClientSettings, identity: &ClientIdentity) -> Result<Identity, SetupError> {
    let server = || origin(&settings.base_url);
    let pem = tls::identity(&identity.certificate, &identity.key).map_err(|source| SetupError::Identity {
        server: server(),
        source: Box::new(source),
    })?;
    Identity::from_pem(&pem).map_err(|source| SetupError::Build {
        server: server(),
        source,
    })
}

fn authentication(settings: &ClientSettings) -> Result<HeaderMap, SetupError> {
    let mut headers = HeaderMap::new();
    // Sent with each request, because it may be exchanged; what is no header is found out here.
    if let Some(key) = &settings.api_key {
        hidden("api_key", "", &key.current())?;
    }
    if let Some(token) = &settings.bearer {
        headers.insert(AUTHORIZATION, hidden("bearer", "Bearer ", token)?);
    }
    Ok(headers)
}

/// A header value that the HTTP library shows nowhere and that HTTP/2 does not keep in its tables.
pub(crate) fn hidden(name: &'static str, scheme: &str, secret: &Secret) -> Result<HeaderValue, SetupError> {
    let text = format!("{scheme}{}", secret.reveal());
    let mut value = HeaderValue::from_str(&text).map_err(|_| SetupError::Header { name })?;
    value.set_sensitive(true);
    Ok(value)
}

fn authorities(path: &Path) -> Result<Vec<Certificate>, SetupError> {
    let pem = fs::read(path).map_err(|source| SetupError::CaFile {
        path: path.to_owned(),
        source,
    })?;
    let certificates = Certificate::from_pem_bundle(&pem).map_err(|source| SetupError::BadCertificate {
        path: path.to_owned(),
        source,
    })?;
    if certificates.is_empty() {
        return Err(SetupError::NoCertificate { path: path.to_owned() });
    }
    Ok(certificates)
}
