//! What became of an attempt to change the configuration.
use crate::load::ConfigError;
use chrono::{DateTime, Utc};
use conf::Origin;
use serde_json::{Map, Value};
use std::fmt;
use transport_http::Status;

/// The latest attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadReport {
    /// When it was made.
    pub at: DateTime<Utc>,
    /// What made it.
    pub cause: ReloadCause,
    /// What became of it.
    pub outcome: ReloadOutcome,
    /// Keys whose new value takes effect at the next start only, since the start of this process.
    pub needs_restart: Vec<String>,
    /// The controller's version that is in force, if any is.
    pub remote: Option<(u64, String)>,
}

/// What made somebody load the configuration anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadCause {
    /// The start of the process.
    Start,
    /// SIGHUP.
    Signal,
    /// A file changed.
    File,
    /// A controller sent a version.
    Controller,
    /// Somebody asked, as a controller by a command.
    Asked,
}

impl fmt::Display for ReloadCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::Signal => "SIGHUP",
            Self::File => "file",
            Self::Controller => "controller",
            Self::Asked => "asked for",
        })
    }
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReloadOutcome {
    /// It is in force; these keys changed. A secret that changed is not named.
    Applied {
        /// The keys that changed and are in force.
        changed: Vec<String>,
    },
    /// Nothing changed, for something is wrong.
    Refused {
        /// Everything that is wrong, with its lines, for people.
        text: String,
        /// The same, one by one.
        problems: Vec<ReloadProblem>,
    },
}

/// A mistake, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadProblem {
    /// The key, where it is about one.
    pub key: Option<String>,
    /// The file, or `controller`.
    pub file: Option<String>,
    /// Line, from 1.
    pub line: Option<usize>,
    /// Column in characters, from 1.
    pub column: Option<usize>,
    /// What is wrong, and the remedy where there is one.
    pub text: String,
}

impl ReloadReport {
    /// Whether the latest configuration is in force, but for keys that need a restart.
    pub fn is_applied(&self) -> bool {
        matches!(self.outcome, ReloadOutcome::Applied { .. })
    }

    /// The component `configuration` of `/health`: degraded while the latest change is refused.
    pub fn health(&self) -> (Status, Map<String, Value>) {
        let mut block = Map::new();
        block.insert("changed_at".to_owned(), serde_json::json!(self.at));
        block.insert("cause".to_owned(), self.cause.to_string().into());
        if let Some((version, _)) = &self.remote {
            block.insert("controller_version".to_owned(), (*version).into());
        }
        if !self.needs_restart.is_empty() {
            block.insert("needs_restart".to_owned(), self.needs_restart.clone().into());
        }
        match &self.outcome {
            ReloadOutcome::Applied { .. } => (Status::Healthy, block),
            ReloadOutcome::Refused { text, .. } => {
                block.insert("detail".to_owned(), text.clone().into());
                (Status::Degraded, block)
            }
        }
    }
}

impl ReloadOutcome {
    pub(super) fn refused(error: &ConfigError) -> Self {
        let text = error.render(false).trim_end().to_owned();
        let problems = match error {
            ConfigError::Invalid(invalid) => {
                let wrong = invalid.problems.iter().flat_map(|problems| problems.iter());
                let wrong = wrong.map(|problem| ReloadProblem {
                    key: problem.key().map(str::to_owned),
                    file: problem.place().map(|place| place.file),
                    line: problem.place().map(|place| place.line),
                    column: problem.place().map(|place| place.column),
                    text: match problem.help() {
                        Some(help) => format!("{}: {help}", problem.message()),
                        None => problem.message().to_owned(),
                    },
                });
                let literal = invalid.literal_secrets.iter().map(|secret| ReloadProblem {
                    key: Some(secret.key.clone()),
                    file: Some(secret.place.file.clone()),
                    line: Some(secret.place.line),
                    column: Some(secret.place.column),
                    text: secret.to_string(),
                });
                wrong.chain(literal).collect()
            }
            other => vec![ReloadProblem {
                key: None,
                file: None,
                line: None,
                column: None,
                text: other.render(false).trim_end().to_owned(),
            }],
        };
        Self::Refused { text, problems }
    }

    /// Of wishes that this machine does not allow: the key of each, why, and where its value stands.
    pub(super) fn exceeding(wishes: impl IntoIterator<Item = (String, String, Origin)>) -> Self {
        let problem = |(key, text, origin)| {
            let (file, place) = match origin {
                Origin::File { name, line, column } | Origin::Controller { name, line, column } => {
                    (Some(name), Some((line, column)))
                }
                Origin::Environment { name } | Origin::Option { name } => (Some(name), None),
                Origin::Default => (None, None),
            };
            ReloadProblem {
                key: Some(key),
                file,
                line: place.map(|(line, _)| line),
                column: place.map(|(_, column)| column),
                text,
            }
        };
        let problems: Vec<ReloadProblem> = wishes.into_iter().map(problem).collect();
        let lines = problems.iter().map(|problem| {
            let key = problem.key.as_deref().unwrap_or_default();
            let place = match (&problem.file, problem.line, problem.column) {
                (Some(file), Some(line), Some(column)) => format!("\n --> {file}:{line}:{column}"),
                (Some(file), ..) => format!("\n --> {file}"),
                _ => String::new(),
            };
            format!("error: `{key}`: {}{place}", problem.text)
        });
        let text = lines.collect::<Vec<_>>().join("\n");
        Self::Refused { text, problems }
    }
}
