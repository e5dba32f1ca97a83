//! Paths that an agent could not look into: what is known of them and below them stays.
use std::collections::HashSet;

/// A set of them. There may be thousands, and a million files are held against them: so each file's own directories are
/// looked up, and the set is never gone through.
pub(super) struct Unseen(HashSet<Vec<u8>>);

impl Unseen {
    pub(super) fn new(paths: Vec<Vec<u8>>) -> Self {
        // The root is the empty beginning of every path.
        let without_slash = |path: Vec<u8>| match path.strip_suffix(b"/") {
            Some(shorter) => shorter.to_vec(),
            None => path,
        };
        Self(paths.into_iter().map(without_slash).collect())
    }

    /// Whether `path` is one of them or lies below one.
    pub(super) fn covers(&self, path: &[u8]) -> bool {
        if self.0.is_empty() {
            return false;
        }
        // A backslash is a character like any other where paths begin with a slash.
        let is_posix = path.starts_with(b"/");
        let parts = |byte: u8| byte == b'/' || (byte == b'\\' && !is_posix);
        let above = path.iter().enumerate().filter(|(_, byte)| parts(**byte));
        self.0.contains(path) || above.into_iter().any(|(end, _)| self.0.contains(&path[..end]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn below_means_below_by_whole_names() {
        let covers = |dir: &str, path: &str| Unseen::new(vec![dir.into()]).covers(path.as_bytes());
        for (dir, path) in [
            ("/", "/a"),
            ("/a", "/a"),
            ("/a", "/a/b"),
            ("/a/", "/a/b"),
            ("/a/", "/a"),
            ("C:\\data", "C:\\data\\x"),
        ] {
            assert!(covers(dir, path), "{dir} {path}");
        }
        for (dir, path) in [("/a", "/ab"), ("/a/b", "/a"), ("/a", "/a\\b"), ("/a", "/b/a")] {
            assert!(!covers(dir, path), "{dir} {path}");
        }
    }

    proptest! {
        #[test]
        fn looking_up_is_as_comparing_with_each(
            unseen in prop::collection::vec("(/[ab]{1,2}){0,3}/?", 0..4),
            path in "(/[ab]{1,2}){1,4}",
        ) {
            let lies_in = |dir: &String| {
                let dir = dir.trim_end_matches('/');
                path.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            let expected = unseen.iter().any(lies_in);
            let set = Unseen::new(unseen.into_iter().map(String::into_bytes).collect());
            prop_assert_eq!(set.covers(path.as_bytes()), expected);
        }
    }
}
