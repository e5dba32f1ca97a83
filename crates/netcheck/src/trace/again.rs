//! Which probes are worth another try: routers and hosts say only so often what they have to say, six times at once and then once a
//! second where Linux is left as it comes (`icmp_ratelimit` of icmp(7)). So many flows at once leave some of them without an answer.
use super::{options::Protocol, walk::Walk};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// After so long, somebody may say something again.
pub(super) const REST: Duration = Duration::from_millis(1050);
/// So often a hop is tried again for one flow.
const TRIES_MOST: u32 = 2;
/// So often any is: 64 flows would take a minute.
pub(super) const ROUNDS_MOST: u32 = 20;

/// What was tried again, and how often.
#[derive(Debug, Default)]
pub(super) struct Again {
    tries: BTreeMap<(u16, u8), u32>,
}

impl Again {
    /// Flows and hops to be probed again now: each hop for one flow, and by TCP each flow at one hop. By UDP the target itself says only
    /// now and then that it was reached, so that it may be nearer than it seems.
    pub(super) fn next(&mut self, walks: &[Walk], first: u8, protocol: Protocol) -> Vec<(u16, u8)> {
        let is_shy = matches!(protocol, Protocol::Udp { .. });
        let is_serial = matches!(protocol, Protocol::Tcp { .. });
        let furthest = walks.iter().filter_map(|walk| walk.end).max();
        let mut hops = BTreeSet::new();
        let mut chosen = Vec::new();
        for (flow, walk) in (0_u16..).zip(walks) {
            let last = match walk.end {
                Some(end) => end - 1,
                None => furthest.unwrap_or(0),
            };
            for hop in first..=last {
                let is_silent = !walk.is_heard(hop);
                let is_known = || walks.iter().any(|other| other.is_heard(hop));
                let may_be_end = || is_shy && walk.end == Some(hop + 1);
                let tries = self.tries.get(&(flow, hop)).copied().unwrap_or(0);
                if is_silent && tries < TRIES_MOST && (is_known() || may_be_end()) && hops.insert(hop) {
                    chosen.push((flow, hop));
                    if is_serial {
                        break;
                    }
                }
            }
        }
        for one in &chosen {
            *self.tries.entry(*one).or_default() += 1;
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::prober::{Answer, Seen},
        *,
    };
    use crate::icmp::Reason;

    fn walk(heard: &[u8], length: u8, is_ended: bool) -> Walk {
        let mut walk = Walk::default();
        for hop in 1..=length {
            walk.hops.insert(hop, vec![Seen::Nothing]);
        }
        for hop in heard {
            let by = [192, 0, 2, *hop].into();
            let (rtt, mpls) = (Duration::from_millis(1), Vec::new());
            let reason = Some(Reason::TimeExceeded);
            walk.saw(*hop, Seen::Answer(Answer { by, rtt, reason, mpls }));
        }
        walk.end = is_ended.then_some(length);
        walk
    }

    #[test]
    fn who_answered_another_flow_is_asked_again_one_flow_at_a_time() {
        let walks = [walk(&[1, 2, 4], 4, true), walk(&[2, 4], 4, true), walk(&[4], 4, true)];
        let mut again = Again::default();
        // Hop 3 is silent to all of them.
        assert_eq!(again.next(&walks, 1, Protocol::Icmp), [(1, 1), (2, 2)]);
        assert_eq!(again.next(&walks, 1, Protocol::Icmp), [(1, 1), (2, 2)]);
        assert_eq!(again.next(&walks, 1, Protocol::Icmp), [(2, 1)]);
        assert_eq!(again.next(&walks, 1, Protocol::Icmp), [(2, 1)]);
        assert_eq!(again.next(&walks, 1, Protocol::Icmp), []);
    }

    #[test]
    fn a_flow_that_heard_nothing_is_tried_as_far_as_the_others_came() {
        let walks = [walk(&[1, 2], 2, true), walk(&[], 1, false)];
        assert_eq!(Again::default().next(&walks, 1, Protocol::Icmp), [(1, 1), (1, 2)]);
        // One attempt at a time.
        assert_eq!(Again::default().next(&walks, 1, Protocol::Tcp { port: 1 }), [(1, 1)]);
    }

    #[test]
    fn a_shy_target_may_be_nearer() {
        let walks = [walk(&[1, 4], 4, true)];
        assert_eq!(Again::default().next(&walks, 1, Protocol::Icmp), []);
        assert_eq!(Again::default().next(&walks, 1, Protocol::Udp { port: 1 }), [(0, 3)]);
    }
}
