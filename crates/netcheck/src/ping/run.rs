//! One run: the probes of one target, and what has become of each.
use super::{
    clock::{Now, round_trip},
    history::History,
    options::{ENDLESS, PingOptions, REMEMBERED},
    past::Past,
    report::{Outcome, PingReport, Sample, Strays},
};
use crate::{
    Doubt, Failure, Trust,
    icmp::{Access, MplsLabel, Reason},
    socket::{Carrier, Shape},
};
use std::{collections::VecDeque, net::IpAddr, time::Duration};
use tokio::sync::oneshot;

/// Hears of each probe when it is known what became of it.
pub(super) type Sink = Box<dyn FnMut(&Sample) + Send>;

/// A run that the engine has before it, and who is to hear of it.
pub(super) struct Asked {
    pub(super) run: Box<Run>,
    pub(super) done: oneshot::Sender<End>,
}

/// What the engine has to say of a run: that it is over, or why it could not begin.
pub(super) type End = Result<Over, Failure>;

/// A run that is over. Its report is made by who waits for it: the engine's thread has others to send for.
pub(super) struct Over {
    run: Box<Run>,
    access: Option<Access>,
    trust: Trust,
}

/// One run.
pub(super) struct Run {
    address: IpAddr,
    carrier: Carrier,
    /// The number that its first probe has on the wire.
    first: u16,
    size: u16,
    pub(super) shape: Shape,
    /// The first probe waits so long.
    pub(super) delay: u64,
    pub(super) interval: u64,
    pub(super) timeout: u64,
    pub(super) began: u64,
    /// So many probes are sent; without it, until somebody ends the run.
    count: Option<u32>,
    /// Those that are remembered, in the order of sending.
    probes: VecDeque<Probe>,
    /// So many came before those,
    forgotten: u32,
    /// and these sums are left of them; most runs have none.
    past: Option<Box<Past>>,
    /// Probes under way.
    pending: u32,
    strays: Strays,
    /// The latest probe that was answered.
    latest: Option<u32>,
    slip: u64,
    sink: Option<Sink>,
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
    Unreachable(Box<Refusal>),
    Unknown(Doubt),
    Unsent(Box<Failure>),
}

/// What somebody said of a probe.
pub(super) struct Told {
    pub(super) by: IpAddr,
    pub(super) reason: Reason,
    pub(super) mpls: Vec<MplsLabel>,
    /// When the kernel got it, in nanoseconds of wall time.
    pub(super) stamp: Option<u64>,
}

struct Refusal {
    told: Told,
    rtt: u64,
}

impl Run {
    /// A run that has not begun.
    pub(super) fn new(address: IpAddr, carrier: Carrier, first: u16, options: PingOptions, sink: Option<Sink>) -> Self {
        Self {
            address,
            carrier,
            first,
            size: options.size,
            shape: Shape {
                ttl: options.ttl,
                dont_fragment: options.dont_fragment,
                class: options.class,
            },
            interval: nanoseconds(options.interval),
            timeout: nanoseconds(options.timeout),
            delay: nanoseconds(options.delay),
            began: 0,
            count: (options.count != ENDLESS).then_some(options.count),
            probes: VecDeque::with_capacity(options.count.min(1024) as usize),
            forgotten: 0,
            past: None,
            pending: 0,
            strays: Strays::default(),
            latest: None,
            slip: 0,
            sink,
        }
    }

    pub(super) const fn address(&self) -> IpAddr {
        self.address
    }

    pub(super) const fn carrier(&self) -> Carrier {
        self.carrier
    }

    pub(super) const fn size(&self) -> usize {
        self.size as usize
    }

    /// The number of the probe that is sent next.
    pub(super) fn next(&self) -> u32 {
        self.forgotten + self.probes.len() as u32
    }

    /// Whether there are more to send.
    pub(super) fn has_more(&self) -> bool {
        self.next() < self.count.unwrap_or(u32::MAX)
    }

    /// From now on there are no more.
    pub(super) fn wind_down(&mut self) {
        self.count = Some(self.next());
    }

    /// Where a probe is remembered.
    fn index(&self, number: u32) -> Option<usize> {
        let index = number.checked_sub(self.forgotten)? as usize;
        (index < self.probes.len()).then_some(index)
    }

    pub(super) fn is_over(&self) -> bool {
        self.pending == 0 && !self.has_more()
    }

    /// The next probe was sent, so much later than it was due.
    pub(super) fn sent(&mut self, at: Now, slip: u64) {
        self.slip = self.slip.max(slip);
        self.pending += 1;
        self.probes.push_back(Probe {
            sent: at.steady,
            state: State::Pending { wall: at.wall },
        });
        self.forget();
    }

    /// The next probe could not be sent.
    pub(super) fn unsent(&mut self, at: Now, failure: Failure) {
        let number = self.next();
        self.probes.push_back(Probe {
            sent: at.steady,
            state: State::Unsent(Box::new(failure)),
        });
        self.tell(number);
        self.forget();
    }

    /// Without an end, what is old is remembered as a sum; what became of it is known first.
    fn forget(&mut self) {
        while self.count.is_none()
            && self.probes.len() > REMEMBERED
            && let Some(probe) = self
                .probes
                .pop_front_if(|probe| !matches!(probe.state, State::Pending { .. }))
        {
            let sample = probe.sample(self.forgotten, self.began);
            self.past.get_or_insert_default().forget(&sample, REMEMBERED);
            self.forgotten += 1;
        }
    }

    /// A probe was answered: the kernel got the answer at `stamp`, and it is read now.
    pub(super) fn answered(&mut self, number: u32, stamp: Option<u64>, now: u64, ttl: Option<u8>) {
        let Some(index) = self.index(number) else {
            return;
        };
        let probe = &mut self.probes[index];
        let State::Pending { wall } = probe.state else {
            match probe.state {
                State::Answered { .. } => self.strays.duplicates += 1,
                _ => self.strays.late += 1,
            }
            return;
        };
        let rtt = round_trip(probe.sent_at(wall), stamp, now);
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
        self.tell(number);
    }

    /// Somebody else than the target answered.
    pub(super) const fn answered_by_another(&mut self) {
        self.strays.foreign += 1;
    }

    /// Somebody says that a probe did not come through.
    pub(super) fn refused(&mut self, number: u32, told: Told, now: u64) {
        if let Some(index) = self.index(number)
            && let State::Pending { wall } = self.probes[index].state
        {
            let probe = &mut self.probes[index];
            let rtt = round_trip(probe.sent_at(wall), told.stamp, now);
            probe.state = State::Unreachable(Box::new(Refusal { told, rtt }));
            self.pending -= 1;
            self.tell(number);
        }
    }

    /// Somebody said of one of these probes, and of others, that it did not come through: nobody knows of which.
    pub(super) const fn hears_too_little(&mut self) {
        self.strays.unlabelled += 1;
    }

    /// Whether a probe is still under way.
    pub(super) fn is_pending(&self, number: u32) -> bool {
        let index = self.index(number);
        index.is_some_and(|index| matches!(self.probes[index].state, State::Pending { .. }))
    }

    /// The latest probe under way, whose number ends with these 16 bits where they are given.
    pub(super) fn pending(&self, sequence: Option<u16>) -> Option<u32> {
        // Of those further back, none can be told from a later one.
        let numbers = (self.forgotten..self.next()).rev().take(1 << 16);
        let mut numbers = numbers.filter(|number| sequence.is_none_or(|sequence| self.sequence(*number) == sequence));
        numbers.find(|number| self.is_pending(*number))
    }

    /// The number of a probe on the wire.
    pub(super) const fn sequence(&self, number: u32) -> u16 {
        self.first.wrapping_add(number as u16)
    }

    /// The time of a probe is over, and nothing has come.
    pub(super) fn expired(&mut self, number: u32, history: &History) {
        let Some(index) = self.index(number) else {
            return;
        };
        let probe = &mut self.probes[index];
        probe.state = match history.doubt(probe.sent, self.timeout) {
            Some(doubt) => State::Unknown(doubt),
            None => State::Lost,
        };
        self.pending -= 1;
        self.tell(number);
    }

    fn tell(&mut self, number: u32) {
        if let Some(index) = self.index(number)
            && let Some(sink) = &mut self.sink
        {
            sink(&self.probes[index].sample(number, self.began));
        }
    }
}

impl Asked {
    /// Whether nobody waits for the report.
    pub(super) fn is_given_up(&self) -> bool {
        self.done.is_closed()
    }

    /// It cannot be begun.
    pub(super) fn refuse(self, failure: Failure) {
        // Who gave up waiting wants it no more.
        drop(self.done.send(Err(failure)));
    }

    /// The run is over.
    pub(super) fn finish(self, access: Option<Access>, history: &History) {
        let Self { mut run, done } = self;
        let mut trust = history.trust(run.began, Duration::from_nanos(run.slip));
        if let Carrier::Udp { .. } = run.carrier {
            trust.dropped = None;
        }
        // Whoever waits for its end hears it now.
        run.sink = None;
        drop(done.send(Ok(Over { run, access, trust })));
    }
}

impl Over {
    pub(super) fn report(self) -> PingReport {
        let Self { run, access, trust } = self;
        let samples = (run.forgotten..).zip(&run.probes);
        let samples = samples.map(|(number, probe)| probe.sample(number, run.began)).collect();
        let past = run.past.map_or_else(Past::default, |past| *past);
        PingReport::new(run.address, access, past, samples, run.strays, trust)
    }
}

impl Probe {
    const fn sent_at(&self, wall: u64) -> Now {
        Now {
            steady: self.sent,
            wall,
        }
    }

    fn sample(&self, number: u32, began: u64) -> Sample {
        Sample {
            number,
            sent: Duration::from_nanos(self.sent.saturating_sub(began)),
            outcome: match &self.state {
                State::Answered { rtt, ttl } => Outcome::Answered {
                    rtt: Duration::from_nanos(*rtt),
                    ttl: *ttl,
                },
                State::Lost | State::Pending { .. } => Outcome::Lost,
                State::Unreachable(refusal) => Outcome::Unreachable {
                    by: refusal.told.by,
                    reason: refusal.told.reason,
                    rtt: Duration::from_nanos(refusal.rtt),
                    mpls: refusal.told.mpls.clone(),
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
