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

impl ReloadProblem {
    /// Of a mistake in a text.
    pub(crate) fn of(problem: &conf::Problem) -> Self {
        let place = problem.place();
        Self {
            key: problem.key().map(str::to_owned),
            line: place.as_ref().map(|place| place.line),
            column: place.as_ref().map(|place| place.column),
            file: place.map(|place| place.file),
            text: match problem.help() {
                Some(help) => format!("{}: {help}", problem.message()),
                None => problem.message().to_owned(),
            },
        }
    }
}

/// In one line, as a log wants it: the place, the key, what is wrong.
impl fmt::Display for ReloadProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match (&self.file, self.line, self.column) {
            (Some(file), Some(line), Some(column)) => format!("{file}:{line}:{column}: "),
            (Some(file), ..) => format!("{file}: "),
            _ => String::new(),
        };
        // That a secret is written out says where, and of which key, itself.
        if place.is_empty() || !self.text.starts_with(&place) {
            f.write_str(&place)?;
            if let Some(key) = &self.key {
                write!(f, "`{key}`: ")?;
            }
        }
        f.write_str(&self.text.lines().map(str::trim).collect::<Vec<_>>().join("; "))
    }
}

impl ReloadReport {
    /// Whether the latest configuration is in force, but for keys that need a restart.
    pub fn is_applied(&self) -> bool {
        matches!(self.outcome, ReloadOutcome::Applied { .. })
    }

    /// Says it in the log: each mistake by itself, since a line of text has no line breaks.
    pub(super) fn tell(&self) {
        let cause = self.cause;
        match &self.outcome {
            ReloadOutcome::Applied { changed } if cause == ReloadCause::Start && changed.is_empty() => {}
            ReloadOutcome::Applied { changed } => {
                let changed = serde_json::json!(changed);
                tracing::info!(%cause, changed.json = %changed, "the configuration was loaded anew");
                if !self.needs_restart.is_empty() {
                    let keys = serde_json::json!(self.needs_restart);
                    tracing::warn!(keys.json = %keys, "changed, and in force after a restart only");
                }
            }
            ReloadOutcome::Refused { problems, .. } => {
                let mistakes = problems.len();
                let mut problems = problems.iter();
                if let Some(first) = problems.next() {
                    tracing::error!(%cause, mistakes, "the new configuration is not valid; the running one stays: {first}");
                }
                for problem in problems {
                    tracing::error!("also wrong in the new configuration: {problem}");
                }
            }
        }
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
    pub(crate) fn refused(error: &ConfigError) -> Self {
        let text = error.render(false).trim_end().to_owned();
        let problems = match error {
            ConfigError::Invalid(invalid) => {
                let wrong = invalid.problems.iter().flat_map(|problems| problems.iter());
                let wrong = wrong.map(ReloadProblem::of);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_one_line_with_its_place_and_key() {
        let mut problem = ReloadProblem {
            key: Some("a.b".to_owned()),
            file: Some("c.toml".to_owned()),
            line: Some(3),
            column: Some(5),
            text: "will not do\n  at all".to_owned(),
        };
        assert_eq!(problem.to_string(), "c.toml:3:5: `a.b`: will not do; at all");
        problem.text = "c.toml:3:5: `a.b` is written out".to_owned();
        assert_eq!(problem.to_string(), problem.text);
        let bare = ReloadProblem {
            key: None,
            file: None,
            line: None,
            column: None,
            text: "x".to_owned(),
        };
        assert_eq!(bare.to_string(), "x");
    }

    #[test]
    fn in_the_log_each_mistake_is_a_line_that_people_can_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let logging = crate::settings::LoggingSettings {
            file: Some(path.clone()),
            ..Default::default()
        };
        let (subscriber, telemetry) = telemetry_otel::subscriber(logging.log_settings("a", None)).unwrap();
        let text = "level: 3\nformat: xml\n";
        let layers = conf::Layers::new().file("c.yaml", text, conf::Format::Yaml);
        let problems = layers.load::<Logged>().unwrap_err();
        let invalid = crate::Invalid {
            problems: Some(problems),
            literal_secrets: Vec::new(),
        };
        let report = ReloadReport {
            at: DateTime::UNIX_EPOCH,
            cause: ReloadCause::File,
            outcome: ReloadOutcome::refused(&ConfigError::Invalid(invalid)),
            needs_restart: Vec::new(),
            remote: None,
        };
        tracing::subscriber::with_default(subscriber, || report.tell());
        drop(telemetry);
        let log = std::fs::read_to_string(path).unwrap();
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(lines.len(), 2, "{log}");
        assert!(
            lines[0].contains("the running one stays") && lines[0].contains("mistakes=2"),
            "{log}"
        );
        assert!(lines[0].contains("stays: c.yaml:1:8: `level`: must be a word"), "{log}");
        assert!(
            lines[1].contains("c.yaml:2:9: `format`: expected `text` or `json`, found `xml`"),
            "{log}"
        );
        assert!(!log.contains("\\n"), "{log}");
    }

    #[derive(Debug, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
    #[serde(default)]
    struct Logged {
        level: Word,
        format: crate::settings::LogFormat,
    }

    #[derive(Debug, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
    #[serde(try_from = "String")]
    #[schemars(with = "String")]
    struct Word(String);

    impl TryFrom<String> for Word {
        type Error = &'static str;

        fn try_from(_: String) -> Result<Self, Self::Error> {
            Err("must be a word")
        }
    }

    impl conf::Settings for Logged {}
}
