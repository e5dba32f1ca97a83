//! A connection that moves on while its answer is waited for, in the same future: no task of its own, nothing left
//! behind.
use hyper::rt::Executor;
use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    task::Context,
};

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;
type Connection<'a> = Pin<&'a mut (dyn Future<Output = hyper::Result<()>> + Send)>;

/// What HTTP/2 wants to be run beside the connection.
#[derive(Clone, Default)]
pub(crate) struct Tasks(Arc<Mutex<Vec<Task>>>);

impl<F> Executor<F> for Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Box::pin(task));
    }
}

impl Tasks {
    fn take(&self) -> Vec<Task> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Moves a connection on.
pub(crate) struct Driver<'a> {
    connection: Connection<'a>,
    has_ended: bool,
    running: Vec<Task>,
    new: Option<Tasks>,
}

impl<'a> Driver<'a> {
    pub(crate) fn new(connection: Connection<'a>, tasks: Option<Tasks>) -> Self {
        Self {
            connection,
            has_ended: false,
            running: Vec::new(),
            new: tasks,
        }
    }

    /// What comes of `waited_for`, while the connection moves on.
    pub(crate) async fn drive<T>(&mut self, waited_for: impl Future<Output = T>) -> T {
        let mut waited_for = pin!(waited_for);
        poll_fn(|cx| {
            // The connection first: what it reads is what is waited for. Why it ended is told to whoever waits.
            self.poll(cx);
            waited_for.as_mut().poll(cx)
        })
        .await
    }

    fn poll(&mut self, cx: &mut Context<'_>) {
        if !self.has_ended {
            self.has_ended = self.connection.as_mut().poll(cx).is_ready();
        }
        let Some(new) = &self.new else { return };
        self.running.retain_mut(|task| task.as_mut().poll(cx).is_pending());
        // One that is new may bring others; each is polled at once, or nobody would ever wake it.
        loop {
            let mut begun = new.take();
            if begun.is_empty() {
                return;
            }
            begun.retain_mut(|task| task.as_mut().poll(cx).is_pending());
            self.running.append(&mut begun);
        }
    }
}
