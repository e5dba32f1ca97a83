//! What a program that has ended left.
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::borrow::Cow;

/// How a program ended, and what it printed.
#[derive(Clone, Debug)]
pub struct Output {
    shown: String,
    inner: std::process::Output,
}

impl Output {
    pub(crate) const fn new(shown: String, inner: std::process::Output) -> Self {
        Self { shown, inner }
    }

    /// Its exit code; `None` when a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.inner.status.code()
    }

    /// What it printed to standard output, with what is not UTF-8 replaced.
    pub fn stdout(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.inner.stdout)
    }

    /// What it printed to standard output, as it is.
    pub fn stdout_bytes(&self) -> &[u8] {
        &self.inner.stdout
    }

    /// What it printed to standard error, with what is not UTF-8 replaced.
    pub fn stderr(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.inner.stderr)
    }

    /// Itself, if its exit code is 0.
    ///
    /// # Errors
    /// Otherwise, with all that it printed.
    pub fn success(self) -> Result<Self> {
        self.one_of(&[0])
    }

    /// Itself, if its exit code is one of `codes`.
    ///
    /// # Errors
    /// Otherwise, with all that it printed.
    pub fn one_of(self, codes: &[i32]) -> Result<Self> {
        let fits = self.code().is_some_and(|code| codes.contains(&code));
        ensure!(fits, "wanted exit code {codes:?}: {self}");
        Ok(self)
    }

    /// Itself, if its exit code is `code`.
    ///
    /// # Panics
    /// Otherwise, with all that it printed.
    #[track_caller]
    pub fn assert_code(self, code: i32) -> Self {
        assert_eq!(self.code(), Some(code), "{self}");
        self
    }

    /// Standard output as one JSON document.
    ///
    /// # Errors
    /// When it is none.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.inner.stdout).with_context(|| format!("not JSON: {self}"))
    }

    /// Standard output as one JSON document a line.
    ///
    /// # Errors
    /// When a line is none.
    pub fn json_lines(&self) -> Result<Vec<Value>> {
        let lines = self
            .inner
            .stdout
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        lines
            .map(|line| {
                serde_json::from_slice(line)
                    .with_context(|| format!("not JSON: {}\n{self}", String::from_utf8_lossy(line)))
            })
            .collect()
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}: {}", self.shown, self.inner.status)?;
        write!(
            f,
            "--- stdout\n{}\n--- stderr\n{}",
            self.stdout().trim_end(),
            self.stderr().trim_end()
        )
    }
}
