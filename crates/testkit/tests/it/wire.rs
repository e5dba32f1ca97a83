//! Requests by hand, and records.
use std::{
    io::{Error, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};
use testkit::GUARD;

/// The whole answer, however it ended.
pub(crate) struct Reply {
    pub(crate) bytes: Vec<u8>,
    pub(crate) error: Option<Error>,
}

impl Reply {
    pub(crate) fn status(&self) -> Option<u16> {
        let text = String::from_utf8_lossy(&self.bytes);
        text.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// Posts `body` as the agent with this key, on a connection of its own.
pub(crate) fn post(address: SocketAddr, path: &str, key: &str, headers: &str, body: &[u8]) -> Result<Reply, Error> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(GUARD))?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx-api-key: {key}\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    // A peer that cuts in the middle makes writing fail, and may have said something all the same.
    stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(body))
        .ok();
    let mut bytes = Vec::new();
    let error = stream.read_to_end(&mut bytes).err();
    Ok(Reply { bytes, error })
}

/// A request of ingest with records from `first` on, each `(kind, body)`.
pub(crate) fn ingest(stream: &str, first: u64, records: &[(&str, String)]) -> Vec<u8> {
    let records: Vec<String> = (first..)
        .zip(records)
        .map(|(seq, (kind, body))| {
            format!(r#"{{"seq":{seq},"kind":"{kind}","time":"2026-11-21T12:00:00Z","body":{body}}}"#)
        })
        .collect();
    format!(
        r#"{{"batch_id":"b","stream":"{stream}","records":[{}]}}"#,
        records.join(",")
    )
    .into_bytes()
}

/// Records that create these paths.
pub(crate) fn created(paths: &[&str]) -> Vec<(&'static str, String)> {
    paths.iter().map(|path| ("file.created", path_of(path))).collect()
}

pub(crate) fn path_of(path: &str) -> String {
    format!(r#"{{"path":"{path}"}}"#)
}
