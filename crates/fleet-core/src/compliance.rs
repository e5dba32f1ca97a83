//! Whether hosts were scanned as they should be: for each agent and rule, the last scan of all of it that looked at
//! everything, and what is to be said against it.
use crate::malware::{EventsOf, StoredScan};
use chrono::{DateTime, Utc};
use core_model::AgentId;
use fleet_wire::{MalwareScan, ScanStatus};

/// The product whose agents scan for malware: each of them is expected to.
pub(crate) const KIND: &str = "reef-agent";

/// Whose rules are looked at. What is not set does not narrow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComplianceFilter {
    /// Of which agents.
    pub of: EventsOf,
    /// This rule alone, where an agent has it.
    pub rule: Option<String>,
}

/// The scans of a rule on one agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleScans {
    /// Whose.
    pub agent: AgentId,
    /// The agent's name.
    pub agent_name: String,
    /// The rule; none where the agent has told of none.
    pub rule: Option<String>,
    /// The last scan of all of it that looked at everything.
    pub last_complete: Option<StoredScan>,
    /// The last scan of all of it, however it ended.
    pub last: Option<StoredScan>,
}

/// What is to be said against the scans of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortfall {
    /// The agent has told of no rule and of no scan.
    NoScan,
    /// No scan of all of the rule has ended.
    NeverScanned,
    /// The last scan of all of the rule is too long ago.
    TooOld,
    /// The last one did not look at everything.
    Partial,
    /// The last one was stopped before its end.
    Stopped,
    /// The last one could not be made.
    Failed,
    /// The last one ended in a way that this version does not know.
    Other,
    /// Files ended in no way: the agent has a fault.
    Unaccounted,
}

impl Shortfall {
    /// Its name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoScan => "no_scan",
            Self::NeverScanned => "never_scanned",
            Self::TooOld => "too_old",
            Self::Partial => "partial",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Other => "other",
            Self::Unaccounted => "unaccounted",
        }
    }
}

impl RuleScans {
    /// What is to be said against it, where a complete scan has to have ended at `since` or later; none where it was done
    /// as it should. A scan that looked at less does not undo one before that looked at everything.
    pub fn shortfall(&self, since: DateTime<Utc>) -> Option<Shortfall> {
        if let Some(complete) = &self.last_complete
            && ended(complete) >= since
        {
            return (complete.scan.unaccounted != 0).then_some(Shortfall::Unaccounted);
        }
        let Some(last) = &self.last else {
            return Some(match self.rule {
                Some(_) => Shortfall::NeverScanned,
                None => Shortfall::NoScan,
            });
        };
        Some(match last.scan.status {
            _ if ended(last) < since => Shortfall::TooOld,
            ScanStatus::Completed => Shortfall::TooOld,
            ScanStatus::Partial => Shortfall::Partial,
            ScanStatus::Stopped => Shortfall::Stopped,
            ScanStatus::Failed => Shortfall::Failed,
            ScanStatus::Other => Shortfall::Other,
        })
    }

    /// The scan that is shown: the last complete one, else the last.
    pub fn shown(&self) -> Option<&MalwareScan> {
        let shown = self.last_complete.as_ref().or(self.last.as_ref());
        shown.map(|stored| &stored.scan)
    }
}

/// When a scan ended: a clock that goes ahead makes none newer than when it was told.
fn ended(stored: &StoredScan) -> DateTime<Utc> {
    stored.scan.ended_at.min(stored.received_at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use serde_json::json;

    fn at(day: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(day)
    }

    fn stored(ended: i64, received: i64, status: &str, unaccounted: i64) -> Option<StoredScan> {
        let scan = json!({
            "id": "0190a5c1-7e2b-7c11-8a3e-5b1d9f0c2d4e", "rule": "web", "cause": "schedule", "started_at": at(0),
            "ended_at": at(ended), "status": status, "met": {"files": 0, "bytes": 0}, "account": {},
            "unaccounted": unaccounted, "detections": 0, "scope": "whole",
        });
        Some(StoredScan {
            place: 1,
            agent: AgentId::new(at(0), [1; 10]),
            agent_name: "a".to_owned(),
            received_at: at(received),
            scan: serde_json::from_value(scan).unwrap(),
        })
    }

    #[test]
    fn only_a_complete_scan_within_the_time_is_enough() {
        let (ok, too_old) = (None, Some(Shortfall::TooOld));
        for (complete, last, expected) in [
            (stored(10, 10, "completed", 0), None, ok),
            (stored(3, 10, "completed", 0), None, ok),
            (stored(2, 10, "completed", 0), stored(2, 10, "completed", 0), too_old),
            // Its clock goes ahead.
            (stored(99, 2, "completed", 0), stored(99, 2, "completed", 0), too_old),
            (stored(10, 10, "completed", 1), None, Some(Shortfall::Unaccounted)),
            (stored(10, 10, "completed", 0), stored(11, 11, "failed", 0), ok),
            (
                stored(2, 2, "completed", 0),
                stored(11, 11, "partial", 0),
                Some(Shortfall::Partial),
            ),
            (None, stored(2, 2, "partial", 0), too_old),
            (None, stored(4, 4, "partial", 0), Some(Shortfall::Partial)),
            (None, stored(4, 4, "stopped", 0), Some(Shortfall::Stopped)),
            (None, stored(4, 4, "failed", 0), Some(Shortfall::Failed)),
            (None, stored(4, 4, "of_tomorrow", 0), Some(Shortfall::Other)),
            (None, None, Some(Shortfall::NeverScanned)),
        ] {
            let scans = RuleScans {
                agent: AgentId::new(at(0), [1; 10]),
                agent_name: "a".to_owned(),
                rule: Some("web".to_owned()),
                last_complete: complete,
                last,
            };
            assert_eq!(scans.shortfall(at(3)), expected, "{scans:?}");
        }
    }
}
