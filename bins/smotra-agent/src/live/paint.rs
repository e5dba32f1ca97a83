//! A board on so many columns and rows of a terminal.
use super::{
    board::{Board, Kind},
    tally::Tally,
};
use crate::check::percent;
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier, Style},
};
use std::time::Duration;

/// Columns between the target and the strip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Result,
    Sent,
    Failed,
    Loss,
    Last,
    Min,
    Avg,
    Max,
    Jitter,
    Days,
}

/// Neither the target nor the strip becomes narrower for another column.
const TARGET_LEAST: usize = 12;
const STRIP_LEAST: usize = 8;

impl Column {
    const fn heading(self, kind: Kind) -> &'static str {
        match self {
            Self::Result => "RESULT",
            Self::Sent if matches!(kind, Kind::Checks) => "CHECKS",
            Self::Sent => "SENT",
            Self::Failed => "FAILED",
            Self::Loss => "LOSS",
            Self::Last => "LAST",
            Self::Min => "MIN",
            Self::Avg => "AVG",
            Self::Max => "MAX",
            Self::Jitter => "JITTER",
            Self::Days => "DAYS",
        }
    }

    const fn width(self) -> usize {
        match self {
            Self::Result => 14,
            _ => 6,
        }
    }

    fn cell(self, tally: &Tally) -> String {
        let times = tally.times;
        match self {
            Self::Result => format!("{:<14.14}", tally.result),
            Self::Sent => tally.sent.to_string(),
            Self::Failed => tally.failed.to_string(),
            Self::Loss => percent(tally.loss()),
            Self::Last => short(tally.last),
            Self::Min => short(times.map(|times| times.min)),
            Self::Avg => short(times.map(|times| times.avg())),
            Self::Max => short(times.map(|times| times.max)),
            Self::Jitter => short(tally.jitter()),
            Self::Days => tally.days.map_or_else(|| "-".to_owned(), |days| days.to_string()),
        }
    }
}

/// Those that there are, from left to right, and how much each matters where there is no room for all: less is more.
const fn columns(kind: Kind) -> &'static [(Column, u8)] {
    match kind {
        Kind::Pings | Kind::Hops => &[
            (Column::Sent, 4),
            (Column::Loss, 0),
            (Column::Last, 1),
            (Column::Min, 6),
            (Column::Avg, 2),
            (Column::Max, 3),
            (Column::Jitter, 5),
        ],
        Kind::Checks => &[
            (Column::Result, 0),
            (Column::Sent, 6),
            (Column::Failed, 1),
            (Column::Last, 2),
            (Column::Min, 7),
            (Column::Avg, 3),
            (Column::Max, 5),
            (Column::Days, 4),
        ],
    }
}

/// Milliseconds in six characters, with as many digits as there is room for.
fn short(time: Option<Duration>) -> String {
    let Some(time) = time else { return "-".to_owned() };
    let ms = time.as_secs_f64() * 1000.0;
    match ms {
        ..10.0 => format!("{ms:.3}"),
        ..100.0 => format!("{ms:.2}"),
        ..1000.0 => format!("{ms:.1}"),
        _ => format!("{ms:.0}"),
    }
}

/// What a row consists of on a terminal of some width.
struct Layout {
    target: usize,
    columns: Vec<Column>,
    strip: usize,
}

impl Layout {
    fn new(board: &Board, width: usize) -> Self {
        // A certificate is nothing that every check has.
        let has_days = board.tallies.iter().any(|tally| tally.days.is_some());
        let all = columns(board.kind)
            .iter()
            .filter(|(column, _)| has_days || *column != Column::Days);
        let mut by_weight: Vec<_> = all.clone().collect();
        by_weight.sort_by_key(|(_, weight)| *weight);
        let mut left = width.saturating_sub(TARGET_LEAST + 1 + STRIP_LEAST);
        let taken: Vec<Column> = by_weight
            .into_iter()
            .map_while(|(column, _)| {
                left = left.checked_sub(column.width() + 1)?;
                Some(*column)
            })
            .collect();
        let columns = all.map(|(column, _)| *column).filter(|column| taken.contains(column));
        let longest = board.tallies.iter().map(|tally| tally.target.chars().count()).max();
        let more = longest.unwrap_or(0).saturating_sub(TARGET_LEAST).min(left);
        Self {
            target: TARGET_LEAST + more,
            columns: columns.collect(),
            strip: STRIP_LEAST + left - more,
        }
    }

    fn headings(&self, kind: Kind) -> String {
        let heads = self.columns.iter().map(|column| {
            let (heading, width) = (column.heading(kind), column.width());
            match column {
                Column::Result => format!(" {heading:<width$}"),
                _ => format!(" {heading:>width$}"),
            }
        });
        let first = if kind == Kind::Hops { "HOP" } else { "TARGET" };
        format!("{first:<0$}{1} LATEST", self.target, heads.collect::<String>())
    }

    fn row(&self, tally: &Tally) -> String {
        let cells = self
            .columns
            .iter()
            .map(|column| format!(" {:>1$}", column.cell(tally), column.width()));
        let strip = match &tally.failure {
            Some(failure) if tally.sent == 0 => failure.kind.name().replace('_', " "),
            _ => tally.strip(self.strip),
        };
        let target = cut(&tally.target, self.target);
        format!("{target:<0$}{1} {strip}", self.target, cells.collect::<String>())
    }
}

/// `text` in so many characters, with a `…` for those in the middle that had to go: names differ at their beginning, ports at the end.
fn cut(text: &str, most: usize) -> String {
    let length = text.chars().count();
    if length <= most {
        return text.to_owned();
    }
    let head = most / 2;
    let tail = most.saturating_sub(head + 1);
    let end = text.chars().skip(length - tail);
    text.chars().take(head).chain(['…']).chain(end).collect()
}

/// How far it is, in as many words as there is room for.
fn head(board: &Board, elapsed: Duration, width: usize) -> String {
    let what = match board.kind {
        Kind::Pings | Kind::Hops => "probes",
        Kind::Checks => "checks",
    };
    let done = match board.planned {
        Some(planned) => format!("{} of {planned} {what}", board.done),
        None => format!("{} {what}", board.done),
    };
    let key = if board.is_ending {
        "ending; Ctrl-C: at once"
    } else {
        "Ctrl-C ends"
    };
    let well = format!("{} of {} not well", board.ill(), board.rows());
    let parts = [well, key.to_owned(), done, format!("{} s", elapsed.as_secs())];
    let mut line = String::new();
    for part in parts {
        let longer = if line.is_empty() {
            part
        } else {
            format!("{line}   {part}")
        };
        if longer.chars().count() > width && !line.is_empty() {
            break;
        }
        line = longer;
    }
    line
}

/// Paints all of it.
pub(super) fn paint(board: &Board, elapsed: Duration, area: Rect, buffer: &mut Buffer) {
    let width = usize::from(area.width);
    let layout = Layout::new(board, width);
    // Beside the rows there are two lines above them.
    let shown = board.shown(usize::from(area.height.saturating_sub(2)));
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let mut lines = vec![
        (head(board, elapsed, width), bold),
        (layout.headings(board.kind), Style::new().add_modifier(Modifier::DIM)),
    ];
    lines.extend(shown.rows.iter().map(|row| {
        let tally = &board.tallies[*row];
        let style = if tally.is_well() {
            Style::new()
        } else {
            Style::new().fg(Color::Red)
        };
        (layout.row(tally), style)
    }));
    if shown.hidden > 0 {
        let and = match shown.hidden_ill {
            0 => "all well".to_owned(),
            ill => format!("{ill} not well"),
        };
        lines.push((format!("and {} more, {and}", shown.hidden), bold));
    }
    for ((text, style), y) in lines.into_iter().zip(area.top()..area.bottom()) {
        buffer.set_stringn(area.left(), y, text, width, style);
    }
}
