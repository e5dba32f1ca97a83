//! Names with `*` and `?`.

/// A pattern over bytes: `*` stands for any run, `?` for any one byte, all else for itself.
///
/// ```
/// use fleet_core::Glob;
/// assert!(Glob::new("*.p?f").matches(b"report.pdf"));
/// assert!(!Glob::new("*.pdf").matches(b"report.pdf.bak"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(Vec<u8>);

impl Glob {
    /// Every text is a pattern.
    pub fn new(pattern: impl AsRef<[u8]>) -> Self {
        Self(pattern.as_ref().to_vec())
    }

    /// Whether the whole of `text` fits. Takes time in proportion to both lengths at worst, never more, because only
    /// the last `*` need be tried again.
    pub fn matches(&self, text: &[u8]) -> bool {
        let pattern = &self.0;
        let (mut p, mut t) = (0, 0);
        let mut star = None;
        while t < text.len() {
            match pattern.get(p) {
                Some(b'*') => {
                    star = Some((p, t));
                    p += 1;
                }
                Some(wanted) if *wanted == b'?' || *wanted == text[t] => {
                    p += 1;
                    t += 1;
                }
                _ => {
                    let Some((star_at, taken)) = star else { return false };
                    star = Some((star_at, taken + 1));
                    p = star_at + 1;
                    t = taken + 1;
                }
            }
        }
        pattern[p..].iter().all(|byte| *byte == b'*')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|taken| naive(rest, &text[taken..])),
            Some((wanted, rest)) => text
                .split_first()
                .is_some_and(|(byte, after)| (*wanted == b'?' || wanted == byte) && naive(rest, after)),
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_definition(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
            let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(Glob::new(pattern).matches(text), naive(pattern, text));
        }
    }
}
