//! What is wrong, where, and what to do about it.

use std::{fmt, ops::Range};

use crate::{
    render, secret,
    source::{Place, Span},
};

/// How grave a [`Problem`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The settings cannot be used.
    Error,
    /// The settings can be used, but something in them has no effect.
    Warning,
}

/// One thing that is wrong with a text, in an administrator's words.
#[derive(Clone, Debug)]
pub struct Problem {
    pub(crate) severity: Severity,
    pub(crate) key: Option<String>,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
    pub(crate) span: Option<Span>,
    /// Byte ranges of the source that must not be shown.
    pub(crate) hidden: Vec<Range<usize>>,
    /// Set when the text could not be read: its lines are shown with care, for nothing is known of their structure.
    pub(crate) is_syntax: bool,
}

impl Problem {
    /// An error without a place.
    pub fn error(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            key: None,
            message: message.into(),
            help: None,
            span: None,
            hidden: Vec::new(),
            is_syntax: false,
        }
    }

    pub(crate) fn warning(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(message)
        }
    }

    pub(crate) fn syntax(message: impl Into<String>, span: &Span) -> Self {
        Self {
            is_syntax: true,
            ..Self::error(message)
        }
        .at(span)
    }

    pub(crate) fn at(mut self, span: &Span) -> Self {
        self.span = Some(span.clone());
        self
    }

    /// Names the key that the problem concerns, such as `scanner.batch_size`.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into()).filter(|key| !key.is_empty());
        self
    }

    /// Adds a remedy.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Error or warning.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// What is wrong, without key and place.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The path of the key concerned, such as `scanner.scan_paths[0]`.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Where it stands; absent where nothing was written, as for a default that does not suit another key.
    pub fn place(&self) -> Option<Place> {
        self.span.as_ref().map(Span::place)
    }

    /// The remedy, if one is known.
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

/// Shows the problem with its line, without colour.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&render::render(self, false))
    }
}

/// Everything that is wrong with what was handed in, sorted by place. Never empty.
///
/// [`fmt::Display`] shows each problem with its line, without colour.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", self.render(false))]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Gathers problems, sorted by place, repeats left out; `None` if there are none.
    pub fn collect(problems: impl IntoIterator<Item = Problem>) -> Option<Self> {
        let mut problems: Vec<_> = problems.into_iter().collect();
        let mut sources: Vec<crate::source::Source> = Vec::new();
        for problem in &problems {
            if let Some(span) = &problem.span
                && !sources.iter().any(|known| known.same(&span.source))
            {
                sources.push(span.source.clone());
            }
        }
        problems.sort_by_key(|problem| {
            let at = problem.span.as_ref();
            let source = at.and_then(|span| sources.iter().position(|known| known.same(&span.source)));
            (source.unwrap_or(usize::MAX), at.map_or(0, |span| span.start))
        });
        problems.dedup_by(|a, b| a.message == b.message && a.key == b.key && a.place() == b.place());
        (!problems.is_empty()).then_some(Self(problems))
    }

    /// The same problems, their keys seen from a tree in which theirs lies at `key`.
    pub(crate) fn below(mut self, key: &str) -> Self {
        let is_secret = secret::is_secret(key);
        for problem in &mut self.0 {
            if is_secret && let Some(span) = &problem.span {
                problem.hidden.push(span.start..span.end);
                problem.message = "this value will not do".to_owned();
                problem.help = None;
            }
            problem.key = Some(match problem.key.take() {
                Some(inner) if inner.starts_with('[') => format!("{key}{inner}"),
                Some(inner) => format!("{key}.{inner}"),
                None => key.to_owned(),
            });
        }
        self
    }

    pub(crate) fn one(problem: Problem) -> Self {
        Self(vec![problem])
    }

    /// Every problem, in the order of the text.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    /// How many there are: one at least.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Shows every problem with its line, and the number of errors at the end; `color` adds terminal colours.
    pub fn render(&self, color: bool) -> String {
        let mut shown: Vec<String> = self.0.iter().map(|problem| render::render(problem, color)).collect();
        if self.0.len() > 1 {
            shown.push(format!("{} problems\n", self.0.len()));
        }
        shown.join("\n")
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
