//! Times on the command line, where a number alone is seconds.
use core_model::Period;
use std::time::Duration;

/// Reads a time: `2` and `0.5` are seconds, as ping(8) and curl(1) take them, and with a unit it is as in settings.
///
/// # Errors
/// When it is neither.
pub(crate) fn seconds(text: &str) -> Result<Period, String> {
    let number = text.trim();
    let number = number.strip_suffix('s').map_or(number, str::trim_end);
    // What else is a number to Rust, such as `inf` or `1e3`, is none to who waits.
    if !number.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return text
            .parse()
            .map_err(|error: core_model::UnitError| format!("{error}, or a number of seconds"));
    }
    let seconds = number.parse().ok();
    let length = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    // Longer than a time with a unit can be is nothing to reckon with.
    let length = length.filter(|length| u64::try_from(length.as_millis()).is_ok());
    length
        .map(Period::new)
        .ok_or_else(|| format!("`{}` is no number of seconds", text.escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_alone_is_seconds_and_a_unit_is_what_it_says() {
        for (text, millis) in [
            ("2", 2000),
            ("0.5", 500),
            (".25", 250),
            ("0", 0),
            ("1.5s", 1500),
            ("3 s", 3000),
            ("250ms", 250),
            ("1m 5s", 65_000),
        ] {
            assert_eq!(seconds(text).unwrap().get().as_millis(), millis, "{text}");
        }
        let (huge, long) = ("9".repeat(40), "9".repeat(18));
        for wrong in [
            "", "s", ".", "1.2.3", "-1", "inf", "nan", "1e3", "5x", "0.5ms", &huge, &long,
        ] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
