//! What a terminal can show.

use crate::surroundings::Surroundings;
use std::io::IsTerminal;

/// What a terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Signs beyond ASCII.
    pub unicode: bool,
    /// Colours.
    pub color: bool,
}

impl Default for Style {
    /// Signs beyond ASCII, no colours.
    fn default() -> Self {
        Self {
            unicode: true,
            color: false,
        }
    }
}

impl Style {
    /// That of standard output: signs beyond ASCII where the locale is one of UTF-8, colours on a terminal whose user
    /// has not declined them (<https://no-color.org>).
    pub fn of_stdout(around: &Surroundings) -> Self {
        Self::of(around, std::io::stdout().is_terminal())
    }

    fn of(around: &Surroundings, is_terminal: bool) -> Self {
        // The first of these that is set decides, as POSIX has it.
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .iter()
            .find_map(|name| around.variable(name))
            .unwrap_or_default()
            .to_ascii_lowercase();
        let is_dumb = around.variable("TERM") == Some("dumb");
        Self {
            unicode: locale.contains("utf-8") || locale.contains("utf8"),
            color: is_terminal && !is_dumb && around.variable("NO_COLOR").is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn style(variables: &[(&str, &str)], is_terminal: bool) -> (bool, bool) {
        let mut around = Surroundings::default();
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        around.variables.extend(variables.iter().map(owned));
        let Style { unicode, color } = Style::of(&around, is_terminal);
        (unicode, color)
    }

    #[test]
    fn the_locale_and_the_user_decide() {
        for (variables, is_terminal, expected) in [
            (&[][..], true, (false, true)),
            (&[("LANG", "de_DE.UTF-8")], true, (true, true)),
            (&[("LANG", "C.utf8")], false, (true, false)),
            (&[("LC_ALL", "C"), ("LANG", "C.UTF-8")], true, (false, true)),
            (
                &[("LC_ALL", ""), ("LANG", "C.UTF-8"), ("NO_COLOR", "1")],
                true,
                (true, false),
            ),
            (&[("TERM", "dumb")], true, (false, false)),
        ] {
            assert_eq!(style(variables, is_terminal), expected, "{variables:?}");
        }
    }
}
