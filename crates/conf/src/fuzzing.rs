//! Arbitrary bytes for what has no door to the outside. For fuzzers only.
use crate::path::KeyPath;

/// A path of keys, as it stands in the command line's `config get` and in the code of products.
///
/// # Panics
/// When a path that was written is read back as another.
pub fn key_path(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let path = KeyPath::parse(&text);
    let shown = path.to_string();
    assert_eq!(KeyPath::parse(&shown), path, "{text:?} was written as {shown:?}");
    assert!(path.touches(&path));
}
