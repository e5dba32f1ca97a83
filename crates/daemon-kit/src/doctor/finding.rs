//! One thing that was looked at.

use serde::Serialize;
use std::fmt;

/// How a check ended. The order is that of gravity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It could not be looked at, or does not apply here; what was found says why.
    Skipped,
    /// Nothing is wrong.
    Ok,
    /// It works, and something should be seen to.
    Warning,
    /// It does not work.
    Failure,
}

impl Verdict {
    /// In a word: `ok`, `warning`, `failure` or `skipped`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Skipped => "skipped",
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failure => "failure",
        }
    }
}

/// One thing that was looked at, what was found, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at, in two or three words.
    pub check: String,
    /// How it is.
    pub verdict: Verdict,
    /// What was found; may have several lines.
    pub found: String,
    /// What to do, naming the file or command. Warnings and failures have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    /// Nothing is wrong.
    pub fn ok(check: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(check, Verdict::Ok, found, None)
    }

    /// It was not looked at; `why` says the reason.
    pub fn skipped(check: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(check, Verdict::Skipped, why, None)
    }

    /// It works, and something should be seen to.
    pub fn warning(check: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(check, Verdict::Warning, found, Some(remedy.into()))
    }

    /// It does not work.
    pub fn failure(check: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(check, Verdict::Failure, found, Some(remedy.into()))
    }

    fn new(check: impl Into<String>, verdict: Verdict, found: impl Into<String>, remedy: Option<String>) -> Self {
        Self {
            check: check.into(),
            verdict,
            found: found.into(),
            remedy,
        }
    }
}

/// What the product's own check came to, such as that of its state or of its key: a text for what is well, or an error
/// with the remedy.
pub fn outcome(check: &str, outcome: Result<impl Into<String>, impl fmt::Display>, remedy: &str) -> Finding {
    match outcome {
        Ok(found) => Finding::ok(check, found),
        // With the whole chain of causes, where the error is one that has it.
        Err(error) => Finding::failure(check, format!("{error:#}"), remedy),
    }
}
