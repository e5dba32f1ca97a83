//! What was told already: a file that stays where it is is found by every scan, and is news once.
use crate::state::detections;
use chrono::{DateTime, TimeDelta, Utc};
use core_model::EventId;
use fleet_wire::{Detection, MalwareRecord, Outcome, WirePath};
use state_sqlite::Database;
use std::collections::HashMap;

/// Malware that still lies where it was found is told again after so long.
const REMIND: TimeDelta = TimeDelta::hours(24);

/// What was found longer ago is forgotten: it is news when it is found again.
const KEPT: TimeDelta = TimeDelta::days(35);

/// So much is remembered; beyond, the oldest is forgotten.
const MOST: usize = 10_000;

/// Makes two findings one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// The same file, left where it is for the same reason.
    Left(WirePath, Option<String>, Vec<String>, Outcome),
    /// The same item of the quarantine: two scans met the file at once.
    Item(String),
}

#[derive(Clone, Copy, Debug)]
struct Told {
    id: EventId,
    at: DateTime<Utc>,
}

/// What was told already.
#[derive(Debug, Default)]
pub(super) struct Seen(HashMap<Key, Told>);

impl Seen {
    /// What was told by processes before. Blocks.
    pub(super) fn load(database: &Database, now: DateTime<Utc>) -> anyhow::Result<Self> {
        let mut seen = Self::default();
        let events = detections::history(database, now - KEPT, u32::try_from(MOST).unwrap_or(u32::MAX))?;
        // The oldest first, so that the newest counts.
        for event in events.iter().rev() {
            if let Some(MalwareRecord::Detected(mut found)) = event.record() {
                seen.is_news(event.at, &mut found);
            }
        }
        Ok(seen)
    }

    /// Whether somebody is to hear of it. What is told again keeps the id by which it was told first.
    pub(super) fn is_news(&mut self, at: DateTime<Utc>, found: &mut Detection) -> bool {
        let key = match (&found.quarantine_id, found.outcome) {
            (Some(item), _) => Key::Item(item.clone()),
            (None, Outcome::Reported | Outcome::LeftThere) => Key::Left(
                found.path.clone(),
                found.sha256.clone(),
                found.signatures.clone(),
                found.outcome,
            ),
            (None, _) => return true,
        };
        let is_item = matches!(key, Key::Item(_));
        match self.0.get_mut(&key) {
            Some(told) if is_item || (at - told.at).abs() < REMIND => false,
            Some(told) => {
                found.id = told.id;
                told.at = at;
                true
            }
            None => {
                self.make_room();
                self.0.insert(key, Told { id: found.id, at });
                true
            }
        }
    }

    fn make_room(&mut self) {
        if self.0.len() < MOST {
            return;
        }
        let mut times: Vec<_> = self.0.values().map(|told| told.at).collect();
        times.sort_unstable();
        // A tenth at once, so that it is not sorted for each.
        let until = times[MOST / 10];
        self.0.retain(|_, told| told.at > until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, outcome: Outcome, n: u8) -> Detection {
        Detection {
            id: EventId::new(DateTime::UNIX_EPOCH, [n; 10]),
            path: WirePath::from_bytes(path.as_bytes()),
            signatures: vec!["Eicar".to_owned()],
            sha256: Some("ab".repeat(32)),
            size: 68,
            uid: None,
            owner: None,
            rule: "web".to_owned(),
            scan: None,
            engine: String::new(),
            outcome,
            detail: None,
            quarantine_id: None,
        }
    }

    fn at(hours: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::hours(hours)
    }

    #[test]
    fn a_file_that_stays_where_it_is_is_told_once_a_day_by_its_first_id() {
        let mut seen = Seen::default();
        let mut first = found("/a", Outcome::Reported, 1);
        assert!(seen.is_news(at(0), &mut first));
        assert!(!seen.is_news(at(23), &mut found("/a", Outcome::Reported, 2)));
        let mut again = found("/a", Outcome::Reported, 3);
        assert!(seen.is_news(at(24), &mut again));
        assert_eq!(again.id, first.id);
        assert!(!seen.is_news(at(47), &mut found("/a", Outcome::Reported, 4)));
        // Another file, another content, another end: each is news.
        assert!(seen.is_news(at(47), &mut found("/b", Outcome::Reported, 5)));
        let mut other = found("/a", Outcome::Reported, 6);
        other.sha256 = Some("cd".repeat(32));
        assert!(seen.is_news(at(47), &mut other));
        assert!(seen.is_news(at(47), &mut found("/a", Outcome::LeftThere, 7)));
    }

    #[test]
    fn what_was_taken_away_is_told_once_for_each_item_and_comes_back_as_news() {
        let mut seen = Seen::default();
        let taken = |item: &str, n| Detection {
            quarantine_id: Some(item.to_owned()),
            ..found("/a", Outcome::Quarantined, n)
        };
        assert!(seen.is_news(at(0), &mut taken("one", 1)));
        assert!(!seen.is_news(at(99), &mut taken("one", 2)));
        assert!(seen.is_news(at(0), &mut taken("two", 3)));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_oldest_goes_first() {
        let mut seen = Seen::default();
        for n in 0..MOST + 5 {
            assert!(seen.is_news(
                at(0) + TimeDelta::seconds(n as i64),
                &mut found(&n.to_string(), Outcome::Reported, 1)
            ));
        }
        assert!(seen.0.len() <= MOST);
        let later = at(0) + TimeDelta::seconds(MOST as i64 + 9);
        assert!(!seen.is_news(later, &mut found(&MOST.to_string(), Outcome::Reported, 1)));
        assert!(seen.is_news(later, &mut found("0", Outcome::Reported, 1)));
    }
}
