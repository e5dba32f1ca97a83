//! The `rules`: what is scanned.
use conf::Check;
use core_model::ByteSize;
use fsscan::{RootRequest, Rules, ScanRequest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf};

/// What is scanned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct RuleSettings {
    /// Its name.
    pub(crate) name: String,
    /// Directories and files.
    pub(crate) paths: Vec<PathBuf>,
    /// What is left out, as in `.gitignore`.
    pub(crate) exclude: Vec<String>,
    /// Longer files are over the limit [default: what clamd looks at, `clamd.max_file_size`].
    pub(crate) max_file_size: Option<ByteSize>,
    /// Whether directories below are scanned, too.
    pub(crate) recursive: bool,
    /// What becomes of symbolic links.
    pub(crate) symlinks: Symlinks,
    /// Whether other file systems below are scanned, too.
    pub(crate) cross_file_systems: bool,
    /// What is done about malware.
    pub(crate) action: Action,
}

impl Default for RuleSettings {
    fn default() -> Self {
        Self {
            name: String::new(),
            paths: Vec::new(),
            exclude: Vec::new(),
            max_file_size: None,
            recursive: true,
            symlinks: Symlinks::Skip,
            cross_file_systems: false,
            action: Action::Report,
        }
    }
}

/// What becomes of symbolic links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Symlinks {
    /// They are left alone: what they point at is scanned where it lies.
    #[default]
    Skip,
    /// They are followed where they stay below the rule's path.
    Follow,
}

/// What is done about malware.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    /// It is told.
    #[default]
    Report,
    /// It is told, and moved where nobody runs it; it can be brought back.
    Quarantine,
}

/// Names that occur twice, paths that cannot be, patterns that are none, and rules that contradict one another.
pub(super) fn check(rules: &[RuleSettings], check: &mut Check<'_>) {
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    for (n, rule) in rules.iter().enumerate() {
        let key = |field: &str| format!("rules[{n}].{field}");
        if rule.name.trim().is_empty() || rule.name.chars().any(char::is_control) {
            let help = Some("give the rule a name: detections and metrics bear it");
            check.problem(&key("name"), "is empty or holds control characters", help);
        } else if let Some(first) = names.insert(&rule.name, n) {
            check.problem(&key("name"), format!("is the name of rules[{first}], too"), None);
        }
        if rule.paths.is_empty() {
            check.problem(
                &key("paths"),
                "names nothing to scan",
                Some("name at least one directory"),
            );
        }
        for (at, path) in rule.paths.iter().enumerate() {
            if path.is_relative() {
                let text = format!("`{}` must be absolute", path.display());
                check.problem(&format!("rules[{n}].paths[{at}]"), text, None);
            }
        }
        for (at, pattern) in rule.exclude.iter().enumerate() {
            let root = RootRequest {
                ignore: vec![pattern.clone()],
                ..RootRequest::new("/")
            };
            if let Err(error) = Rules::new(&ScanRequest::new(Vec::new()), &root) {
                check.problem(&format!("rules[{n}].exclude[{at}]"), error.to_string(), None);
            }
        }
        twice(rules, n, check);
    }
}

/// A path under two rules is scanned by both: that is warned of, and where they do different things about malware it is a
/// mistake.
fn twice(rules: &[RuleSettings], n: usize, check: &mut Check<'_>) {
    for (earlier, other) in rules[..n].iter().enumerate() {
        for path in rules[n].paths.iter().filter(|path| other.paths.contains(path)) {
            if rules[n].action != other.action {
                let text = format!(
                    "rules[{n}] and rules[{earlier}] do different things about malware in `{}`",
                    path.display()
                );
                let keys = [format!("rules[{n}].action"), format!("rules[{earlier}].action")];
                check.conflict(&[&keys[0], &keys[1]], text, Some("name the path in one of them"));
                continue;
            }
            let text = format!("`{}` is scanned by rules[{earlier}], too", path.display());
            check.warning(&format!("rules[{n}].paths"), text, Some("name it in one of them"));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::settings::ReefConfig;

    /// The keys with a problem in this text.
    fn wrong(text: &str) -> Vec<String> {
        let loaded = conf::Layers::new()
            .file("c.toml", text, conf::Format::Toml)
            .load::<ReefConfig>();
        let problems = loaded.err().map(|problems| {
            let keys = problems
                .iter()
                .map(|problem| problem.key().unwrap_or_default().to_owned());
            keys.collect()
        });
        problems.unwrap_or_default()
    }

    #[test]
    fn every_mistake_of_a_rule_is_found_at_its_place() {
        for (text, keys) in [
            ("[[rules]]\nname = \"web\"\npaths = [\"/srv\"]", vec![]),
            ("[[rules]]\npaths = [\"/srv\"]", vec!["rules[0].name"]),
            ("[[rules]]\nname = \"web\"", vec!["rules[0].paths"]),
            (
                "[[rules]]\nname = \"web\"\npaths = [\"srv\"]",
                vec!["rules[0].paths[0]"],
            ),
            (
                "[[rules]]\nname = \"a\"\npaths = [\"/a\"]\n[[rules]]\nname = \"a\"\npaths = [\"/b\"]",
                vec!["rules[1].name"],
            ),
            (
                "[[rules]]\nname = \"a\"\npaths = [\"/a\"]\nexclude = [\"[z-a]\", \"*.iso\"]",
                vec!["rules[0].exclude[0]"],
            ),
            (
                "[[rules]]\nname = \"a\"\npaths = [\"/a\"]\n[[rules]]\nname = \"b\"\npaths = [\"/a\"]\naction = \"quarantine\"",
                vec!["rules[1].action"],
            ),
            ("[quarantine]\npath = \"here\"", vec!["quarantine.path"]),
            ("[clamd]\nendpoint = \"udp:1\"", vec!["clamd.endpoint"]),
            ("[verdicts]\nmax_size = \"1KB\"", vec!["verdicts.max_size"]),
        ] {
            assert_eq!(wrong(text), keys, "{text}");
        }
    }
}
