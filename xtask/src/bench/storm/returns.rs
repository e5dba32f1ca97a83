//! What a crowd of agents said while its controller was away and when it was back.
use crate::bench::measure::share;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A line of the crowd: how the link of one agent is now.
#[derive(Deserialize)]
struct Said {
    agent: usize,
    /// Seconds since 1970.
    at: f64,
    /// The session's number, while the agent is linked.
    epoch: Option<u64>,
    error: Option<String>,
}

/// How the agents came back.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Returns {
    /// Of each agent that is back, the seconds from the controller being ready to WELCOME; sorted.
    pub(super) back: Vec<f64>,
    /// Attempts that failed while the controller was away.
    pub(super) in_vain: usize,
    /// Attempts that failed although it was ready, by agent.
    pub(super) refused: BTreeMap<usize, usize>,
    /// Why they failed, and how often.
    pub(super) reasons: BTreeMap<String, usize>,
}

impl Returns {
    /// Reads the lines of the crowd, whose controller went at the instant `gone` and was ready again at `ready`, both in
    /// seconds since 1970. All were linked when it went.
    pub(super) fn read(lines: &[String], gone: f64, ready: f64) -> Self {
        let mut returns = Self::default();
        let mut linked: BTreeMap<usize, bool> = BTreeMap::new();
        let mut back: BTreeMap<usize, f64> = BTreeMap::new();
        let said = lines.iter().filter_map(|line| serde_json::from_str::<Said>(line).ok());
        for Said {
            agent,
            at,
            epoch,
            error,
        } in said.filter(|said| said.at >= gone)
        {
            let was_linked = linked.insert(agent, epoch.is_some()).unwrap_or(true);
            if epoch.is_some() {
                // It listens a little before it says that it is ready.
                back.entry(agent).or_insert((at - ready).max(0.0));
            } else if was_linked && !back.contains_key(&agent) {
                // The end of the link, which an agent may notice late, is no attempt.
            } else if at < ready {
                returns.in_vain += 1;
            } else {
                *returns.refused.entry(agent).or_default() += 1;
                *returns.reasons.entry(error.unwrap_or_default()).or_default() += 1;
            }
        }
        returns.back = back.into_values().collect();
        returns.back.sort_by(f64::total_cmp);
        returns
    }

    /// The seconds after which such a share of those that are back was back.
    pub(super) fn after(&self, part: f64) -> f64 {
        share(&self.back, part)
    }

    /// How many came back in each second.
    pub(super) fn by_second(&self) -> Vec<usize> {
        let mut counts = Vec::new();
        for seconds in &self.back {
            let second = *seconds as usize;
            if counts.len() <= second {
                counts.resize(second + 1, 0);
            }
            counts[second] += 1;
        }
        counts
    }

    /// The share of all that came in the second in which most came, in per cent.
    pub(super) fn fullest(&self) -> f64 {
        let most = self.by_second().into_iter().max().unwrap_or(0);
        most as f64 / self.back.len().max(1) as f64 * 100.0
    }

    pub(super) fn refusals(&self) -> usize {
        self.refused.values().sum()
    }

    /// Agents that were refused more than once.
    pub(super) fn refused_twice(&self) -> usize {
        self.refused.values().filter(|times| **times > 1).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(agent: usize, at: f64, epoch: Option<u64>) -> String {
        let epoch = epoch.map_or("null".to_owned(), |epoch| epoch.to_string());
        format!(r#"{{"agent":{agent},"at":{at},"epoch":{epoch},"failures":0,"error":"no"}}"#)
    }

    #[test]
    fn attempts_in_vain_refusals_and_returns_are_told_apart() {
        let lines = [
            line(1, 1.0, Some(1)),
            line(2, 1.0, Some(1)),
            "something else".to_owned(),
            line(1, 10.1, None),
            line(2, 10.1, None),
            line(1, 11.0, None),
            line(2, 20.5, None),
            line(2, 21.5, None),
            line(1, 19.9, Some(2)),
            line(2, 23.25, Some(2)),
        ];
        let returns = Returns::read(&lines, 10.0, 20.0);
        assert_eq!(returns.back, [0.0, 3.25]);
        assert_eq!(returns.in_vain, 1);
        assert_eq!(returns.refused, BTreeMap::from([(2, 2)]));
        assert_eq!((returns.refusals(), returns.refused_twice()), (2, 1));
        assert_eq!(returns.by_second(), [1, 0, 0, 1]);
        assert!((returns.fullest() - 50.0).abs() < 1e-9);
    }

    #[test]
    fn a_link_whose_end_is_noticed_late_was_not_refused() {
        let lines = [line(1, 20.1, None), line(1, 20.5, Some(2))];
        assert_eq!(Returns::read(&lines, 10.0, 20.0).refusals(), 0);
    }

    #[test]
    fn a_link_that_breaks_again_counts_against_the_controller() {
        let lines = [line(1, 10.1, None), line(1, 20.5, Some(2)), line(1, 21.0, None)];
        let returns = Returns::read(&lines, 10.0, 20.0);
        assert_eq!(returns.back, [0.5]);
        assert_eq!(returns.refusals(), 1);
    }
}
