//! What became of a run.
use super::past::{Past, Whole};
use crate::{
    Doubt, Failure, FailureKind, Trust,
    icmp::{Access, MplsLabel, Reason},
    measure::{self, Bursts, Quality, Times},
    reach,
};
use std::{net::IpAddr, time::Duration};

/// What became of one probe.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case", tag = "outcome")
)]
pub enum Outcome {
    /// It was answered in time.
    Answered {
        /// How long that took: from just before it was sent to when the kernel got the answer.
        #[cfg_attr(
            feature = "serde",
            serde(rename = "rtt_ms", serialize_with = "crate::millis::serialize")
        )]
        rtt: Duration,
        /// What was left of the answer's time to live, where that is known.
        ttl: Option<u8>,
    },
    /// No answer came in time.
    Lost,
    /// Somebody on the way said that it did not come through.
    Unreachable {
        /// Who.
        by: IpAddr,
        /// Why.
        reason: Reason,
        /// How long it took until that was heard.
        #[cfg_attr(
            feature = "serde",
            serde(rename = "rtt_ms", serialize_with = "crate::millis::serialize")
        )]
        rtt: Duration,
        /// The MPLS labels with which it came there (RFC 4950), where that was said.
        #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Vec::is_empty"))]
        mpls: Vec<MplsLabel>,
    },
    /// No answer was seen, and this machine may be the cause: nobody knows whether one came.
    Unknown {
        /// Why nobody knows.
        doubt: Doubt,
    },
    /// This machine did not send it.
    Unsent {
        /// Why not.
        failure: Failure,
    },
}

/// One probe of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Sample {
    /// Its number in the run, from 0.
    pub number: u32,
    /// When it was sent, from the start of the run.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "sent_ms", serialize_with = "crate::millis::serialize")
    )]
    pub sent: Duration,
    /// What became of it.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub outcome: Outcome,
}

/// What became of a run of probes to one target.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PingReport {
    /// The target.
    pub address: IpAddr,
    /// By which sort of socket it was pinged; none where there is no such socket.
    pub access: Option<Access>,
    /// Probes that were sent.
    pub sent: u32,
    /// Of these, answered in time.
    pub answered: u32,
    /// Of these, lost on the way: neither answered nor of unknown fate.
    pub lost: u32,
    /// Of these, of unknown fate, since this machine may have dropped the answer.
    pub unknown: u32,
    /// The share of packets lost, 0 to 1, among those whose fate is known; `None` where that is none.
    pub loss: Option<f64>,
    /// Answers that came again.
    pub duplicates: u64,
    /// Answers that came after one to a later probe (RFC 4737).
    pub reordered: u64,
    /// Answers that came after their time.
    pub late: u64,
    /// Answers with a right token that came from another address than the target's: not counted as answers.
    pub foreign: u64,
    /// How often somebody said of a probe that it did not come through, and quoted too little of it to tell which one it was.
    pub unlabelled: u64,
    /// Round-trip times; the median and the 95th percentile of a run without an end are those of the latest.
    pub times: Option<Times>,
    /// How much the delay differs from packet to packet (RFC 3550).
    #[cfg_attr(
        feature = "serde",
        serde(rename = "jitter_ms", serialize_with = "crate::millis::option::serialize")
    )]
    pub jitter: Option<Duration>,
    /// Whether loss came in a row.
    pub bursts: Bursts,
    /// How a call over the path would sound; `None` without an answer.
    pub quality: Option<Quality>,
    /// What this machine itself did to the measurement.
    pub trust: Trust,
    /// Each probe, in the order of sending; of a run without an end the latest (see [`REMEMBERED`](super::REMEMBERED)).
    pub samples: Vec<Sample>,
    /// Why there is no answer at all; `None` with one or more.
    pub failure: Option<Failure>,
}

/// What answers there were besides those that count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Strays {
    pub(super) duplicates: u64,
    pub(super) reordered: u64,
    pub(super) late: u64,
    pub(super) foreign: u64,
    pub(super) unlabelled: u64,
}

impl PingReport {
    /// By what became of each probe; of those before `samples` the sums are there.
    pub(super) fn new(
        address: IpAddr,
        access: Option<Access>,
        past: Past,
        samples: Vec<Sample>,
        strays: Strays,
        trust: Trust,
    ) -> Self {
        let Whole {
            sent,
            answered,
            unknown,
            times,
            jitter,
            bursts,
        } = past.with(&samples);
        let lost = sent - answered - unknown;
        let known = answered + lost;
        let loss = (known > 0).then(|| f64::from(lost) / f64::from(known));
        let quality = times
            .zip(loss)
            .map(|(times, loss)| measure::quality(times.avg, jitter.unwrap_or_default(), loss, &bursts));
        let failure = (answered == 0).then(|| why(address, sent, &samples)).flatten();
        Self {
            address,
            access,
            sent,
            answered,
            lost,
            unknown,
            loss,
            duplicates: strays.duplicates,
            reordered: strays.reordered,
            late: strays.late,
            foreign: strays.foreign,
            unlabelled: strays.unlabelled,
            times,
            jitter,
            bursts,
            quality,
            trust,
            samples,
            failure,
        }
    }

    /// Of a run that could not begin.
    pub(super) fn not_begun(address: IpAddr, failure: Failure) -> Self {
        let mut report = Self::new(
            address,
            None,
            Past::default(),
            Vec::new(),
            Strays::default(),
            Trust::default(),
        );
        report.failure = Some(failure);
        report
    }
}

impl Sample {
    /// How long its answer took, where there was one.
    #[must_use]
    pub const fn rtt(&self) -> Option<Duration> {
        match self.outcome {
            Outcome::Answered { rtt, .. } => Some(rtt),
            _ => None,
        }
    }

    /// Whether it was lost; `None` where nobody knows.
    #[must_use]
    pub const fn is_lost(&self) -> Option<bool> {
        match self.outcome {
            Outcome::Answered { .. } => Some(false),
            Outcome::Lost | Outcome::Unreachable { .. } => Some(true),
            Outcome::Unknown { .. } | Outcome::Unsent { .. } => None,
        }
    }
}

/// Why nothing was answered: by what says most, which is somebody's word before silence.
fn why(address: IpAddr, sent: u32, samples: &[Sample]) -> Option<Failure> {
    let said = samples.iter().rev().find_map(|sample| match &sample.outcome {
        Outcome::Unreachable { by, reason, .. } => {
            let kind = if matches!(reason, Reason::TooBig { .. }) {
                FailureKind::TooLarge
            } else {
                FailureKind::Unreachable
            };
            Some(Failure::new(kind, reach::said(*by, address, *reason, &by.to_string())))
        }
        Outcome::Unsent { failure } => Some(failure.clone()),
        _ => None,
    });
    let doubted = || {
        samples.iter().find_map(|sample| match sample.outcome {
            Outcome::Unknown { doubt } => Some(Failure::new(
                FailureKind::System,
                format!("whether {address} answers is not known: {}", doubt.words()),
            )),
            _ => None,
        })
    };
    let silent = || {
        let detail = format!("{address} answered none of {sent} pings");
        (!samples.is_empty()).then(|| Failure::new(FailureKind::TimedOut, detail))
    };
    said.or_else(doubted).or_else(silent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(outcomes: Vec<Outcome>) -> PingReport {
        let samples = outcomes.into_iter().enumerate().map(|(number, outcome)| Sample {
            number: number as u32,
            sent: Duration::from_secs(number as u64),
            outcome,
        });
        let address = "192.0.2.1".parse().unwrap();
        PingReport::new(
            address,
            Some(Access::Raw),
            Past::default(),
            samples.collect(),
            Strays::default(),
            Trust::default(),
        )
    }

    const fn answered(micros: u64) -> Outcome {
        Outcome::Answered {
            rtt: Duration::from_micros(micros),
            ttl: Some(64),
        }
    }

    #[test]
    fn what_nobody_knows_is_no_loss() {
        let doubt = Doubt::Dropped;
        let report = report(vec![
            answered(40),
            Outcome::Unknown { doubt },
            Outcome::Lost,
            answered(60),
        ]);
        assert_eq!(
            (report.sent, report.answered, report.unknown, report.lost),
            (4, 2, 1, 1)
        );
        assert_eq!(report.loss, Some(1.0 / 3.0));
        assert_eq!(report.jitter, Some(Duration::from_nanos(1250)));
        assert_eq!(report.failure, None);
    }

    #[test]
    fn without_an_answer_the_reason_is_what_says_most() {
        let by = "192.0.2.254".parse().unwrap();
        let reason = Reason::HostUnreachable;
        let refused = Outcome::Unreachable {
            by,
            reason,
            rtt: Duration::ZERO,
            mpls: Vec::new(),
        };
        let told = report(vec![Outcome::Lost, refused, Outcome::Lost]);
        let failure = told.failure.unwrap();
        assert_eq!(failure.kind, FailureKind::Unreachable);
        assert_eq!(failure.detail, "192.0.2.254 says of 192.0.2.1: host unreachable");
        assert_eq!((told.lost, told.bursts.longest, told.quality), (3, 3, None));
        let silent = report(vec![Outcome::Lost; 2]).failure.unwrap();
        assert_eq!(silent.kind, FailureKind::TimedOut);
        let unknown = report(vec![Outcome::Unknown { doubt: Doubt::Dropped }]);
        assert_eq!(
            (unknown.failure.unwrap().kind, unknown.loss),
            (FailureKind::System, None)
        );
        let failure = Failure::new(FailureKind::NoRoute, "no");
        let unsent = report(vec![Outcome::Unsent { failure }]);
        assert_eq!((unsent.sent, unsent.failure.unwrap().kind), (0, FailureKind::NoRoute));
    }
}
