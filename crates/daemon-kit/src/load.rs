//! From the files found, the environment and the command line to one checked value.

use crate::{
    find::{ConfigFile, ConfigFinder, FindError, Found},
    surroundings::Surroundings,
};
use conf::{EnvironmentSpec, Format, Layers, Place, Problems, Settings, Tree};
use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};

/// What a product says of its configuration, once.
///
/// The variables that this crate and fleet-link read themselves (`<PREFIX>_CONFIG`, `<PREFIX>_CONFIG_PATH`,
/// `<PREFIX>_DATA_DIR`, `<PREFIX>_JOIN_TOKEN`) are never taken for settings and need not be listed.
#[derive(Clone, Copy, Debug)]
pub struct ConfigSpec {
    /// Where its files are.
    pub finder: ConfigFinder,
    /// Short variables with their keys: `("SCANNER_API_KEY", "server.api_key")`.
    pub short_variables: &'static [(&'static str, &'static str)],
    /// More variables with the prefix that are no settings.
    pub other_variables: &'static [&'static str],
    /// Keys of older documents that have no meaning here, each with the reason that its warning gives.
    pub meaningless: &'static [(&'static str, &'static str)],
    /// Keys whose value a configuration file may take from a variable, but never hold: `server.api_key`.
    pub never_literal: &'static [&'static str],
}

/// A key that an option of the command line sets, over everything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override<'a> {
    /// The option as people write it: `--log-level`.
    pub option: &'a str,
    /// The key: `logging.level`.
    pub key: Cow<'static, str>,
    /// Its value.
    pub value: String,
}

/// A configuration, and what it was made of.
#[derive(Debug)]
pub struct Loaded<T> {
    /// The checked settings, the warnings, and the origin of each value.
    pub settings: conf::Loaded<T>,
    /// The files.
    pub found: Found,
    /// The environment with what the `env` file adds: the real one wins.
    pub variables: BTreeMap<String, String>,
}

/// A secret that stands in a configuration file as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiteralSecret {
    /// The key.
    pub key: String,
    /// Where its value begins.
    pub place: Place,
    /// A variable that may hold it instead.
    pub variable: String,
}

impl fmt::Display for LiteralSecret {
    // The line is not shown: it holds the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, place, variable } = self;
        write!(
            f,
            "{place}: `{key}` is written out in a configuration file, which is copied, backed up and committed: write \
             `${{{variable}}}` there and set {variable} in the environment or in an `env` file beside it, and replace \
             the key, which may have been seen"
        )
    }
}

/// Everything that is wrong with the content of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Invalid {
    /// What is wrong with keys and values.
    pub problems: Option<Problems>,
    /// Secrets that stand in the file.
    pub literal_secrets: Vec<LiteralSecret>,
}

impl Invalid {
    /// For people: every problem with its line; `color` adds terminal colours.
    pub fn render(&self, color: bool) -> String {
        let mut parts: Vec<String> = self.problems.iter().map(|problems| problems.render(color)).collect();
        parts.extend(self.literal_secrets.iter().map(|secret| format!("error: {secret}\n")));
        parts.join("\n")
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The files could not be found.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The file is there and cannot be read as text.
    #[error("could not read the configuration file `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The content is wrong: all problems at once.
    #[error("the configuration is not valid\n{0}")]
    Invalid(Invalid),
}

impl ConfigError {
    /// For people at a terminal: as `Display`, with the problems in colour if asked.
    pub fn render(&self, color: bool) -> String {
        match self {
            Self::Invalid(invalid) => invalid.render(color),
            other => {
                let source = std::error::Error::source(other);
                let why = source.map(|source| format!(": {source}")).unwrap_or_default();
                format!("error: {other}{why}\n")
            }
        }
    }
}

/// Finds, reads, layers and checks the configuration of a product: defaults < file < environment (with the `env` file)
/// < `overrides`. `config` is the value of `--config`.
///
/// # Errors
/// See [`ConfigError`]: everything wrong with the content is reported at once.
pub fn load<T: Settings>(
    spec: &ConfigSpec,
    config: Option<&Path>,
    overrides: &[Override<'_>],
    around: &Surroundings,
) -> Result<Loaded<T>, ConfigError> {
    load_with(spec, config, overrides, around, None)
}

/// What a controller wants a process to run with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FromController<'a> {
    /// A YAML document.
    pub(crate) text: &'a str,
    /// Keys that it may not set.
    pub(crate) forbidden: &'a [&'a str],
}

/// As [`load`], with what a controller wants between the file and the environment.
pub(crate) fn load_with<T: Settings>(
    spec: &ConfigSpec,
    config: Option<&Path>,
    overrides: &[Override<'_>],
    around: &Surroundings,
    controller: Option<FromController<'_>>,
) -> Result<Loaded<T>, ConfigError> {
    match load_what_can_be(spec, config, overrides, around, controller)? {
        (loaded, None) => Ok(loaded),
        (_, Some(invalid)) => Err(ConfigError::Invalid(invalid)),
    }
}

/// The same for who only looks: what is wrong is left at its default, and told beside.
pub(crate) fn load_what_can_be<T: Settings>(
    spec: &ConfigSpec,
    config: Option<&Path>,
    overrides: &[Override<'_>],
    around: &Surroundings,
    controller: Option<FromController<'_>>,
) -> Result<(Loaded<T>, Option<Invalid>), ConfigError> {
    let found = spec.finder.find(config, around)?;
    let variables = merged(&found, around);
    let mut layers = Layers::new();
    let mut literal_secrets = Vec::new();
    if let Some(ConfigFile { path, format, .. }) = &found.config {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.clone(),
            source,
        })?;
        let name = path.display().to_string();
        literal_secrets = spec.literal_secrets(&name, &text, *format);
        layers = layers.file(name, text, *format);
    }
    if let Some(FromController { text, forbidden }) = controller {
        layers = layers
            .controller_forbidden(forbidden)
            .controller("controller", text, Format::Yaml);
    }
    layers = layers.environment(spec.environment(), spec.settings_among(&variables));
    for Override { option, key, value } in overrides {
        layers = layers.option(*option, key, value);
    }
    for (key, why) in spec.meaningless {
        layers = layers.meaningless(key, why);
    }
    let (names, hostname) = (variables.clone(), around.hostname.clone());
    let layers = layers.interpolate(move |name| {
        let built_in = || (name == "HOSTNAME").then(|| hostname.clone());
        names.get(name).cloned().or_else(built_in)
    });
    let invalid = |problems, literal_secrets| Invalid {
        problems,
        literal_secrets,
    };
    match layers.load_what_can_be::<T>() {
        Ok((settings, problems)) => {
            let is_valid = problems.is_none() && literal_secrets.is_empty();
            let loaded = Loaded {
                settings,
                found,
                variables,
            };
            Ok((loaded, (!is_valid).then(|| invalid(problems, literal_secrets))))
        }
        Err(problems) => Err(ConfigError::Invalid(invalid(Some(problems), literal_secrets))),
    }
}

fn merged(found: &Found, around: &Surroundings) -> BTreeMap<String, String> {
    let mut variables = found.env.as_ref().map(|env| env.variables.clone()).unwrap_or_default();
    variables.extend(around.variables.clone());
    variables
}

impl ConfigSpec {
    fn environment(&self) -> EnvironmentSpec {
        EnvironmentSpec {
            prefix: self.finder.prefix,
            short: self.short_variables,
            other: self.other_variables,
        }
    }

    /// The variables that may be settings: those that are read elsewhere would be refused as unknown.
    fn settings_among(&self, variables: &BTreeMap<String, String>) -> Vec<(String, String)> {
        let read_elsewhere = |name: &str| {
            let rest = name.strip_prefix(self.finder.prefix);
            matches!(rest, Some("_CONFIG" | "_CONFIG_PATH" | "_DATA_DIR" | "_JOIN_TOKEN"))
        };
        let pairs = variables.iter().filter(|(name, _)| !read_elsewhere(name));
        pairs.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    // The raw text is looked at, for `conf` fills variables in before anybody sees the values. A text with errors of
    // syntax is reported by `conf`, and nothing in it can be judged here.
    fn literal_secrets(&self, name: &str, text: &str, format: Format) -> Vec<LiteralSecret> {
        let Ok(tree) = conf::parse(name, text, format) else {
            return Vec::new();
        };
        self.never_literal
            .iter()
            .filter_map(|key| self.literal_secret(&tree, key))
            .collect()
    }

    fn literal_secret(&self, tree: &Tree, key: &str) -> Option<LiteralSecret> {
        let node = tree.get(key)?;
        let is_harmless = match node.value() {
            conf::Value::Null => true,
            _ => node.text().is_some_and(|text| text.is_empty() || is_one_variable(text)),
        };
        let short = self.short_variables.iter().find(|(_, short_key)| *short_key == key);
        let long = || {
            format!(
                "{}__{}",
                self.finder.prefix,
                key.replace('.', "__").to_ascii_uppercase()
            )
        };
        (!is_harmless).then(|| LiteralSecret {
            key: key.to_owned(),
            place: node.place(),
            variable: short.map_or_else(long, |(variable, _)| (*variable).to_owned()),
        })
    }
}

/// `${NAME}` or `${NAME:-}` and nothing else: a default would be the literal again.
pub(crate) fn is_one_variable(text: &str) -> bool {
    let inner = text.trim().strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    let name = inner.map(|inner| inner.strip_suffix(":-").unwrap_or(inner));
    name.is_some_and(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bare_variable_is_no_literal() {
        for text in ["${KEY}", " ${A_1} ", "${KEY:-}"] {
            assert!(is_one_variable(text), "{text}");
        }
        for text in [
            "abc",
            "${KEY}x",
            "x${KEY}",
            "${KEY:-abc}",
            "${A}${B}",
            "$KEY",
            "${}",
            "$${KEY}",
        ] {
            assert!(!is_one_variable(text), "{text}");
        }
    }
}
