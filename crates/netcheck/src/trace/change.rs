//! Whether a way has changed since it was seen last.
use super::report::{Path, TraceReport};
use std::{collections::VecDeque, net::IpAddr, time::SystemTime};

/// A way that became another one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PathChange {
    /// The first place where they differ, from 0 for the first hop that was probed.
    pub at: usize,
    /// Who answered at each hop until then; `None` where nobody did.
    pub before: Vec<Option<IpAddr>>,
    /// Who does now.
    pub after: Vec<Option<IpAddr>>,
}

/// What is known of the way to one target, and when it changed.
///
/// The way is that of the first flow, which routers that share their load send one way: so two ways in turn are a change, and not two
/// halves of one load. A router that is silent for once is none, and a target that is not reached has its way until somebody
/// else is on it.
///
/// ```
/// use netcheck::trace::{PathLog, TraceOptions, Tracer, TracerOptions};
/// use std::time::SystemTime;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// # if netcheck::icmp::access(false).is_err() { return Ok(()) }
/// let tracer = Tracer::start(TracerOptions::default())?;
/// let mut log = PathLog::new(100);
/// for _ in 0..2 {
///     let report = tracer.trace("127.0.0.1".parse().unwrap(), TraceOptions::default()).await;
///     assert_eq!(log.observe(SystemTime::now(), &report), None);
/// }
/// assert_eq!(log.path(), [Some("127.0.0.1".parse().unwrap())]);
/// # Ok::<(), netcheck::Failure>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct PathLog {
    path: Vec<Option<IpAddr>>,
    is_whole: bool,
    changes: VecDeque<(SystemTime, PathChange)>,
    kept: usize,
}

impl PathLog {
    /// One that keeps so many changes, the latest.
    #[must_use]
    pub const fn new(kept: usize) -> Self {
        Self {
            path: Vec::new(),
            is_whole: false,
            changes: VecDeque::new(),
            kept,
        }
    }

    /// Notes what a trace saw, and tells whether the way has become another one.
    pub fn observe(&mut self, at: SystemTime, report: &TraceReport) -> Option<PathChange> {
        let seen = report.paths.first()?;
        let Some(place) = self.differs(seen) else {
            self.learn(seen);
            return None;
        };
        let change = PathChange {
            at: place,
            before: std::mem::take(&mut self.path),
            after: seen.routers.clone(),
        };
        self.is_whole = false;
        self.learn(seen);
        if self.changes.len() >= self.kept {
            self.changes.pop_front();
        }
        if self.kept > 0 {
            self.changes.push_back((at, change.clone()));
        }
        Some(change)
    }

    /// The way as far as it is known, by hop.
    #[must_use]
    pub fn path(&self) -> &[Option<IpAddr>] {
        &self.path
    }

    /// When it became another one, the latest last.
    pub fn changes(&self) -> impl Iterator<Item = &(SystemTime, PathChange)> {
        self.changes.iter()
    }

    fn differs(&self, seen: &Path) -> Option<usize> {
        let mut hops = self.path.iter().zip(&seen.routers);
        // A target that was not heard where it is may have answered what was to go further: so it counts only where it is nearer.
        let is_further = |at: usize| seen.reached && at + 1 == seen.routers.len();
        let other = hops.position(|(one, two)| one.is_some() && two.is_some() && one != two);
        let (before, now) = (self.path.len(), seen.routers.len());
        let beyond = seen.routers.iter().enumerate().skip(before);
        let is_longer = self.is_whole
            && beyond
                .into_iter()
                .any(|(at, router)| router.is_some() && !is_further(at));
        let is_shorter = seen.reached && before > now;
        other.or_else(|| (is_longer || is_shorter).then(|| before.min(now)))
    }

    fn learn(&mut self, seen: &Path) {
        // What is behind the end of a way that is known was heard from its end.
        let known = if self.is_whole { self.path.len() } else { usize::MAX };
        self.is_whole |= seen.reached;
        for (at, router) in seen.routers.iter().enumerate().take(known) {
            match self.path.get_mut(at) {
                Some(known) => *known = known.or(*router),
                None => self.path.push(*router),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Protocol;

    fn report(hosts: &[u8], reached: bool) -> TraceReport {
        let none = crate::Failure::new(crate::FailureKind::TimedOut, "");
        let mut report = TraceReport::not_begun([192, 0, 2, 9].into(), Protocol::Icmp, none);
        report.paths = vec![Path {
            flows: vec![0],
            routers: hosts
                .iter()
                .map(|host| (*host > 0).then(|| [192, 0, 2, *host].into()))
                .collect(),
            reached,
            loss: None,
            loss_is_upper_bound: false,
        }];
        report
    }

    #[test]
    fn only_another_router_or_another_length_is_a_change() {
        let mut log = PathLog::new(2);
        let at = SystemTime::UNIX_EPOCH;
        let mut changed = |hosts: &[u8], reached| log.observe(at, &report(hosts, reached)).map(|change| change.at);
        assert_eq!(changed(&[1, 2, 9], true), None);
        assert_eq!(changed(&[1, 0, 9], true), None, "silent for once");
        assert_eq!(changed(&[1, 0], false), None, "not reached for once");
        assert_eq!(changed(&[1, 0, 0, 0, 9], true), None, "not heard where it is, for once");
        assert_eq!(changed(&[1, 3, 9], true), Some(1));
        assert_eq!(changed(&[1, 3, 9], true), None);
        assert_eq!(changed(&[1, 9], true), Some(1));
        assert_eq!(changed(&[1, 4, 0], false), Some(1));
        assert_eq!(changed(&[1, 4, 5, 9], true), None, "further than was seen before");
        let changes: Vec<usize> = log.changes().map(|(_, change)| change.before.len()).collect();
        assert_eq!(changes, [3, 2], "the first was forgotten");
        assert_eq!(log.path().len(), 4);
    }
}
