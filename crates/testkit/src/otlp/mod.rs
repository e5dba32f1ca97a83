//! A receiver of OTLP, by HTTP and by gRPC on one port, that takes nothing that is not right to the letter.
mod check;
mod facts;
mod grpc;
mod serve;

pub use facts::{OtlpLine, OtlpPoint, OtlpReceived, OtlpSpan};

use crate::{Certified, GUARD, background::Background};
use anyhow::{Context, Result, bail};
use check::History;
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
};
use tokio::{
    net::TcpSocket,
    sync::mpsc::{UnboundedSender, unbounded_channel},
};

/// Takes metrics, traces and logs on a port of the loopback until it is dropped: protobuf over HTTP/1 and HTTP/2, plain
/// or gzip, and gRPC.
///
/// What breaks a rule of the protocol is refused (400, or `INVALID_ARGUMENT`) and remembered in words, so that a test can
/// insist that there was nothing of the kind.
#[derive(Debug)]
pub struct OtlpReceiver {
    address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
    orders: UnboundedSender<Order>,
    _background: Background,
}

/// What a receiver asks of its clients.
#[derive(Clone, Debug, Default)]
pub struct OtlpOptions {
    /// It speaks TLS and shows this.
    pub tls: Option<Certified>,
    /// Headers that every request has to have; one without them is answered 401 or `UNAUTHENTICATED`.
    pub headers: Vec<(String, String)>,
}

/// What a receiver answers to what is right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OtlpAnswer {
    /// It takes it.
    #[default]
    Take,
    /// It takes it, but for so many records, with these words.
    Partial {
        /// How many are rejected.
        rejected: i64,
        /// Why.
        message: String,
    },
    /// It keeps nothing and answers with this status, or what gRPC has for it.
    Status {
        /// The status of HTTP.
        code: u16,
        /// A `Retry-After`, in seconds.
        retry_after: Option<u32>,
        /// Its words.
        message: String,
    },
}

impl OtlpAnswer {
    /// A status without words.
    pub fn status(code: u16) -> Self {
        Self::Status {
            code,
            retry_after: None,
            message: String::new(),
        }
    }
}

/// Listen, or do not; and whom to tell that it is so.
struct Order {
    listens: bool,
    done: mpsc::Sender<Result<()>>,
}

#[derive(Debug)]
struct Shared {
    headers: Vec<(String, String)>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    answer: OtlpAnswer,
    received: OtlpReceived,
    history: History,
}

impl OtlpReceiver {
    /// Without TLS, and without a header that it asks for.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start() -> Result<Self> {
        Self::start_with(OtlpOptions::default())
    }

    /// With these options.
    ///
    /// # Errors
    /// When no port can be had, or the certificate cannot be read.
    pub fn start_with(options: OtlpOptions) -> Result<Self> {
        let scheme = if options.tls.is_some() { "https" } else { "http" };
        let shared = Arc::new(Shared {
            headers: options.headers,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let (orders, told) = unbounded_channel();
        let of_work = Arc::clone(&shared);
        let begin = move || {
            // Holds the port while nobody listens there.
            let place = socket()?;
            place
                .bind((Ipv4Addr::LOCALHOST, 0).into())
                .context("no free port on the loopback")?;
            let address = place.local_addr().context("a socket has an address")?;
            let acceptor = serve::Acceptor::new(address, place, options.tls.as_ref(), of_work)?;
            Ok((address, acceptor.run(told)))
        };
        let (address, background) = Background::start("otlp-receiver", begin)?;
        Ok(Self {
            address,
            scheme,
            shared,
            orders,
            _background: background,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address as a client wants it; with TLS by the name `localhost`.
    pub fn url(&self) -> String {
        match self.scheme {
            "https" => format!("https://localhost:{}", self.address.port()),
            scheme => format!("{scheme}://{}", self.address),
        }
    }

    /// From now on, to what is right.
    pub fn answer(&self, answer: OtlpAnswer) {
        self.shared.lock().answer = answer;
    }

    /// Nobody listens at its port any more, and connections are cut. When this returns, it is so.
    ///
    /// # Errors
    /// When it has ended.
    pub fn go_away(&self) -> Result<()> {
        self.order(false)
    }

    /// It listens again, at the same port.
    ///
    /// # Errors
    /// When the port cannot be had again.
    pub fn come_back(&self) -> Result<()> {
        self.order(true)
    }

    fn order(&self, listens: bool) -> Result<()> {
        let (done, is_done) = mpsc::channel();
        if self.orders.send(Order { listens, done }).is_err() {
            bail!("the receiver has ended");
        }
        is_done.recv_timeout(GUARD).context("the receiver does not answer")?
    }

    /// Everything that was taken, and what was wrong with the rest.
    pub fn received(&self) -> OtlpReceived {
        self.shared.lock().received.clone()
    }

    /// Until what was received is so. Blocks.
    ///
    /// # Errors
    /// When it has not been for [`GUARD`]; `what` names the thing waited for.
    pub fn wait_for(&self, what: &str, mut is_so: impl FnMut(&OtlpReceived) -> bool) -> Result<OtlpReceived> {
        let (state, waited) = self
            .shared
            .changed
            .wait_timeout_while(self.shared.lock(), GUARD, |state| !is_so(&state.received))
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            bail!("no {what} in {GUARD:?}, but {:?}", state.received);
        }
        Ok(state.received.clone())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of several sockets at the same port.
fn socket() -> Result<TcpSocket> {
    let socket = TcpSocket::new_v4().context("no socket")?;
    socket.set_reuseaddr(true).context("no socket to share a port")?;
    #[cfg(unix)]
    socket.set_reuseport(true).context("no socket to share a port")?;
    Ok(socket)
}
