//! How a call over the path would sound: the E-model (ITU-T G.107), by the parameters of G.711 with packet loss concealment
//! (ITU-T G.113, appendix I).
use super::Bursts;
use std::time::Duration;

/// What is left of the highest rating when nothing on the path spoils it: the default of G.107.
const BEST: f64 = 93.2;
/// Loss that is concealed spoils less: the robustness of G.711 with concealment, in percent of loss (G.113, table I.4).
const ROBUSTNESS: f64 = 25.1;
/// What coding, packets of 20 ms and a buffer against jitter add to the delay of the path, at the least, in milliseconds.
const DEVICES: f64 = 25.0;

/// How a call would sound.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Quality {
    /// The transmission rating R: 0 (useless) to 93.2 (as good as a wire); above 80 people are content, below 60 almost nobody is.
    pub r_factor: f64,
    /// The mean opinion score that people would give: 1 (bad) to 4.41.
    pub mos: f64,
}

/// By the mean round trip, the jitter, and the share of packets lost (0 to 1) with their bursts. Half of the round trip is taken for
/// one way, and twice the jitter waits in the buffer.
///
/// ```
/// use netcheck::measure::{Bursts, quality};
/// use std::time::Duration;
/// let good = quality(Duration::from_millis(20), Duration::from_millis(1), 0.0, &Bursts::default());
/// assert!(good.r_factor > 90.0 && good.mos > 4.3);
/// ```
#[must_use]
pub fn quality(round_trip: Duration, jitter: Duration, loss: f64, bursts: &Bursts) -> Quality {
    let delay = round_trip.as_secs_f64() * 500.0 + jitter.as_secs_f64() * 2000.0 + DEVICES;
    let r_factor = (BEST - of_delay(delay) - of_loss(loss.clamp(0.0, 1.0) * 100.0, bursts)).clamp(0.0, BEST);
    Quality {
        r_factor,
        mos: score(r_factor),
    }
}

/// What delay spoils, in milliseconds of one way: nothing that matters up to 177.3 (the short form of Cole and Rosenbluth, 2001).
fn of_delay(milliseconds: f64) -> f64 {
    0.024 * milliseconds + 0.11 * (milliseconds - 177.3).max(0.0)
}

/// What loss spoils, in percent: more when it comes in bursts (G.107, section 7.2, with an equipment factor of 0).
fn of_loss(percent: f64, bursts: &Bursts) -> f64 {
    if percent <= 0.0 {
        return 0.0;
    }
    // How long bursts are, compared with loss by chance alone of the same share.
    let by_chance = 1.0 / (1.0 - percent / 100.0).max(0.01);
    let ratio = (bursts.mean / by_chance).max(1.0);
    95.0 * percent / (percent / ratio + ROBUSTNESS)
}

/// G.107, annex B.
fn score(r_factor: f64) -> f64 {
    let score = 1.0 + 0.035 * r_factor + r_factor * (r_factor - 60.0) * (100.0 - r_factor) * 7e-6;
    score.clamp(1.0, 4.5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(round_trip: u64, loss: f64, mean: f64) -> Quality {
        let bursts = Bursts {
            mean,
            ..Bursts::default()
        };
        quality(Duration::from_millis(round_trip), Duration::ZERO, loss, &bursts)
    }

    #[test]
    fn ratings_are_those_of_the_recommendation() {
        // G.107, annex B: R of 93.2 is 4.41, 80 is 4.03, 70 is 3.60, 60 is 3.10, 50 is 2.58.
        for (r_factor, mos) in [(93.2, 4.41), (80.0, 4.03), (70.0, 3.60), (60.0, 3.10), (50.0, 2.58)] {
            assert!((score(r_factor) - mos).abs() < 0.01, "{r_factor}: {}", score(r_factor));
        }
        // One percent by chance costs 95 / 26.1.
        let (clean, lossy) = (of(20, 0.0, 0.0), of(20, 0.01, 1.0));
        assert!(
            (clean.r_factor - lossy.r_factor - 3.64).abs() < 0.05,
            "{clean:?} {lossy:?}"
        );
    }

    #[test]
    fn the_same_loss_in_bursts_sounds_worse() {
        assert!(of(20, 0.05, 8.0).r_factor < of(20, 0.05, 1.0).r_factor - 1.0);
        assert!(of(20, 0.9, 10.0).mos < 1.3);
    }

    proptest! {
        #[test]
        fn nothing_that_gets_worse_sounds_better(trip in 0_u64..2000, more in 0_u64..2000, loss in 0.0..1.0_f64, worse in 0.0..1.0_f64, mean in 1.0..20.0_f64) {
            let here = of(trip, loss, mean);
            prop_assert!((1.0..=4.5).contains(&here.mos) && (0.0..=BEST).contains(&here.r_factor));
            prop_assert!(of(trip + more, loss, mean).r_factor <= here.r_factor);
            // By chance: in bursts of one mean length, more loss is nearer to chance.
            prop_assert!(of(trip, (loss + worse).min(1.0), 1.0).r_factor <= of(trip, loss, 1.0).r_factor + 1e-9);
        }
    }
}
