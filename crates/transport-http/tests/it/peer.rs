//! A server of few words: for each connection it takes one request and does one thing that a test chose.
use core_model::Backoff;
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use transport_http::{Client, ClientSettings};

/// What it does with one connection.
#[derive(Clone, Debug)]
pub(crate) enum Turn {
    /// Writes this and closes.
    Say(String),
    /// Writes this and then nothing more.
    Stall(String),
    /// Reads the request and never answers.
    Hang,
    /// Closes without a word.
    Close,
}

/// A request as it came over the wire.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Request line and headers.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let headers = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        headers
            .into_iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }
}

/// Takes its turns in order and repeats the last one.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    // Aborts the task when the test is over.
    _task: JoinSet<()>,
}

impl Peer {
    pub(crate) async fn new(turns: impl IntoIterator<Item = Turn>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut task = JoinSet::new();
        task.spawn(serve(listener, turns.into_iter().collect(), Arc::clone(&seen)));
        Self {
            address,
            seen,
            _task: task,
        }
    }

    /// All requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Quick settings for a client of this peer.
    pub(crate) fn settings(&self) -> ClientSettings {
        settings(&format!("http://{}", self.address))
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.settings()).unwrap()
    }
}

/// Settings under which retries cost a test no time.
pub(crate) fn settings(url: &str) -> ClientSettings {
    ClientSettings {
        backoff: Backoff {
            first: Duration::from_millis(1),
            longest: Duration::from_millis(2),
        },
        ..ClientSettings::new(url.parse().unwrap())
    }
}

/// A whole answer.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> Turn {
    Turn::Say(format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}",
        body.len()
    ))
}

async fn serve(listener: TcpListener, turns: Vec<Turn>, seen: Arc<Mutex<Vec<Seen>>>) {
    let mut connections = JoinSet::new();
    for number in 0.. {
        let (stream, _) = listener.accept().await.unwrap();
        let turn = turns[number.min(turns.len() - 1)].clone();
        connections.spawn(take(stream, turn, Arc::clone(&seen)));
    }
}

async fn take(mut stream: TcpStream, turn: Turn, seen: Arc<Mutex<Vec<Seen>>>) {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut request = Seen {
        head,
        body: bytes.split_off(end + 4),
    };
    let length = request.header("content-length").map_or(0, |text| text.parse().unwrap());
    while request.body.len() < length {
        if stream.read_buf(&mut request.body).await.unwrap_or(0) == 0 {
            return;
        }
    }
    seen.lock().unwrap().push(request);
    match turn {
        Turn::Say(text) => {
            stream.write_all(text.as_bytes()).await.ok();
            stream.shutdown().await.ok();
        }
        Turn::Stall(text) => {
            stream.write_all(text.as_bytes()).await.ok();
            std::future::pending().await
        }
        Turn::Hang => std::future::pending().await,
        Turn::Close => {}
    }
}
