//! What drives a client's sessions.
use crate::{
    client::ClientOptions,
    endpoint::Endpoint,
    error::ClamError,
    session::{Request, Session},
    verdict::Verdict,
};
use std::{
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Sleep, sleep},
};

/// A request, and where its outcome goes.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) request: Request,
    pub(crate) answer: Answer,
}

type Answer = oneshot::Sender<Result<Verdict, ClamError>>;
type Opening = Pin<Box<dyn Future<Output = Result<Session<Answer>, ClamError>> + Send>>;

/// The sessions of a [`Client`](crate::Client). They live and die with the future of [`run`](Self::run).
pub struct Driver {
    endpoint: Endpoint,
    options: ClientOptions,
    jobs: mpsc::Receiver<Job>,
    sessions: Vec<Lane>,
    opening: Option<Opening>,
    /// No further session could be opened, and nothing has changed since.
    is_full: bool,
    /// What no session had room for.
    held: Option<Job>,
}

struct Lane {
    session: Session<Answer>,
    idle: Option<Pin<Box<Sleep>>>,
}

impl Driver {
    pub(crate) const fn new(endpoint: Endpoint, options: ClientOptions, jobs: mpsc::Receiver<Job>) -> Self {
        Self {
            endpoint,
            options,
            jobs,
            sessions: Vec::new(),
            opening: None,
            is_full: false,
            held: None,
        }
    }

    /// Drives the sessions until the last client is gone, or until `stop`; what is under way then is finished first, and
    /// what is asked for later ends in [`ClamError::Stopped`]. Dropped, everything ends at once.
    pub async fn run(mut self, stop: impl Future<Output = ()> + Send) {
        let mut stop = pin!(stop);
        let mut is_stopped = false;
        poll_fn(|context| {
            if !is_stopped && stop.as_mut().poll(context).is_ready() {
                is_stopped = true;
                self.jobs.close();
            }
            self.poll(context)
        })
        .await;
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            self.poll_opening(context);
            self.poll_sessions(context);
            match self.assign(context) {
                // A session that was given something is to be polled for what comes of it.
                Assigned::Some => {}
                Assigned::None => return Poll::Pending,
                Assigned::Last if self.is_done() => {
                    self.end_sessions(context);
                    return Poll::Ready(());
                }
                Assigned::Last => return Poll::Pending,
            }
        }
    }

    fn open_sessions(&self) -> usize {
        self.sessions.iter().filter(|lane| lane.session.is_open()).count()
    }

    fn is_done(&self) -> bool {
        self.opening.is_none() && self.sessions.iter().all(|lane| lane.session.outstanding() == 0)
    }

    fn end_sessions(&mut self, context: &mut Context<'_>) {
        for mut lane in self.sessions.drain(..) {
            lane.session.end();
            // Nothing is outstanding: this sends END, or gives up.
            let _: Poll<_> = lane.session.poll_next(context);
        }
    }

    fn poll_opening(&mut self, context: &mut Context<'_>) {
        let Some(opening) = &mut self.opening else { return };
        let Poll::Ready(opened) = opening.as_mut().poll(context) else {
            return;
        };
        self.opening = None;
        match opened {
            Ok(session) => self.sessions.push(Lane { session, idle: None }),
            Err(error) => {
                // Where there are others, what is held waits for room there.
                if self.open_sessions() > 0 {
                    self.is_full = true;
                } else if let Some(job) = self.held.take() {
                    // Whoever asked may have gone.
                    job.answer.send(Err(error)).ok();
                }
            }
        }
    }

    fn poll_sessions(&mut self, context: &mut Context<'_>) {
        let idle = self.options.idle;
        let is_full = &mut self.is_full;
        self.sessions.retain_mut(|lane| {
            let was_open = lane.session.is_open();
            while let Poll::Ready(next) = lane.session.poll_next(context) {
                match next {
                    Some((answer, outcome)) => {
                        *is_full = false;
                        answer.send(outcome).ok();
                    }
                    None if !lane.session.is_open() => {
                        *is_full = false;
                        return false;
                    }
                    None => {
                        let timer = lane.idle.get_or_insert_with(|| Box::pin(sleep(idle)));
                        if timer.as_mut().poll(context).is_pending() {
                            return true;
                        }
                        lane.session.end();
                    }
                }
            }
            *is_full &= lane.session.is_open() == was_open;
            true
        });
    }

    /// Gives what is asked for to the first session that has room, so that no more are open than are needed.
    fn assign(&mut self, context: &mut Context<'_>) -> Assigned {
        let mut assigned = Assigned::None;
        loop {
            let job = match self.held.take() {
                Some(job) => job,
                None => match self.jobs.poll_recv(context) {
                    Poll::Ready(Some(job)) => job,
                    Poll::Ready(None) if matches!(assigned, Assigned::None) => return Assigned::Last,
                    Poll::Ready(None) | Poll::Pending => return assigned,
                },
            };
            if job.answer.is_closed() {
                // Whoever asked has gone, and nothing has been sent.
                continue;
            }
            let Some(lane) = self
                .sessions
                .iter_mut()
                .find(|lane| lane.session.has_room_for(&job.request))
            else {
                self.held = Some(job);
                let may_open = self.opening.is_none() && !self.is_full;
                if may_open && self.open_sessions() < self.options.sessions.max(1) {
                    self.opening = Some(self.open());
                    assigned = Assigned::Some;
                }
                return assigned;
            };
            lane.idle = None;
            if let Err((answer, request)) = lane.session.submit(job.answer, job.request) {
                self.held = Some(Job { request, answer });
            }
            assigned = Assigned::Some;
        }
    }

    fn open(&self) -> Opening {
        let (endpoint, options) = (self.endpoint.clone(), self.options.session);
        Box::pin(async move { Session::open(&endpoint, options).await })
    }
}

/// What came of looking for work.
enum Assigned {
    /// Something was begun.
    Some,
    /// Nothing could be.
    None,
    /// Nothing could be, and there will be nothing more.
    Last,
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("endpoint", &self.endpoint)
            .field("sessions", &self.sessions.len())
            .finish_non_exhaustive()
    }
}
