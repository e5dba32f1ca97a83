//! What became of a probe to a hop, as it is told while it happens.
use crate::{
    check::show::millis,
    live::{Mark, News, Tally},
};
use serde::{Serialize, Serializer};
use std::{net::IpAddr, time::Duration};

/// What became of the probe to a hop.
#[derive(Serialize)]
pub(super) struct Probed {
    #[serde(skip)]
    pub(super) index: usize,
    /// Its target stands before the hop, as there are others.
    #[serde(skip)]
    pub(super) is_one_of_several: bool,
    pub(super) at: String,
    pub(super) target: String,
    pub(super) number: u64,
    pub(super) hop: u8,
    pub(super) address: Option<IpAddr>,
    pub(super) name: Option<String>,
    #[serde(rename = "rtt_ms", serialize_with = "as_millis")]
    pub(super) rtt: Option<Duration>,
    pub(super) outcome: Became,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Became {
    Answered,
    /// Not, though somebody behind it was.
    Silent,
    /// Not, nor by anybody behind it.
    Lost,
    /// Somebody says that it goes no further.
    Refused,
    /// This machine may have dropped the answer.
    Unknown,
    /// It was not probed: the way has become shorter.
    Gone,
}

fn as_millis<S: Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_secs_f64() * 1000.0).serialize(to)
}

impl News for Probed {
    fn index(&self) -> usize {
        self.index
    }

    fn tell(&self, tally: &mut Tally) {
        if self.outcome == Became::Gone {
            *tally = Tally::new("");
            return;
        }
        let who = match (&self.name, self.address) {
            (Some(name), Some(address)) => format!("{name} ({address})"),
            (None, Some(address)) => address.to_string(),
            _ if tally.sent == 0 => "*".to_owned(),
            // Who was there before is there still.
            _ => String::new(),
        };
        if !who.is_empty() {
            let hop = format!("{:>2} {who}", self.hop);
            let label = if self.is_one_of_several {
                format!("{} {hop}", self.target)
            } else {
                hop
            };
            // What was counted is of the router that was there before.
            if tally.is_other(&label) && tally.answered() > 0 {
                *tally = Tally::new(&label);
            }
            tally.rename(&label);
        }
        tally.add(match (self.outcome, self.rtt) {
            (Became::Answered, Some(rtt)) => Mark::Time(rtt),
            (Became::Lost | Became::Refused, _) => Mark::Failed,
            _ => Mark::Unknown,
        });
    }

    fn line(&self, _row: &str) -> String {
        let became = match (self.outcome, self.rtt) {
            (Became::Answered, Some(rtt)) => format!("{} ms", millis(Some(rtt))),
            (Became::Lost, _) => "no answer, nor from behind it".to_owned(),
            (Became::Refused, _) => "goes no further".to_owned(),
            (Became::Unknown, _) => "not known".to_owned(),
            (Became::Gone, _) => "no longer on the way".to_owned(),
            _ => "silent".to_owned(),
        };
        let who = self
            .address
            .map_or_else(|| "*".to_owned(), |address| address.to_string());
        format!("{} {}: hop {} {who}: {became}", self.target, self.number, self.hop)
    }

    fn object<'n>(&'n self, _row: &'n str) -> impl Serialize + 'n {
        self
    }
}
