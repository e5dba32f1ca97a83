//! The terminal while a view has it, and how it is given back: whatever ends the view, the screen, the cursor and the echo are
//! as they were before.
use super::{board::Board, paint};
use ratatui::{
    Terminal,
    backend::CrosstermBackend,
    crossterm::{
        cursor, execute,
        terminal::{EnterAlternateScreen, LeaveAlternateScreen},
    },
};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use std::{
    io::{self, Stdout},
    panic,
    sync::{Mutex, Once, PoisonError, mpsc},
    thread,
    time::Duration,
};

/// So long a terminal may take to be given back before a process that was stopped twice ends.
const GIVEN_BACK_WITHIN: Duration = Duration::from_millis(500);
/// How the terminal was, while somebody has it.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// A terminal that is painted on.
pub(super) struct Screen(Terminal<CrosstermBackend<Stdout>>);

impl Screen {
    /// Takes the terminal at standard output. Ctrl-C stays a signal; keys are not echoed, and none stops the process or ends
    /// it without a chance to give the terminal back.
    ///
    /// # Errors
    /// When there is none, or it does not obey.
    pub(super) fn take() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let report = panic::take_hook();
            // What a panic says would vanish with the screen.
            panic::set_hook(Box::new(move |panic| {
                give_back();
                report(panic);
            }));
        });
        let before = tcgetattr(io::stdout())?;
        let mut quiet = before.clone();
        quiet.local_modes -= LocalModes::ECHO | LocalModes::ICANON;
        // Zero is no key.
        quiet.special_codes[SpecialCodeIndex::VSUSP] = 0;
        quiet.special_codes[SpecialCodeIndex::VQUIT] = 0;
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        let taken = tcsetattr(io::stdout(), OptionalActions::Drain, &quiet)
            .map_err(io::Error::from)
            .and_then(|()| execute!(io::stdout(), EnterAlternateScreen, cursor::Hide))
            .and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        taken.map(Self).inspect_err(|_| give_back())
    }

    /// Shows how it stands, by writing what has changed.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(super) fn paint(&mut self, board: &Board, elapsed: Duration) -> io::Result<()> {
        self.0
            .draw(|frame| paint::paint(board, elapsed, frame.area(), frame.buffer_mut()))?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Where it is taken. What was typed meanwhile, unseen, is forgotten.
fn give_back() {
    let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(before) = before {
        // Of a terminal that is gone nothing is left to be put right. One that was told to wait (Ctrl-S) takes no text, so that
        // the echo comes first.
        let _as_before = tcsetattr(io::stdout(), OptionalActions::Flush, &before);
        let _shown = execute!(io::stdout(), LeaveAlternateScreen, cursor::Show);
    }
}

/// For a process that ends at once, whatever its other threads do: from here on nobody else paints, and a terminal that takes
/// nothing is not waited for.
pub(crate) fn give_back_at_once() {
    let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let Some(before) = before else { return };
    let (tell, given_back) = mpsc::channel();
    let giving = move || {
        let _kept_to_the_end = io::stdout().lock();
        give_back();
        let _told = tell.send(());
        loop {
            thread::park();
        }
    };
    let is_given_back =
        thread::Builder::new().spawn(giving).is_ok() && given_back.recv_timeout(GIVEN_BACK_WITHIN).is_ok();
    if !is_given_back {
        let _as_before = tcsetattr(io::stdout(), OptionalActions::Now, &before);
    }
}
