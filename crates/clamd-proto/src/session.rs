//! Many scans on one connection, answered in any order.
mod receive;
mod request;

pub use request::{Request, SessionOptions};

use crate::{
    command::Command,
    connection::Connection,
    decoder::Decoder,
    endpoint::Endpoint,
    error::ClamError,
    refusal::{Refusal, RefusalKind},
    sending::{Sending, Spoilt, Step},
    verdict::Verdict,
};
use rustix::fs::{OFlags, fcntl_getfl};
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    future::poll_fn,
    mem,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::time::{Instant, Sleep, timeout};

/// A connection on which many scans are under way.
///
/// [`submit`](Self::submit) takes requests up to the window, each with a tag; [`next`](Self::next) gives every tag back
/// exactly once, with a verdict or with why there is none, whatever becomes of the connection. One owner drives both
/// directions: while something waits to be written, replies are read, or clamd would drop them.
///
/// A reply about a descriptor or a stream is the only one to its request. About a path clamd may say more than once (a
/// device gets an error, and then `OK`), so there an error counts and what follows it is dropped; and an error about
/// something *below* the path leaves the request open until clamd has ended the session, which it does when it has
/// said all.
pub struct Session<T> {
    connection: Connection,
    options: SessionOptions,
    decoder: Decoder,
    sending: Option<(u32, Sending)>,
    /// A buffer that is not in use.
    spare: Vec<u8>,
    waiting: BTreeMap<u32, Waiting<T>>,
    done: VecDeque<(T, Result<Verdict, ClamError>)>,
    last_id: u32,
    /// The last request that was not about a descriptor.
    last_other: u32,
    /// The last request that clamd has surely read, with all before it, since it answered it.
    read_until: u32,
    state: State,
    timer: Option<Pin<Box<Sleep>>>,
    /// One command outside a session, whose reply has no number.
    is_single: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Nothing new is taken; END is to be sent.
    Ending,
    /// END has been sent, or cannot be.
    Ended,
    /// The connection is gone.
    Closed,
}

struct Waiting<T> {
    tag: T,
    about: About,
    deadline: Instant,
}

enum About {
    Descriptor,
    Stream {
        /// Why clamd's verdict counts for nothing: not all of the content has been sent.
        void: Option<ClamError>,
    },
    Path {
        path: PathBuf,
        /// What clamd said about something below the path.
        held: Option<Refusal>,
    },
}

impl<T> Waiting<T> {
    /// The tag and how its request ended.
    fn ended(self, outcome: Result<Verdict, ClamError>) -> (T, Result<Verdict, ClamError>) {
        let outcome = match self.about {
            About::Stream { void: Some(error) } => Err(error),
            _ => outcome,
        };
        (self.tag, outcome)
    }
}

impl<T> Session<T> {
    /// Connects and begins a session.
    ///
    /// # Errors
    /// When there is no connection.
    pub async fn open(endpoint: &Endpoint, options: SessionOptions) -> Result<Self, ClamError> {
        let connection = Connection::open(endpoint, options.connect).await?;
        let mut session = Self::new(connection, options, false);
        let mut bytes = Vec::new();
        Command::IdSession.encode(&mut bytes)?;
        session.sending = Some((0, Sending::command(bytes)));
        let after = options.connect;
        let begun = timeout(after, poll_fn(|context| session.poll_begin(context))).await;
        begun.map_err(|_| ClamError::TimedOut {
            what: "the beginning of a session",
            after,
        })?;
        Ok(session)
    }

    /// Connects for one request, which is sent as a command of its own.
    ///
    /// # Errors
    /// When there is no connection.
    pub async fn single(endpoint: &Endpoint, options: SessionOptions) -> Result<Self, ClamError> {
        let connection = Connection::open(endpoint, options.connect).await?;
        Ok(Self::new(connection, SessionOptions { window: 1, ..options }, true))
    }

    fn new(connection: Connection, options: SessionOptions, is_single: bool) -> Self {
        Self {
            connection,
            options,
            decoder: Decoder::default(),
            sending: None,
            spare: Vec::new(),
            waiting: BTreeMap::new(),
            done: VecDeque::new(),
            last_id: 0,
            last_other: 0,
            read_until: 0,
            state: State::Open,
            timer: None,
            is_single,
        }
    }

    /// Whether a request can be submitted now. It cannot while the window is full, or while a stream is on its way.
    pub fn has_room(&self) -> bool {
        self.is_open() && self.sending.is_none() && self.waiting.len() < self.options.window
    }

    /// Whether this request can be submitted now. A file cannot, beyond what [`has_room`](Self::has_room) says, while clamd
    /// may not have read a path's or a stream's command: it takes commands that lie in its socket together for one
    /// message, finds the descriptor with the wrong one, and closes the connection. Files may follow files, and paths
    /// and streams may follow anything.
    pub fn has_room_for(&self, request: &Request) -> bool {
        self.has_room() && (self.read_until >= self.last_other || !matches!(request, Request::File(_)))
    }

    /// Whether it will ever have room again.
    pub fn is_open(&self) -> bool {
        let most = if self.is_single { 1 } else { u32::MAX };
        self.state == State::Open && self.last_id < most
    }

    /// How many tags are still to be given back.
    pub fn outstanding(&self) -> usize {
        self.waiting.len() + self.done.len()
    }

    /// How many tags [`next`](Self::next) gives back without waiting.
    pub fn answered(&self) -> usize {
        self.done.len()
    }

    /// Takes a request. Whatever becomes of it, [`next`](Self::next) will give the tag back.
    ///
    /// # Errors
    /// The tag and the request where [`has_room_for`](Self::has_room_for) it is false.
    pub fn submit(&mut self, tag: T, request: Request) -> Result<(), (T, Request)> {
        if !self.has_room_for(&request) {
            return Err((tag, request));
        }
        match self.prepare(request) {
            Ok((sending, about)) => {
                self.last_id += 1;
                if !matches!(about, About::Descriptor) {
                    self.last_other = self.last_id;
                }
                let deadline = Instant::now() + self.options.reply;
                self.waiting.insert(self.last_id, Waiting { tag, about, deadline });
                self.sending = Some((self.last_id, sending));
                self.send_now();
            }
            Err(error) => self.done.push_back((tag, Err(error))),
        }
        Ok(())
    }

    fn prepare(&mut self, request: Request) -> Result<(Sending, About), ClamError> {
        let mut bytes = mem::take(&mut self.spare);
        match request {
            Request::File(file) => {
                if !matches!(self.connection, Connection::Unix(_)) {
                    return Err(ClamError::NoDescriptorsThere);
                }
                let mode = fcntl_getfl(&*file).map_err(|error| ClamError::Input(Arc::new(error.into())))?;
                if mode.intersects(OFlags::WRONLY | OFlags::PATH) {
                    return Err(ClamError::NotReadable);
                }
                Command::Fildes.encode(&mut bytes)?;
                // The descriptor rides on a byte behind the command.
                bytes.push(0);
                Ok((Sending::with_file(bytes, file), About::Descriptor))
            }
            Request::Path(path) => {
                Command::Scan(&path).encode(&mut bytes)?;
                Ok((Sending::command(bytes), About::Path { path, held: None }))
            }
            Request::Stream(content) => {
                let limit = self.options.stream_max;
                let length = content.length().map_err(|error| ClamError::Input(Arc::new(error)))?;
                if length.is_some_and(|length| length > limit) {
                    return Err(ClamError::SizeLimit { limit });
                }
                Command::InStream.encode(&mut bytes)?;
                Ok((Sending::upload(bytes, content, limit), About::Stream { void: None }))
            }
        }
    }

    /// Begins to end the session: nothing new is taken, and clamd is told once all is sent. [`next`](Self::next) gives
    /// what is still to come.
    pub fn end(&mut self) {
        if self.state == State::Open {
            self.state = State::Ending;
            self.send_end();
        }
    }

    /// What clamd answers wakes nobody until [`next`](Self::next) is asked for again: for a pause in which several answers
    /// gather, since being woken for each costs more than reading it. Over TCP it changes nothing.
    pub fn unwatch(&mut self) {
        self.connection.unwatch();
    }

    /// The next tag that is given back, with its verdict or why there is none; `None` when all have been. Nothing is lost
    /// when its future is dropped.
    pub async fn next(&mut self) -> Option<(T, Result<Verdict, ClamError>)> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// [`next`](Self::next) for whoever drives several.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<(T, Result<Verdict, ClamError>)>> {
        loop {
            if let Some(done) = self.done.pop_front() {
                return Poll::Ready(Some(done));
            }
            if self.waiting.is_empty() {
                self.flush(context);
                return Poll::Ready(None);
            }
            let sent = self.poll_send(context);
            let read = self.poll_read(context);
            let late = self.done.is_empty() && self.poll_timer(context);
            if !sent && !read && !late && self.done.is_empty() {
                return Poll::Pending;
            }
        }
    }

    /// Sends what is left where nobody waits any more. If that cannot be done at once the connection is not worth keeping.
    fn flush(&mut self, context: &mut Context<'_>) {
        while self.sending.is_some() {
            if !self.poll_send(context) {
                self.sending = None;
                self.state = State::Closed;
            }
        }
    }

    /// Sends what can be sent without waiting.
    fn send_now(&mut self) {
        // A failure shows again, with a way to be told, when it is polled.
        if let Some((_, sending)) = &mut self.sending
            && let Ok(true) = sending.try_all(&self.connection)
        {
            self.sent();
        }
    }

    fn sent(&mut self) {
        if let Some((_, sending)) = self.sending.take() {
            self.spare = sending.into_buffer();
        }
        self.send_end();
    }

    /// Sends END where that is due.
    fn send_end(&mut self) {
        if self.state != State::Ending || self.sending.is_some() {
            return;
        }
        self.state = State::Ended;
        let mut bytes = mem::take(&mut self.spare);
        if !self.is_single && Command::End.encode(&mut bytes).is_ok() {
            self.sending = Some((0, Sending::command(bytes)));
            self.send_now();
        }
    }

    /// Sends the first command. A failure shows again where it can be told: to the first request.
    fn poll_begin(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.sending.is_some() {
            if !self.poll_send(context) {
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }

    /// Whether anything was sent.
    fn poll_send(&mut self, context: &mut Context<'_>) -> bool {
        let Some((id, sending)) = &mut self.sending else {
            return false;
        };
        let id = *id;
        let step = match sending.poll_step(context, &mut self.connection) {
            Poll::Pending => return false,
            Poll::Ready(step) => step,
        };
        match step {
            Ok(Step::Done) => self.sent(),
            Ok(Step::More) => {}
            Ok(Step::Spoilt(spoilt)) => {
                let error = match spoilt {
                    Spoilt::Input(error) => ClamError::Input(Arc::new(error)),
                    Spoilt::TooLong => ClamError::SizeLimit {
                        limit: self.options.stream_max,
                    },
                };
                // It is told when clamd has answered the stump, so that the session can go on.
                if let Some(Waiting {
                    about: About::Stream { void },
                    ..
                }) = self.waiting.get_mut(&id)
                {
                    *void = Some(error);
                }
            }
            Err(_) => {
                // Replies may still lie in the socket, and the end of the connection tells why.
                self.sending = None;
                self.state = State::Ended;
                return true;
            }
        }
        if let Some(waiting) = self.waiting.get_mut(&id)
            && matches!(waiting.about, About::Stream { .. })
        {
            // What takes long to send is given its time for the verdict afterwards.
            waiting.deadline = Instant::now() + self.options.reply;
        }
        true
    }
}

/// A refusal is about the file unless its words are about the command.
pub(crate) const fn refused(refusal: Refusal) -> ClamError {
    match refusal.kind() {
        RefusalKind::NotInSession
        | RefusalKind::UnknownCommand
        | RefusalKind::Unavailable
        | RefusalKind::NoDescriptor => ClamError::CommandRefused(refusal),
        _ => ClamError::FileRefused(refusal),
    }
}

impl<T> fmt::Debug for Session<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("connection", &self.connection)
            .field("state", &self.state)
            .field("outstanding", &self.outstanding())
            .finish_non_exhaustive()
    }
}
