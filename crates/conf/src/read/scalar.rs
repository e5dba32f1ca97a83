//! Plain text as the type that its reader asks for, by the rules of YAML's core schema.

/// A whole number: decimal, `0x`, `0o`. A leading zero is refused, for people read `010` in two ways.
pub(super) fn whole(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.get(..2) {
        Some("0x") => (16, digits.get(2..)?),
        Some("0o") => (8, digits.get(2..)?),
        _ => (10, digits),
    };
    let leading_zero = radix == 10 && digits.len() > 1 && digits.starts_with('0');
    if leading_zero || digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let number = i128::from_str_radix(digits, radix).ok()?;
    Some(if negative { -number } else { number })
}

/// A decimal number, finite.
pub(super) fn decimal(text: &str) -> Option<f64> {
    let digits = text.trim_start_matches(['-', '+']);
    let numeric = digits
        .chars()
        .all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '-' | '+'));
    let starts = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let leading_zero =
        digits.len() > 1 && digits.starts_with('0') && digits.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
    if !numeric || !starts || leading_zero {
        return None;
    }
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// `true` or `false`, in the three spellings of the core schema.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// What someone who wrote `yes` for a boolean meant.
pub(super) fn nearly_boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "y" | "on" | "1" | "enabled" | "true" | "t" => Some(true),
        "no" | "n" | "off" | "0" | "disabled" | "false" | "f" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(
            [whole("12"), whole("-3"), whole("0x1f"), whole("0o17"), whole("0")],
            [Some(12), Some(-3), Some(31), Some(15), Some(0)]
        );
        assert!(
            ["", "-", "010", "1_000", "1.0", "0x", "٣", "--1"]
                .iter()
                .all(|text| whole(text).is_none())
        );
        assert_eq!(decimal("1.5e3"), Some(1500.0));
        assert!(
            ["inf", "nan", ".", "1e999", "1.2.3", "infinity", "01.5"]
                .iter()
                .all(|text| decimal(text).is_none())
        );
    }

    #[test]
    fn norway_is_no_boolean() {
        assert_eq!((boolean("NO"), nearly_boolean("NO")), (None, Some(false)));
    }
}
