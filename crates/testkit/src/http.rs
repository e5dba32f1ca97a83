//! As much of HTTP as it takes to look at a health or metrics page.
use anyhow::{Context, Result};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// For one connection on the loopback; generous.
const LIMIT: Duration = Duration::from_secs(10);

/// An answer to [`http_get`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status code.
    pub status: u16,
    /// Its header lines, without the status line.
    pub headers: String,
    /// Its body, with what is not UTF-8 replaced.
    pub body: String,
}

/// Sends `GET path` to `address`, without TLS, and reads the whole answer.
///
/// # Errors
/// When there is no connection or the answer is not HTTP.
pub fn http_get(address: SocketAddr, path: &str) -> Result<Answer> {
    let mut stream =
        TcpStream::connect_timeout(&address, LIMIT).with_context(|| format!("no connection to {address}"))?;
    stream
        .set_read_timeout(Some(LIMIT))
        .context("could not set a time limit")?;
    // HTTP/1.0 keeps the answer from coming in chunks, and the connection from staying open.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    // In one piece: a server that answers to the first of several and closes would break off the others.
    stream
        .write_all(request.as_bytes())
        .context("could not send the request")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).context("could not read the answer")?;
    parse(&answer).with_context(|| format!("{address} does not speak HTTP"))
}

fn parse(answer: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let (first, headers) = head.split_once("\r\n").unwrap_or((head, ""));
    let status = first.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(Answer {
        status,
        headers: headers.to_owned(),
        body: body.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn an_answer_is_read_from_a_real_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 512];
            let read = stream.read(&mut request).unwrap();
            stream
                .write_all(b"HTTP/1.0 503 Not Ready\r\ncontent-length: 4\r\n\r\nwait")
                .unwrap();
            String::from_utf8_lossy(&request[..read]).into_owned()
        });
        let answer = http_get(address, "/health/ready").unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (503, "wait"));
        assert!(server.join().unwrap().starts_with("GET /health/ready HTTP/1.0\r\n"));
    }

    #[test]
    fn something_else_is_refused() {
        assert_eq!(parse(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), None);
    }
}
