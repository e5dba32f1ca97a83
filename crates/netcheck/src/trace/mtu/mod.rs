//! The longest packet that comes through, and who limits it.
//!
//! A router that cannot pass a packet on says so, and what would pass (RFC 1191, RFC 8201). Where nobody says so, longer packets
//! vanish: then their length is searched, and the hop behind which they do, by long packets that end at each hop.
mod bracket;

use super::{
    local_mtu::local_mtu,
    options::Protocol,
    prober::{Answer, Prober, Seen, Shot},
    report::Hop,
};
use crate::icmp::Reason;
use bracket::{Bracket, usual_below};
use std::{net::IpAddr, sync::Arc, time::Duration};
use tokio::{task::JoinSet, time::sleep};

/// So many lengths are tried at a time where the target answers as often as it is asked.
const TOGETHER: usize = 15;
/// A host by UDP says only now and then that nobody listens at a port: so long it rests.
const REST: Duration = Duration::from_millis(1100);
/// A length is tried so often, until it is clear what becomes of it.
const ROUNDS_MOST: u32 = 6;
/// So often it has to vanish while short packets do not.
const SURE: u32 = 2;
/// More steps than any search takes: a router that tells nonsense ends it.
const STEPS_MOST: usize = 32;
/// An answer takes as long as this times the slowest of short ones, at the most,
const SLOWER: u32 = 5;
/// or as long as this.
const TIMEOUT_LEAST: Duration = Duration::from_millis(300);
/// What most interfaces send, where the system does not tell.
const ETHERNET: u16 = 1500;

/// The longest packet that comes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PathMtu {
    /// Its length with the IP header, in bytes: it was seen to come through.
    pub bytes: u16,
    /// Why no longer one does.
    pub limit: MtuLimit,
}

/// Why no longer packet comes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case", tag = "by")
)]
pub enum MtuLimit {
    /// This machine sends none.
    Interface,
    /// A router says that the link behind it carries none.
    Router {
        /// The router.
        address: IpAddr,
        /// Where it is, if it was found there.
        hop: Option<u8>,
    },
    /// Longer ones vanish, and nobody says so: connections come about and then hang.
    BlackHole {
        /// The last router to which they come; `None` where not even the first that answers hears of them.
        behind: Option<Place>,
        /// Who hears of short ones only. The target itself, if its long answers may have vanished on the way back.
        before: Place,
    },
    /// Longer ones were not answered, and it could not be told why: the target does not answer reliably.
    Unknown,
}

/// A router or the target, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Place {
    /// Its distance.
    pub hop: u8,
    /// Its address.
    pub address: IpAddr,
}

/// What became of packets of one length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Passes,
    Vanishes,
    Refused {
        by: IpAddr,
        mtu: u32,
    },
    /// The target does not answer short ones either, or something else is wrong.
    Unclear,
}

/// Searches it, for a target that was reached; `hops` are those of the way to it.
pub(super) async fn search(prober: Arc<Prober>, hops: &[Hop]) -> Option<PathMtu> {
    let target = hops.last()?;
    let slowest = target
        .routers
        .iter()
        .filter_map(|router| router.times)
        .map(|times| times.max);
    let options = prober.options();
    let timeout = slowest.max().unwrap_or_default() * SLOWER;
    let search = Search {
        timeout: timeout.max(TIMEOUT_LEAST).min(options.timeout),
        short: options.size,
        together: if options.protocol == Protocol::Icmp {
            TOGETHER
        } else {
            1
        },
        hops,
        prober,
    };
    Some(search.run().await)
}

struct Search<'h> {
    prober: Arc<Prober>,
    hops: &'h [Hop],
    timeout: Duration,
    /// A length that is known to come through.
    short: u16,
    together: usize,
}

impl Search<'_> {
    async fn run(self) -> PathMtu {
        let mut limit = MtuLimit::Interface;
        let mut length = local_mtu(self.prober.to).unwrap_or(ETHERNET);
        for _ in 0..STEPS_MOST {
            if length <= self.short {
                break;
            }
            match self.fate(length).await {
                Fate::Passes => return PathMtu { bytes: length, limit },
                Fate::Vanishes => return self.black_hole(length).await,
                Fate::Unclear => return self.only_short(MtuLimit::Unknown),
                Fate::Refused { by, mtu } => {
                    let hop = self.hops.iter().find(|hop| hop.has(by)).map(|hop| hop.hop);
                    limit = MtuLimit::Router { address: by, hop };
                    // Old routers do not say what would pass.
                    let said = u16::try_from(mtu).ok().filter(|mtu| (1..length).contains(mtu));
                    length = said.unwrap_or_else(|| usual_below(length));
                }
            }
        }
        self.only_short(limit)
    }

    const fn only_short(&self, limit: MtuLimit) -> PathMtu {
        PathMtu {
            bytes: self.short,
            limit,
        }
    }

    /// Between what passes and `vanishes`, there is the length from which on packets vanish.
    async fn black_hole(&self, vanishes: u16) -> PathMtu {
        let mut bracket = Bracket {
            passes: self.short,
            fails: vanishes,
        };
        loop {
            let lengths = bracket.lengths(self.together);
            if lengths.is_empty() {
                break;
            }
            for (length, fate) in self.fates(&lengths).await {
                match fate {
                    Fate::Passes => bracket.passes = bracket.passes.max(length),
                    Fate::Vanishes | Fate::Refused { .. } => bracket.fails = bracket.fails.min(length),
                    Fate::Unclear => {
                        return PathMtu {
                            bytes: bracket.passes,
                            limit: MtuLimit::Unknown,
                        };
                    }
                }
            }
            // A longer one that came through shows that a shorter one was lost for another reason.
            bracket.fails = bracket.fails.max(bracket.passes + 1);
        }
        PathMtu {
            bytes: bracket.passes,
            limit: self.locate(bracket.fails).await,
        }
    }

    async fn fates(&self, lengths: &[u16]) -> Vec<(u16, Fate)> {
        let mut fates = Vec::with_capacity(lengths.len());
        let mut asked = JoinSet::new();
        for length in lengths.iter().copied() {
            let asking = self.asking();
            asked.spawn(async move { (length, asking.fate(length).await) });
        }
        while let Some(Ok(fate)) = asked.join_next().await {
            fates.push(fate);
        }
        fates
    }

    async fn fate(&self, length: u16) -> Fate {
        self.asking().fate(length).await
    }

    fn asking(&self) -> Asking {
        Asking {
            prober: Arc::clone(&self.prober),
            timeout: self.timeout,
            short: self.short,
            end: self.prober.options().max_hops,
            is_shy: self.together == 1,
        }
    }

    /// Behind which router packets of that length vanish.
    async fn locate(&self, length: u16) -> MtuLimit {
        let mut asked = JoinSet::new();
        let Some((target, routers)) = self.hops.split_last() else {
            return MtuLimit::Unknown;
        };
        for hop in routers.iter().filter(|hop| !hop.routers.is_empty()).map(|hop| hop.hop) {
            let asking = self.asking();
            asked.spawn(async move { (hop, asking.first_answer(length, hop).await) });
        }
        let mut behind: Option<Place> = None;
        while let Some(Ok((hop, answer))) = asked.join_next().await {
            if let Some(answer) = answer.filter(|_| behind.is_none_or(|place| place.hop < hop)) {
                let address = answer.by;
                behind = Some(Place { hop, address });
            }
        }
        let heard = routers.iter().chain([target]);
        let mut beyond = heard.filter(|hop| behind.is_none_or(|place| place.hop < hop.hop));
        let before = beyond.find_map(|hop| {
            let address = hop.routers.first()?.address;
            Some(Place { hop: hop.hop, address })
        });
        before.map_or(MtuLimit::Unknown, |before| MtuLimit::BlackHole { behind, before })
    }
}

/// What it takes to ask about one length.
struct Asking {
    prober: Arc<Prober>,
    timeout: Duration,
    short: u16,
    /// Further than the target.
    end: u8,
    is_shy: bool,
}

impl Asking {
    async fn fate(&self, length: u16) -> Fate {
        let mut vanished = 0;
        for _ in 0..ROUNDS_MOST {
            if let Some(answer) = self.first_answer(length, self.end).await {
                return match answer.reason {
                    None => Fate::Passes,
                    Some(Reason::TooBig { mtu }) => Fate::Refused { by: answer.by, mtu },
                    Some(_) => Fate::Unclear,
                };
            }
            // It vanished for its length only if a short one does not, and more than once.
            let control = self.first_answer(self.short, self.end).await;
            let is_heard = matches!(control, Some(Answer { reason: None, .. }));
            vanished += u32::from(is_heard);
            if vanished >= SURE {
                return Fate::Vanishes;
            }
            // What such a host says next has to be about the long one.
            if self.is_shy || !is_heard {
                sleep(REST).await;
            }
        }
        Fate::Unclear
    }

    /// What comes of packets of that length: one, and where more would be answered two more if nothing comes.
    async fn first_answer(&self, length: u16, ttl: u8) -> Option<Answer> {
        let first = self.shoot(length, ttl, 0).await;
        if first.is_some() || self.is_shy {
            return first;
        }
        let (second, third) = tokio::join!(self.shoot(length, ttl, 1), self.shoot(length, ttl, 2));
        second.or(third)
    }

    async fn shoot(&self, length: u16, ttl: u8, which: u16) -> Option<Answer> {
        let shot = Shot {
            flow: 0,
            ttl,
            // Several lengths to one hop are under way at a time, or one length to several.
            number: (length ^ which << 14).wrapping_add(ttl.into()),
            size: length,
            timeout: self.timeout,
        };
        match self.prober.shoot(shot).await {
            Seen::Answer(answer) => Some(answer),
            _ => None,
        }
    }
}
