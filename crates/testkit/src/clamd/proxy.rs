//! Between an agent and its clamd: passes on what is said, descriptors included, until it is told to stall or to cut.
use super::{
    Clamd,
    passing::{receive, send},
};
use anyhow::{Context, Result};
use rustix::net::{Shutdown, shutdown};
use std::{
    io::Read as _,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Passed on at a time.
const CHUNK: usize = 64 * 1024;

/// Stands between agents and one clamd, on a Unix socket and on a port of the loopback, until it is dropped. It passes on
/// descriptors as well as bytes, notes when verdicts pass, and where clamd is not there it hangs up as soon as an answer is
/// wanted.
#[derive(Debug)]
pub struct ClamdProxy {
    shared: Arc<Shared>,
    socket: PathBuf,
    tcp: SocketAddr,
    acceptors: Vec<JoinHandle<()>>,
    _folder: TempDir,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_stalled: bool,
    is_held: bool,
    /// Descriptors that wait.
    held: usize,
    is_over: bool,
    hung_up: usize,
    pairs: Vec<Arc<Pair>>,
    verdicts: Vec<Instant>,
}

/// The two sockets of one connection.
#[derive(Debug)]
struct Pair {
    agent: OwnedFd,
    clamd: OwnedFd,
}

impl ClamdProxy {
    /// Before `clamd`, or before the one that is started there again later.
    ///
    /// # Errors
    /// When no socket can be had.
    pub fn start(clamd: &Clamd) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("shoal-proxy-").tempdir();
        let folder = folder.context("could not make a folder")?;
        let socket = folder.path().join("proxy.sock");
        let unix = UnixListener::bind(&socket).context("could not listen")?;
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("could not listen")?;
        let mut proxy = Self {
            shared: Arc::default(),
            socket,
            tcp: tcp.local_addr()?,
            acceptors: Vec::new(),
            _folder: folder,
        };
        let (path, address) = (clamd.socket(), clamd.tcp());
        proxy.accept(move || {
            let agent = OwnedFd::from(unix.accept()?.0);
            Ok((agent, UnixStream::connect(&path).map(OwnedFd::from)))
        })?;
        proxy.accept(move || {
            let agent = OwnedFd::from(tcp.accept()?.0);
            Ok((agent, TcpStream::connect(address).map(OwnedFd::from)))
        })?;
        Ok(proxy)
    }

    /// Its Unix socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Its address on the loopback.
    pub const fn tcp(&self) -> SocketAddr {
        self.tcp
    }

    /// Whether replies are left unread from now on, on connections that there are and on new ones.
    pub fn stall(&self, is_stalled: bool) {
        self.shared.lock().is_stalled = is_stalled;
        self.shared.changed.notify_all();
    }

    /// Whether descriptors, and what is said after them, wait here from now on instead of reaching clamd.
    pub fn hold(&self, is_held: bool) {
        self.shared.lock().is_held = is_held;
        self.shared.changed.notify_all();
    }

    /// Blocks until a descriptor is held back, and `true` says that one is; `false` comes after `patience`.
    pub fn wait_for_held(&self, patience: Duration) -> bool {
        self.wait(patience, |state| state.held > 0)
    }

    /// Blocks until it has hung up so often since it was started, for want of a clamd; `false` after `patience`.
    pub fn wait_for_hung_up(&self, times: usize, patience: Duration) -> bool {
        self.wait(patience, |state| state.hung_up >= times)
    }

    fn wait(&self, patience: Duration, is_so: impl Fn(&State) -> bool) -> bool {
        let (state, _) = self
            .shared
            .changed
            .wait_timeout_while(self.shared.lock(), patience, |state| !is_so(state))
            .unwrap_or_else(PoisonError::into_inner);
        is_so(&state)
    }

    /// Cuts every connection that there is; returns how many.
    pub fn cut(&self) -> usize {
        let pairs = std::mem::take(&mut self.shared.lock().pairs);
        pairs.iter().for_each(|pair| pair.cut());
        self.shared.changed.notify_all();
        pairs.len()
    }

    /// When the first verdict passed since `since`, as soon as one has; `None` after `patience`.
    pub fn verdict_since(&self, since: Instant, patience: Duration) -> Option<Instant> {
        let first = |state: &State| state.verdicts.iter().find(|verdict| **verdict >= since).copied();
        self.wait(patience, |state| first(state).is_some());
        first(&self.shared.lock())
    }

    fn accept(
        &mut self,
        mut next: impl FnMut() -> std::io::Result<(OwnedFd, std::io::Result<OwnedFd>)> + Send + 'static,
    ) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let accept = move || {
            while let Ok((agent, clamd)) = next() {
                if shared.lock().is_over {
                    return;
                }
                // Without sockets or threads the agent is hung up on at once.
                let Ok(clamd) = clamd.or_else(|_| nobody(&shared)) else {
                    continue;
                };
                let pair = Arc::new(Pair { agent, clamd });
                shared.lock().pairs.push(Arc::clone(&pair));
                for is_down in [false, true] {
                    let (pair, shared) = (Arc::clone(&pair), Arc::clone(&shared));
                    let pump = move || pair.pump(is_down, &shared);
                    // Without a thread the connection hangs, as it is left to: a machine without threads fails anyway.
                    thread::Builder::new().name("clamd-proxy".to_owned()).spawn(pump).ok();
                }
            }
        };
        let acceptor = thread::Builder::new().name("clamd-proxy".to_owned()).spawn(accept);
        self.acceptors.push(acceptor.context("no thread")?);
        Ok(())
    }
}

impl Drop for ClamdProxy {
    fn drop(&mut self) {
        self.shared.lock().is_over = true;
        self.cut();
        // Each waits for one more connection.
        UnixStream::connect(&self.socket).ok();
        TcpStream::connect(self.tcp).ok();
        for acceptor in self.acceptors.drain(..) {
            acceptor.join().ok();
        }
        self.cut();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until replies are read again, or `pair` was cut.
    fn wait_while_stalled(&self, pair: &Arc<Pair>) {
        let is_to_wait = |state: &mut State| state.is_stalled && state.pairs.iter().any(|one| Arc::ptr_eq(one, pair));
        drop(self.changed.wait_while(self.lock(), is_to_wait));
    }

    /// Until descriptors pass again, or `pair` was cut.
    fn wait_while_held(&self, pair: &Arc<Pair>, files: usize) {
        let mut state = self.lock();
        state.held += files;
        self.changed.notify_all();
        let is_to_wait = |state: &mut State| state.is_held && state.pairs.iter().any(|one| Arc::ptr_eq(one, pair));
        let waited = self.changed.wait_while(state, is_to_wait);
        waited.unwrap_or_else(PoisonError::into_inner).held -= files;
    }

    fn saw(&self, bytes: &[u8]) {
        let has = |end: &[u8]| bytes.windows(end.len()).any(|window| window == end);
        if has(b": OK\0") || has(b" FOUND\0") {
            self.lock().verdicts.push(Instant::now());
            self.changed.notify_all();
        }
    }
}

/// In the place of a clamd that is not there: hangs up, but only when an answer is wanted, as a forwarder does that has yet to
/// find out.
fn nobody(shared: &Arc<Shared>) -> std::io::Result<OwnedFd> {
    let (near, mut far) = UnixStream::pair()?;
    let shared = Arc::clone(shared);
    let hang_up = move || {
        let mut said = [0; 64];
        while far.read(&mut said).is_ok_and(|many| said[..many] == *b"zIDSESSION\0") {}
        drop(far);
        shared.lock().hung_up += 1;
        shared.changed.notify_all();
    };
    thread::Builder::new().name("clamd-proxy".to_owned()).spawn(hang_up)?;
    Ok(near.into())
}

impl Pair {
    fn cut(&self) {
        for socket in [&self.agent, &self.clamd] {
            // One that is cut already cannot be cut again.
            shutdown(socket, Shutdown::Both).ok();
        }
    }

    /// Passes on what comes from one side, until it ends.
    fn pump(self: Arc<Self>, is_down: bool, shared: &Shared) {
        let (from, to) = match is_down {
            true => (&self.clamd, &self.agent),
            false => (&self.agent, &self.clamd),
        };
        let mut bytes = vec![0; CHUNK];
        loop {
            if is_down {
                shared.wait_while_stalled(&self);
            }
            match receive(from, &mut bytes) {
                Ok((0, _)) => break,
                Ok((many, files)) => {
                    if is_down {
                        // What came into a stall waits for its end.
                        shared.wait_while_stalled(&self);
                        shared.saw(&bytes[..many]);
                    } else if !files.is_empty() {
                        shared.wait_while_held(&self, files.len());
                    }
                    if send(to, &bytes[..many], &files).is_err() {
                        self.cut();
                        break;
                    }
                }
                Err(_) => {
                    self.cut();
                    break;
                }
            }
        }
        shutdown(to, Shutdown::Write).ok();
        if is_down {
            // clamd has said all: nobody will be told to cut this one any more.
            shared.lock().pairs.retain(|pair| !Arc::ptr_eq(pair, &self));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClamdOptions, eicar};
    use std::{fs::File, io::Write as _};

    /// Asks about a descriptor; gives all that is answered.
    fn ask(proxy: &ClamdProxy, file: &Path) -> String {
        let mut stream = UnixStream::connect(proxy.socket()).unwrap();
        let file = OwnedFd::from(File::open(file).unwrap());
        send(&OwnedFd::from(stream.try_clone().unwrap()), b"zFILDES\0\0", &[file]).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn descriptors_pass_and_verdicts_are_noted() {
        let clamd = Clamd::start(ClamdOptions::default()).unwrap();
        let proxy = ClamdProxy::start(&clamd).unwrap();
        let file = clamd.database().join("../eicar");
        std::fs::write(&file, eicar()).unwrap();
        let began = Instant::now();
        assert!(ask(&proxy, &file).ends_with(" FOUND\0"));
        assert!(proxy.verdict_since(began, Duration::ZERO).is_some());
        assert!(proxy.verdict_since(Instant::now(), Duration::ZERO).is_none());
        let mut stream = TcpStream::connect(proxy.tcp()).unwrap();
        stream.write_all(b"zPING\0").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "PONG\0");
    }

    #[test]
    fn no_reply_passes_a_stall_and_a_cut_ends_the_connection() {
        let clamd = Clamd::start(ClamdOptions::default()).unwrap();
        let proxy = ClamdProxy::start(&clamd).unwrap();
        let mut stream = UnixStream::connect(proxy.socket()).unwrap();
        let mut answer = [0; 8];
        stream.write_all(b"zIDSESSION\0zPING\0").unwrap();
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"1: PONG\0");
        proxy.stall(true);
        stream.write_all(b"zPING\0").unwrap();
        assert_eq!(proxy.cut(), 1);
        let mut rest = Vec::new();
        // A reset says no less than an end.
        stream.read_to_end(&mut rest).ok();
        assert_eq!(rest, b"");
        proxy.stall(false);
        let mut again = UnixStream::connect(proxy.socket()).unwrap();
        again.write_all(b"zPING\0").unwrap();
        again.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"PONG\0");
    }
    #[test]
    fn a_descriptor_that_is_held_back_reaches_clamd_when_it_is_let_go() {
        let clamd = Clamd::start(ClamdOptions::default()).unwrap();
        let proxy = ClamdProxy::start(&clamd).unwrap();
        let file = clamd.database().join("../grows");
        std::fs::write(&file, b"harmless").unwrap();
        proxy.hold(true);
        let answer = thread::scope(|scope| {
            let asking = scope.spawn(|| ask(&proxy, &file));
            assert!(proxy.wait_for_held(crate::GUARD));
            std::fs::write(&file, eicar()).unwrap();
            proxy.hold(false);
            asking.join().unwrap()
        });
        assert!(answer.ends_with(" FOUND\0"), "{answer}");
    }

    #[test]
    fn without_a_clamd_it_hangs_up_and_counts() {
        let mut clamd = Clamd::start(ClamdOptions::default()).unwrap();
        let proxy = ClamdProxy::start(&clamd).unwrap();
        clamd.kill_hard().unwrap();
        for times in 1..=2 {
            let mut stream = UnixStream::connect(proxy.socket()).unwrap();
            stream.write_all(b"zIDSESSION\0").unwrap();
            stream.write_all(b"zPING\0").unwrap();
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).ok();
            assert_eq!(rest, b"");
            assert!(proxy.wait_for_hung_up(times, crate::GUARD));
        }
        assert!(!proxy.wait_for_hung_up(3, Duration::ZERO));
    }
}
