//! A progress bar on a terminal, from counters that the scan keeps anyway.
use super::{Progress, Snapshot};
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use std::{
    io::IsTerminal as _,
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

/// Between two pictures.
const EVERY: Duration = Duration::from_millis(150);

/// A bar that is drawn until it is dropped.
pub(super) struct Bar(Option<Drawing>);

struct Drawing {
    bar: ProgressBar,
    stop: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Bar {
    /// Draws `progress` on standard error if that is a terminal.
    pub(super) fn start(progress: Arc<Progress>, quiet: bool) -> Self {
        if quiet || !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let (stop, stopped) = mpsc::channel();
        let bar = ProgressBar::new_spinner();
        let style = ProgressStyle::with_template("{spinner} {msg} [{elapsed}]");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        let drawn = bar.clone();
        let draw = move || {
            while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                drawn.tick();
                drawn.set_message(message(&progress.snapshot()));
            }
            drawn.finish_and_clear();
        };
        Self(Some(Drawing {
            bar,
            stop: Some(stop),
            thread: Some(thread::spawn(draw)),
        }))
    }

    /// Prints something beside it.
    pub(super) fn aside(&self, print: impl FnOnce()) {
        match &self.0 {
            Some(drawing) => drawing.bar.suspend(print),
            None => print(),
        }
    }
}

fn message(seen: &Snapshot) -> String {
    let found = match seen.detections {
        0 => String::new(),
        found => format!(", {} FOUND", HumanCount(found)),
    };
    format!(
        "{} files, {} known, {} judged ({}), {} at once ({}){found}",
        HumanCount(seen.files),
        HumanCount(seen.remembered),
        HumanCount(seen.asked),
        HumanBytes(seen.asked_bytes),
        seen.window,
        seen.why.name(),
    )
}

impl Drop for Drawing {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It only draws: a panic in it is nobody's concern.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_says_how_far_it_is_and_why_no_faster() {
        let progress = Progress::default();
        progress.met(10);
        progress.asked(10);
        progress.set_window(3, super::super::progress::Why::Queue);
        let text = message(&progress.snapshot());
        assert_eq!(
            text,
            "1 files, 0 known, 1 judged (10 B), 3 at once (others wait for clamd)"
        );
    }
}
