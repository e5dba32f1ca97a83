//! Errors for people.
use std::error::Error;

/// The error and all its causes in one line, each once: some repeat theirs.
///
/// ```
/// use std::io;
/// let error = io::Error::other(io::Error::other("the disk is full"));
/// assert_eq!(core_model::chain(&error), "the disk is full");
/// ```
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    text
}
