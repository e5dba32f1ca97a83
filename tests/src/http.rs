//! As much of HTTP/1.1 as it takes to stand between two programs, or to be one of them: one request on a connection.
use anyhow::{Context, Result, bail, ensure};
use flate2::read::GzDecoder;
use serde_json::Value;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};
use testkit::GUARD;

/// Heads are a few hundred bytes: more is a fault of the test.
const MAX_HEAD: usize = 64 << 10;

/// A request, as it came.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The request line and the headers.
    pub head: Vec<String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// Reads one; `None` where the client closed without asking anything. Not a byte more is read than belongs to it.
    ///
    /// # Errors
    /// When it is none, or its body has no length.
    pub fn read(stream: &mut impl Read) -> Result<Option<Self>> {
        let Some(head) = read_head(stream)? else {
            return Ok(None);
        };
        let mut request = Self { head, body: Vec::new() };
        ensure!(
            request.header("transfer-encoding").is_none(),
            "a body without a length: {:?}",
            request.head
        );
        let length = request.header("content-length").map_or(Ok(0), str::parse)?;
        request.body.resize(length, 0);
        stream
            .read_exact(&mut request.body)
            .context("the body is shorter than it says")?;
        Ok(Some(request))
    }

    /// The path, also where the line names the server, as it does to a proxy.
    pub fn path(&self) -> &str {
        let target = self.line().split(' ').nth(1).unwrap_or_default();
        match target.split_once("://") {
            Some((_, rest)) => rest.find('/').map_or("/", |slash| &rest[slash..]),
            None => target,
        }
    }

    /// The request line.
    pub fn line(&self) -> &str {
        self.head.first().map_or("", String::as_str)
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        headers(&self.head)
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Whether it asks for a WebSocket.
    pub fn is_upgrade(&self) -> bool {
        self.header("upgrade")
            .is_some_and(|to| to.eq_ignore_ascii_case("websocket"))
    }

    /// The body, unpacked where it is packed.
    ///
    /// # Errors
    /// When it cannot be unpacked.
    pub fn plain_body(&self) -> Result<Vec<u8>> {
        match self.header("content-encoding") {
            None | Some("identity") => Ok(self.body.clone()),
            Some("gzip") => {
                let mut plain = Vec::new();
                GzDecoder::new(self.body.as_slice()).read_to_end(&mut plain)?;
                Ok(plain)
            }
            Some(other) => bail!("a body packed by {other}"),
        }
    }

    /// The body's JSON.
    ///
    /// # Errors
    /// When it is none.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.plain_body()?).with_context(|| format!("no JSON in {}", self.line()))
    }
}

/// The headers of a head, by name and value.
pub fn headers(head: &[String]) -> impl Iterator<Item = (&str, &str)> {
    let lines = head.iter().skip(1).filter_map(|line| line.split_once(':'));
    lines.map(|(name, value)| (name, value.trim()))
}

/// The lines of a head; `None` at the end of the stream.
///
/// # Errors
/// When it breaks off or has no end.
pub fn read_head(stream: &mut impl Read) -> Result<Option<Vec<String>>> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        ensure!(bytes.len() < MAX_HEAD, "a head has no end");
        match stream.read(&mut byte)? {
            0 if bytes.is_empty() => return Ok(None),
            0 => bail!("a head breaks off"),
            _ => bytes.push(byte[0]),
        }
    }
    bytes.truncate(bytes.len() - 4);
    let text = String::from_utf8(bytes).context("a head is no text")?;
    Ok(Some(text.split("\r\n").map(str::to_owned).collect()))
}

/// Writes an answer of JSON, after which the connection ends.
///
/// # Errors
/// When the other side is gone.
pub fn answer(stream: &mut TcpStream, status: u16, body: &Value) -> Result<()> {
    let body = body.to_string();
    let text = format!(
        "HTTP/1.1 {status} Answer\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes()).context("could not answer")
}

/// Posts JSON with an agent's key, where there is one; gives the status and the JSON of the answer.
///
/// # Errors
/// When there is no answer.
pub fn post(address: SocketAddr, path: &str, key: Option<&str>, body: &Value) -> Result<(u16, Value)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(GUARD))?;
    let body = body.to_string();
    let key = key.map(|key| format!("x-api-key: {key}\r\n")).unwrap_or_default();
    let text = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\n{key}content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes())?;
    let head = read_head(&mut stream)?.context("no answer")?;
    let status = head[0].split(' ').nth(1).context("no status")?.parse()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok((status, serde_json::from_slice(&answer).unwrap_or_default()))
}
