//! What a screen shows; by real checks that is tested where they are.
use super::{Board, Kind, Mark, Tally, paint};
use ratatui::{buffer::Buffer, layout::Rect};
use std::time::Duration;

/// The lines of a screen of that size, three seconds after the start.
pub(crate) fn screen(board: &Board, width: u16, height: u16) -> Vec<String> {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    paint::paint(board, Duration::from_secs(3), area, &mut buffer);
    let line = |y: u16| -> String { (0..width).map(|x| buffer[(x, y)].symbol()).collect() };
    (0..height).map(|y| line(y).trim_end().to_owned()).collect()
}

pub(crate) fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[test]
fn a_strip_tells_times_apart_by_steps_of_three_and_keeps_the_latest() {
    let mut tally = Tally::new("gate\u{1b}[31m");
    assert_eq!(tally.target, "gate\\u{1b}[31m", "a name cannot steer the terminal");
    for micros in [40, 1_000, 1_001, 3_001, 10_001, 30_001, 100_001, 300_001, 1_000_001] {
        tally.add(Mark::Time(Duration::from_micros(micros)));
    }
    for mark in [Mark::Failed, Mark::Unknown, Mark::Unsent] {
        tally.add(mark);
    }
    assert_eq!(tally.strip(80), "▁▁▂▃▄▅▆▇█!?-");
    assert_eq!(tally.strip(4), "█!?-");
    // Neither what nobody knows nor what was not sent is loss.
    assert_eq!((tally.sent, tally.failed, tally.loss()), (11, 1, Some(0.1)));
    assert_eq!((tally.last, tally.is_well()), (None, false));
}

#[test]
fn a_screen_without_room_shows_what_there_is_room_for() {
    let mut tally = Tally::new("a-name-that-is-much-longer-than-any-column.example");
    tally.add(Mark::Time(Duration::from_millis(12)));
    let board = Board::new(Kind::Pings, vec![tally], None);
    for (width, height) in [(0, 0), (1, 1), (7, 2), (20, 3), (300, 100)] {
        let lines = screen(&board, width, height);
        assert_eq!(lines.len(), usize::from(height));
    }
    let narrow = screen(&board, 21, 3);
    assert_eq!(narrow, ["0 of 1 not well", "TARGET       LATEST", "a-name…ample ▄"]);
    let wide = screen(&board, 120, 4);
    assert!(
        wide[2].starts_with("a-name-that-is-much-longer-than-any-column.example "),
        "{wide:?}"
    );
}

#[test]
fn certificates_have_a_column_where_there_are_any() {
    let mut board = Board::new(Kind::Checks, vec![Tally::new("one"), Tally::new("two")], None);
    board.tallies[0].add(Mark::Time(Duration::from_micros(12_345)));
    board.tallies[0].result = "a result of many words".to_owned();
    let without = "TARGET       RESULT         CHECKS FAILED   LAST    MIN    AVG    MAX LATEST";
    assert_eq!(screen(&board, 80, 5)[1], without);
    board.tallies[0].days = Some(-3);
    board.is_ending = true;
    let lines = screen(&board, 100, 5);
    assert_eq!(lines[0], "0 of 2 not well   ending; Ctrl-C: at once   0 checks   3 s");
    assert_eq!(
        words(&lines[2]),
        [
            "one", "a", "result", "of", "ma", "1", "0", "12.35", "12.35", "12.35", "12.35", "-3", "▄"
        ]
    );
    assert_eq!(words(&lines[3]), ["two", "0", "0", "-", "-", "-", "-", "-"]);
}
