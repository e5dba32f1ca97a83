//! From what each probe saw to what a trace found.
use super::{
    options::TraceOptions,
    prober::{Answer, Seen},
    report::{Hop, Path, Router},
    walk::Walk,
};
use crate::{
    Failure, FailureKind,
    icmp::Reason,
    measure::{jitter, times},
    reach,
};
use std::{collections::BTreeMap, net::IpAddr};

/// Each hop, over all flows.
pub(super) fn hops(walks: &[Walk]) -> Vec<Hop> {
    let mut all: BTreeMap<u8, Vec<&Seen>> = BTreeMap::new();
    for (hop, seen) in walks.iter().flat_map(|walk| &walk.hops) {
        all.entry(*hop).or_default().extend(seen);
    }
    let mut hops: Vec<Hop> = all.into_iter().map(|(number, seen)| hop(number, &seen)).collect();
    let mut least: Option<f64> = None;
    for hop in hops.iter_mut().rev() {
        least = match (hop.silence, least) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        hop.loss = least;
    }
    hops
}

fn hop(number: u8, seen: &[&Seen]) -> Hop {
    let mut hop = Hop {
        hop: number,
        ..Hop::default()
    };
    let mut heard: Vec<(IpAddr, Vec<&Answer>)> = Vec::new();
    for seen in seen {
        hop.sent += u32::from(!matches!(seen, Seen::Unsent(_)));
        match seen {
            Seen::Answer(answer) => {
                hop.answered += 1;
                match heard.iter_mut().find(|(by, _)| *by == answer.by) {
                    Some((_, answers)) => answers.push(answer),
                    None => heard.push((answer.by, vec![answer])),
                }
            }
            Seen::Nothing => hop.lost += 1,
            Seen::Unknown(_) | Seen::Untold => hop.unknown += 1,
            Seen::Unsent(_) => {}
        }
    }
    let known = hop.answered + hop.lost;
    hop.silence = (known > 0).then(|| f64::from(hop.lost) / f64::from(known));
    hop.routers = heard.into_iter().map(|(by, answers)| router(by, &answers)).collect();
    hop
}

fn router(address: IpAddr, answers: &[&Answer]) -> Router {
    // Who refuses may take long to find that out: that is no time of the way.
    let is_timed = |answer: &&&Answer| matches!(answer.reason, None | Some(Reason::TimeExceeded));
    let is_any_timed = answers.iter().any(|answer| is_timed(&answer));
    let timed = answers.iter().filter(move |answer| !is_any_timed || is_timed(answer));
    let took = || timed.clone().map(|answer| answer.rtt);
    let mut said = answers.iter().filter_map(|answer| answer.reason);
    let labelled = answers.iter().rev().find(|answer| !answer.mpls.is_empty());
    Router {
        address,
        name: None,
        answered: answers.len() as u32,
        times: times(took()),
        jitter: jitter(took()),
        said: said.find(|reason| *reason != Reason::TimeExceeded),
        mpls: labelled.map(|answer| answer.mpls.clone()).unwrap_or_default(),
    }
}

/// The ways that the flows took.
pub(super) fn paths(walks: &[Walk], target: IpAddr) -> Vec<Path> {
    let mut paths: Vec<Path> = Vec::new();
    // A flow that was not sent took no way.
    for (flow, walk) in (0_u16..).zip(walks).filter(|(_, walk)| walk.unsent().is_none()) {
        let path = path(flow, walk, target);
        let same = paths.iter_mut().find(|known| is_same(known, &path));
        match same {
            Some(known) => join(known, path),
            None => paths.push(path),
        }
    }
    let losses: Vec<Option<f64>> = paths.iter().map(|path| loss(&path.flows, walks)).collect();
    for (path, loss) in paths.iter_mut().zip(losses) {
        path.loss = loss;
    }
    paths
}

fn path(flow: u16, walk: &Walk, target: IpAddr) -> Path {
    // The first that answered: a way that changed meanwhile shows among the routers of the hop.
    let first = |seen: &Vec<Seen>| -> Option<IpAddr> {
        seen.iter().find_map(|seen| match seen {
            // Who refuses may stand nearer than where the probe was to end.
            Seen::Answer(answer) if answer.is_of(target) || answer.reason == Some(Reason::TimeExceeded) => {
                Some(answer.by)
            }
            _ => None,
        })
    };
    let ends = walk.hops.first_key_value().zip(walk.hops.last_key_value());
    let hops = ends.map(|((first, _), (last, _))| *first..=*last).into_iter().flatten();
    let mut routers: Vec<Option<IpAddr>> = hops.map(|hop| walk.hops.get(&hop).and_then(first)).collect();
    let reached = walk.has_reached(target);
    let seen = walk.hops.last_key_value().into_iter().flat_map(|(_, seen)| seen);
    let by = seen.into_iter().find_map(|seen| match seen {
        Seen::Answer(answer) if answer.is_of(target) => Some(answer.by),
        _ => None,
    });
    if let Some((last, by)) = routers.last_mut().zip(by).filter(|_| reached) {
        // Where a router sends each packet another way, others may have answered at the target's hop before it.
        *last = Some(by);
    }
    Path {
        flows: vec![flow],
        reached,
        routers,
        loss: None,
        loss_is_upper_bound: false,
    }
}

/// Where both were heard, it was the same router. One of them may be longer if nobody was heard in what is longer but the target,
/// which may not have been heard where it is.
fn is_same(one: &Path, two: &Path) -> bool {
    let (short, long) = if one.routers.len() <= two.routers.len() {
        (one, two)
    } else {
        (two, one)
    };
    let beyond = long.routers.iter().skip(short.routers.len().saturating_sub(1));
    let heard_beyond = beyond.flatten().count();
    let is_as_long = one.routers.len() == two.routers.len() || heard_beyond <= 1 || !one.reached;
    let both = short.routers.iter().zip(&long.routers);
    let is_one = both
        .into_iter()
        .all(|(one, two)| one.is_none() || two.is_none() || one == two);
    is_as_long && one.reached == two.reached && is_one
}

fn join(known: &mut Path, other: Path) {
    known.flows.extend(other.flows);
    let nearer = known.routers.len().min(other.routers.len());
    if known.reached && other.routers.len() < known.routers.len() {
        // The nearer end is the end.
        known.routers.truncate(nearer);
        if let Some(last) = known.routers.last_mut() {
            *last = None;
        }
    }
    let (is_open, length) = (!known.reached, known.routers.len());
    for (at, router) in other.routers.into_iter().enumerate() {
        match known.routers.get_mut(at) {
            Some(known) => *known = known.or(router),
            None if is_open && at >= length => known.routers.push(router),
            None => {}
        }
    }
}

fn loss(flows: &[u16], walks: &[Walk]) -> Option<f64> {
    let (mut answered, mut lost) = (0_u32, 0_u32);
    let walks = flows.iter().filter_map(|flow| walks.get(usize::from(*flow)));
    for seen in walks
        .filter_map(|walk| walk.hops.last_key_value())
        .flat_map(|(_, seen)| seen)
    {
        answered += u32::from(matches!(seen, Seen::Answer(_)));
        lost += u32::from(*seen == Seen::Nothing);
    }
    let known = answered + lost;
    (known > 0).then(|| f64::from(lost) / f64::from(known))
}

/// Why the target was not reached.
pub(super) fn why(target: IpAddr, walks: &[Walk], hops: &[Hop], options: &TraceOptions) -> Option<Failure> {
    let timeout = options.timeout;
    if walks.iter().any(|walk| walk.has_reached(target)) {
        return None;
    }
    let all = walks.iter().flat_map(|walk| walk.hops.values()).flatten();
    let unsent = walks.iter().find_map(Walk::unsent).cloned();
    let refused = || {
        let (hop, router, reason) = hops.iter().find_map(|hop| {
            hop.routers
                .iter()
                .find_map(|router| Some((hop.hop, router.address, router.said?)))
        })?;
        let kind = if matches!(reason, Reason::TooBig { .. }) {
            FailureKind::TooLarge
        } else {
            FailureKind::Unreachable
        };
        let said = reach::said(router, target, reason, &format!("{router}, at hop {hop},"));
        Some(Failure::new(kind, said))
    };
    let circle = || {
        let (from, to, router) = circle(hops)?;
        let detail = format!("the way to {target} is a circle: {router} is at hop {from} and again at hop {to}");
        Some(Failure::new(FailureKind::Unreachable, detail))
    };
    let doubted = || {
        let doubt = all.clone().find_map(|seen| match seen {
            Seen::Unknown(doubt) => Some(doubt.words()),
            _ => None,
        })?;
        let detail = format!("whether {target} answers is not known: {doubt}");
        Some(Failure::new(FailureKind::System, detail))
    };
    let silent = || {
        let heard = hops
            .iter()
            .rev()
            .find_map(|hop| Some((hop.hop, hop.routers.first()?.address)));
        let detail = match heard {
            Some((hop, router)) if hop >= options.max_hops => format!(
                "{target} is further away than {hop} hops, where {router} answers, and it was not looked further: allow more hops"
            ),
            Some((hop, router)) => format!(
                "{target} does not answer: the way was seen to hop {hop}, {router}, and nobody behind it says anything within {timeout:?}"
            ),
            None => format!("neither {target} nor anybody on the way to it answers within {timeout:?}"),
        };
        Failure::new(FailureKind::TimedOut, detail)
    };
    Some(
        unsent
            .or_else(refused)
            .or_else(circle)
            .or_else(doubted)
            .unwrap_or_else(silent),
    )
}

/// A router that is at two hops, with another between them.
fn circle(hops: &[Hop]) -> Option<(u8, u8, IpAddr)> {
    hops.iter().enumerate().find_map(|(at, first)| {
        let router = first.routers.first()?.address;
        let is_other = |hop: &Hop| hop.routers.first().is_some_and(|other| other.address != router);
        let behind = hops[at + 1..].iter().skip_while(|hop| !is_other(hop));
        let again = behind.into_iter().find(|hop| hop.has(router))?;
        Some((first.hop, again.hop, router))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const TARGET: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 9));

    fn at(host: u8) -> IpAddr {
        std::net::Ipv4Addr::new(198, 51, 100, host).into()
    }

    fn answer(by: IpAddr, reason: Option<Reason>) -> Seen {
        Seen::Answer(Answer {
            by,
            rtt: Duration::from_millis(1),
            reason,
            mpls: Vec::new(),
        })
    }

    fn passed(host: u8) -> Seen {
        answer(at(host), Some(Reason::TimeExceeded))
    }

    fn walk(hops: Vec<Vec<Seen>>, is_ended: bool) -> Walk {
        let end = is_ended.then_some(hops.len() as u8);
        let hops = (1..).zip(hops).collect();
        Walk { hops, end }
    }

    #[test]
    fn flows_of_one_way_are_one_path_and_silence_tells_none_apart() {
        let end = || vec![answer(TARGET, None)];
        let walks = [
            walk(vec![vec![passed(1)], vec![passed(2)], end()], true),
            walk(vec![vec![passed(1)], vec![passed(3)], end()], true),
            walk(
                vec![
                    vec![passed(1)],
                    vec![Seen::Nothing],
                    vec![Seen::Nothing, answer(TARGET, None)],
                ],
                true,
            ),
            walk(vec![vec![passed(1)], vec![passed(3)], vec![passed(4)], end()], true),
        ];
        let paths = paths(&walks, TARGET);
        let flows: Vec<&[u16]> = paths.iter().map(|path| path.flows.as_slice()).collect();
        assert_eq!(flows, [&[0, 2][..], &[1], &[3]]);
        assert_eq!(paths[0].routers, [Some(at(1)), Some(at(2)), Some(TARGET)]);
        assert_eq!((paths[0].loss, paths[1].loss), (Some(1.0 / 3.0), Some(0.0)));
        let hops = hops(&walks);
        let routers: Vec<usize> = hops.iter().map(|hop| hop.routers.len()).collect();
        assert_eq!(routers, [1, 2, 2, 1]);
        assert_eq!((hops[1].sent, hops[1].answered, hops[1].silence), (4, 3, Some(0.25)));
        // Nothing is lost beyond the last, so nothing was before it.
        assert!(hops.iter().all(|hop| hop.loss == Some(0.0)), "{hops:?}");
    }

    #[test]
    fn a_way_to_the_target_ends_there_whoever_else_answers_at_its_hop() {
        let mixed = vec![passed(2), answer(TARGET, None)];
        let paths = paths(&[walk(vec![vec![passed(1)], mixed], true)], TARGET);
        assert_eq!((paths[0].reached, paths[0].routers.last()), (true, Some(&Some(TARGET))));
    }

    #[test]
    fn where_a_way_ends_is_told_by_what_says_most() {
        let told = |hops: Vec<Vec<Seen>>, is_ended| {
            let walks = [walk(hops, is_ended)];
            let options = TraceOptions {
                max_hops: 6,
                ..TraceOptions::default()
            };
            why(TARGET, &walks, &super::hops(&walks), &options).unwrap()
        };
        let silent = told(vec![vec![passed(1)], vec![Seen::Nothing]], false);
        assert_eq!(silent.kind, FailureKind::TimedOut);
        assert!(silent.detail.contains("to hop 1, 198.51.100.1,"), "{silent}");
        let short = told((1..=6).map(|host| vec![passed(host)]).collect(), false);
        assert!(short.detail.contains("further away than 6 hops"), "{short}");
        let deaf = told(vec![vec![Seen::Nothing]], false);
        assert!(deaf.detail.starts_with("neither 192.0.2.9 nor anybody"), "{deaf}");
        let refused = told(
            vec![
                vec![passed(1)],
                vec![Seen::Nothing, answer(at(2), Some(Reason::Prohibited))],
            ],
            true,
        );
        assert_eq!(refused.kind, FailureKind::Unreachable);
        assert!(
            refused
                .detail
                .starts_with("198.51.100.2, at hop 2, says of 192.0.2.9: "),
            "{refused}"
        );
        let circle = told(
            [1, 2, 3, 2, 3].into_iter().map(|host| vec![passed(host)]).collect(),
            false,
        );
        assert!(
            circle.detail.contains("198.51.100.2 is at hop 2 and again at hop 4"),
            "{circle}"
        );
        // The same one twice in a row is a router that counts wrong, not a circle.
        let twice = told(vec![vec![passed(1)], vec![passed(1)], vec![Seen::Nothing]], false);
        assert_eq!(twice.kind, FailureKind::TimedOut);
        let doubt = crate::Doubt::Stalled;
        assert_eq!(told(vec![vec![Seen::Unknown(doubt)]], false).kind, FailureKind::System);
        let failure = Failure::new(FailureKind::NoRoute, "no");
        assert_eq!(told(vec![vec![Seen::Unsent(failure)]], true).kind, FailureKind::NoRoute);
    }
}
