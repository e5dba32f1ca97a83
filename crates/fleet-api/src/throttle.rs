//! So many requests a minute from one address, or of one agent.
use chrono::{DateTime, TimeDelta, Utc};
use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// So many addresses or agents are counted at once.
const COUNTED: usize = 10_000;

/// Counts requests by who makes them, a minute at a time.
pub(crate) struct Throttle<K = IpAddr> {
    per_minute: u32,
    counts: Mutex<HashMap<K, Count>>,
}

struct Count {
    since: DateTime<Utc>,
    requests: u32,
}

impl Throttle {
    /// Whether one more may pass of the network of `peer`; else how long until it may.
    pub(crate) fn pass(&self, peer: IpAddr, now: DateTime<Utc>) -> Result<(), Duration> {
        self.pass_one(network(peer), now)
    }
}

impl<K: Copy + Eq + Hash> Throttle<K> {
    pub(crate) fn new(per_minute: u32) -> Self {
        Self {
            per_minute,
            counts: Mutex::new(HashMap::new()),
        }
    }

    /// Whether one more may pass; else how long until it may.
    pub(crate) fn pass_one(&self, who: K, now: DateTime<Utc>) -> Result<(), Duration> {
        let minute = TimeDelta::minutes(1);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if !counts.contains_key(&who) && counts.len() >= COUNTED {
            counts.retain(|_, count| now - count.since < minute);
            if counts.len() >= COUNTED {
                // So many addresses within one minute are an attack. Starting to count anew lets through a few more of
                // its requests; looking for the oldest each time would let it burn the processor.
                counts.clear();
            }
        }
        let count = counts.entry(who).or_insert(Count {
            since: now,
            requests: 0,
        });
        // A clock set back must not lock anybody out until it has caught up.
        if now - count.since >= minute || now < count.since {
            *count = Count {
                since: now,
                requests: 0,
            };
        }
        if count.requests >= self.per_minute {
            return Err((count.since + minute - now).to_std().unwrap_or_default());
        }
        count.requests += 1;
        Ok(())
    }
}

/// Who holds an IPv6 address commonly holds its whole /64.
pub(crate) fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_network_has_its_own_minute_and_memory_is_bounded() {
        let at = |seconds: i64| DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap();
        let peer = |text: &str| text.parse::<IpAddr>().unwrap();
        let throttle = Throttle::new(2);
        assert!(throttle.pass(peer("192.0.2.1"), at(0)).is_ok());
        assert!(throttle.pass(peer("::ffff:192.0.2.1"), at(1)).is_ok());
        assert_eq!(throttle.pass(peer("192.0.2.1"), at(20)), Err(Duration::from_secs(40)));
        assert!(throttle.pass(peer("192.0.2.2"), at(20)).is_ok());
        assert!(throttle.pass(peer("192.0.2.1"), at(60)).is_ok());
        assert!(throttle.pass(peer("2001:db8::1"), at(60)).is_ok());
        assert!(throttle.pass(peer("2001:db8::2"), at(60)).is_ok());
        assert!(throttle.pass(peer("2001:db8::3"), at(60)).is_err());
        for n in 0..30_000u32 {
            assert!(throttle.pass(IpAddr::V4(n.into()), at(61)).is_ok());
        }
        assert!(throttle.counts.lock().unwrap().len() <= COUNTED);
    }
}
