//! A proxy between an agent and a real server that fails as it is told.
mod connection;
mod fault;
mod message;

pub use fault::{Fault, PathIs};

use crate::{Certified, GUARD, background::Background};
use anyhow::{Context, Result, bail};
use connection::Connection;
use std::{
    collections::{BTreeMap, VecDeque},
    future,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
};

/// Waiting connections; a test has a handful.
const BACKLOG: u32 = 128;

/// Stands before a server, or in place of one, on a port of the loopback, until it is dropped.
///
/// Each connection carries one request. What becomes of it is decided when it is accepted: the next step of the script,
/// or what was set last when the script is at its end.
#[derive(Debug)]
pub struct FaultyProxy {
    address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
    orders: UnboundedSender<Order>,
    _background: Background,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    counts: BTreeMap<&'static str, u64>,
}

/// New faults, and whom to tell that they hold.
struct Order {
    script: VecDeque<Fault>,
    standing: Fault,
    done: mpsc::Sender<Result<()>>,
}

impl FaultyProxy {
    /// Before the server at `server`, which speaks plain HTTP, or where there is none. It passes everything at first.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start(server: Option<SocketAddr>) -> Result<Self> {
        Self::with(server, None)
    }

    /// The same for clients that speak TLS; they are shown `certified`.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start_tls(server: Option<SocketAddr>, certified: Certified) -> Result<Self> {
        Self::with(server, Some(certified))
    }

    fn with(server: Option<SocketAddr>, tls: Option<Certified>) -> Result<Self> {
        let shared = Arc::<Shared>::default();
        let (orders, told) = unbounded_channel();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let seen = Arc::clone(&shared);
        let begin = move || {
            // Holds the port while nobody listens there.
            let place = socket()?;
            place
                .bind((Ipv4Addr::LOCALHOST, 0).into())
                .context("no free port on the loopback")?;
            let address = place.local_addr().context("a socket has an address")?;
            let acceptor = Acceptor {
                listener: Some(listen(address)?),
                _place: place,
                address,
                server,
                tls,
                script: VecDeque::new(),
                standing: Fault::Pass,
                shared: seen,
            };
            Ok((address, acceptor.run(told)))
        };
        let (address, background) = Background::start("faulty-proxy", begin)?;
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

    /// From now on, until something else is set. When this returns, it holds.
    ///
    /// # Errors
    /// When the port cannot be had again after [`Fault::Refuse`].
    pub fn set(&self, fault: Fault) -> Result<()> {
        self.order(VecDeque::new(), fault)
    }

    /// For the next connections, so many of each; then everything passes.
    ///
    /// # Errors
    /// When the port cannot be had again after [`Fault::Refuse`].
    pub fn script(&self, steps: impl IntoIterator<Item = (usize, Fault)>) -> Result<()> {
        let each = |(count, fault): (usize, Fault)| std::iter::repeat_n(fault, count);
        self.order(steps.into_iter().flat_map(each).collect(), Fault::Pass)
    }

    fn order(&self, script: VecDeque<Fault>, standing: Fault) -> Result<()> {
        let (done, is_done) = mpsc::channel();
        let order = Order { script, standing, done };
        if self.orders.send(order).is_err() {
            bail!("the faulty proxy has ended");
        }
        is_done
            .recv_timeout(GUARD)
            .context("the faulty proxy does not answer")?
    }

    /// How many connections met the fault of this [name](Fault::name). Connections that the system refused are not seen.
    pub fn count(&self, name: &str) -> u64 {
        self.lock().counts.get(name).copied().unwrap_or_default()
    }

    /// Connections in all.
    pub fn connections(&self) -> u64 {
        self.lock().counts.values().sum()
    }

    /// Until so many connections have met the fault of this name. Blocks.
    ///
    /// # Errors
    /// When they have not for [`GUARD`].
    pub fn wait_for(&self, name: &str, count: u64) -> Result<()> {
        let (state, waited) = self
            .shared
            .changed
            .wait_timeout_while(self.lock(), GUARD, |state| {
                state.counts.get(name).copied().unwrap_or_default() < count
            })
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            bail!(
                "no {count} connections met {name:?} in {GUARD:?}, but {:?}",
                state.counts
            );
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Acceptor {
    listener: Option<Listener>,
    _place: TcpSocket,
    address: SocketAddr,
    server: Option<SocketAddr>,
    tls: Option<Certified>,
    script: VecDeque<Fault>,
    standing: Fault,
    shared: Arc<Shared>,
}

impl Acceptor {
    async fn run(mut self, mut orders: UnboundedReceiver<Order>) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.obey(order),
                    None => return,
                },
                stream = accept(self.listener.as_ref()) => {
                    let connection = self.next();
                    // That a connection broke is mostly the point of it.
                    connections.spawn(async move { connection.serve(stream).await.ok() });
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }

    fn obey(&mut self, order: Order) {
        self.script = order.script;
        self.standing = order.standing;
        let is_closed = self.script.is_empty() && matches!(self.standing, Fault::Refuse);
        let done = if is_closed {
            self.listener = None;
            Ok(())
        } else if self.listener.is_none() {
            listen(self.address).map(|listener| self.listener = Some(listener))
        } else {
            Ok(())
        };
        order.done.send(done).ok();
    }

    fn next(&mut self) -> Connection {
        let fault = self.script.pop_front().unwrap_or_else(|| self.standing.clone());
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state.counts.entry(fault.name()).or_default() += 1;
        self.shared.changed.notify_all();
        Connection {
            fault,
            server: self.server,
            tls: self.tls.clone(),
        }
    }
}

async fn accept(listener: Option<&Listener>) -> TcpStream {
    let Some(listener) = listener else {
        return future::pending().await;
    };
    loop {
        // A connection that was gone before it was accepted is none.
        if let Ok((stream, _)) = listener.0.accept().await {
            return stream;
        }
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

/// Nobody gets in once it is dropped. A process that another thread starts at that very moment holds what this one has open
/// until it runs its program, so that it is not enough to close it.
struct Listener(TcpListener);

#[cfg(unix)]
impl Drop for Listener {
    fn drop(&mut self) {
        // One that does not listen any more is what is wanted.
        let _ = rustix::net::shutdown(&self.0, rustix::net::Shutdown::Both);
    }
}

fn listen(address: SocketAddr) -> Result<Listener> {
    let socket = socket()?;
    socket
        .bind(address)
        .with_context(|| format!("could not bind {address}"))?;
    let listener = socket.listen(BACKLOG);
    listener
        .map(Listener)
        .with_context(|| format!("could not listen on {address}"))
}
