//! Reads levels as people write them: `info,fsscan=debug`.
use crate::otlp::is_run;
use tracing::{Metadata, level_filters::LevelFilter, subscriber::Interest};
use tracing_subscriber::{
    filter::Targets,
    layer::{Context, Filter},
};

/// What passes to the log: lines by their level, and runs whatever the level is, because a line of any level is to say
/// which run it belongs to.
#[derive(Debug)]
pub(crate) struct Lines(pub(crate) Targets);

impl<S> Filter<S> for Lines {
    fn enabled(&self, metadata: &Metadata<'_>, context: &Context<'_, S>) -> bool {
        is_run(metadata) || Filter::enabled(&self.0, metadata, context)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_run(metadata) {
            Interest::always()
        } else {
            Filter::<S>::callsite_enabled(&self.0, metadata)
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Filter::<S>::max_level_hint(&self.0).map(|level| level.max(LevelFilter::INFO))
    }
}

/// A text that is no level.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LevelError {
    /// Not one of the levels.
    #[error(
        "`{word}` is not a log level: expected `error`, `warn`, `info`, `debug`, `trace` or `off`, such as `info` or `info,fsscan=debug`"
    )]
    Unknown {
        /// The word in question.
        word: String,
    },
    /// Two levels for everything.
    #[error("`{text}` sets the level twice: write one level, then exceptions such as `fsscan=debug`")]
    Twice {
        /// The whole text.
        text: String,
    },
    /// An exception for nothing.
    #[error("`{part}` names no part of the program: expected something such as `fsscan=debug`")]
    NoTarget {
        /// The exception in question.
        part: String,
    },
    /// The logs are shut down already.
    #[error("the log level cannot be changed any more: the logs are shut down")]
    Gone,
}

/// Libraries whose debug lines are about themselves. With `debug` for everything they would bury the product's own,
/// so they stay at `info` unless they are named. `notify` would also tell of each line that is written to a file in a
/// directory that it watches, by a line, and so for ever.
const CHATTY: [&str; 13] = [
    "h2",
    "hyper",
    "hyper_util",
    "mio",
    "notify",
    "opentelemetry",
    "opentelemetry_sdk",
    "reqwest",
    "rustls",
    "tokio_tungstenite",
    "tower",
    "tower_http",
    "tungstenite",
];

/// The filter that `text` describes.
pub(crate) fn parse(text: &str) -> Result<Lines, LevelError> {
    let mut default = None;
    let mut exceptions = Vec::new();
    for part in text.split(',').map(str::trim) {
        match part.split_once('=') {
            Some((target, level)) => {
                // Crates are named with dashes, targets of log lines with underscores.
                let target = target.trim().replace('-', "_");
                if target.is_empty() {
                    return Err(LevelError::NoTarget { part: part.to_owned() });
                }
                exceptions.push((target, word(level.trim())?));
            }
            None if default.is_some() => return Err(LevelError::Twice { text: text.to_owned() }),
            None => default = Some(word(part)?),
        }
    }
    let default = default.unwrap_or(LevelFilter::INFO);
    let chatty = CHATTY.map(|target| (target, default.min(LevelFilter::INFO)));
    Ok(Lines(
        Targets::new()
            .with_default(default)
            .with_targets(chatty)
            .with_targets(exceptions),
    ))
}

fn word(word: &str) -> Result<LevelFilter, LevelError> {
    Ok(match word.to_ascii_lowercase().as_str() {
        "off" => LevelFilter::OFF,
        "error" => LevelFilter::ERROR,
        "warn" | "warning" => LevelFilter::WARN,
        "info" => LevelFilter::INFO,
        "debug" => LevelFilter::DEBUG,
        "trace" => LevelFilter::TRACE,
        _ => return Err(LevelError::Unknown { word: word.to_owned() }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn one_level_and_its_exceptions() {
        let filter = parse("warn, state-sqlite=debug,fsscan::walk=trace").unwrap();
        for (target, level, passes) in [
            ("scanner", Level::WARN, true),
            ("scanner", Level::INFO, false),
            ("state_sqlite::open", Level::DEBUG, true),
            ("fsscan", Level::INFO, false),
            ("fsscan::walk", Level::TRACE, true),
            ("hyper::proto", Level::INFO, false),
        ] {
            assert_eq!(filter.0.would_enable(target, &level), passes, "{target} {level}");
        }
    }

    #[test]
    fn libraries_are_quiet_until_named() {
        assert!(!parse("debug").unwrap().0.would_enable("hyper::proto", &Level::DEBUG));
        assert!(!parse("trace").unwrap().0.would_enable("notify::inotify", &Level::TRACE));
        assert!(
            parse("debug,hyper=debug")
                .unwrap()
                .0
                .would_enable("hyper::proto", &Level::DEBUG)
        );
        assert!(
            parse("fsscan=debug").unwrap().0.would_enable("scanner", &Level::INFO),
            "info where nothing is said"
        );
    }

    #[test]
    fn a_wrong_word_is_named_with_what_is_allowed() {
        let error = parse("inof").unwrap_err();
        let said = error.to_string();
        assert!(said.contains("`inof`") && said.contains("`info`"), "{said}");
        assert!(matches!(parse("info,fsscan=loud"), Err(LevelError::Unknown { word }) if word == "loud"));
        assert!(matches!(parse("info,debug"), Err(LevelError::Twice { .. })));
        assert!(matches!(parse("info,=debug"), Err(LevelError::NoTarget { .. })));
        assert!(matches!(parse(""), Err(LevelError::Unknown { .. })));
    }
}
