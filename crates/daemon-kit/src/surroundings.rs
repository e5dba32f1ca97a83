//! What a process finds around itself: variables, directories, its user and its machine's name.

use std::{collections::BTreeMap, path::PathBuf};

/// Everything that finding a configuration takes from the process, as plain values: functions here read these and never
/// the process itself, so that a test, or a support bundle of another machine, sees exactly what a daemon would.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The environment. A variable whose name is not UTF-8 cannot be meant for us and is left out.
    pub variables: BTreeMap<String, String>,
    /// Where system-wide configuration lies: `/etc`.
    pub system_config: PathBuf,
    /// Where system-wide state lies: `/var/lib`.
    pub system_state: PathBuf,
    /// Whether the process runs as root (or, on Windows, is told to use the machine's directories).
    pub is_root: bool,
    /// The machine's name.
    pub hostname: String,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_this_process() -> Self {
        let variables: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
            .collect();
        let places = platform::places(&variables);
        Self {
            variables,
            system_config: places.config,
            system_state: places.state,
            is_root: platform::is_root(),
            hostname: gethostname::gethostname().to_string_lossy().into_owned(),
        }
    }

    /// A variable that is set and not empty: an empty one is how a unit file or a shell says "none".
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// `$XDG_CONFIG_HOME`, or `~/.config`; `None` where there is no home.
    pub fn user_config(&self) -> Option<PathBuf> {
        self.user_dir("XDG_CONFIG_HOME", ".config")
    }

    /// `$XDG_STATE_HOME`, or `~/.local/state`; `None` where there is no home.
    pub fn user_state(&self) -> Option<PathBuf> {
        self.user_dir("XDG_STATE_HOME", ".local/state")
    }

    // The XDG Base Directory Specification tells programs to ignore a relative path in these variables.
    fn user_dir(&self, variable: &str, under_home: &str) -> Option<PathBuf> {
        let named = self
            .variable(variable)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute());
        named.or_else(|| Some(PathBuf::from(self.variable(platform::HOME)?).join(under_home)))
    }
}

struct Places {
    config: PathBuf,
    state: PathBuf,
}

#[cfg(unix)]
mod platform {
    use super::{BTreeMap, PathBuf, Places};

    pub(super) const HOME: &str = "HOME";

    pub(super) fn places(_: &BTreeMap<String, String>) -> Places {
        Places {
            config: PathBuf::from("/etc"),
            state: PathBuf::from("/var/lib"),
        }
    }

    pub(super) fn is_root() -> bool {
        rustix::process::geteuid().is_root()
    }
}

#[cfg(not(unix))]
mod platform {
    use super::{BTreeMap, PathBuf, Places};

    pub(super) const HOME: &str = "USERPROFILE";

    pub(super) fn places(variables: &BTreeMap<String, String>) -> Places {
        let shared = variables.get("ProgramData").map_or("C:\\ProgramData", String::as_str);
        Places {
            config: PathBuf::from(shared),
            state: PathBuf::from(shared),
        }
    }

    // A service has no home that an administrator would look into, so the machine's directories are the rule.
    pub(super) fn is_root() -> bool {
        true
    }
}
