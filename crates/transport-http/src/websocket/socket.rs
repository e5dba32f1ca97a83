//! An open socket: texts out, texts in, and signs of life.
use super::{SocketError, SocketSettings};
use futures_util::{Sink as _, SinkExt as _, Stream as _};
use reqwest::Upgraded;
use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Bytes, Error, Message,
        error::CapacityError,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

/// The longest that a farewell may take: it is a courtesy, and whoever stops is waited for.
const FAREWELL: Duration = Duration::from_secs(2);

/// The farewell of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedBy {
    /// Its code (RFC 6455, section 7.4): 1000 for an ordinary end.
    pub code: u16,
    /// Its reason for people; may be empty.
    pub reason: String,
}

impl fmt::Display for ClosedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason.as_str() {
            "" => write!(f, "code {}", self.code),
            reason => write!(f, "{reason} (code {})", self.code),
        }
    }
}

/// An open socket. Whoever holds it has to call [`receive`](Self::receive) again and again: only then are the server's
/// signs of life asked for and its own questions answered.
pub struct WebSocket {
    stream: WebSocketStream<Upgraded>,
    endpoint: String,
    settings: SocketSettings,
    /// When the next sign of life is asked for, or when the one asked for is overdue.
    timer: Pin<Box<Sleep>>,
    state: Liveness,
    closed_by: Option<ClosedBy>,
    is_closing: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Liveness {
    /// The server spoke of late.
    Heard,
    /// A sign of life is wanted, and the question is not written yet.
    Asking,
    /// It is written.
    Asked,
}

impl WebSocket {
    pub(super) fn new(stream: WebSocketStream<Upgraded>, endpoint: String, settings: SocketSettings) -> Self {
        Self {
            stream,
            endpoint,
            settings,
            timer: Box::pin(sleep(settings.ping_every)),
            state: Liveness::Heard,
            closed_by: None,
            is_closing: false,
        }
    }

    /// Server and path.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Sends a text. Whoever drops this before it is done may have sent it or not.
    ///
    /// # Errors
    /// When the connection is broken, or takes nothing for too long.
    pub async fn send(&mut self, text: String) -> Result<(), SocketError> {
        let within = self.settings.answer_within;
        match timeout(within, self.stream.send(Message::text(text))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.broken(error)),
            Err(_) => Err(self.stale(within)),
        }
    }

    /// The next text of the server. It may be dropped at any time without loss.
    ///
    /// # Errors
    /// See [`SocketError`]; the socket is of no use after any of them.
    pub async fn receive(&mut self) -> Result<String, SocketError> {
        poll_fn(|cx| self.poll_receive(cx)).await
    }

    /// Says farewell with a code and a reason (at most 123 bytes are sent of it), and waits a while for the server's.
    /// What the server still has to say is lost.
    pub async fn close(mut self, code: u16, reason: &str) {
        let mut end = reason.len().min(123);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        let frame = CloseFrame {
            code: CloseCode::from(code),
            reason: reason[..end].to_owned().into(),
        };
        let within = self.settings.answer_within.min(FAREWELL);
        let farewell = async {
            if self.stream.send(Message::Close(Some(frame))).await.is_ok() {
                while self.receive().await.is_ok() {}
            }
        };
        timeout(within, farewell).await.ok();
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<String, SocketError>> {
        while let Poll::Ready(next) = Pin::new(&mut self.stream).poll_next(cx) {
            let message = match next {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Poll::Ready(Err(self.broken(error))),
                None => return Poll::Ready(Err(self.closed())),
            };
            self.heard();
            match message {
                Message::Text(text) => return Poll::Ready(Ok(text.as_str().to_owned())),
                Message::Binary(_) => {
                    let endpoint = self.endpoint.clone();
                    return Poll::Ready(Err(SocketError::Binary { endpoint }));
                }
                // The library answers it as soon as it is read from again.
                Message::Close(frame) => {
                    self.is_closing = true;
                    self.closed_by = frame.map(|frame| ClosedBy {
                        code: frame.code.into(),
                        reason: frame.reason.as_str().to_owned(),
                    });
                }
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
        if self.is_closing {
            // It has our answer by now, or does not take it. What follows is the end of the connection, which is not
            // worth waiting for.
            return Poll::Ready(Err(self.closed()));
        }
        self.poll_liveness(cx)
    }

    fn poll_liveness(&mut self, cx: &mut Context<'_>) -> Poll<Result<String, SocketError>> {
        while self.timer.as_mut().poll(cx).is_ready() {
            if self.state != Liveness::Heard {
                return Poll::Ready(Err(self.stale(self.settings.answer_within)));
            }
            // From here on the time runs, also where nothing can be written because the server reads nothing.
            self.state = Liveness::Asking;
            self.timer.as_mut().reset(Instant::now() + self.settings.answer_within);
        }
        if self.state == Liveness::Asking {
            let asked = ready!(self.poll_ask(cx));
            if let Err(error) = asked {
                return Poll::Ready(Err(self.broken(error)));
            }
        }
        // Pending: whoever waits is woken by what arrives, by the time, or by the end of the writing begun above.
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.broken(error))),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    }

    fn poll_ask(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut stream = Pin::new(&mut self.stream);
        ready!(stream.as_mut().poll_ready(cx))?;
        stream.start_send(Message::Ping(Bytes::new()))?;
        self.state = Liveness::Asked;
        Poll::Ready(Ok(()))
    }

    fn heard(&mut self) {
        self.state = Liveness::Heard;
        self.timer.as_mut().reset(Instant::now() + self.settings.ping_every);
    }

    fn stale(&self, after: Duration) -> SocketError {
        let endpoint = self.endpoint.clone();
        SocketError::Stale { endpoint, after }
    }

    fn closed(&mut self) -> SocketError {
        SocketError::Closed {
            endpoint: self.endpoint.clone(),
            by: self.closed_by.take(),
        }
    }

    fn broken(&mut self, error: Error) -> SocketError {
        let endpoint = self.endpoint.clone();
        match error {
            Error::ConnectionClosed | Error::AlreadyClosed => self.closed(),
            // The farewell is what counts, not how the connection went after it.
            _ if self.is_closing => self.closed(),
            Error::Capacity(CapacityError::MessageTooLong { max_size, .. }) => SocketError::TooLong {
                endpoint,
                limit: max_size as u64,
            },
            other => SocketError::Broken {
                endpoint,
                source: Box::new(other),
            },
        }
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}
