//! A proxy that writes down what passes: plain HTTP and sockets, each part by its name, so that a test can say where a
//! secret may stand.
use crate::http::{Request, headers, read_head};
use anyhow::{Context, Result};
use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};
use testkit::GUARD;

/// Stands before a controller, for clients that take it for the controller and for those that take it for their proxy.
#[derive(Debug)]
pub struct WireTap {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    ends: AtomicBool,
    exchanges: Mutex<Vec<Exchange>>,
}

/// A request and what came of it.
#[derive(Debug, Default)]
struct Exchange {
    request: Request,
    head: Vec<String>,
    /// What came down after the head, and what went up after the request: an answer's body, or a socket's frames.
    down: Vec<u8>,
    up: Vec<u8>,
}

/// A part of what passed: of `POST /api/v1/ingest` its `line`, each header by its name, its `body`, and its `answer`'s
/// headers and body, or its `frames`.
#[derive(Debug)]
pub struct Part {
    /// Method and path, without numbers and queries.
    pub route: String,
    /// Which part of it.
    pub part: String,
    /// What it says.
    pub bytes: Vec<u8>,
}

impl WireTap {
    /// Begins to listen before the controller at `server`.
    ///
    /// # Errors
    /// When there is no port.
    pub fn start(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            server,
            ends: AtomicBool::new(false),
            exchanges: Mutex::default(),
        });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if of_thread.ends.load(Relaxed) {
                    return;
                }
                let shared = Arc::clone(&of_thread);
                // It ends with its connection; one that broke is seen by the client.
                thread::spawn(move || shared.serve(stream).ok());
            }
        });
        Ok(Self { address, shared })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything that has passed so far.
    ///
    /// # Errors
    /// When a body cannot be unpacked.
    pub fn parts(&self) -> Result<Vec<Part>> {
        let parts: Vec<Vec<Part>> = self.shared.lock().iter().map(Exchange::parts).collect::<Result<_>>()?;
        Ok(parts.into_iter().flatten().collect())
    }
}

impl Drop for WireTap {
    fn drop(&mut self) {
        self.shared.ends.store(true, Relaxed);
        // Wakes whoever listens.
        TcpStream::connect(self.address).ok();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Vec<Exchange>> {
        self.exchanges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, mut client: TcpStream) -> Result<()> {
        client.set_read_timeout(Some(GUARD))?;
        let Some(request) = Request::read(&mut client)? else {
            return Ok(());
        };
        let mut server = TcpStream::connect(self.server)?;
        server.set_read_timeout(Some(GUARD))?;
        server.write_all(&to_server(&request))?;
        server.write_all(&request.body)?;
        let is_upgrade = request.is_upgrade();
        let number = {
            let mut exchanges = self.lock();
            exchanges.push(Exchange {
                request,
                ..Exchange::default()
            });
            exchanges.len() - 1
        };
        let head = read_head(&mut server)?.context("the server says nothing")?;
        let text = head.join("\r\n") + "\r\n\r\n";
        self.lock()[number].head = head;
        client.write_all(text.as_bytes())?;
        thread::scope(|scope| {
            if is_upgrade {
                let (client, server) = (&client, &server);
                scope.spawn(move || self.pass(client, server, |bytes| self.lock()[number].up.extend(bytes)));
            }
            self.pass(&server, &client, |bytes| self.lock()[number].down.extend(bytes));
        });
        Ok(())
    }

    /// Passes on what comes until either side is gone.
    fn pass(&self, mut from: &TcpStream, mut to: &TcpStream, note: impl Fn(&[u8])) {
        let mut buffer = [0; 16 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            note(&buffer[..count]);
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        // Whoever passes the other way has nobody to pass to any more.
        from.shutdown(Shutdown::Both).ok();
        to.shutdown(Shutdown::Both).ok();
    }
}

/// The head as it goes to the server, which is to answer readably and, unless it is to talk, to close then.
fn to_server(request: &Request) -> Vec<u8> {
    let is_left_out = |line: &&String| {
        let name = line.split(':').next().unwrap_or_default();
        name.eq_ignore_ascii_case("accept-encoding")
            || (name.eq_ignore_ascii_case("connection") && !request.is_upgrade())
    };
    let kept: Vec<&str> = request
        .head
        .iter()
        .filter(|line| !is_left_out(line))
        .map(String::as_str)
        .collect();
    let more = if request.is_upgrade() {
        ""
    } else {
        "\r\nconnection: close"
    };
    format!("{}{more}\r\n\r\n", kept.join("\r\n")).into_bytes()
}

impl Exchange {
    fn parts(&self) -> Result<Vec<Part>> {
        let method = self.request.line().split(' ').next().unwrap_or_default();
        let path = self.request.path().split('?').next().unwrap_or_default();
        let is_number = |part: &str| part.len() == 36 && part.contains('-');
        let plain: Vec<&str> = path
            .split('/')
            .map(|part| if is_number(part) { "ID" } else { part })
            .collect();
        let route = format!("{method} {}", plain.join("/"));
        let mut parts = vec![("line".to_owned(), self.request.line().as_bytes().to_vec())];
        let named = |before: &'static str, head: &[String]| {
            let lines = headers(head).map(move |(name, value)| {
                let name = format!("{before}{}", name.to_ascii_lowercase());
                (name, value.as_bytes().to_vec())
            });
            lines.collect::<Vec<_>>()
        };
        parts.extend(named("", &self.request.head));
        parts.push(("body".to_owned(), self.request.plain_body()?));
        parts.extend(named("answer ", &self.head));
        if self.request.is_upgrade() {
            parts.push(("frames up".to_owned(), unmasked(&self.up)));
            parts.push(("frames down".to_owned(), unmasked(&self.down)));
        } else {
            parts.push(("answer body".to_owned(), self.down.clone()));
        }
        let part = |(part, bytes)| Part {
            route: route.clone(),
            part,
            bytes,
        };
        Ok(parts.into_iter().map(part).collect())
    }
}

/// The payloads of frames (RFC 6455, section 5.2), one after another; a frame that has not wholly come is left out.
fn unmasked(mut bytes: &[u8]) -> Vec<u8> {
    let mut payloads = Vec::new();
    while let Some((payload, rest)) = frame(bytes) {
        payloads.extend(payload);
        payloads.push(b'\n');
        bytes = rest;
    }
    payloads
}

fn frame(bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (&[_, second], rest) = bytes.split_first_chunk()?;
    let (length, rest) = match second & 0x7f {
        126 => {
            let (length, rest) = rest.split_first_chunk()?;
            (u64::from(u16::from_be_bytes(*length)), rest)
        }
        127 => {
            let (length, rest) = rest.split_first_chunk()?;
            (u64::from_be_bytes(*length), rest)
        }
        short => (u64::from(short), rest),
    };
    let (mask, rest) = if second & 0x80 == 0 {
        (&[0; 4], rest)
    } else {
        rest.split_first_chunk()?
    };
    let (payload, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    let plain = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
    Some((plain.collect(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_says_on_a_socket_is_readable() {
        // The example of RFC 6455, section 5.7: a masked `Hello`, after an unmasked one and before half a frame.
        let plain = [0x81, 0x05, b'H', b'e', b'l', b'l', b'o'];
        let masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        let bytes = [&plain[..], &masked, &[0x81, 0x05, b'H']].concat();
        assert_eq!(unmasked(&bytes), b"Hello\nHello\n");
    }
}
