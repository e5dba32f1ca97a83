//! One run: the probes of one target, and what has become of each.
use super::{
    clock::Now,
    history::History,
    options::PingOptions,
    report::{Outcome, PingReport, Sample, Strays},
};
use crate::{
    Doubt, Failure,
    icmp::{Access, Reason, Shape},
};
use std::{net::IpAddr, time::Duration};
use tokio::sync::oneshot;

/// Hears of each probe when it is known what became of it.
pub(super) type Sink = Box<dyn FnMut(&Sample) + Send>;

/// What somebody asked for.
pub(super) struct Request {
    pub(super) address: IpAddr,
    pub(super) options: PingOptions,
    pub(super) sink: Option<Sink>,
    pub(super) done: oneshot::Sender<Box<PingReport>>,
}

/// One run.
pub(super) struct Run {
    request: Request,
    pub(super) shape: Shape,
    pub(super) interval: u64,
    pub(super) timeout: u64,
    began: u64,
    probes: Vec<Probe>,
    /// Probes under way.
    pending: u32,
    strays: Strays,
    /// The latest probe that was answered.
    latest: Option<u32>,
    slip: u64,
}

/// One probe; times in nanoseconds.
struct Probe {
    sent: u64,
    state: State,
}

enum State {
    /// Under way, since this moment of the wall clock.
    Pending {
        wall: u64,
    },
    Answered {
        rtt: u64,
        ttl: Option<u8>,
    },
    Lost,
    Unreachable(Box<(IpAddr, Reason)>),
    Unknown(Doubt),
    Unsent(Box<Failure>),
}

impl Run {
    pub(super) fn new(request: Request, now: Now) -> Self {
        let options = &request.options;
        Self {
            shape: Shape {
                ttl: options.ttl,
                dont_fragment: options.dont_fragment,
                class: options.class,
            },
            interval: nanoseconds(options.interval),
            timeout: nanoseconds(options.timeout),
            began: now.steady,
            probes: Vec::with_capacity(options.count.min(1024) as usize),
            pending: 0,
            strays: Strays::default(),
            latest: None,
            slip: 0,
            request,
        }
    }

    pub(super) const fn address(&self) -> IpAddr {
        self.request.address
    }

    pub(super) const fn size(&self) -> usize {
        self.request.options.size as usize
    }

    /// The number of the probe that is sent next.
    pub(super) fn next(&self) -> u32 {
        self.probes.len() as u32
    }

    /// Whether there are more to send.
    pub(super) fn has_more(&self) -> bool {
        self.next() < self.request.options.count
    }

    pub(super) fn is_over(&self) -> bool {
        self.pending == 0 && !self.has_more()
    }

    /// Whether nobody waits for the report.
    pub(super) fn is_given_up(&self) -> bool {
        self.request.done.is_closed()
    }

    /// The next probe was sent, so much later than it was due.
    pub(super) fn sent(&mut self, at: Now, slip: u64) {
        self.slip = self.slip.max(slip);
        self.pending += 1;
        self.probes.push(Probe {
            sent: at.steady,
            state: State::Pending { wall: at.wall },
        });
    }

    /// The next probe could not be sent.
    pub(super) fn unsent(&mut self, at: Now, failure: Failure) {
        self.probes.push(Probe {
            sent: at.steady,
            state: State::Unsent(Box::new(failure)),
        });
        self.tell(self.probes.len() - 1);
    }

    /// A probe was answered: the kernel got the answer at `stamp`, and it is read now.
    pub(super) fn answered(&mut self, number: u32, stamp: Option<u64>, now: u64, ttl: Option<u8>) {
        let Some(probe) = self.probes.get_mut(number as usize) else {
            return;
        };
        let State::Pending { wall } = probe.state else {
            match probe.state {
                State::Answered { .. } => self.strays.duplicates += 1,
                _ => self.strays.late += 1,
            }
            return;
        };
        let elapsed = now.saturating_sub(probe.sent);
        // A time that is longer than the steady clock says, or negative, is that of a wall clock that was set.
        let stamped = stamp
            .and_then(|stamp| stamp.checked_sub(wall))
            .filter(|rtt| *rtt <= elapsed);
        let rtt = stamped.unwrap_or(elapsed);
        self.pending -= 1;
        if rtt > self.timeout {
            self.strays.late += 1;
            probe.state = State::Lost;
        } else {
            probe.state = State::Answered { rtt, ttl };
            if self.latest.is_some_and(|latest| number < latest) {
                self.strays.reordered += 1;
            }
            self.latest = self.latest.max(Some(number));
        }
        self.tell(number as usize);
    }

    /// Somebody else than the target answered.
    pub(super) const fn answered_by_another(&mut self) {
        self.strays.foreign += 1;
    }

    /// Somebody says that a probe did not come through.
    pub(super) fn unreachable(&mut self, number: u32, by: IpAddr, reason: Reason) {
        if let Some(probe) = self.probes.get_mut(number as usize)
            && let State::Pending { .. } = probe.state
        {
            probe.state = State::Unreachable(Box::new((by, reason)));
            self.pending -= 1;
            self.tell(number as usize);
        }
    }

    /// Whether a probe is still under way.
    pub(super) fn is_pending(&self, number: u32) -> bool {
        let probe = self.probes.get(number as usize);
        probe.is_some_and(|probe| matches!(probe.state, State::Pending { .. }))
    }

    /// The latest probe under way whose number ends with these 16 bits.
    pub(super) fn pending_by_sequence(&self, sequence: u16) -> Option<u32> {
        let numbers = (0..self.next()).rev().filter(|number| *number as u16 == sequence);
        numbers.take(2).find(|number| self.is_pending(*number))
    }

    /// The time of a probe is over, and nothing has come.
    pub(super) fn expired(&mut self, number: u32, history: &History) {
        let timeout = self.timeout;
        let Some(probe) = self.probes.get_mut(number as usize) else {
            return;
        };
        probe.state = match history.doubt(probe.sent, timeout) {
            Some(doubt) => State::Unknown(doubt),
            None => State::Lost,
        };
        self.pending -= 1;
        self.tell(number as usize);
    }

    fn tell(&mut self, index: usize) {
        if let (Some(sink), Some(probe)) = (&mut self.request.sink, self.probes.get(index)) {
            sink(&probe.sample(index, self.began));
        }
    }

    /// The run is over: whoever waits gets the report.
    pub(super) fn finish(self, access: Access, history: &History) {
        let trust = history.trust(self.began, Duration::from_nanos(self.slip));
        let samples = self.probes.iter().enumerate();
        let samples = samples.map(|(index, probe)| probe.sample(index, self.began)).collect();
        let report = PingReport::new(self.request.address, Some(access), samples, self.strays, trust);
        // Who gave up waiting wants it no more.
        drop(self.request.done.send(Box::new(report)));
    }
}

impl Request {
    /// It cannot be begun.
    pub(super) fn refuse(self, failure: Failure) {
        drop(self.done.send(Box::new(PingReport::not_begun(self.address, failure))));
    }
}

impl Probe {
    fn sample(&self, index: usize, began: u64) -> Sample {
        Sample {
            number: index as u32,
            sent: Duration::from_nanos(self.sent.saturating_sub(began)),
            outcome: match &self.state {
                State::Answered { rtt, ttl } => Outcome::Answered {
                    rtt: Duration::from_nanos(*rtt),
                    ttl: *ttl,
                },
                State::Lost | State::Pending { .. } => Outcome::Lost,
                State::Unreachable(said) => Outcome::Unreachable {
                    by: said.0,
                    reason: said.1,
                },
                State::Unknown(doubt) => Outcome::Unknown { doubt: *doubt },
                State::Unsent(failure) => Outcome::Unsent {
                    failure: (**failure).clone(),
                },
            },
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
