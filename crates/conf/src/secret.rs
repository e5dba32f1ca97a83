//! Which keys hold secrets, judged by their names and, where the schema is known, by their types: their values are
//! never shown.

use crate::{
    path::KeyPath,
    schema::Keys,
    source::{Source, Span},
};

/// What stands for a value that must not be shown.
pub(crate) const MASK: &str = "***";

/// Whether a name looks like that of a secret. A name of a file that holds one is not.
pub(crate) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('-', "_");
    let words = [
        "key",
        "token",
        "password",
        "passwd",
        "passphrase",
        "secret",
        "credential",
    ];
    let elsewhere = ["_file", "_path", "_dir", "_url"];
    words.iter().any(|word| name.contains(word)) && !elsewhere.iter().any(|end| name.ends_with(end))
}

pub(crate) fn is_secret_path(path: &KeyPath) -> bool {
    path.keys().any(is_secret)
}

/// How secrets are known.
#[derive(Clone, Copy)]
pub(crate) enum Secrets<'a> {
    /// By their names.
    Named,
    /// By their names, and by the types that the settings have.
    Typed(&'a Keys),
}

impl Secrets<'_> {
    /// Whether what stands at `path` must not be shown: a secret, what holds one, and what may have been meant for one.
    pub(crate) fn cover(self, path: &KeyPath) -> bool {
        let by_type = match self {
            Self::Named => false,
            Self::Typed(keys) => keys.is_around_secret(path),
        };
        by_type || is_secret_path(path)
    }

    /// What must not be shown of the line in which a text could not be read: what follows a name, unless the name is
    /// known for that of no secret.
    pub(crate) fn in_broken_line(self, span: &Span) -> Option<std::ops::Range<usize>> {
        let Self::Typed(keys) = self else { return None };
        if !keys.holds_secret(keys.root()) {
            return None;
        }
        let text = span.source.text();
        let start = text.get(..span.start)?.rfind('\n').map_or(0, |newline| newline + 1);
        let line = text.get(start..)?.lines().next()?;
        let split = line.find([':', '='])?;
        let name = line
            .get(..split)?
            .rsplit(['.', ' ', '{', ','])
            .find(|part| !part.is_empty());
        let is_harmless = name.is_some_and(|name| keys.is_harmless(name.trim_matches(['"', '\''])));
        (!is_harmless).then(|| start + split + 1..start + line.len())
    }
}

/// A line of a file whose structure is not known, with what follows a secret-looking name hidden.
pub(crate) fn mask_line(line: &str) -> Option<String> {
    let split = line.find([':', '='])?;
    let (name, value) = line.split_at(split);
    let value = value.get(1..)?;
    (is_secret(name) && !value.trim().is_empty())
        .then(|| format!("{}{} {MASK}", name, line.get(split..=split).unwrap_or_default()))
}

/// `text` with what `hidden` points at covered by stars, byte for byte, so that places stay true.
pub(crate) fn cover(source: &Source, hidden: &[std::ops::Range<usize>]) -> String {
    let mut bytes = source.text().to_owned();
    for range in hidden {
        let Some(part) = bytes.get(range.clone()) else { continue };
        // A new line ends the stars, or the lines after it would change their numbers.
        let stars: String = part
            .bytes()
            .map(|byte| {
                if matches!(byte, b'\n' | b'\r') {
                    char::from(byte)
                } else {
                    '*'
                }
            })
            .collect();
        bytes.replace_range(range.clone(), &stars);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Kind;

    #[test]
    fn names_of_secrets() {
        assert!(is_secret("api_key") && is_secret("SCANNER_API_KEY") && is_secret("smtp-password"));
        assert!(!is_secret("key_file") && !is_secret("batch_size"));
    }

    #[test]
    fn covering_keeps_lines_and_length() {
        let source = Source::new("a", "k: ab\nö", Kind::File);
        assert_eq!(cover(&source, std::slice::from_ref(&(3..8))), "k: **\n**");
    }

    #[test]
    fn lines_without_structure() {
        assert_eq!(mask_line("  api_key: \"abc").as_deref(), Some("  api_key: ***"));
        assert_eq!(mask_line("  batch: 3"), None);
    }
}
