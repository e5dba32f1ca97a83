//! The client: admission by breaker and semaphore, attempts, waits between them, figures.
use crate::{
    ApiKey, ClientSettings, ClientStats, Observation, Observer, Request, Response, SendError, SetupError,
    attempt::Bounds,
    packing,
    settings::{Compression, origin},
    setup,
    stats::Tally,
};
use bytes::Bytes;
use chrono::Utc;
use core_model::{Backoff, Breaker, BreakerState, Decision, chain};
use reqwest::{
    Method, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::Semaphore, time::Instant};
use tokio_util::sync::CancellationToken;
use url::Url;

/// Talks to one server. Cheap to clone: all clones share connections, breaker and figures.
///
/// A request that is dropped is given up at once; nothing of it goes on in the background.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    http: reqwest::Client,
    base_url: Url,
    server: String,
    /// The server, and the proxy on the way there: where a connection fails, either may be at fault.
    way: String,
    connect_timeout: Duration,
    timeout: Duration,
    idle_timeout: Duration,
    retry_attempts: u32,
    backoff: Backoff,
    retry_after_max: Duration,
    compression: Compression,
    max_response: u64,
    api_key: Option<ApiKey>,
    observe: Option<Observer>,
    parallel: Semaphore,
    breaker: Mutex<Breaker>,
    tally: Mutex<Tally>,
}

/// A request made ready: everything that stays the same from attempt to attempt.
struct Prepared {
    method: Method,
    url: Url,
    endpoint: String,
    headers: HeaderMap,
    body: Bytes,
    idempotent: bool,
}

impl Client {
    /// Checks `settings` and builds a client. Opens no connection yet.
    pub fn new(settings: ClientSettings) -> Result<Self, SetupError> {
        let http = setup::build(&settings)?;
        let inner = Inner {
            http,
            server: origin(&settings.base_url),
            way: way(&settings),
            base_url: settings.base_url,
            connect_timeout: settings.connect_timeout,
            timeout: settings.timeout,
            idle_timeout: settings.idle_timeout,
            retry_attempts: settings.retry_attempts,
            backoff: settings.backoff,
            retry_after_max: settings.retry_after_max,
            compression: settings.compression,
            max_response: settings.max_response.bytes(),
            api_key: settings.api_key,
            observe: settings.observe,
            parallel: Semaphore::new(settings.max_parallel.clamp(1, Semaphore::MAX_PERMITS)),
            breaker: Mutex::new(Breaker::new(settings.breaker)),
            tally: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Scheme, host and port of the server.
    pub fn server(&self) -> &str {
        &self.inner.server
    }

    /// The key that it sends.
    pub fn api_key(&self) -> Option<&ApiKey> {
        self.inner.api_key.as_ref()
    }

    /// The figures so far.
    pub fn stats(&self) -> ClientStats {
        let breaker = lock(&self.inner.breaker).state();
        lock(&self.inner.tally).stats(breaker)
    }

    /// The server was heard from by another way, such as a socket: it is asked again at once, however often it failed.
    pub fn heard_from_server(&self) {
        lock(&self.inner.breaker).succeeded(Instant::now().into_std());
    }

    /// Posts `body` as JSON and reads the answer as JSON (an empty answer is `null`: take `()` or an `Option`).
    ///
    /// It is repeated after a failure only if `headers` hold an `Idempotency-Key`.
    pub async fn post_json<B, T>(&self, path: &str, body: &B, headers: HeaderMap) -> Result<T, SendError>
    where
        B: Serialize + ?Sized,
        T: DeserializeOwned,
    {
        let body = serde_json::to_vec(body).map_err(|source| SendError::Encode {
            endpoint: self.inner.endpoint(path),
            source,
        })?;
        let request = Request::new(Method::POST, path)
            .with_body("application/json", body)
            .with_headers(headers);
        self.send(request, &CancellationToken::new()).await?.json()
    }

    /// Gets `path` and reads the answer as JSON.
    pub async fn get_json<T: DeserializeOwned>(&self, path: &str) -> Result<T, SendError> {
        self.send(Request::new(Method::GET, path), &CancellationToken::new())
            .await?
            .json()
    }

    /// Deletes `path`.
    pub async fn delete(&self, path: &str) -> Result<(), SendError> {
        self.send(Request::new(Method::DELETE, path), &CancellationToken::new())
            .await
            .map(drop)
    }

    /// Sends `request`, again and again if it may be repeated, until it is answered, refused for good, or `stop` is
    /// cancelled. Without a `stop` in time this may take as long as all attempts and the waits between them.
    pub async fn send(&self, request: Request, stop: &CancellationToken) -> Result<Response, SendError> {
        let inner = &*self.inner;
        let (method, path) = (request.method.clone(), request.path.clone());
        let started = Instant::now();
        let mut retries = 0;
        let outcome = match inner.prepare(request) {
            Ok(prepared) => stop
                .run_until_cancelled(inner.persist(&prepared, &mut retries))
                .await
                .unwrap_or(Err(SendError::Cancelled {
                    endpoint: prepared.endpoint,
                })),
            Err(error) => Err(error),
        };
        // What the caller gave up says nothing about the server.
        if !matches!(outcome, Err(SendError::Cancelled { .. })) {
            inner.record(method, &path, &outcome, retries, started.elapsed());
        }
        outcome
    }
}

impl Inner {
    fn prepare(&self, request: Request) -> Result<Prepared, SendError> {
        let endpoint = self.endpoint(&request.path);
        let url = self.url(&request.path)?;
        let mut headers = request.headers;
        let mut body = request.body;
        if !body.is_empty() {
            headers
                .entry(CONTENT_TYPE)
                .or_insert(HeaderValue::from_static(request.content_type));
            let packed = packing::pack(self.compression, &body).map_err(|source| SendError::Compress {
                endpoint: endpoint.clone(),
                source,
            })?;
            // A caller that packed the body already has said so in the headers.
            if let Some((packed, encoding)) = packed.filter(|_| !headers.contains_key(CONTENT_ENCODING)) {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
                body = packed;
            }
        }
        Ok(Prepared {
            method: request.method,
            url,
            endpoint,
            headers,
            body,
            idempotent: request.idempotent,
        })
    }

    /// Attempts until one succeeds or no more make sense.
    async fn persist(&self, request: &Prepared, retries: &mut u32) -> Result<Response, SendError> {
        let mut last = None;
        loop {
            let error = match self.admitted(request, last.take()).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            let hopeless = !request.idempotent
                || !error.is_temporary()
                || matches!(error, SendError::BreakerOpen { .. })
                || *retries >= self.retry_attempts
                || lock(&self.breaker).state() == BreakerState::Open;
            if hopeless {
                return Err(error);
            }
            let wait = self.wait(&error, *retries);
            tracing::debug!(
                endpoint = request.endpoint,
                attempt = *retries + 1,
                wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                error = chain(&error),
                "request failed and will be repeated"
            );
            tokio::time::sleep(wait).await;
            *retries += 1;
            last = Some(error);
        }
    }

    /// One attempt, if the breaker permits it. If it does not, the failure before tells more than the breaker.
    async fn admitted(&self, request: &Prepared, last: Option<SendError>) -> Result<Response, SendError> {
        // The semaphore is never closed, so a permit always comes.
        let _permit = self.parallel.acquire().await.ok();
        if let Decision::Refuse { wait } = lock(&self.breaker).ask(Instant::now().into_std()) {
            return Err(last.unwrap_or_else(|| SendError::BreakerOpen {
                server: self.server.clone(),
                retry_in: wait,
            }));
        }
        let bounds = Bounds {
            server: &self.way,
            endpoint: &request.endpoint,
            connect_timeout: self.connect_timeout,
            timeout: self.timeout,
            idle_timeout: self.idle_timeout,
            max_response: self.max_response,
            retry_after_max: self.retry_after_max,
        };
        let outcome = loop {
            let key = self.api_key.as_ref().map(ApiKey::current);
            let mut headers = request.headers.clone();
            headers.extend(key.as_ref().and_then(crate::key::header));
            let attempt = self
                .http
                .request(request.method.clone(), request.url.clone())
                .headers(headers)
                .body(request.body.clone());
            let outcome = bounds.attempt(attempt).await;
            let is_unauthorized = outcome.as_ref().err().and_then(SendError::status) == Some(StatusCode::UNAUTHORIZED);
            // The key was exchanged while this was under way: a refusal of the old one says nothing, and did nothing.
            if !is_unauthorized || self.api_key.as_ref().map(ApiKey::current) == key {
                break outcome;
            }
        };
        let now = Instant::now().into_std();
        match &outcome {
            Err(error) if error.is_outage() => lock(&self.breaker).failed(now),
            _ => lock(&self.breaker).succeeded(now),
        }
        outcome
    }

    fn wait(&self, error: &SendError, retries: u32) -> Duration {
        // Without randomness the longest wait is the safe one.
        let random = getrandom::u64().unwrap_or(u64::MAX);
        match error.retry_after() {
            // All that were told the same second are spread over the first wait after it.
            Some(asked) => asked + self.backoff.wait(0, random),
            None => self.backoff.wait(retries, random),
        }
    }

    fn record(
        &self,
        method: Method,
        path: &str,
        outcome: &Result<Response, SendError>,
        retries: u32,
        duration: Duration,
    ) {
        let error = outcome.as_ref().err();
        lock(&self.tally).count(error, retries, Utc::now());
        if let Some(observe) = &self.observe {
            observe(&Observation {
                method,
                path: without_query(path).to_owned(),
                ok: error.is_none(),
                status: outcome
                    .as_ref()
                    .map_or_else(SendError::status, |response| Some(response.status)),
                duration,
                retries,
            });
        }
    }

    /// Appends `path` to the server's address; it can never lead to another server.
    fn url(&self, path: &str) -> Result<Url, SendError> {
        let invalid = || SendError::Invalid {
            server: self.server.clone(),
            path: path.to_owned(),
        };
        let base = self.base_url.as_str().trim_end_matches('/');
        let url = Url::parse(&format!("{base}/{}", path.trim_start_matches('/'))).map_err(|_| invalid())?;
        if url.origin() == self.base_url.origin() {
            Ok(url)
        } else {
            Err(invalid())
        }
    }

    fn endpoint(&self, path: &str) -> String {
        let prefix = self.base_url.path().trim_end_matches('/');
        format!(
            "{}{prefix}/{}",
            self.server,
            without_query(path).trim_start_matches('/')
        )
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Client");
        shown
            .field("server", &self.inner.server)
            .field("stats", &self.stats())
            .finish()
    }
}

pub(crate) fn way(settings: &ClientSettings) -> String {
    let server = origin(&settings.base_url);
    match &settings.proxy {
        Some(proxy) => format!("{server} by way of the proxy {}", origin(proxy)),
        None => server,
    }
}

/// A query may hold what should not be shown, and is no part of a metric.
fn without_query(path: &str) -> &str {
    path.split(['?', '#']).next().unwrap_or_default()
}

/// What these locks guard is a handful of counters, whole after any panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
