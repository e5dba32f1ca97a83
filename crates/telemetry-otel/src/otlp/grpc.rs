//! Sends batches by gRPC. The only part that knows a network, and only with the feature `otlp-grpc`.
use super::{Batch, Rejected, Signal};
use core_model::Secret;
use opentelemetry_proto::tonic::collector::{
    logs::v1::{ExportLogsServiceRequest, logs_service_client::LogsServiceClient},
    metrics::v1::{ExportMetricsServiceRequest, metrics_service_client::MetricsServiceClient},
    trace::v1::{ExportTraceServiceRequest, trace_service_client::TraceServiceClient},
};
use prost::Message;
use std::{fmt, sync::OnceLock, time::Duration};
use tonic::{
    Code, Request, Status,
    codec::CompressionEncoding,
    metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

/// A receiver that speaks gRPC.
#[derive(Clone, Debug)]
pub struct GrpcSettings {
    /// Its address, `http://` or `https://`, without a path.
    pub endpoint: String,
    /// Sent with every request. Values never appear in a log or an error.
    pub headers: Vec<(String, Secret)>,
    /// For the connection, TLS included.
    pub connect_timeout: Duration,
    /// For one request as a whole.
    pub timeout: Duration,
    /// Whether requests are compressed.
    pub gzip: bool,
    /// Certificates (PEM) of authorities to trust besides those of the system.
    pub ca: Option<Vec<u8>>,
}

/// Sends to one receiver, over one connection that is made when it is first needed and again after it broke.
pub struct GrpcClient {
    endpoint: Endpoint,
    server: String,
    metadata: MetadataMap,
    gzip: bool,
    channel: OnceLock<Channel>,
}

/// Why a batch could not be sent by gRPC, or a client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum GrpcError {
    /// The address, or the certificates to trust, cannot be used.
    #[error("`{server}` cannot be used as a receiver by gRPC")]
    Endpoint {
        /// The address.
        server: String,
        /// Why.
        source: tonic::transport::Error,
    },
    /// A header cannot be sent.
    #[error("the header `{name}` has a name or a value that gRPC cannot send")]
    Header {
        /// Its name.
        name: String,
    },
    /// The bytes are no request.
    #[error("a batch of {signal} that waits in the telemetry queue is damaged")]
    Damaged {
        /// What it should hold.
        signal: Signal,
        /// Why.
        source: prost::DecodeError,
    },
    /// The receiver did not take it, or was not reached.
    #[error("{server} did not take {signal} ({code})")]
    Status {
        /// The address.
        server: String,
        /// What was sent.
        signal: Signal,
        /// The status in words.
        code: String,
        /// The status.
        source: Box<Status>,
    },
}

impl GrpcError {
    /// Whether the receiver, or this program, will never take this very batch.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Damaged { .. } => true,
            Self::Status { source, .. } => matches!(
                source.code(),
                Code::InvalidArgument | Code::FailedPrecondition | Code::AlreadyExists
            ),
            Self::Endpoint { .. } | Self::Header { .. } => false,
        }
    }

    /// Whether only a person can help: the address or the headers are wrong.
    pub fn is_misconfigured(&self) -> bool {
        match self {
            Self::Status { source, .. } => matches!(
                source.code(),
                Code::Unauthenticated | Code::PermissionDenied | Code::Unimplemented | Code::NotFound
            ),
            Self::Endpoint { .. } | Self::Header { .. } => true,
            Self::Damaged { .. } => false,
        }
    }
}

impl GrpcClient {
    /// Checks `settings`. Connects with the first batch.
    ///
    /// # Errors
    /// When the address, the certificates or a header cannot be used.
    pub fn new(settings: GrpcSettings) -> Result<Self, GrpcError> {
        let server = settings.endpoint.clone();
        let unusable = |source| GrpcError::Endpoint {
            server: server.clone(),
            source,
        };
        let mut endpoint = Endpoint::from_shared(settings.endpoint.clone())
            .map_err(unusable)?
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.timeout);
        if server.starts_with("https:") {
            let mut tls = ClientTlsConfig::new().with_native_roots();
            if let Some(pem) = settings.ca {
                tls = tls.ca_certificate(Certificate::from_pem(pem));
            }
            endpoint = endpoint.tls_config(tls).map_err(unusable)?;
        }
        let mut metadata = MetadataMap::new();
        for (name, value) in &settings.headers {
            let unusable = || GrpcError::Header { name: name.clone() };
            let key = MetadataKey::<Ascii>::from_bytes(name.to_ascii_lowercase().as_bytes()).map_err(|_| unusable())?;
            let mut value: MetadataValue<Ascii> = value.reveal().parse().map_err(|_| unusable())?;
            value.set_sensitive(true);
            metadata.insert(key, value);
        }
        Ok(Self {
            endpoint,
            server,
            metadata,
            gzip: settings.gzip,
            channel: OnceLock::new(),
        })
    }

    /// Sends `batch`, once, and says what the receiver rejected of it. Needs tokio. A call that is dropped is given up.
    ///
    /// # Errors
    /// When it was not taken.
    pub async fn send(&self, batch: &Batch) -> Result<Option<Rejected>, GrpcError> {
        let channel = self.channel.get_or_init(|| self.endpoint.connect_lazy()).clone();
        let body = batch.body.as_slice();
        let answer = match batch.signal {
            Signal::Metrics => {
                let request = self.request::<ExportMetricsServiceRequest>(batch.signal, body)?;
                let mut client = MetricsServiceClient::new(channel);
                if self.gzip {
                    client = client.send_compressed(CompressionEncoding::Gzip);
                }
                client
                    .export(request)
                    .await
                    .map(|said| said.into_inner().encode_to_vec())
            }
            Signal::Traces => {
                let request = self.request::<ExportTraceServiceRequest>(batch.signal, body)?;
                let mut client = TraceServiceClient::new(channel);
                if self.gzip {
                    client = client.send_compressed(CompressionEncoding::Gzip);
                }
                client
                    .export(request)
                    .await
                    .map(|said| said.into_inner().encode_to_vec())
            }
            Signal::Logs => {
                let request = self.request::<ExportLogsServiceRequest>(batch.signal, body)?;
                let mut client = LogsServiceClient::new(channel);
                if self.gzip {
                    client = client.send_compressed(CompressionEncoding::Gzip);
                }
                client
                    .export(request)
                    .await
                    .map(|said| said.into_inner().encode_to_vec())
            }
        };
        let answer = answer.map_err(|status| GrpcError::Status {
            server: self.server.clone(),
            signal: batch.signal,
            code: status.code().to_string(),
            source: Box::new(status),
        })?;
        Ok(Rejected::read(&answer))
    }

    fn request<T: Message + Default>(&self, signal: Signal, body: &[u8]) -> Result<Request<T>, GrpcError> {
        let message = T::decode(body).map_err(|source| GrpcError::Damaged { signal, source })?;
        let mut request = Request::new(message);
        *request.metadata_mut() = self.metadata.clone();
        Ok(request)
    }
}

impl fmt::Debug for GrpcClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcClient")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}
