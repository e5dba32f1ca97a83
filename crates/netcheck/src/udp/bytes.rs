//! Bytes as people write them.
use crate::{Failure, FailureKind};

/// Reads `hex:00 ff:1a` (blanks and colons stand anywhere between two bytes), or text with the escapes `\n`, `\r`, `\t`,
/// `\0`, `\\` and `\x1a`.
///
/// ```
/// use netcheck::udp::parse_bytes;
/// assert_eq!(parse_bytes("hex:48 69")?, b"Hi");
/// assert_eq!(parse_bytes(r"Hi\r\n\x00")?, b"Hi\r\n\0");
/// # Ok::<(), netcheck::Failure>(())
/// ```
///
/// # Errors
/// [`FailureKind::Invalid`], which names what is not written so.
pub fn parse_bytes(text: &str) -> Result<Vec<u8>, Failure> {
    let read = match text.strip_prefix("hex:") {
        Some(digits) => hex(digits),
        None => escaped(text),
    };
    read.map_err(|problem| Failure::new(FailureKind::Invalid, problem))
}

fn hex(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len() / 2);
    let mut half = None;
    for c in text.chars() {
        match (c.to_digit(16), half) {
            (Some(low), Some(high)) => {
                bytes.push((high << 4 | low) as u8);
                half = None;
            }
            (Some(high), None) => half = Some(high),
            (None, None) if c.is_ascii_whitespace() || c == ':' => {}
            (None, Some(_)) if c.is_ascii_whitespace() || c == ':' => {
                return Err("a byte is written as two hexadecimal digits".to_owned());
            }
            (None, _) => return Err(format!("{c:?} is no hexadecimal digit")),
        }
    }
    match half {
        Some(_) => Err("a byte is written as two hexadecimal digits".to_owned()),
        None => Ok(bytes),
    }
}

fn escaped(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        bytes.push(match rest.next() {
            Some('n') => b'\n',
            Some('r') => b'\r',
            Some('t') => b'\t',
            Some('0') => 0,
            Some('\\') => b'\\',
            Some('x') => {
                let mut digit = || rest.next().and_then(|c| c.to_digit(16));
                let byte = digit().zip(digit()).map(|(high, low)| (high << 4 | low) as u8);
                byte.ok_or("after `\\x` stand two hexadecimal digits")?
            }
            Some(other) => {
                return Err(format!(
                    "`\\{}` is no escape; a backslash is `\\\\`",
                    other.escape_debug()
                ));
            }
            None => return Err("a backslash at the end is written `\\\\`".to_owned()),
        });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_wrong_is_named() {
        for (text, part) in [
            ("hex:4", "two hexadecimal"),
            ("hex:4 8", "two hexadecimal"),
            ("hex:4g", "'g' is no"),
            ("\\q", "`\\q` is no escape"),
            ("\\", "at the end"),
            ("\\x4", "after `\\x`"),
        ] {
            let failure = parse_bytes(text).unwrap_err();
            assert!(failure.detail.contains(part), "{text}: {failure}");
        }
    }

    proptest! {
        #[test]
        fn all_bytes_can_be_written_both_ways(bytes: Vec<u8>) {
            let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            prop_assert_eq!(&parse_bytes(&format!("hex:{}", digits.join(":"))).unwrap(), &bytes);
            let text: String = bytes.iter().map(|byte| format!("\\x{byte:02X}")).collect();
            prop_assert_eq!(&parse_bytes(&text).unwrap(), &bytes);
        }

        #[test]
        fn text_without_a_backslash_is_itself(text in "[^\\\\:]{0,40}") {
            prop_assert_eq!(parse_bytes(&text).unwrap(), text.as_bytes());
        }
    }
}
