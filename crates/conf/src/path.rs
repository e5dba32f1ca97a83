//! Paths of keys: `scanner.scan_paths[0]`, `scanner.custom_mime_types.".xyz"`.

use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Segment {
    Key(String),
    Index(usize),
}

/// The way from the root of a tree to one of its nodes. The root's own path is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct KeyPath(pub(crate) Vec<Segment>);

impl KeyPath {
    /// Reads what [`fmt::Display`] writes. What is not well formed is taken for a key as it stands.
    pub(crate) fn parse(text: &str) -> Self {
        let mut segments = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            rest = rest.strip_prefix('.').unwrap_or(rest);
            if let Some((index, after)) = rest.strip_prefix('[').and_then(|inner| inner.split_once(']'))
                && let Ok(index) = index.parse()
            {
                segments.push(Segment::Index(index));
                rest = after;
            } else if let Some((key, after)) = rest.strip_prefix('"').and_then(unquote) {
                segments.push(Segment::Key(key));
                rest = after;
            } else {
                let end = rest
                    .char_indices()
                    .skip(1)
                    .find(|(_, c)| matches!(c, '.' | '['))
                    .map_or(rest.len(), |(i, _)| i);
                let (key, after) = rest.split_at(end);
                segments.push(Segment::Key(key.to_owned()));
                rest = after;
            }
        }
        Self(segments)
    }

    pub(crate) fn of_keys<'a>(keys: impl IntoIterator<Item = &'a str>) -> Self {
        Self(keys.into_iter().map(|key| Segment::Key(key.to_owned())).collect())
    }

    pub(crate) fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of the two lies on the way to the other, or both are the same.
    pub(crate) fn touches(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(mine, theirs)| mine == theirs)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|segment| match segment {
            Segment::Key(key) => Some(key.as_str()),
            Segment::Index(_) => None,
        })
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(key) => {
                    let dot = if position == 0 { "" } else { "." };
                    let odd = |c: char| matches!(c, '.' | '[' | '"' | ' ') || c.is_control();
                    if key.is_empty() || key.contains(odd) {
                        write!(f, "{dot}{}", quoted(key))?;
                    } else {
                        write!(f, "{dot}{key}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// A key in quotes, on one line: a quote and a backslash stand behind a backslash, a control character as `\u{1b}`.
fn quoted(key: &str) -> String {
    let mut quoted = String::with_capacity(key.len() + 2);
    quoted.push('"');
    for c in key.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.extend(c.escape_unicode()),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// The key up to the closing quote, and what follows. A backslash that escapes nothing is one.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut key = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_at(rest.find(['"', '\\'])?);
        key.push_str(before);
        if let Some(after) = after.strip_prefix('"') {
            return Some((key, after));
        }
        let after = after.strip_prefix('\\')?;
        let escaped = match after.chars().next() {
            Some(c @ ('"' | '\\')) => Some((c, c.len_utf8())),
            Some('u') => control(after),
            _ => None,
        };
        let (c, length) = escaped.unwrap_or(('\\', 0));
        key.push(c);
        rest = after.get(length..)?;
    }
}

/// The control character that `u{1b}` at the start of a text stands for, and the length of that.
fn control(text: &str) -> Option<(char, usize)> {
    let (digits, _) = text.strip_prefix("u{")?.split_once('}')?;
    let c = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32)?;
    Some((c, digits.len() + "u{}".len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for text in [
            "",
            "a",
            "a.b",
            "a[0].b",
            "a.\".xyz\".c",
            "[2][3]",
            r#"a."b \"c\" \\d""#,
            r#""a\u{a}b""#,
        ] {
            assert_eq!(KeyPath::parse(text).to_string(), text);
        }
    }

    #[test]
    fn every_key_comes_back_whatever_it_is_made_of() {
        for key in [
            "say \"hi\"",
            "C:\\new folder",
            "a\nb",
            "\\",
            "\"",
            "\\u{41} x",
            "\u{1b}[31m",
            "",
        ] {
            let path = KeyPath::of_keys(["a", key]);
            let shown = path.to_string();
            assert_eq!(KeyPath::parse(&shown), path, "{shown}");
            assert!(!shown.contains(char::is_control), "{shown:?}");
        }
        assert_eq!(
            KeyPath::parse(r#""C:\x y""#),
            KeyPath::of_keys([r"C:\x y"]),
            "as people write it"
        );
    }

    #[test]
    fn touching() {
        let touches = |a: &str, b: &str| KeyPath::parse(a).touches(&KeyPath::parse(b));
        assert!(touches("a.b", "a") && touches("a", "a.b") && touches("a", "a"));
        assert!(!touches("a.b", "a.c") && !touches("a[0]", "a[1]"));
    }
}
