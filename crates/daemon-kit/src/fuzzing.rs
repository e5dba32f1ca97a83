//! Entry points for fuzzers: the parsers of text that people write. None may panic, whatever the bytes.

use crate::{env_file, redact::Redactor};
use std::path::Path;

/// An `env` file.
pub fn env_file(text: &str) {
    if let Ok(variables) = env_file::parse(Path::new("env"), text) {
        assert!(variables.keys().all(|name| !name.is_empty()), "a variable has a name");
    }
}

/// The value of `--set`.
pub fn set_option(text: &str) {
    if let Ok((key, _)) = crate::cli::key_value(text) {
        assert!(!key.is_empty(), "a key has a name");
    }
}

/// A log on its way into a support bundle: the secret is nowhere in what is left.
pub fn redaction(text: &str) {
    let secret = "fuzzed-secret";
    let redacted = Redactor::new([secret]).redact(text);
    assert!(!redacted.contains(secret), "a secret got through");
}
