//! As much of HTTP/1.1 as a proxy of one request a connection needs.
use super::fault::problem;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::io::Read;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Heads are a few hundred bytes, bodies a few megabytes: more is a fault of the test.
const MAX_HEAD: usize = 64 << 10;

/// A request's head, and what came of the body with it.
pub(super) struct Head {
    /// The request line and the headers, each with its line end.
    lines: Vec<String>,
    /// The length of the body.
    pub(super) length: usize,
    /// The first bytes of the body.
    pub(super) begun: Vec<u8>,
}

impl Head {
    /// `None` when the client closed without asking anything.
    pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<Self>> {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            if bytes.len() > MAX_HEAD {
                bail!("the request's head has no end");
            }
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(None);
            }
        };
        let begun = bytes.split_off(end + 4);
        bytes.truncate(end);
        let text = String::from_utf8(bytes).context("the request's head is no text")?;
        let lines: Vec<String> = text.split("\r\n").map(str::to_owned).collect();
        let mut head = Self {
            lines,
            length: 0,
            begun,
        };
        if head.header("transfer-encoding").is_some() {
            bail!("the faulty proxy reads bodies with a Content-Length only");
        }
        head.length = head
            .header("content-length")
            .map_or(Ok(0), str::parse)
            .context("the Content-Length is no number")?;
        Ok(Some(head))
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.lines.iter().skip(1).filter_map(|line| line.split_once(':'));
        headers
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }

    /// The body up to `most` bytes; shorter where the client sent less.
    pub(super) async fn body(&mut self, stream: &mut (impl AsyncRead + Unpin), most: usize) -> Result<Vec<u8>> {
        let mut body = std::mem::take(&mut self.begun);
        let wanted = self.length.min(most);
        while body.len() < wanted {
            if stream.read_buf(&mut body).await? == 0 {
                break;
            }
        }
        body.truncate(wanted);
        Ok(body)
    }

    /// The head as it goes to the server, which is to close after its answer: then its end is known.
    pub(super) fn to_server(&self) -> Vec<u8> {
        let is_kept = |line: &&String| {
            !line
                .split_once(':')
                .is_some_and(|(name, _)| name.eq_ignore_ascii_case("connection"))
        };
        let lines: Vec<&str> = self.lines.iter().filter(is_kept).map(String::as_str).collect();
        format!("{}\r\nconnection: close\r\n\r\n", lines.join("\r\n")).into_bytes()
    }

    /// What the body says of records, unpacked.
    pub(super) fn records(&self, body: &[u8]) -> Records {
        let unpacked = match self.header("content-encoding") {
            Some("gzip") => {
                let mut text = Vec::new();
                flate2::read::GzDecoder::new(body).read_to_end(&mut text).map(|_| text)
            }
            Some("zstd") => zstd::decode_all(body),
            _ => Ok(body.to_vec()),
        };
        let document = unpacked.ok().and_then(|text| serde_json::from_slice(&text).ok());
        Records::of(&document.unwrap_or_default())
    }
}

/// The records of a request, in either dialect.
pub(super) struct Records {
    pub(super) count: usize,
    pub(super) paths: Vec<String>,
}

impl Records {
    fn of(document: &Value) -> Self {
        let lists = ["records", "files", "deleted", "moved"];
        let count = lists.iter().filter_map(|list| document[list].as_array()).map(Vec::len);
        let mut paths = Vec::new();
        collect(document, &mut paths);
        Self {
            count: count.sum(),
            paths,
        }
    }
}

fn collect(value: &Value, paths: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            paths.extend(object.get("path").and_then(Value::as_str).map(str::to_owned));
            object.values().for_each(|value| collect(value, paths));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, paths)),
        _ => {}
    }
}

/// A whole answer, after which the connection is closed.
pub(super) fn answer(code: u16, headers: &str, content_type: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {code} Fault\r\nconnection: close\r\n{headers}content-type: {content_type}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// A refusal in the words of a controller.
pub(super) fn refusal(code: u16, name: &str) -> Vec<u8> {
    answer(code, "", "application/problem+json", &problem(code, name))
}
