//! A controller of the next minor version: it says more than this version knows, and must be understood all the same.
use crate::{
    http::{Request, answer},
    peer::Peer,
};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::{
    io::Write as _,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};
use testkit::GUARD;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// What it calls the agent.
const AGENT_ID: &str = "01900000-0000-7000-8000-00000000a9e7";

/// Takes what agents deliver, and hands each socket and each poll to the test.
#[derive(Debug)]
pub struct LaterController {
    address: SocketAddr,
    shared: Arc<Shared>,
    peers: Receiver<Peer>,
    polls: Receiver<Poll>,
}

#[derive(Debug)]
struct Shared {
    ends: AtomicBool,
    has_sockets: bool,
    upgrades: AtomicU64,
    paths: Mutex<Vec<String>>,
    peers: Sender<Peer>,
    polls: Sender<Poll>,
}

/// A poll that waits for its answer.
#[derive(Debug)]
pub struct Poll {
    /// The messages that came with it.
    pub said: Vec<Value>,
    stream: TcpStream,
}

impl Poll {
    /// Answers by these messages; the next poll is to come after a second.
    ///
    /// # Errors
    /// When the agent is gone.
    pub fn answer(mut self, messages: &[Value]) -> Result<()> {
        let body = json!({"messages": messages, "poll_after_secs": 1, "later": true});
        answer(&mut self.stream, 200, &body)
    }
}

impl LaterController {
    /// Begins to listen; without sockets an agent has to poll.
    ///
    /// # Errors
    /// When there is no port.
    pub fn start(has_sockets: bool) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let ((peers, peers_out), (polls, polls_out)) = (channel(), channel());
        let shared = Arc::new(Shared {
            ends: AtomicBool::new(false),
            has_sockets,
            upgrades: AtomicU64::new(0),
            paths: Mutex::default(),
            peers,
            polls,
        });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if of_thread.ends.load(Relaxed) {
                    return;
                }
                let shared = Arc::clone(&of_thread);
                // It ends with its request; what is wrong with one is missed by the test.
                thread::spawn(move || shared.serve(stream).ok());
            }
        });
        Ok(Self {
            address,
            shared,
            peers: peers_out,
            polls: polls_out,
        })
    }

    /// Its address, as agents are told it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next socket, before anything was said on it.
    ///
    /// # Errors
    /// When none comes.
    pub fn peer(&self) -> Result<Peer> {
        self.peers.recv_timeout(GUARD).context("no socket is opened")
    }

    /// The next poll.
    ///
    /// # Errors
    /// When none comes.
    pub fn poll(&self) -> Result<Poll> {
        self.polls.recv_timeout(GUARD).context("nobody polls")
    }

    /// How often a socket was asked for.
    pub fn upgrades(&self) -> u64 {
        self.shared.upgrades.load(Relaxed)
    }

    /// The paths of the files that were told, in their order.
    pub fn paths(&self) -> Vec<String> {
        self.shared.paths.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for LaterController {
    fn drop(&mut self) {
        self.shared.ends.store(true, Relaxed);
        // Wakes whoever listens.
        TcpStream::connect(self.address).ok();
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) -> Result<()> {
        stream.set_read_timeout(Some(GUARD))?;
        let Some(request) = Request::read(&mut stream)? else {
            return Ok(());
        };
        match request.path() {
            "/ws/agent" => return self.upgrade(stream, &request),
            "/api/v1/agents/me/messages" => {
                let said = request.json()?["messages"].as_array().cloned().unwrap_or_default();
                self.polls.send(Poll { said, stream }).ok();
            }
            "/api/v1/agents/enroll" => {
                let body = json!({"agent_id": AGENT_ID, "api_key": "sk_of_a_later_version", "region": "north"});
                answer(&mut stream, 201, &body)?;
            }
            "/api/v1/agents/me/heartbeat" => {
                answer(&mut stream, 200, &json!({"snapshot_wanted": false, "mood": "good"}))?;
            }
            "/api/v1/ingest" => {
                let last = self.take(&request.json()?);
                answer(&mut stream, 200, &json!({"accepted_through": last, "stored_bytes": 1}))?;
            }
            other => {
                let problem = json!({"status": 404, "code": "not_found", "title": "No", "detail": other});
                answer(&mut stream, 404, &problem)?;
            }
        }
        Ok(())
    }

    fn upgrade(&self, mut stream: TcpStream, request: &Request) -> Result<()> {
        self.upgrades.fetch_add(1, Relaxed);
        if !self.has_sockets {
            // As a proxy answers that lets no sockets through.
            let page =
                "HTTP/1.1 400 Bad Request\r\ncontent-type: text/html\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            return Ok(stream.write_all(page.as_bytes())?);
        }
        let key = request.header("sec-websocket-key").context("no key of a socket")?;
        let accept = derive_accept_key(key.as_bytes());
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {accept}\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        self.peers.send(Peer::accepted(stream)?).ok();
        Ok(())
    }

    /// Notes the paths of records; gives the last number.
    fn take(&self, request: &Value) -> u64 {
        let records = request["records"].as_array().map(Vec::as_slice).unwrap_or_default();
        let told = records.iter().filter_map(|record| record["body"]["path"].as_str());
        let mut paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        paths.extend(told.map(str::to_owned));
        records
            .last()
            .and_then(|record| record["seq"].as_u64())
            .unwrap_or_default()
    }
}
