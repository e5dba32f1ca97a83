//! Where detections are posted to, and how: a client of one receiver.
use super::payload::{Event, Sender};
use crate::settings::{WebhookFormat, WebhookSettings};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use core_model::Secret;
use ring::hmac;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use transport_http::{
    Client, ClientSettings, HeaderMap, HeaderName, HeaderValue, Method, Request, SendError, SetupError,
};
use url::Url;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// A receiver, by one state of the settings.
pub(super) struct Target {
    client: Client,
    /// Path and query: they may hold a token.
    path: String,
    headers: HeaderMap,
    key: Option<hmac::Key>,
    format: WebhookFormat,
    /// What must not be shown.
    pub(super) secrets: Vec<Secret>,
}

/// Why there is no receiver.
#[derive(Debug, thiserror::Error)]
pub(super) enum TargetError {
    /// The check of the configuration says more about this.
    #[error("`webhook.url` is no address")]
    Url,
    /// The client could not be made.
    #[error("`webhook` cannot be used")]
    Setup(#[source] SetupError),
}

impl Target {
    /// `None` where no address is configured.
    pub(super) fn of(settings: &WebhookSettings) -> Option<Result<Self, TargetError>> {
        settings.url.as_ref().map(|url| Self::new(url, settings))
    }

    fn new(address: &Secret, settings: &WebhookSettings) -> Result<Self, TargetError> {
        let url = Url::parse(address.reveal()).map_err(|_| TargetError::Url)?;
        let mut base = url.clone();
        base.set_path("");
        base.set_query(None);
        base.set_fragment(None);
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let mut client = ClientSettings::new(base);
        client.timeout = settings.timeout.get();
        client.connect_timeout = settings.timeout.get();
        // What fails is tried again from the queue, where it survives a crash; and the client would tell the path.
        client.retry_attempts = 0;
        // It is left alone by the waits between attempts, which are shorter than this would be.
        client.breaker.recovery = Duration::ZERO;
        client.allow_http = settings.allow_http;
        client.ca_file = settings.ca_file.clone();
        client.proxy = settings
            .proxy
            .as_ref()
            .and_then(|proxy| Url::parse(proxy.reveal()).ok());
        client.max_response = core_model::ByteSize::new(64 << 10);
        let mut headers = HeaderMap::new();
        for (name, value) in &settings.headers {
            let (Ok(name), Ok(mut value)) = (
                HeaderName::from_bytes(name.as_bytes()),
                HeaderValue::from_str(value.reveal()),
            ) else {
                continue;
            };
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let parts = [Some(url.path()), url.query(), Some(address.reveal())];
        let parts = parts.into_iter().flatten().map(Secret::new);
        let secrets = parts
            .chain(settings.headers.values().cloned())
            .chain(settings.secret.clone());
        Ok(Self {
            client: Client::new(client).map_err(TargetError::Setup)?,
            path,
            headers,
            key: settings
                .signing_key()
                .map(|key| hmac::Key::new(hmac::HMAC_SHA256, &key)),
            format: settings.format,
            secrets: secrets.collect(),
        })
    }

    /// Posts one detection, once.
    pub(super) async fn post(&self, event: &Event, from: &Sender, stop: &CancellationToken) -> Result<(), SendError> {
        let body = event.body(self.format, from);
        let mut headers = self.headers.clone();
        let id = event.detection.id.to_string();
        headers.extend(stamp(&id, Utc::now(), &body, self.key.as_ref()));
        let request = Request::new(Method::POST, &*self.path)
            .with_body("application/json", body)
            .with_headers(headers);
        self.client.send(request, stop).await.map(drop)
    }
}

/// The headers by which a receiver knows a message again, and whose it is.
fn stamp(id: &str, now: DateTime<Utc>, body: &[u8], key: Option<&hmac::Key>) -> HeaderMap {
    let timestamp = now.timestamp().to_string();
    let signature = key.map(|key| {
        let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
        format!("v1,{}", STANDARD.encode(hmac::sign(key, &signed)))
    });
    let all = [
        (ID, Some(id.to_owned())),
        (TIMESTAMP, Some(timestamp)),
        (SIGNATURE, signature),
    ];
    // Ids, numbers and base64 are always fit for a header.
    all.into_iter()
        .filter_map(|(name, value)| Some((name, HeaderValue::from_str(&value?).ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_signed_as_standard_webhooks_are() {
        // The example of the specification's own libraries.
        let settings = WebhookSettings {
            secret: Some(Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")),
            ..WebhookSettings::default()
        };
        let key = hmac::Key::new(hmac::HMAC_SHA256, &settings.signing_key().unwrap());
        let at = DateTime::from_timestamp(1_614_265_330, 0).unwrap();
        let headers = stamp(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            at,
            br#"{"test": 2432232314}"#,
            Some(&key),
        );
        assert_eq!(
            headers["webhook-signature"],
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
        assert_eq!(headers["webhook-timestamp"], "1614265330");
        assert!(!stamp("a", at, b"", None).contains_key("webhook-signature"));
    }
}
