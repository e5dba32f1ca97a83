//! What somebody wants scanned, and how.
use crate::settings::{Action, RuleSettings, Symlinks, ThrottleSettings};
use core_model::{ByteSize, EventId};
use fleet_wire::ScanScope;
use std::path::PathBuf;

/// What somebody wants scanned.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wanted {
    /// The name under which it is reported.
    pub(crate) rule: String,
    /// Whether that is all of the rule.
    pub(crate) scope: ScanScope,
    /// Directories and files; relative ones are taken from the working directory.
    pub(crate) paths: Vec<PathBuf>,
    /// What is left out, as in `.gitignore`.
    pub(crate) exclude: Vec<String>,
    /// Longer files are over the limit; without one, those that clamd does not look at whole.
    pub(crate) max_file_size: Option<ByteSize>,
    /// Whether directories below are scanned, too.
    pub(crate) is_recursive: bool,
    /// Whether links are followed that stay below the path.
    pub(crate) follow_symlinks: bool,
    /// Whether other file systems below are left out.
    pub(crate) one_file_system: bool,
    /// What is done about malware.
    pub(crate) action: Action,
    /// How much of the machine it may take, where the engine's settings say nothing for `rule`.
    pub(crate) throttle: ThrottleSettings,
}

impl Wanted {
    /// What a rule says.
    pub(crate) fn of(rule: &RuleSettings) -> Self {
        Self {
            rule: rule.name.clone(),
            scope: ScanScope::Whole,
            paths: rule.paths.clone(),
            exclude: rule.exclude.clone(),
            max_file_size: rule.max_file_size,
            is_recursive: rule.recursive,
            follow_symlinks: rule.symlinks == Symlinks::Follow,
            one_file_system: !rule.cross_file_systems,
            action: rule.action,
            throttle: rule.throttle.clone(),
        }
    }

    /// What no rule says anything of; its paths are to follow.
    pub(crate) fn beside_rules(name: &str) -> Self {
        Self {
            scope: ScanScope::Part,
            ..Self::of(&RuleSettings {
                name: name.to_owned(),
                cross_file_systems: true,
                ..RuleSettings::default()
            })
        }
    }

    /// The same for some of its paths only, such as what changed faster than it could be followed. Patterns that begin
    /// with a slash count from each of these then.
    pub(crate) fn only(&self, paths: Vec<PathBuf>) -> Self {
        Self {
            paths,
            scope: ScanScope::Part,
            ..self.clone()
        }
    }
}

/// How it is scanned.
#[derive(Clone, Debug, Default)]
pub(crate) struct How {
    /// The scan's id; without one, it gets one of its own.
    pub(crate) id: Option<EventId>,
    /// Judge what is known to be clean, too.
    pub(crate) is_fresh: bool,
    /// Neither use nor keep what is known of files.
    pub(crate) no_memory: bool,
    /// Walking threads; without a number, one for each core, at most 4.
    pub(crate) threads: Option<u8>,
}
