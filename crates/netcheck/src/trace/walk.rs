//! The way of one flow: every hop to the target, each as often as was asked for.
use super::{
    discovery::{Came, Discovery},
    prober::{Prober, Seen, Shot, number},
};
use crate::Failure;
use std::{collections::BTreeMap, net::IpAddr, sync::Arc};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until, timeout_at},
};

/// So many probes of a flow are under way before another round is begun.
const FLYING_MOST: usize = 256;

/// What came of the probes of one flow.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// By hop, in the order in which answers came.
    pub(super) hops: BTreeMap<u8, Vec<Seen>>,
    /// The hop where the path ends, if that is known.
    pub(super) end: Option<u8>,
}

impl Walk {
    /// Notes what came of one more probe.
    pub(super) fn saw(&mut self, hop: u8, seen: Seen) {
        if seen.came() == Came::Ended {
            self.end = Some(self.end.map_or(hop, |end| end.min(hop)));
        }
        self.hops.entry(hop).or_default().push(seen);
    }

    /// Whether anybody answered there.
    pub(super) fn is_heard(&self, hop: u8) -> bool {
        let seen = self.hops.get(&hop).into_iter().flatten();
        seen.into_iter().any(|seen| matches!(seen, Seen::Answer(_)))
    }

    /// Puts a refusal where it belongs. A router looks at the time to live before it looks for the next one: so who refuses what comes
    /// to him is heard once as the hop that he is, and refuses all that was to go further.
    pub(super) fn settle(&mut self) {
        let Some((end, seen)) = self.end.and_then(|end| Some((end, self.hops.get(&end)?))) else {
            return;
        };
        let refused = seen.iter().find_map(|seen| match seen {
            Seen::Answer(answer) if answer.reason.is_some() => Some((answer.by, seen.clone())),
            _ => None,
        });
        let Some((by, refusal)) = refused else { return };
        let heard = |seen: &Vec<Seen>| {
            seen.iter()
                .any(|seen| matches!(seen, Seen::Answer(answer) if answer.by == by))
        };
        let first = self.hops.iter().find(|(_, seen)| heard(seen)).map(|(hop, _)| *hop);
        if let Some(hop) = first.filter(|hop| *hop < end) {
            self.hops.entry(hop).or_default().push(refusal);
            self.end = Some(hop);
            self.cut();
        }
    }

    /// Whether the target answered.
    pub(super) fn has_reached(&self, target: IpAddr) -> bool {
        let last = self.end.and_then(|end| self.hops.get(&end)).into_iter().flatten();
        last.into_iter()
            .any(|seen| matches!(seen, Seen::Answer(answer) if answer.is_of(target)))
    }

    /// Why this machine did not send it at all.
    pub(super) fn unsent(&self) -> Option<&Failure> {
        self.hops.values().flatten().find_map(|seen| match seen {
            Seen::Unsent(failure) => Some(failure),
            _ => None,
        })
    }

    /// Forgets what is beyond the end.
    pub(super) fn cut(&mut self) {
        let end = self.end;
        self.hops.retain(|hop, _| end.is_none_or(|end| *hop <= end));
    }
}

/// Walks the way of a flow.
pub(super) async fn walk(prober: Arc<Prober>, flow: u16) -> Walk {
    let mut walker = Walker {
        discovery: Discovery::new(prober.options(), prober.is_serial()),
        prober,
        flow,
        flying: JoinSet::new(),
        awaited: BTreeMap::new(),
        walk: Walk::default(),
        has_failed: false,
        is_discovering: true,
    };
    let began = Instant::now();
    walker.discover().await;
    walker.is_discovering = false;
    if !walker.has_failed {
        walker.repeat(began).await;
    }
    walker.gather().await;
    let Walker {
        discovery, mut walk, ..
    } = walker;
    walk.end = discovery.end();
    walk.hops.retain(|hop, _| discovery.hops().contains(hop));
    walk
}

struct Walker {
    prober: Arc<Prober>,
    flow: u16,
    discovery: Discovery,
    flying: JoinSet<(u8, Seen)>,
    /// How many probes of each hop are flying.
    awaited: BTreeMap<u8, u32>,
    walk: Walk,
    /// This machine cannot send what is wanted.
    has_failed: bool,
    is_discovering: bool,
}

impl Walker {
    fn shoot(&mut self, ttl: u8, round: u32) {
        let (prober, flow) = (Arc::clone(&self.prober), self.flow);
        let (size, timeout) = (prober.options().size, prober.options().timeout);
        *self.awaited.entry(ttl).or_default() += 1;
        self.flying.spawn(async move {
            let shot = Shot {
                flow,
                ttl,
                number: number(ttl, round),
                size,
                timeout,
            };
            (ttl, prober.shoot(shot).await)
        });
    }

    /// Waits for the next of those flying; false when there is none.
    async fn see(&mut self) -> bool {
        // None of them panics or is cancelled.
        let Some(Ok((ttl, seen))) = self.flying.join_next().await else {
            return false;
        };
        if let Some(awaited) = self.awaited.get_mut(&ttl) {
            *awaited -= 1;
        }
        self.has_failed |= matches!(seen, Seen::Unsent(_));
        let is_tried_again = self.discovery.saw(ttl, seen.came()) && self.is_discovering;
        if !is_tried_again {
            self.walk.saw(ttl, seen);
        }
        true
    }

    async fn discover(&mut self) {
        loop {
            while let Some(ttl) = self.discovery.next() {
                self.shoot(ttl, 0);
            }
            if self.discovery.is_over() || !self.see().await {
                return;
            }
        }
    }

    /// Every hop again, until each was probed as often as was asked for.
    async fn repeat(&mut self, began: Instant) {
        let (count, interval) = (self.prober.options().count, self.prober.options().interval);
        let mut next = began.max(Instant::now().checked_sub(interval).unwrap_or(began));
        for round in 1..count {
            next += interval;
            // Answers come meanwhile, and may show that the target is nearer.
            while !self.flying.is_empty() && matches!(timeout_at(next, self.see()).await, Ok(true)) {}
            sleep_until(next).await;
            // Where rounds come faster than they can be sent, they wait.
            while self.flying.len() >= FLYING_MOST && self.see().await {}
            let is_serial = self.discovery.is_serial();
            for ttl in self.discovery.hops() {
                // One by one, each hop that stays silent costs its whole time: once tells as much.
                if !is_serial || self.walk.is_heard(ttl) {
                    self.shoot(ttl, round);
                }
                while is_serial && self.see().await {}
            }
        }
    }

    /// Waits for what is flying to hops before the end; what flies beyond it, nobody waits for.
    async fn gather(&mut self) {
        while self.is_awaited() && self.see().await {}
        self.flying.abort_all();
    }

    fn is_awaited(&self) -> bool {
        let mut wanted = self.awaited.range(self.discovery.hops());
        wanted.any(|(_, count)| *count > 0)
    }
}
