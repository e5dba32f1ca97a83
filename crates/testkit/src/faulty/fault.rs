//! What can go wrong between an agent and its server.
use crate::Certified;
use std::{fmt, sync::Arc, time::Duration};

/// Says of a record's path whether the record is meant.
pub type PathIs = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// What the proxy does with a connection, which carries one request.
#[derive(Clone)]
pub enum Fault {
    /// Nothing: the request goes to the server, and its answer comes back.
    Pass,
    /// Nobody listens: connections are refused by the system. In a script, where connections are counted, it is as
    /// [`Fault::Reset`].
    Refuse,
    /// The connection is accepted and reset.
    Reset,
    /// As [`Fault::Pass`], after so long.
    Delay(Duration),
    /// The request is read and never answered.
    Hang,
    /// The server gets so many bytes of the body; then both connections break.
    CutRequest(usize),
    /// The server gets the whole request *and does what it says*; of its answer, head included, so many bytes come
    /// through, and the connection breaks.
    CutResponse(usize),
    /// This answer, and the server hears nothing.
    Status {
        /// The status.
        code: u16,
        /// A `Retry-After`: seconds or a date.
        retry_after: Option<String>,
        /// The body: JSON, or nothing.
        body: String,
    },
    /// 400 for a request with a record of such a path, as a problem; other requests pass.
    RejectRecord(PathIs),
    /// 413 for more records than this in a request; other requests pass.
    TooLarge(usize),
    /// An answer that is no HTTP.
    NotHttp,
    /// 200 with a page of HTML, as a portal or a wrong server says it.
    Html,
    /// 307 to this address.
    Redirect(String),
    /// The server shows this certificate, and the request passes if the client goes on. On a proxy without TLS it is as
    /// [`Fault::Pass`].
    Certificate(Certified),
}

impl Fault {
    /// A [`Fault::Status`] without words.
    pub fn status(code: u16) -> Self {
        Self::Status {
            code,
            retry_after: None,
            body: String::new(),
        }
    }

    /// A [`Fault::Status`] with a problem document of this code.
    pub fn problem(code: u16, name: &str) -> Self {
        Self::Status {
            code,
            retry_after: None,
            body: problem(code, name),
        }
    }

    /// Its name in [`Counts`](crate::FaultyProxy::count).
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Refuse => "refuse",
            Self::Reset => "reset",
            Self::Delay(_) => "delay",
            Self::Hang => "hang",
            Self::CutRequest(_) => "cut_request",
            Self::CutResponse(_) => "cut_response",
            Self::Status { .. } => "status",
            Self::RejectRecord(_) => "reject_record",
            Self::TooLarge(_) => "too_large",
            Self::NotHttp => "not_http",
            Self::Html => "html",
            Self::Redirect(_) => "redirect",
            Self::Certificate(_) => "certificate",
        }
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delay(time) => write!(f, "delay({time:?})"),
            Self::CutRequest(bytes) | Self::CutResponse(bytes) => write!(f, "{}({bytes})", self.name()),
            Self::Status { code, .. } => write!(f, "status({code})"),
            Self::TooLarge(records) => write!(f, "too_large({records})"),
            other => f.write_str(other.name()),
        }
    }
}

/// A problem document (RFC 9457).
pub(super) fn problem(status: u16, code: &str) -> String {
    format!(r#"{{"status":{status},"code":"{code}","title":"Said by the faulty proxy"}}"#)
}
