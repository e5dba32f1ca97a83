//! Which transport is next, and how long to wait for it. Pure: instants and random bits are handed in.
use super::{connection::End, settings::LinkSettings, status::Transport};
use std::time::Duration;
use tokio::time::Instant;

/// After so many sockets that opened and were never welcomed, something on the way is taken to let none live.
const MUTE_SOCKETS: u32 = 3;

#[derive(Debug, Default)]
pub(super) struct Tries {
    failures: u32,
    mute_sockets: u32,
    polling_until: Option<Instant>,
}

impl Tries {
    pub(super) fn transport(&mut self, now: Instant) -> Transport {
        if self.polling_until.is_some_and(|until| now < until) {
            Transport::Polling
        } else {
            self.polling_until = None;
            Transport::WebSocket
        }
    }

    pub(super) const fn polling_until(&self) -> Option<Instant> {
        self.polling_until
    }

    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }

    /// Learns from the end of a connection, which `lasted` so long if it was welcomed at all, and says how long to wait.
    pub(super) fn after(
        &mut self,
        end: &End,
        transport: Transport,
        lasted: Option<Duration>,
        settings: &LinkSettings,
        random: u64,
    ) -> Duration {
        if lasted.is_some_and(|lasted| lasted >= settings.settled_after) {
            self.failures = 0;
        }
        if lasted.is_some() {
            self.mute_sockets = 0;
        }
        let failure = match end {
            End::Stopped | End::SocketDue | End::KeyRenewed => return Duration::ZERO,
            // It may be wanted again and again by mistake.
            End::HelloWanted => return self.failed(settings, random),
            End::SentAway(goaway) => {
                let within = Duration::from_secs(goaway.within_secs.into());
                let spread = share(within, random);
                return match goaway.reason.as_str() {
                    "revoked" => refused(settings, random).max(spread),
                    // Somebody else has this agent's key. Two that push each other out must not do it in a hurry.
                    "superseded" => self.failed(settings, random).max(spread),
                    // Not before an original that is gone by now counts as gone, too.
                    "cloned" => self.failed(settings, random).max(within + spread / 4),
                    _ => spread,
                };
            }
            End::Failed(failure) => failure,
        };
        if failure.is_refusal() {
            return refused(settings, random);
        }
        match transport {
            Transport::WebSocket if self.should_poll(failure, lasted) => {
                self.polling_until = Some(Instant::now() + settings.socket_again_after);
                return Duration::ZERO;
            }
            // Neither way works: the socket comes first again.
            Transport::Polling if lasted.is_none() => self.polling_until = None,
            _ => {}
        }
        let backoff = self.failed(settings, random);
        failure.retry_after().map_or(backoff, |asked| asked + backoff)
    }

    fn should_poll(&mut self, failure: &super::LinkError, lasted: Option<Duration>) -> bool {
        let is_mute = lasted.is_none()
            && matches!(
                failure,
                super::LinkError::NoWelcome { .. } | super::LinkError::Socket(_)
            );
        self.mute_sockets += u32::from(is_mute);
        if failure.is_in_the_way() || self.mute_sockets >= MUTE_SOCKETS {
            self.mute_sockets = 0;
            return true;
        }
        false
    }

    fn failed(&mut self, settings: &LinkSettings, random: u64) -> Duration {
        let wait = settings.backoff.wait(self.failures, random);
        self.failures = self.failures.saturating_add(1);
        wait
    }
}

/// Only a person can help, and that takes its time.
fn refused(settings: &LinkSettings, random: u64) -> Duration {
    let half = settings.refused_every / 2;
    half + share(half, random)
}

/// A part of `whole` at random.
fn share(whole: Duration, random: u64) -> Duration {
    whole.mul_f64(random as f64 / u64::MAX as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::LinkError;
    use fleet_wire::link::GoAway;
    use proptest::prelude::*;

    fn mute() -> End {
        End::Failed(LinkError::NoWelcome { within: Duration::ZERO })
    }

    fn sent_away(within_secs: u32, reason: &str) -> End {
        End::SentAway(GoAway {
            within_secs,
            reason: reason.to_owned(),
            detail: String::new(),
        })
    }

    fn refused_key() -> End {
        End::Failed(LinkError::Unauthorized("401".into()))
    }

    proptest! {
        #[test]
        fn waits_grow_with_full_jitter_up_to_the_longest(randoms in prop::collection::vec(any::<u64>(), 1..40)) {
            let settings = LinkSettings::default();
            let mut tries = Tries::default();
            for (number, random) in (0..).zip(randoms) {
                let ceiling = settings.backoff.ceiling(number);
                let wait = tries.after(&mute(), Transport::Polling, None, &settings, random);
                prop_assert!(wait <= ceiling && ceiling <= settings.backoff.longest);
                prop_assert_eq!(wait, settings.backoff.wait(number, random), "uniform from nothing to the ceiling");
            }
        }

        #[test]
        fn who_is_sent_away_comes_back_within_the_window(within_secs in 0..100_000_u32, random: u64) {
            let wait = Tries::default().after(
                &sent_away(within_secs, "shutdown"), Transport::WebSocket, Some(Duration::ZERO), &LinkSettings::default(), random,
            );
            prop_assert!(wait <= Duration::from_secs(within_secs.into()));
        }

        #[test]
        fn a_refused_key_is_never_hurried(random: u64, failures in 0..20) {
            let settings = LinkSettings::default();
            let mut tries = Tries::default();
            for _ in 0..failures {
                tries.after(&mute(), Transport::Polling, None, &settings, random);
            }
            for end in [refused_key(), sent_away(0, "revoked")] {
                let wait = tries.after(&end, Transport::WebSocket, None, &settings, random);
                prop_assert!((settings.refused_every / 2..=settings.refused_every).contains(&wait), "{wait:?}");
            }
        }
    }

    #[test]
    fn a_crowd_that_is_sent_away_spreads_over_the_window() {
        let settings = LinkSettings::default();
        let mut seconds = std::collections::BTreeSet::new();
        for number in 0..100 {
            let random = u64::MAX / 100 * number;
            let wait = Tries::default().after(
                &sent_away(50, "shutdown"),
                Transport::WebSocket,
                None,
                &settings,
                random,
            );
            seconds.insert(wait.as_secs());
        }
        assert_eq!(seconds.len(), 50);
    }

    #[test]
    fn two_with_one_key_push_each_other_out_ever_more_slowly() {
        let settings = LinkSettings::default();
        let mut tries = Tries::default();
        let brief = Some(Duration::from_secs(1));
        let mut push = || {
            tries.after(
                &sent_away(0, "superseded"),
                Transport::WebSocket,
                brief,
                &settings,
                u64::MAX,
            )
        };
        let first = push();
        assert!(
            (0..10)
                .map(|_| push())
                .last()
                .is_some_and(|last| last == settings.backoff.longest && last > first)
        );
    }

    #[test]
    fn a_connection_that_lasted_makes_good_what_failed_before() {
        let settings = LinkSettings::default();
        let mut tries = Tries::default();
        for _ in 0..5 {
            tries.after(&mute(), Transport::Polling, None, &settings, 0);
        }
        tries.after(
            &mute(),
            Transport::WebSocket,
            Some(Duration::from_secs(1)),
            &settings,
            0,
        );
        assert_eq!(tries.failures(), 6, "one that broke at once makes nothing good");
        tries.after(
            &mute(),
            Transport::WebSocket,
            Some(settings.settled_after),
            &settings,
            0,
        );
        assert_eq!(tries.failures(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_polled_for_as_long_as_it_should_be() {
        let settings = LinkSettings::default();
        let mut tries = Tries::default();
        for _ in 0..MUTE_SOCKETS {
            assert_eq!(tries.transport(Instant::now()), Transport::WebSocket);
            tries.after(&mute(), Transport::WebSocket, None, &settings, 0);
        }
        assert_eq!(tries.transport(Instant::now()), Transport::Polling);
        // A poll that fails after others went well is no reason to turn back.
        let lasted = Some(Duration::from_secs(5));
        tries.after(&mute(), Transport::Polling, lasted, &settings, 0);
        assert_eq!(tries.transport(Instant::now()), Transport::Polling);
        tokio::time::advance(settings.socket_again_after).await;
        assert_eq!(tries.transport(Instant::now()), Transport::WebSocket);
    }
}
