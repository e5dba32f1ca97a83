//! How much may wait, and who gives way when more comes.
use std::{str::FromStr, time::Duration};

/// How much may wait in an outbox, and what happens when more is to go in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The most bytes of bodies, as they are stored.
    pub max_bytes: u64,
    /// The longest that a run may wait; see [`Outbox::expire`](crate::Outbox::expire).
    pub max_age: Duration,
    /// Who gives way.
    pub when_full: WhenFull,
}

impl Default for Bounds {
    /// No bound.
    fn default() -> Self {
        Self {
            max_bytes: u64::MAX,
            max_age: Duration::MAX,
            when_full: WhenFull::Block,
        }
    }
}

/// What gives way when an outbox is full. What is dropped is counted, and a resync is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WhenFull {
    /// The oldest runs, as if each new one came alone. A run that is longer than the bound by itself is dropped and
    /// pushes nothing out.
    DropOldest,
    /// Each new run that does not fit. Its numbers are given, so that the server sees the gap.
    DropNewest,
    /// The caller waits until there is room for all it brings, or is told to stop. What is longer than the whole bound
    /// passes when the outbox is empty.
    Block,
}

impl WhenFull {
    /// Its name in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DropOldest => "drop_oldest",
            Self::DropNewest => "drop_newest",
            Self::Block => "block",
        }
    }
}

/// A text that names no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no policy of an outbox: expected drop_oldest, drop_newest or block")]
pub struct ParseWhenFullError(String);

impl FromStr for WhenFull {
    type Err = ParseWhenFullError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::DropOldest, Self::DropNewest, Self::Block]
            .into_iter()
            .find(|policy| policy.name() == text)
            .ok_or_else(|| ParseWhenFullError(text.to_owned()))
    }
}

/// Who stays and who goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Which of the new runs are stored.
    pub(crate) stored: Vec<bool>,
    /// What leaves for them.
    pub(crate) leave: Leave,
}

/// What leaves of what was waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// The oldest, until this many bytes are free.
    Bytes(u64),
    /// All.
    All,
}

/// Decides for new runs of these lengths; `None` where the caller is to wait.
pub(crate) fn plan(when_full: WhenFull, max: u64, waiting_runs: u64, waiting: u64, lengths: &[u64]) -> Option<Plan> {
    let total: u64 = lengths.iter().sum();
    let everything = Plan {
        stored: vec![true; lengths.len()],
        leave: Leave::Bytes(0),
    };
    if waiting.saturating_add(total) <= max {
        return Some(everything);
    }
    match when_full {
        WhenFull::Block => (waiting_runs == 0 || lengths.is_empty()).then_some(everything),
        WhenFull::DropNewest => {
            let mut used = waiting;
            let mut fits = |length: &u64| {
                let fits = used.saturating_add(*length) <= max;
                used += if fits { *length } else { 0 };
                fits
            };
            Some(Plan {
                stored: lengths.iter().map(&mut fits).collect(),
                leave: Leave::Bytes(0),
            })
        }
        WhenFull::DropOldest => Some(push_out(max, waiting, lengths)),
    }
}

/// What pushing out the oldest for one new run after the other comes to: the longest end of all that fits. Found from the
/// end, so that nothing is stored only to leave again.
fn push_out(max: u64, waiting: u64, lengths: &[u64]) -> Plan {
    let mut stored = vec![false; lengths.len()];
    let mut used = 0;
    let mut leave = None;
    for (stored, length) in stored.iter_mut().zip(lengths).rev() {
        if *length > max {
            continue;
        }
        if leave.is_some() || used + length > max {
            leave = Some(Leave::All);
        } else {
            used += length;
            *stored = true;
        }
    }
    Plan {
        stored,
        leave: leave.unwrap_or(Leave::Bytes(waiting.saturating_add(used).saturating_sub(max))),
    }
}
