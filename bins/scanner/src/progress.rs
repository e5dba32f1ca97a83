//! A progress bar on a terminal, from counters that the scan keeps anyway.
use fsscan::Progress;
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use std::{
    io::IsTerminal,
    sync::{
        Arc,
        atomic::Ordering::Relaxed,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

/// A bar that is drawn until it is dropped.
pub(crate) struct Bar {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Bar {
    /// Draws `progress` on standard error if that is a terminal. `expected` files, as many as the last scan saw, make
    /// an estimate of the time left.
    pub(crate) fn start(progress: Arc<Progress>, expected: u64, quiet: bool) -> Self {
        if quiet || !std::io::stderr().is_terminal() {
            return Self {
                stop: None,
                thread: None,
            };
        }
        let (stop, stopped) = mpsc::channel();
        let draw = move || {
            let bar = if expected > 0 {
                ProgressBar::new(expected)
            } else {
                ProgressBar::new_spinner()
            };
            let template = if expected > 0 {
                "{spinner} {msg} [{bar:30}] {eta} left"
            } else {
                "{spinner} {msg} [{elapsed}]"
            };
            bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
            while stopped.recv_timeout(Duration::from_millis(150)) == Err(RecvTimeoutError::Timeout) {
                let files = progress.files.load(Relaxed);
                bar.set_length(expected.max(files));
                bar.set_position(files);
                let rate = files as f64 / bar.elapsed().as_secs_f64().max(0.001);
                bar.set_message(format!(
                    "{} files, {}, {} changes, {} files/s",
                    HumanCount(files),
                    HumanBytes(progress.bytes.load(Relaxed)),
                    HumanCount(progress.changes.load(Relaxed)),
                    HumanCount(rate as u64)
                ));
            }
            bar.finish_and_clear();
        };
        Self {
            stop: Some(stop),
            thread: Some(thread::spawn(draw)),
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It only draws: a panic in it is nobody's concern.
            let _ = thread.join();
        }
    }
}
