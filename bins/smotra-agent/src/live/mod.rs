//! What becomes known, as it becomes known: on a terminal a table that is repainted in place, otherwise a line each.
mod board;
mod paint;
mod screen;
mod tally;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use board::{Board, Kind};
pub(crate) use screen::give_back_at_once;
pub(crate) use tally::{Mark, Tally};

use crate::{out::Lines, stop::Stop};
use chrono::{SecondsFormat, Utc};
use daemon_kit::cli::Output;
use screen::Screen;
use serde::Serialize;
use std::{
    future::Future,
    io::{self, IsTerminal as _},
    pin::pin,
    time::{Duration, Instant},
};
use tokio::{
    select,
    signal::unix::{SignalKind, signal},
    sync::mpsc::{Receiver, Sender, channel},
    time::{MissedTickBehavior, interval},
};

/// From one painting to the next, at the least.
const REPAINT: Duration = Duration::from_millis(200);
/// So much may be known and not told yet; who measures waits when that is not enough, and his report tells of it.
const UNTOLD: usize = 1 << 16;
/// What a shell tells of a process that ended with its terminal: 128 and the number of SIGHUP.
const HUNG_UP: i32 = 129;

/// The time of day, for what is told while it happens.
pub(crate) fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Something that became known of a target.
pub(crate) trait News {
    /// The target's place in the board.
    fn index(&self) -> usize;
    /// Adds it to what is known.
    fn tell(&self, tally: &mut Tally);
    /// As a line for people.
    fn line(&self, target: &str) -> String;
    /// As an object for programs.
    fn object<'n>(&'n self, target: &'n str) -> impl Serialize + 'n;
}

/// Where news are told.
pub(crate) struct Live<'s, N> {
    stop: &'s Stop,
    news: Receiver<N>,
    output: Output,
}

/// Who shows it.
enum Face {
    Screen(Box<Screen>),
    Lines(Lines),
    /// The terminal is gone.
    Nobody,
}

impl<'s, N: News> Live<'s, N> {
    /// Where news are told until all is done, or somebody stops it.
    pub(crate) fn new(output: Output, stop: &'s Stop) -> (Self, Sender<N>) {
        let (tell, news) = channel(UNTOLD);
        (Self { stop, news, output }, tell)
    }

    /// Shows news until `work` is done. At the first signal `stop` is called, which has to have it end soon. Gives what came of
    /// the work, and all that was told.
    ///
    /// # Errors
    /// When it cannot be shown; that the terminal or the reader is gone is no error, but ends it like a signal.
    pub(crate) async fn follow<T>(
        mut self,
        mut board: Board,
        work: impl Future<Output = T>,
        stop: impl Fn(),
    ) -> anyhow::Result<(T, Board)> {
        let (mut hung_up, mut resized) = (signal(SignalKind::hangup())?, signal(SignalKind::window_change())?);
        let mut face = Face::choose(self.output)?;
        let mut work = pin!(work);
        let mut tick = interval(REPAINT);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (began, mut painted_at, mut is_changed, mut is_told) = (Instant::now(), None, true, false);
        let (mut batch, mut is_asked) = (Vec::new(), false);
        let done = loop {
            select! {
                biased;
                signal = self.stop.asked(), if !is_asked => {
                    is_asked = true;
                    // Whoever read it has gone, and it takes its time since then.
                    if board.is_ending {
                        drop(face);
                        std::process::exit(signal.exit_code().into());
                    }
                    (board.is_ending, is_changed) = (true, true);
                    stop();
                }
                _ = hung_up.recv() => {
                    drop(face);
                    std::process::exit(HUNG_UP);
                }
                _ = resized.recv() => is_changed = true,
                done = &mut work => break done,
                // A screen is painted by the clock, so that many news cost one painting.
                _ = tick.tick(), if face.is_screen() => {
                    while let Ok(news) = self.news.try_recv() {
                        batch.push(news);
                    }
                    is_changed |= !batch.is_empty();
                    let elapsed = began.elapsed();
                    // The clock in the header is a change, too.
                    is_changed |= painted_at != Some(elapsed.as_secs());
                    face.show(&mut board, &mut batch, self.output)?;
                    if std::mem::take(&mut is_changed) {
                        face.paint(&board, elapsed);
                        painted_at = Some(elapsed.as_secs());
                    }
                }
                many = self.news.recv_many(&mut batch, UNTOLD), if !face.is_screen() && !is_told => {
                    is_told = many == 0;
                    face.show(&mut board, &mut batch, self.output)?;
                }
            }
            if face.is_gone() && !board.is_ending {
                board.is_ending = true;
                stop();
            }
        };
        while let Ok(news) = self.news.try_recv() {
            batch.push(news);
        }
        face.show(&mut board, &mut batch, self.output)?;
        Ok((done, board))
    }
}

impl Face {
    fn choose(output: Output) -> io::Result<Self> {
        if output == Output::Table && io::stdout().is_terminal() {
            return Ok(Self::Screen(Box::new(Screen::take()?)));
        }
        Ok(Self::Lines(Lines::to_stdout()))
    }

    const fn is_screen(&self) -> bool {
        matches!(self, Self::Screen(_))
    }

    const fn is_gone(&self) -> bool {
        match self {
            Self::Screen(_) => false,
            Self::Lines(lines) => lines.is_closed(),
            Self::Nobody => true,
        }
    }

    /// Adds news to the board; where there is a line each, writes them, all together.
    fn show<N: News>(&mut self, board: &mut Board, batch: &mut Vec<N>, output: Output) -> anyhow::Result<()> {
        for news in batch.drain(..) {
            let Some(tally) = board.add(&news) else { continue };
            if let Self::Lines(lines) = self {
                match output {
                    Output::Table => lines.line(&news.line(&tally.target))?,
                    Output::Json | Output::Jsonl => lines.json(&news.object(&tally.target))?,
                }
            }
        }
        if let Self::Lines(lines) = self {
            lines.flush()?;
        }
        Ok(())
    }

    fn paint(&mut self, board: &Board, elapsed: Duration) {
        if let Self::Screen(screen) = self
            && screen.paint(board, elapsed).is_err()
        {
            *self = Self::Nobody;
        }
    }
}
