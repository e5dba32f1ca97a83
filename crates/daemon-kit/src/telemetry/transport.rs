//! The way to the receiver: HTTP, or gRPC where this build has it.
use super::{
    OtlpCompression, OtlpProtocol, OtlpSettings,
    failure::{self, Failure, masked},
};
use core_model::Secret;
use telemetry_otel::{Batch, CONTENT_TYPE, Rejected};
use tokio_util::sync::CancellationToken;
use transport_http::{
    Client, ClientSettings, Compression, HeaderMap, HeaderName, HeaderValue, Method, Request, SetupError,
};
use url::Url;

/// Why telemetry cannot be sent with these settings.
#[derive(Debug, thiserror::Error)]
pub enum OtlpSetupError {
    /// The address is none.
    #[error("`telemetry.otlp.endpoint` is no address of a receiver: write it as `https://otel.example.com:4318`")]
    Endpoint {
        /// Why.
        source: url::ParseError,
    },
    /// A header cannot be sent.
    #[error("`telemetry.otlp.headers` has `{name}`, which cannot be sent as a header")]
    Header {
        /// Its name.
        name: String,
    },
    /// The client for HTTP cannot be made.
    #[error("could not set up the sending of telemetry")]
    Http {
        /// Why.
        source: SetupError,
    },
    /// This build has no gRPC.
    #[error("`telemetry.otlp.protocol` is `grpc`, which this build cannot speak: write `http`")]
    NoGrpc,
    /// The file of certificates cannot be read.
    #[cfg(feature = "otlp-grpc")]
    #[error("could not read `telemetry.otlp.ca_file`, `{}`", path.display())]
    CaFile {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The client for gRPC cannot be made.
    #[cfg(feature = "otlp-grpc")]
    #[error("could not set up the sending of telemetry")]
    Grpc {
        /// Why.
        source: telemetry_otel::GrpcError,
    },
}

/// Sends batches, each once: what to do when it fails is decided outside.
#[derive(Debug)]
pub(super) struct Transport {
    way: Way,
    secrets: Vec<Secret>,
}

#[derive(Debug)]
enum Way {
    Http {
        client: Client,
        headers: HeaderMap,
    },
    #[cfg(feature = "otlp-grpc")]
    Grpc(Box<telemetry_otel::GrpcClient>),
}

impl Transport {
    pub(super) fn new(settings: &OtlpSettings, endpoint: &str) -> Result<Self, OtlpSetupError> {
        let way = match settings.protocol {
            OtlpProtocol::Http => http(settings, endpoint)?,
            #[cfg(feature = "otlp-grpc")]
            OtlpProtocol::Grpc => grpc(settings, endpoint)?,
            #[cfg(not(feature = "otlp-grpc"))]
            OtlpProtocol::Grpc => return Err(OtlpSetupError::NoGrpc),
        };
        let secrets = settings.headers.values().cloned().collect();
        Ok(Self { way, secrets })
    }

    pub(super) async fn send(&self, batch: &Batch, stop: &CancellationToken) -> Result<Option<Rejected>, Failure> {
        let rejected = match &self.way {
            Way::Http { client, headers } => {
                let request = Request::new(Method::POST, batch.signal.path())
                    .with_body(CONTENT_TYPE, batch.body.clone())
                    .with_headers(headers.clone());
                let answer = client.send(request, stop).await;
                let answer = answer.map_err(|error| failure::of_http(error, &self.secrets))?;
                Rejected::read(&answer.body)
            }
            #[cfg(feature = "otlp-grpc")]
            Way::Grpc(client) => {
                let sent = stop.run_until_cancelled(client.send(batch)).await;
                let sent = sent.ok_or_else(failure::cancelled)?;
                sent.map_err(|error| failure::of_grpc(error, &self.secrets))?
            }
        };
        Ok(rejected.map(|rejected| Rejected {
            message: masked(rejected.message, &self.secrets),
            ..rejected
        }))
    }
}

fn http(settings: &OtlpSettings, endpoint: &str) -> Result<Way, OtlpSetupError> {
    let url = Url::parse(endpoint).map_err(|source| OtlpSetupError::Endpoint { source })?;
    let mut client = ClientSettings::new(url);
    client.timeout = settings.timeout.get();
    client.connect_timeout = client.connect_timeout.min(client.timeout);
    // What failed waits in the queue, and its turn comes again: the client itself asks once.
    client.retry_attempts = 0;
    client.max_parallel = 1;
    client.allow_http = settings.allow_http;
    client.ca_file = settings.ca_file.clone();
    client.compression = match settings.compression {
        OtlpCompression::None => Compression::None,
        OtlpCompression::Gzip => Compression::Gzip,
    };
    let mut headers = HeaderMap::new();
    for (name, value) in &settings.headers {
        let unusable = || OtlpSetupError::Header { name: name.clone() };
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unusable())?;
        let mut value = HeaderValue::from_str(value.reveal()).map_err(|_| unusable())?;
        // So that no dump of headers shows it.
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    let client = Client::new(client).map_err(|source| OtlpSetupError::Http { source })?;
    Ok(Way::Http { client, headers })
}

#[cfg(feature = "otlp-grpc")]
fn grpc(settings: &OtlpSettings, endpoint: &str) -> Result<Way, OtlpSetupError> {
    let read = |path: &std::path::PathBuf| {
        std::fs::read(path).map_err(|source| OtlpSetupError::CaFile {
            path: path.clone(),
            source,
        })
    };
    let timeout = settings.timeout.get();
    let client = telemetry_otel::GrpcClient::new(telemetry_otel::GrpcSettings {
        endpoint: endpoint.to_owned(),
        headers: settings.headers.clone().into_iter().collect(),
        connect_timeout: timeout.min(std::time::Duration::from_secs(10)),
        timeout,
        gzip: settings.compression == OtlpCompression::Gzip,
        ca: settings.ca_file.as_ref().map(read).transpose()?,
    });
    client
        .map(|client| Way::Grpc(Box::new(client)))
        .map_err(|source| OtlpSetupError::Grpc { source })
}
