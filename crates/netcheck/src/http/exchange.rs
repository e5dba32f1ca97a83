//! One request and its answer, on a connection of its own.
use super::{
    driver::{Driver, Tasks},
    error::{self, Scene, of_hyper},
    options::{HttpOptions, HttpVersion},
    redirect,
    report::HttpTimes,
    request,
};
use crate::{
    Failure, FailureKind,
    dial::{Clock, Dialled, Limit, NotDialled, dial},
    source::Way,
    target::Host,
    tls::{
        TlsSession,
        session::{self, Opening},
        watched::{Log, Watched},
    },
};
use http_body_util::BodyExt as _;
use hyper::{
    HeaderMap, Method, Response, Version,
    body::{Body as _, Bytes, Incoming},
    client::conn::{http1, http2},
    header::{CONTENT_LENGTH, LOCATION},
};
use hyper_util::rt::TokioIo;
use std::{future::Future, net::SocketAddr, pin::pin};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, timeout},
};
use url::Url;

/// As much of a body is kept that nothing is expected of.
const KEPT: usize = 256;
/// hyper panics when it is told to keep less than this, and keeps some 400 KiB when it is told nothing.
const LEAST_BUFFER: usize = 8 * 1024;

/// What is asked for.
pub(crate) struct Asked<'a> {
    pub(crate) url: &'a Url,
    pub(crate) method: &'a Method,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) connect_to: Option<SocketAddr>,
    /// Whether it is the host of the first URL that is asked: what is set for that one is not for another.
    pub(crate) is_first_host: bool,
    /// Whether an answer that sends elsewhere is followed, so that its body is no matter.
    pub(crate) is_followed: bool,
}

/// What came of it, also where it failed.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) address: Option<SocketAddr>,
    pub(crate) version: Option<&'static str>,
    pub(crate) status: Option<u16>,
    pub(crate) headers: HeaderMap,
    pub(crate) times: HttpTimes,
    pub(crate) tls: Option<Box<TlsSession>>,
    /// As much of the body as was kept.
    pub(crate) body: Vec<u8>,
    pub(crate) body_bytes: u64,
    pub(crate) is_cut: bool,
    pub(crate) content_length: Option<u64>,
}

/// What one exchange works with.
struct Exchange<'a> {
    asked: &'a Asked<'a>,
    options: &'a HttpOptions,
    clock: &'a Clock,
    answer: &'a mut Answer,
}

/// Asks once. What came before a failure is in the answer.
pub(crate) async fn exchange(
    asked: &Asked<'_>,
    options: &HttpOptions,
    clock: &Clock,
    answer: &mut Answer,
) -> Result<(), Failure> {
    let since = Instant::now();
    let mut exchange = Exchange {
        asked,
        options,
        clock,
        answer,
    };
    let done = exchange.run().await;
    exchange.answer.times.total = since.elapsed();
    done
}

impl Exchange<'_> {
    async fn run(&mut self) -> Result<(), Failure> {
        let Dialled {
            stream,
            peer,
            dns,
            connect,
        } = self.dial().await?;
        self.answer.address = Some(peer);
        (self.answer.times.dns, self.answer.times.connect) = (dns, Some(connect));
        if self.asked.url.scheme() == "https" {
            // On the heap: a session is large, and most checks of ten thousand may have none.
            return Box::pin(self.secured(stream)).await;
        }
        match self.options.version {
            HttpVersion::Http2 => Box::pin(self.http2(stream)).await,
            HttpVersion::Auto | HttpVersion::Http1 => self.http1(stream).await,
        }
    }

    async fn dial(&mut self) -> Result<Dialled, Failure> {
        let own = (self.options.dns_timeout, self.options.connect_timeout);
        let url = self.asked.url;
        let (host, port) = match self.asked.connect_to {
            Some(to) => (Host::Address(to.ip()), to.port()),
            None => (
                Host::parse(url.host_str().unwrap_or_default())?,
                url.port_or_known_default().unwrap_or(80),
            ),
        };
        let way = Way {
            family: self.options.family,
            source: self.options.source,
        };
        let dialled = dial(host, port, way, self.clock, own).await;
        dialled.map_err(|NotDialled { failure, dns }| {
            self.answer.times.dns = dns;
            failure
        })
    }

    async fn secured(&mut self, stream: tokio::net::TcpStream) -> Result<(), Failure> {
        let host = self.asked.url.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let (options, is_first) = (&self.options.tls, self.asked.is_first_host);
        let name = options.server_name.as_deref().filter(|_| is_first).unwrap_or(host);
        let (h1, h2) = (b"http/1.1".to_vec(), b"h2".to_vec());
        let alpn = match self.options.version {
            HttpVersion::Auto => vec![h2, h1],
            HttpVersion::Http1 => vec![h1],
            HttpVersion::Http2 => vec![h2],
        };
        let opening = Opening {
            name: session::server_name(name)?,
            alpn,
            options,
            identity: options.identity.as_ref().filter(|_| is_first),
            expires_within: self.options.expires_within,
            limit: self.clock.limit(self.options.handshake_timeout),
        };
        let opened = session::open(stream, opening).await;
        let untrusted = opened
            .session
            .distrust()
            .filter(|_| !self.options.accept_invalid_certificates);
        let agreed = opened.session.alpn.as_deref() == Some("h2");
        self.answer.tls = Some(Box::new(opened.session));
        let stream = opened.stream?;
        self.answer.times.tls = Some(opened.took);
        if let Some(failure) = untrusted {
            return Err(failure);
        }
        match self.options.version {
            HttpVersion::Http2 if !agreed => {
                let detail = "the server does not speak HTTP/2: it did not agree to `h2` in the TLS handshake (ALPN)";
                Err(Failure::new(FailureKind::Unexpected, detail))
            }
            _ if agreed => self.http2(stream).await,
            _ => self.http1(stream).await,
        }
    }

    async fn http1<S>(&mut self, stream: S) -> Result<(), Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let request = request::build(self.asked, false)?;
        let stream = Watched::new(stream);
        let log = stream.log();
        let mut builder = http1::Builder::new();
        builder.max_header_size(self.options.max_head);
        if self.options.max_head > LEAST_BUFFER {
            builder.max_buf_size(self.options.max_head);
        }
        let begun = builder.handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = begun.map_err(|error| self.failed(&error, &log, false))?;
        let mut connection = pin!(connection);
        let mut driver = Driver::new(connection.as_mut(), None);
        let since = Instant::now();
        let asking = sender.send_request(request);
        self.receive(asking, &mut driver, &log, since, false).await
    }

    async fn http2<S>(&mut self, stream: S) -> Result<(), Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let request = request::build(self.asked, true)?;
        let stream = Watched::new(stream);
        let log = stream.log();
        let tasks = Tasks::default();
        let mut builder = http2::Builder::new(tasks.clone());
        // Twice as much: the library has no word for a head that is somewhat longer than it may be, so that is seen here.
        let most = self.options.max_head.saturating_mul(2);
        builder.max_header_list_size(u32::try_from(most).unwrap_or(u32::MAX));
        let limit = self.clock.limit(self.options.first_byte_timeout);
        let begun = timeout(limit.time, builder.handshake(TokioIo::new(stream))).await;
        let begun = begun.map_err(|_| too_late(&log, limit, true))?;
        let (mut sender, connection) = begun.map_err(|error| self.failed(&error, &log, true))?;
        let mut connection = pin!(connection);
        let mut driver = Driver::new(connection.as_mut(), Some(tasks));
        let since = Instant::now();
        let asking = sender.send_request(request);
        self.receive(asking, &mut driver, &log, since, true).await
    }

    /// The head of the answer, and its body where that matters.
    async fn receive(
        &mut self,
        asking: impl Future<Output = hyper::Result<Response<Incoming>>>,
        driver: &mut Driver<'_>,
        log: &Log,
        since: Instant,
        is_http2: bool,
    ) -> Result<(), Failure> {
        let limit = self.clock.limit(self.options.first_byte_timeout);
        let answered = timeout(limit.time, driver.drive(asking)).await;
        let answered = answered.map_err(|_| too_late(log, limit, is_http2))?;
        let (head, body) = answered
            .map_err(|error| self.failed(&error, log, is_http2))?
            .into_parts();
        if is_http2 && head_size(&head.headers) > self.options.max_head {
            return Err(error::head_too_large(self.options.max_head));
        }
        // The first bytes in HTTP/2 are not those of the answer.
        let first = log.seen().since.filter(|_| !is_http2).unwrap_or_else(Instant::now);
        self.answer.times.first_byte = Some(first.saturating_duration_since(since));
        self.answer.version = Some(version(head.version));
        self.answer.status = Some(head.status.as_u16());
        self.answer.content_length = head
            .headers
            .get(CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse().ok());
        self.answer.headers = head.headers;
        let is_followed = self.asked.is_followed
            && redirect::is_redirect(head.status.as_u16())
            && self.answer.headers.contains_key(LOCATION);
        if is_followed {
            return Ok(());
        }
        let limit = self.clock.limit(None);
        let read = timeout(limit.time, driver.drive(self.read(body))).await;
        self.answer.times.body = Some(first.elapsed());
        match read {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(self.failed(&error, log, is_http2)),
            Err(_) => {
                let detail = format!(
                    "the body was not complete {limit}: {} bytes had come",
                    self.answer.body_bytes
                );
                return Err(Failure::new(FailureKind::TimedOut, detail));
            }
        }
        Ok(())
    }

    async fn read(&mut self, mut body: Incoming) -> hyper::Result<()> {
        let most = self.options.max_body;
        let kept = if self.options.body_checks.is_empty() {
            most.min(KEPT)
        } else {
            most
        };
        let mut count = 0;
        while !body.is_end_stream() {
            let Some(frame) = body.frame().await else { break };
            let Ok(data) = frame?.into_data() else { continue };
            let taken = data.len().min(most - count);
            let keep = taken.min(kept.saturating_sub(count));
            self.answer.body.extend_from_slice(&data[..keep]);
            count += taken;
            self.answer.body_bytes = count as u64;
            if taken < data.len() {
                self.answer.is_cut = true;
                break;
            }
        }
        Ok(())
    }

    fn failed(&self, error: &hyper::Error, log: &Log, is_http2: bool) -> Failure {
        let scene = Scene {
            seen: &log.seen(),
            is_http2,
            has_head: self.answer.status.is_some(),
            max_head: self.options.max_head,
        };
        of_hyper(error, &scene)
    }
}

fn too_late(log: &Log, limit: Limit, is_http2: bool) -> Failure {
    let detail = match log.seen().count {
        0 => format!("no first byte {limit}"),
        _ if is_http2 => format!("no answer {limit}, though the server speaks HTTP/2"),
        count => format!("the head of the answer was not complete {limit}: {count} bytes had come"),
    };
    Failure::new(FailureKind::TimedOut, detail)
}

/// The size of the head of an answer in HTTP/2 as its limit counts it: 32 bytes for each field beside its name and its value
/// (RFC 9113, section 6.5.2), the status too.
fn head_size(headers: &HeaderMap) -> usize {
    const STATUS: usize = ":status".len() + 3 + 32;
    let fields = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 32);
    STATUS + fields.sum::<usize>()
}

const fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP",
    }
}
