//! A server that takes what agents send and remembers enough of it to say whether anything is missing or doubled.
mod book;
mod routes;
mod wire;

use crate::{GUARD, background::Background};
use anyhow::{Context, Result, bail};
use book::Book;
use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};
use tokio::net::TcpListener;

/// Speaks enrolment, heartbeats and ingest as a controller does, on a port of the loopback, until it is dropped.
///
/// An agent is called by the name it enrolled with; who never enrolled is called by its key. A stream that is not known
/// is taken from its first record on only; otherwise the answer is 409 `snapshot_wanted`.
#[derive(Debug)]
pub struct Recorder {
    address: SocketAddr,
    shared: Arc<Shared>,
    _background: Background,
}

#[derive(Debug, Default)]
struct Shared {
    book: Mutex<Book>,
    changed: Condvar,
}

/// One stream of an agent, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamFacts {
    /// The agent's name.
    pub agent: String,
    /// The stream's id.
    pub stream: String,
    /// Different records.
    pub records: u64,
    /// The highest number.
    pub last_seq: u64,
    /// Numbers that never came: the first and the last of each stretch.
    pub gaps: Vec<(u64, u64)>,
    /// Records that came again.
    pub repeats: u64,
}

/// Figures over everything since the start, or since [`Recorder::reset`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests of ingest, those that were refused included.
    pub requests: u64,
    /// Different records.
    pub records: u64,
    /// Records that came again.
    pub repeats: u64,
    /// Heartbeats.
    pub heartbeats: u64,
}

impl Recorder {
    /// A recorder that has heard nothing.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start() -> Result<Self> {
        let shared = Arc::<Shared>::default();
        let router = routes::router(Arc::clone(&shared));
        let begin = move || {
            let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port")?;
            listener.set_nonblocking(true).context("no listener")?;
            let listener = TcpListener::from_std(listener).context("no listener")?;
            let address = listener.local_addr().context("a listener has an address")?;
            let serve = async move {
                // It ends only with its runtime.
                axum::serve(listener, router).await.ok();
            };
            Ok((address, serve))
        };
        let (address, background) = Background::start("recorder", begin)?;
        Ok(Self {
            address,
            shared,
            _background: background,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address as an agent wants it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Forgets everything, as a server restored from nothing. Streams are unknown from now on.
    pub fn reset(&self) {
        *self.book() = Book::default();
    }

    /// The figures.
    pub fn totals(&self) -> Totals {
        totals(&self.book())
    }

    /// Every stream of every agent, each agent's by their age.
    pub fn streams(&self) -> Vec<StreamFacts> {
        let book = self.book();
        let facts = book.streams.iter().map(|((agent, stream), records)| StreamFacts {
            agent: agent.clone(),
            stream: stream.clone(),
            records: records.records(),
            last_seq: records.last_seq(),
            gaps: records.gaps(),
            repeats: records.repeats,
        });
        facts.collect()
    }

    /// The newest stream of an agent.
    pub fn newest_stream(&self, agent: &str) -> Option<StreamFacts> {
        self.streams().into_iter().rfind(|stream| stream.agent == agent)
    }

    /// The paths that are there after everything that the agent said: what it created, updated and named, without what
    /// it deleted, moved away or, in a complete snapshot, did not name. As bytes.
    pub fn live(&self, agent: &str) -> BTreeSet<Vec<u8>> {
        self.book().live(agent)
    }

    /// What came twice, in words: another record under the same number of a stream; in one stream, a path created twice
    /// without being deleted or moved away between. Empty is good.
    pub fn doubled(&self) -> Vec<String> {
        self.book().doubled()
    }

    /// Until the figures are so. Blocks.
    ///
    /// # Errors
    /// When they have not been for [`GUARD`]; `what` names the thing waited for.
    pub fn wait_for(&self, what: &str, mut are_so: impl FnMut(&Totals) -> bool) -> Result<()> {
        let (book, waited) = self
            .shared
            .changed
            .wait_timeout_while(self.book(), GUARD, |book| !are_so(&totals(book)))
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            bail!("no {what} in {GUARD:?}, but {:?}", totals(&book));
        }
        Ok(())
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.shared.book()
    }
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Book) -> T) -> T {
        let changed = change(&mut self.book());
        self.changed.notify_all();
        changed
    }
}

fn totals(book: &Book) -> Totals {
    Totals {
        requests: book.requests,
        records: book.records,
        repeats: book.repeats,
        heartbeats: book.heartbeats.values().sum(),
    }
}
