//! Pings as they become known.
use super::super::show::millis;
use crate::live::{Mark, News, Tally, now};
use netcheck::ping::{Outcome, Sample};
use serde::Serialize;

/// What became of a probe of one target.
pub(super) struct Probed {
    pub(super) index: usize,
    pub(super) sample: Sample,
}

/// The same, as it is told.
#[derive(Serialize)]
struct Told<'t> {
    at: String,
    target: &'t str,
    #[serde(flatten)]
    sample: &'t Sample,
}

impl News for Probed {
    fn index(&self) -> usize {
        self.index
    }

    fn tell(&self, tally: &mut Tally) {
        tally.add(match &self.sample.outcome {
            Outcome::Answered { rtt, .. } => Mark::Time(*rtt),
            Outcome::Lost | Outcome::Unreachable { .. } => Mark::Failed,
            Outcome::Unknown { .. } => Mark::Unknown,
            Outcome::Unsent { .. } => Mark::Unsent,
        });
    }

    fn line(&self, target: &str) -> String {
        let number = self.sample.number;
        let became = match &self.sample.outcome {
            Outcome::Answered { rtt, ttl } => {
                let ttl = ttl.map_or_else(String::new, |ttl| format!(" ttl={ttl}"));
                format!("{} ms{ttl}", millis(Some(*rtt)))
            }
            Outcome::Lost => "no answer".to_owned(),
            Outcome::Unreachable { by, reason, .. } => format!("{by} says: {}", reason.words()),
            Outcome::Unknown { doubt } => format!("not known: {}", doubt.words()),
            Outcome::Unsent { failure } => format!("not sent: {failure}"),
        };
        format!("{target} {number}: {became}")
    }

    fn object<'n>(&'n self, target: &'n str) -> impl Serialize + 'n {
        Told {
            at: now(),
            target,
            sample: &self.sample,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::{
        Board, Kind,
        tests::{screen, words},
    };
    use netcheck::ping::{PingOptions, Pinger, PingerOptions, Pinging};
    use std::{sync::mpsc, time::Duration};

    /// Thirty targets on loopback, and one that this machine may not send to.
    fn pinged() -> Option<Board> {
        let pinger = Pinger::start(PingerOptions::default())
            .inspect_err(|failure| eprintln!("skipped: {failure}"))
            .ok()?;
        let options = PingOptions {
            count: 3,
            interval: Duration::from_millis(2),
            timeout: Duration::from_secs(60),
            ..PingOptions::default()
        };
        let mut targets: Vec<String> = (1..=30).map(|n| format!("127.0.0.{n}")).collect();
        targets.push("127.255.255.255".to_owned());
        let tallies = targets.iter().map(|target| Tally::new(target)).collect();
        let mut board = Board::new(Kind::Pings, tallies, Some(3));
        let (tell, news) = mpsc::channel();
        let begun = targets.iter().enumerate().map(|(index, target)| {
            let tell = tell.clone();
            pinger.watch(target.parse().unwrap(), options, move |sample| {
                let sample = sample.clone();
                tell.send(Probed { index, sample }).unwrap();
            })
        });
        let under_way: Vec<Pinging> = begun.collect();
        drop(tell);
        under_way.into_iter().for_each(|pinging| drop(pinging.wait()));
        assert!(news.into_iter().all(|probed| board.add(&probed).is_some()));
        Some(board)
    }

    #[test]
    fn thirty_one_real_targets_fit_the_usual_screen_and_a_tiny_one() {
        let Some(board) = pinged() else { return };
        let usual = screen(&board, 80, 24);
        assert_eq!(usual[0], "1 of 31 not well   Ctrl-C ends   93 of 93 probes   3 s");
        assert_eq!(
            words(&usual[1]),
            [
                "TARGET", "SENT", "LOSS", "LAST", "MIN", "AVG", "MAX", "JITTER", "LATEST"
            ]
        );
        assert_eq!(
            words(&usual[2])[..3],
            ["127.255.255.255", "0", "-"],
            "the worst comes first"
        );
        assert!(usual[2].ends_with(" ---"), "{}", usual[2]);
        for row in &usual[3..23] {
            let cells = words(row);
            assert!(cells[0].starts_with("127.0.0.") && cells[1..3] == ["3", "0%"], "{row}");
            let [last, min, avg, max] = [3, 4, 5, 6].map(|at| cells[at].parse::<f64>().unwrap());
            assert!(
                min <= avg && avg <= max && (min..=max).contains(&last) && max > 0.0,
                "{row}"
            );
            assert_eq!(cells[8].chars().count(), 3, "{row}");
            // Numbers end where their headings do.
            assert_eq!(row.find("0%").unwrap() + 2, usual[1].find("LOSS").unwrap() + 4, "{row}");
        }
        assert_eq!(usual[23], "and 10 more, all well");

        let tiny = screen(&board, 40, 10);
        assert_eq!(tiny[0], "1 of 31 not well   Ctrl-C ends");
        assert_eq!(words(&tiny[1]), ["TARGET", "LOSS", "LAST", "LATEST"]);
        assert!(tiny[2].starts_with("127.255.255.255 "), "{tiny:?}");
        assert!(tiny[3..9].iter().all(|row| words(row)[1] == "0%"), "{tiny:?}");
        assert_eq!(tiny[9], "and 24 more, all well");
    }
}
