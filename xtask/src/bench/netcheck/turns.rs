//! Contenders that take turns, since the machine's pace changes, and what is printed of them.
use crate::bench::measure::{self, Cost};
use anyhow::Result;
use std::process::{Command, Output, Stdio};

/// What a contender sent, and how much of it was not answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) sent: u64,
    pub(super) lost: u64,
}

/// What one turn cost, and what came of it; `None` where it gave no result.
pub(super) type Turn = (Cost, Option<Told>);

/// Somebody who does the same as others.
pub(super) struct Contender<'c> {
    what: &'static str,
    turn: Box<dyn Fn() -> Result<Turn> + 'c>,
}

/// The turns of one contender, of which the one in the middle counts.
pub(super) struct Row {
    pub(super) what: &'static str,
    pub(super) cost: Cost,
    /// Of the last turn; `None` where it gave no result.
    pub(super) told: Option<Told>,
}

impl<'c> Contender<'c> {
    pub(super) fn new(what: &'static str, turn: impl Fn() -> Result<Turn> + 'c) -> Self {
        let turn = Box::new(turn);
        Self { what, turn }
    }

    /// A program, which may end with one of `codes`; `told` reads what it printed.
    pub(super) fn command(
        what: &'static str,
        codes: &'static [i32],
        command: impl Fn() -> Command + 'c,
        told: fn(&Output) -> Option<Told>,
    ) -> Self {
        Self::new(what, move || {
            let (cost, output) = measure::run_and_read(command().stdout(Stdio::piped()), codes)?;
            Ok((cost, told(&output)))
        })
    }
}

impl Row {
    /// How much was lost; more than anything where there is no result.
    pub(super) fn lost(&self) -> f64 {
        self.told.map_or(f64::INFINITY, |told| told.lost as f64)
    }
}

/// So many turns of each, one after another.
pub(super) fn run(contenders: &[Contender<'_>], turns: usize) -> Result<Vec<Row>> {
    let mut figures = vec![(Vec::new(), None); contenders.len()];
    for _ in 0..turns {
        for (contender, (costs, last)) in contenders.iter().zip(&mut figures) {
            let (cost, told) = (contender.turn)()?;
            costs.push(cost);
            *last = told;
        }
    }
    let rows = contenders.iter().zip(figures).map(|(contender, (costs, told))| Row {
        what: contender.what,
        cost: Cost::median(&costs),
        told,
    });
    Ok(rows.collect())
}

/// The processor time of one as a share of another's, where both gave a result.
pub(super) fn share(rows: &[Row], of: &str, among: &str) -> Option<f64> {
    let find = |what: &str| rows.iter().find(|row| row.what == what && row.told.is_some());
    Some(find(of)?.cost.cpu / find(among)?.cost.cpu)
}

pub(super) fn print(head: &str, rows: &[Row], probes: u64, markdown: bool) {
    let bar = if markdown { "|" } else { " " };
    println!("{bar} {head:46} {bar} CPU us/probe {bar} wall s {bar} RSS MB {bar}   lost {bar}");
    if markdown {
        println!("| --- | ---: | ---: | ---: | ---: |");
    }
    for Row { what, cost, told } in rows {
        let each = cost.cpu * 1e6 / probes as f64;
        let (wall, memory) = (cost.wall, cost.memory);
        let lost = told.map_or_else(|| "no result".to_owned(), |told| told.lost.to_string());
        let each = if told.is_some() {
            format!("{each:.1}")
        } else {
            "-".to_owned()
        };
        println!("{bar} {what:46} {bar} {each:>12} {bar} {wall:6.2} {bar} {memory:6.1} {bar} {lost:>6} {bar}");
    }
}

/// Says whether a figure is within its limit.
pub(super) fn limit(what: &str, value: f64, most: f64) {
    println!("{}: {what}: {value:.3}", if value <= most { "pass" } else { "miss" });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(what: &'static str, cpu: f64, told: Option<Told>) -> Row {
        let cost = Cost { cpu, ..Cost::default() };
        Row { what, cost, told }
    }

    #[test]
    fn each_takes_its_turn_and_the_one_in_the_middle_counts() {
        let seen = std::cell::RefCell::new(Vec::new());
        let contender = |what: &'static str, costs: [f64; 3]| {
            let seen = &seen;
            Contender::new(what, move || {
                let turn = seen.borrow().iter().filter(|name| **name == what).count();
                seen.borrow_mut().push(what);
                let cpu = costs[turn];
                let told = Told {
                    sent: 1,
                    lost: turn as u64,
                };
                Ok((Cost { cpu, ..Cost::default() }, Some(told)))
            })
        };
        let rows = run(&[contender("a", [3.0, 9.0, 4.0]), contender("b", [8.0, 1.0, 2.0])], 3).unwrap();
        assert_eq!(*seen.borrow(), ["a", "b", "a", "b", "a", "b"]);
        assert_eq!((rows[0].cost.cpu, rows[1].cost.cpu, rows[0].lost()), (4.0, 2.0, 2.0));
        assert_eq!(share(&rows, "b", "a"), Some(0.5));
    }

    #[test]
    fn nobody_is_compared_with_one_who_gave_no_result() {
        let rows = [row("a", 1.0, Some(Told::default())), row("b", 2.0, None)];
        assert_eq!((share(&rows, "a", "b"), share(&rows, "a", "c")), (None, None));
        assert_eq!(rows[1].lost(), f64::INFINITY);
    }
}
