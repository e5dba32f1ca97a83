//! Work in the background of a test: a thread with a runtime of its own, so that plain tests can have it too.
use anyhow::{Context, Result};
use std::{
    future::Future,
    sync::mpsc,
    thread::{self, JoinHandle},
};
use tokio::{runtime, sync::oneshot};

/// Ends its work when dropped.
#[derive(Debug)]
pub(crate) struct Background {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Runs what `begin` gives, until dropped. `begin` runs inside the runtime; what it cannot begin is the error.
    pub(crate) fn start<T, F>(name: &str, begin: impl FnOnce() -> Result<(T, F)> + Send + 'static) -> Result<(T, Self)>
    where
        T: Send + 'static,
        F: Future<Output = ()>,
    {
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = mpsc::channel();
        let work = move || {
            let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(tell.send(Err(error.into()))),
            };
            runtime.block_on(async move {
                let work = match begin() {
                    Ok((begun, work)) => {
                        tell.send(Ok(begun)).ok();
                        work
                    }
                    Err(error) => return drop(tell.send(Err(error))),
                };
                tokio::select! {
                    _ = stopped => {}
                    () = work => {}
                }
            });
        };
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(work)
            .context("no thread")?;
        let background = Self {
            stop: Some(stop),
            thread: Some(thread),
        };
        let begun = told.recv().context("the thread ended at once")??;
        Ok((begun, background))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.stop.take());
        // What it panicked with stands on the test's output already.
        self.thread.take().map(JoinHandle::join);
    }
}
