//! The `watch` section.
use conf::Check;
use core_model::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};

/// Directories whose files are scanned as soon as they are written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct WatchSettings {
    /// The directories; none are watched unless they are named. Each has to lie below the paths of a rule, which says what
    /// is left out and what is done about malware.
    pub(crate) paths: Vec<PathBuf>,
    /// How it is heard of changes: `auto`, `fanotify` (root alone) or `inotify`.
    pub(crate) method: WatchMethod,
    /// How long a file has to rest before it is scanned, at most half a second.
    pub(crate) debounce: Period,
}

/// How it is heard of changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WatchMethod {
    /// What misses least at the least cost: `inotify`, for root as well.
    #[default]
    Auto,
    /// A mark on each file system besides, so that no directory need be watched for itself; wants root, and has the system
    /// open every file that anybody writes there.
    Fanotify,
    /// A watch for each directory; wants nothing but room in `fs.inotify.max_user_watches`.
    Inotify,
}

impl Default for WatchSettings {
    fn default() -> Self {
        Self {
            paths: Vec::new(),
            method: WatchMethod::default(),
            debounce: Period::new(Duration::from_millis(100)),
        }
    }
}

impl WatchSettings {
    /// The longest rest.
    const LONGEST: Duration = Duration::from_millis(500);

    pub(super) fn check(&self, rules: &[super::RuleSettings], check: &mut Check<'_>) {
        for (n, path) in self.paths.iter().enumerate() {
            let key = format!("watch.paths[{n}]");
            if path.is_relative() {
                check.problem(&key, format!("`{}` must be absolute", path.display()), None);
            } else if !rules
                .iter()
                .any(|rule| rule.paths.iter().any(|root| path.starts_with(root)))
            {
                let text = format!("`{}` lies below the paths of no rule", path.display());
                let help =
                    Some("add it to the `paths` of a rule: that says what is left out, and what is done about malware");
                check.problem(&key, text, help);
            }
        }
        if self.debounce.get() > Self::LONGEST {
            check.problem(
                "watch.debounce",
                "is longer than half a second: malware would be found late",
                Some("write `100ms`"),
            );
        }
    }
}
