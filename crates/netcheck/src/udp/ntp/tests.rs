//! Replies of time servers, sane and not.
use super::*;
use proptest::prelude::*;

const COOKIE: u64 = 0x0123_4567_89ab_cdef;

fn address() -> SocketAddr {
    "192.0.2.1:123".parse().unwrap()
}

/// A reply of a server whose clock reads `clock` when it answers, and who takes a millisecond for it.
fn reply(clock: SystemTime) -> [u8; LENGTH] {
    let mut packet = [0; LENGTH];
    packet[..4].copy_from_slice(&[4 << 3 | 4, 2, 6, (-20_i8) as u8]);
    packet[12..16].copy_from_slice(&[198, 51, 100, 7]);
    packet[24..32].copy_from_slice(&COOKIE.to_be_bytes());
    packet[32..40].copy_from_slice(&of_clock(clock - Duration::from_millis(1)).to_be_bytes());
    packet[40..48].copy_from_slice(&of_clock(clock).to_be_bytes());
    packet
}

fn judged(packet: &[u8], clock: SystemTime) -> Result<Option<NtpReply>, Failure> {
    judge(packet, COOKIE, address(), clock, Duration::from_millis(5))
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

/// Why it is not believed.
fn insane(packet: &[u8]) -> String {
    let failure = judged(packet, now()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Protocol);
    failure.detail
}

#[test]
fn offset_and_delay_are_told_apart() {
    let clock = now();
    // Two milliseconds there, one to answer, two back; its clock is 250 ms ahead.
    let packet = reply(clock + Duration::from_millis(250 + 3));
    let said = judged(&packet, clock).unwrap().unwrap();
    let (offset, delay) = (said.offset.unwrap(), said.delay.unwrap());
    assert!((offset - 250.0).abs() < 1e-3 && (delay - 4.0).abs() < 1e-3, "{said:?}");
    assert_eq!(
        (said.stratum, said.leap, said.reference.as_str()),
        (2, Leap::None, "198.51.100.7")
    );
    assert!((said.precision.unwrap() - 0.000_953_674).abs() < 1e-6 && said.unfit(address()).is_none());
    assert_eq!((said.root_delay, said.root_dispersion), (Some(0.0), Some(0.0)));
}

#[test]
fn the_end_of_an_era_makes_no_difference() {
    // In 2036 the seconds begin again at zero: we are still before it, the server is past it.
    let end = UNIX_EPOCH + Duration::from_secs((1 << 32) - TO_1970);
    let clock = end - Duration::from_millis(1);
    let said = judged(&reply(end + Duration::from_millis(102)), clock)
        .unwrap()
        .unwrap();
    assert!((said.offset.unwrap() - 100.0).abs() < 1e-3, "{said:?}");
}

#[test]
fn a_kiss_code_and_an_unsynchronised_clock_are_failures_with_their_reason() {
    let clock = now();
    let mut packet = reply(clock);
    packet[1] = 0;
    packet[12..16].copy_from_slice(b"RATE");
    let said = judged(&packet, clock).unwrap().unwrap();
    assert_eq!((said.kiss.as_deref(), said.offset), (Some("RATE"), None));
    assert!(
        said.unfit(address())
            .unwrap()
            .detail
            .contains("RATE, it is asked too often")
    );
    let mut packet = reply(clock);
    packet[0] |= 0b1100_0000;
    let said = judged(&packet, clock).unwrap().unwrap();
    assert!(said.unfit(address()).unwrap().detail.contains("not synchronised"));
}

#[test]
fn a_reply_to_somebody_else_is_none_and_one_of_another_mode_is_a_failure() {
    let clock = now();
    let mut packet = reply(clock);
    packet[31] ^= 1;
    assert_eq!(judged(&packet, clock), Ok(None));
    assert_eq!(judged(&packet[..47], clock), Ok(None));
    let mut packet = reply(clock);
    packet[0] = 4 << 3 | 3;
    assert_eq!(judged(&packet, clock).unwrap_err().kind, FailureKind::Protocol);
}

#[test]
fn a_stratum_of_16_is_not_synchronised_whatever_its_root_and_a_refusal_may_have_no_reason() {
    let mut packet = reply(now());
    packet[1] = 16;
    packet[4..12].fill(0xff);
    let said = judged(&packet, now()).unwrap().unwrap();
    assert!(
        said.unfit(address())
            .unwrap()
            .detail
            .contains("not synchronised (stratum 16")
    );
    assert_eq!((said.root_delay, said.root_dispersion), (None, None));
    packet[1] = 17;
    assert!(insane(&packet).contains("stratum is 17"));
    packet[1] = 0;
    packet[3] = 127;
    packet[12..16].fill(0);
    let said = judged(&packet, now()).unwrap().unwrap();
    assert_eq!((said.kiss.as_deref(), said.precision), (Some(""), None));
    assert!(said.unfit(address()).unwrap().detail.ends_with("gives no reason"));
}

#[test]
fn a_server_that_took_longer_than_there_was_or_no_time_at_all_is_not_believed() {
    let at = |received: Duration, sent: Duration| {
        let mut packet = reply(now());
        packet[32..40].copy_from_slice(&of_clock(now() + received).to_be_bytes());
        packet[40..48].copy_from_slice(&of_clock(now() + sent).to_be_bytes());
        packet
    };
    let millis = Duration::from_millis;
    // The answer is here after 5 ms.
    assert!(insane(&at(millis(0), millis(7))).contains("took 7.000 ms to answer"));
    assert!(insane(&at(millis(3), millis(1))).contains("2.000 ms before it was asked"));
    // Half a microsecond more than there was is what a clock of whole microseconds says.
    let said = judged(&at(millis(0), Duration::from_nanos(5_000_500)), now()).unwrap();
    assert_eq!(said.unwrap().delay, Some(0.0));
}

#[test]
fn a_precision_and_a_root_that_no_clock_has_are_not_believed() {
    let with = |at: usize, bytes: &[u8]| {
        let mut packet = reply(now());
        packet[at..at + bytes.len()].copy_from_slice(bytes);
        packet
    };
    for exponent in [1_i8, 127, -33, -128] {
        assert!(insane(&with(3, &exponent.to_be_bytes())).contains(&format!("2^{exponent} s")));
    }
    assert!(judged(&with(3, &[0]), now()).unwrap().unwrap().precision == Some(1_000.0));
    // Seconds, and parts of one: a delay of 31.9 s counts half, a dispersion counts whole.
    assert!(judged(&with(4, &[0, 31, 0xe6, 0]), now()).is_ok());
    assert!(insane(&with(4, &[0, 32, 0, 0])).contains("32000 ms away"));
    assert!(insane(&with(8, &[0, 16, 0, 0])).contains("16000 ms uncertain"));
    // Of version 3, which counted below zero.
    assert!(insane(&with(4, &[0xff; 4])).contains("MAXDISP"));
    let later = of_clock(now() + Duration::from_secs(1)).to_be_bytes();
    assert!(insane(&with(16, &later)).contains("set after it had answered"));
}

#[test]
fn clocks_that_are_years_apart_are_a_failure_with_both_in_the_report() {
    let years = Duration::from_secs(40 * 365 * 86_400);
    for (clock, direction) in [(now() + years, "ahead of"), (now() - years, "behind")] {
        let said = judged(&reply(clock), now()).unwrap().unwrap();
        let failure = said.unfit(address()).unwrap();
        assert_eq!(failure.kind, FailureKind::Unexpected);
        assert!(
            failure.detail.contains(&format!("1261440000 s {direction}")),
            "{failure}"
        );
        assert!(said.offset.unwrap().abs() > 1.2e12);
    }
    let near = judged(&reply(now() + Duration::from_secs(999)), now())
        .unwrap()
        .unwrap();
    assert_eq!(near.unfit(address()), None);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_believe_what_makes_no_sense(
        mut bytes in prop::collection::vec(any::<u8>(), 0..80),
        ours: bool,
        is_server: bool,
    ) {
        if let Some(origin) = bytes.get_mut(24..32).filter(|_| ours) {
            origin.copy_from_slice(&COOKIE.to_be_bytes());
        }
        if is_server && let Some(first) = bytes.first_mut() {
            *first = *first & 0xc0 | 4 << 3 | 4;
        }
        if let Ok(Some(said)) = judged(&bytes, SystemTime::now()) {
            prop_assert!(said.offset.is_none_or(f64::is_finite));
            prop_assert!(said.delay.is_none_or(|delay| (0.0..=6.1).contains(&delay) || said.precision > Some(1.0)));
            prop_assert!(said.precision.is_none_or(|precision| precision <= 1e3));
            prop_assert!(said.root_dispersion.is_none_or(|dispersion| dispersion < 16e3));
            prop_assert_eq!(said.offset.is_none(), said.kiss.is_some());
        }
    }
}
