//! What others sent, as text that may be shown to people: in bounds, and without anything that moves a terminal's
//! cursor.
use std::fmt::Write as _;

/// The text with what cannot be seen written as an escape, and cut after `most` characters.
pub(crate) fn text(from: &str, most: usize) -> String {
    let mut out = String::with_capacity(from.len().min(most));
    for (index, character) in from.chars().enumerate() {
        if index == most {
            out.push('…');
            break;
        }
        let is_hidden = character.is_control() || is_format(character);
        if is_hidden {
            // Writing to a String cannot fail.
            let _ = write!(out, "{}", character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

/// The same of bytes, of which nobody knows that they are text.
pub(crate) fn bytes(from: &[u8], most: usize) -> String {
    if from.len() > most * 4 {
        return text(&String::from_utf8_lossy(&from[..most * 4]), most);
    }
    text(&String::from_utf8_lossy(from), most)
}

/// What turns the direction of writing, or has no width: the tools of those who want one name to look like another.
const fn is_format(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_terminal_is_not_moved_by_what_others_sent() {
        assert_eq!(bytes(b"\x1b[2Jhello\r\n\x07", 40), "\\u{1b}[2Jhello\\r\\n\\u{7}");
        assert_eq!(text("a\u{202e}b", 9), "a\\u{202e}b");
        assert_eq!(text("12345", 3), "123…");
    }

    proptest! {
        #[test]
        fn nothing_hidden_is_left_and_the_bound_holds(
            from in proptest::collection::vec(any::<u8>(), 0..600), most in 0_usize..100
        ) {
            let shown = bytes(&from, most);
            prop_assert!(!shown.chars().any(char::is_control));
            prop_assert!(shown.chars().count() <= most * 10 + 1);
        }
    }
}
