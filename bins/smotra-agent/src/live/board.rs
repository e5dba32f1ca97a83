//! All targets of a live view, and which of them there is room for.
use super::{News, tally::Tally};
use std::cmp::Ordering;

/// What the rows of a view tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Probes of a ping.
    Pings,
    /// Checks of a service.
    Checks,
    /// Probes to each hop of a way: a hop has a row once something is known of it, and rows are in the order of the way.
    Hops,
}

/// All targets of a live view.
#[derive(Debug)]
pub(crate) struct Board {
    pub(crate) kind: Kind,
    pub(crate) tallies: Vec<Tally>,
    /// What became known so far, of all targets together.
    pub(crate) done: u64,
    /// So much is to be done; without it, until somebody stops it.
    pub(crate) planned: Option<u64>,
    /// Somebody has stopped it, and what is under way has its time.
    pub(crate) is_ending: bool,
}

/// The rows that there is room for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// Their places in the board.
    pub(super) rows: Vec<usize>,
    /// So many more there are,
    pub(super) hidden: usize,
    /// and so many of those are not well.
    pub(super) hidden_ill: usize,
}

impl Board {
    pub(crate) fn new(kind: Kind, tallies: Vec<Tally>, each: Option<u64>) -> Self {
        let planned = each.map(|each| each.saturating_mul(tallies.len() as u64));
        Self {
            kind,
            tallies,
            done: 0,
            planned,
            is_ending: false,
        }
    }

    /// Adds news to what is known of a target, which is given.
    pub(crate) fn add(&mut self, news: &impl News) -> Option<&Tally> {
        let tally = self.tallies.get_mut(news.index())?;
        news.tell(tally);
        self.done += 1;
        Some(tally)
    }

    /// How many rows there are to show.
    pub(super) fn rows(&self) -> usize {
        (0..self.tallies.len()).filter(|row| self.has_row(*row)).count()
    }

    fn has_row(&self, row: usize) -> bool {
        let tally = &self.tallies[row];
        self.kind != Kind::Hops || tally.sent > 0 || tally.failure.is_some()
    }

    /// How many targets are not well.
    pub(super) fn ill(&self) -> usize {
        self.tallies.iter().filter(|tally| !tally.is_well()).count()
    }

    /// As they were named where there is room for all, otherwise the worst, of which the last line tells how many there are
    /// more.
    pub(super) fn shown(&self, room: usize) -> Shown {
        let mut rows: Vec<usize> = (0..self.tallies.len()).filter(|row| self.has_row(*row)).collect();
        let all = rows.len();
        if all > room {
            if self.kind != Kind::Hops {
                rows.sort_by(|one, other| worse_first(&self.tallies[*one], &self.tallies[*other]));
            }
            rows.truncate(room.saturating_sub(1));
        }
        let ill = rows.iter().filter(|row| !self.tallies[**row].is_well()).count();
        Shown {
            hidden: all - rows.len(),
            hidden_ill: self.ill() - ill,
            rows,
        }
    }
}

/// What is not well comes first, then what failed more often, then what takes longer. Others stay as they were named.
fn worse_first(one: &Tally, other: &Tally) -> Ordering {
    let share = |tally: &Tally| tally.loss().unwrap_or(0.0);
    let time = |tally: &Tally| tally.times.map(|times| times.avg());
    one.is_well()
        .cmp(&other.is_well())
        .then_with(|| share(other).total_cmp(&share(one)))
        .then_with(|| time(other).cmp(&time(one)))
}

#[cfg(test)]
mod tests {
    use super::{super::tally::Mark, *};
    use netcheck::{Failure, FailureKind};
    use std::time::Duration;

    const fn ms(time: u64) -> Mark {
        Mark::Time(Duration::from_millis(time))
    }

    fn board(targets: &[(&str, &[Mark])]) -> Board {
        let tally = |(target, marks): &(&str, &[Mark])| {
            let mut tally = Tally::new(target);
            marks.iter().for_each(|mark| tally.add(*mark));
            tally
        };
        Board::new(Kind::Pings, targets.iter().map(tally).collect(), Some(4))
    }

    #[test]
    fn where_there_is_no_room_for_all_the_worst_are_shown() {
        let mut board = board(&[
            ("new", &[]),
            ("quick", &[ms(1), ms(1)]),
            ("slow", &[ms(40), ms(60)]),
            ("lossy", &[Mark::Failed, ms(1)]),
            ("down", &[ms(1), Mark::Failed]),
            ("gone", &[Mark::Failed, Mark::Failed]),
            ("doubted", &[ms(1), Mark::Unknown]),
        ]);
        let failure = Failure::new(FailureKind::NameNotFound, "no such name");
        board.tallies.push(Tally::of_failure("nameless", &failure));
        let names = |room: usize| {
            let shown = board.shown(room);
            let names = shown.rows.iter().map(|row| board.tallies[*row].target.as_str());
            (names.collect::<Vec<_>>(), shown.hidden, shown.hidden_ill)
        };
        let named = ["new", "quick", "slow", "lossy", "down", "gone", "doubted", "nameless"];
        assert_eq!(names(8), (named.to_vec(), 0, 0), "as they were named");
        let worst = ["gone", "down", "nameless", "lossy", "slow", "quick"];
        assert_eq!(names(7), (worst.to_vec(), 2, 0));
        assert_eq!(names(3), (worst[..2].to_vec(), 6, 1));
        assert_eq!(names(0), (vec![], 8, 3));
        assert_eq!((board.ill(), board.planned), (3, Some(28)));
    }
}
