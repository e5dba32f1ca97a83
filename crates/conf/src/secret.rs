//! Which keys hold secrets, judged by their names: their values are never shown.

use crate::{path::KeyPath, source::Source};

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
