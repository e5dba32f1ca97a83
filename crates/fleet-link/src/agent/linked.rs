//! How the server's side of a daemon is, for the tasks beside it.
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};
use tokio::sync::Notify;

/// How the server's side of a daemon is, for the tasks beside it. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Linked(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    is_answering: AtomicBool,
    /// The server should hear of something at once.
    news: Notify,
    /// Notified when the work is wanted before it is due.
    wake: Arc<Notify>,
    delivery: Mutex<Option<Arc<Notify>>>,
}

impl Linked {
    /// Whether the server took records when it was last asked.
    pub fn is_answering(&self) -> bool {
        self.0.is_answering.load(Ordering::Relaxed)
    }

    /// Work has ended: there may be something to deliver, and the server should hear of it.
    pub fn ended(&self) {
        self.0.news.notify_one();
        self.found();
    }

    /// There may be something to deliver.
    pub fn found(&self) {
        let delivery = self.0.delivery.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(delivery) = &*delivery {
            delivery.notify_one();
        }
    }

    /// Notified when the server wants to be told everything anew, and when it is back: the work looks then whether
    /// something is wanted of it. Whatever else asks for work before it is due may notify it too.
    pub fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.0.wake)
    }

    pub(super) fn news(&self) -> &Notify {
        &self.0.news
    }

    /// Another delivery is there.
    pub(super) fn delivers(&self, wake: Arc<Notify>) {
        *self.0.delivery.lock().unwrap_or_else(PoisonError::into_inner) = Some(wake);
    }

    /// Whether the server answers from now on; gives whether it did.
    pub(super) fn set_answering(&self, is_answering: bool) -> bool {
        self.0.is_answering.swap(is_answering, Ordering::Relaxed)
    }
}
