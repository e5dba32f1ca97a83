//! Which configuration file, `env` file and data directory a process uses, and who said so.

use crate::{
    env_file::{self, EnvFileError},
    surroundings::Surroundings,
};
use conf::Format;
use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
};

const NAMES: [&str; 4] = ["config.toml", "config.yaml", "config.yml", "config.json"];

/// Finds the files of one product.
#[derive(Clone, Copy, Debug)]
pub struct ConfigFinder {
    /// The name of its directories: `scanner` for `/etc/scanner/`.
    pub product: &'static str,
    /// The prefix of its variables: `SCANNER` for `SCANNER_CONFIG`.
    pub prefix: &'static str,
}

/// Who named a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedBy {
    /// The command line's `--config`.
    Option,
    /// The variable of this name.
    Variable(String),
    /// Nobody: it lies in the user's configuration directory.
    UserDirectory,
    /// Nobody: it lies in the system's configuration directory.
    SystemDirectory,
}

impl fmt::Display for NamedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option => f.write_str("--config"),
            Self::Variable(name) => f.write_str(name),
            Self::UserDirectory => f.write_str("the user's configuration directory"),
            Self::SystemDirectory => f.write_str("the system's configuration directory"),
        }
    }
}

/// A configuration file that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFile {
    /// Where.
    pub path: PathBuf,
    /// How it is written.
    pub format: Format,
    /// Who named it.
    pub named_by: NamedBy,
}

/// An `env` file that was read.
#[derive(Clone, PartialEq, Eq)]
pub struct EnvFile {
    /// Where.
    pub path: PathBuf,
    /// What it sets.
    pub variables: BTreeMap<String, String>,
}

// The values are mostly secrets; their names are enough to see what was read.
impl fmt::Debug for EnvFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.variables.keys().collect();
        f.debug_struct("EnvFile")
            .field("path", &self.path)
            .field("variables", &names)
            .finish()
    }
}

/// What was found. Both may be absent: then the defaults and the environment alone make the configuration, and the
/// caller is the one to say so in its log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The configuration file.
    pub config: Option<ConfigFile>,
    /// The `env` file beside it.
    pub env: Option<EnvFile>,
}

/// Why no configuration file could be chosen.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// Somebody named a file that is not there.
    #[error("the configuration file `{path}`, named by {named_by}, does not exist")]
    Missing {
        /// The file.
        path: PathBuf,
        /// Who named it.
        named_by: NamedBy,
    },
    /// A file or directory cannot be looked at, which is not the same as absent.
    #[error("could not look at `{path}`")]
    Look {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The name does not say how the file is written.
    #[error(
        "`{path}`, named by {named_by}, is a directory or has no known extension: expected a file `.toml`, `.yaml`, `.yml` or `.json`"
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Who named it.
        named_by: NamedBy,
    },
    /// Two files stand side by side, and only one could be used.
    #[error("`{first}` and `{second}` are both there: remove one, or name the one to use with --config")]
    Two {
        /// The first.
        first: PathBuf,
        /// The second.
        second: PathBuf,
    },
    /// The `env` file was refused.
    #[error(transparent)]
    Env(#[from] EnvFileError),
    /// There is neither a home nor a name for the data directory.
    #[error("no data directory: neither --data-dir, {variable}, XDG_STATE_HOME nor HOME is set; set one of them")]
    NoDataDir {
        /// The product's own variable.
        variable: String,
    },
}

/// The directory that a product keeps its data in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataDir {
    /// Where.
    pub path: PathBuf,
    /// Whether an option or a variable named it. A path in the configuration file wins over the default only.
    pub is_named: bool,
}

impl ConfigFinder {
    /// The configuration file and its `env` file: the first of `option` (`--config`), `<PREFIX>_CONFIG`,
    /// `<PREFIX>_CONFIG_PATH`, the user's configuration directory and the system's.
    ///
    /// Without a configuration file, an `env` file in one of the two directories still counts: a key is often all that
    /// has to be set.
    ///
    /// # Errors
    /// When a named file is missing, when two stand side by side, and when one cannot be looked at or read.
    pub fn find(&self, option: Option<&Path>, around: &Surroundings) -> Result<Found, FindError> {
        let config = self.config_file(option, around)?;
        let beside = |file: &ConfigFile| vec![file.path.parent().unwrap_or(Path::new("")).to_owned()];
        let dirs = config
            .as_ref()
            .map_or_else(|| self.directories(around).map(|(dir, _)| dir).collect(), beside);
        for dir in dirs {
            let path = dir.join("env");
            if let Some(variables) = env_file::read(&path)? {
                let env = Some(EnvFile { path, variables });
                return Ok(Found { config, env });
            }
        }
        Ok(Found { config, env: None })
    }

    /// The data directory of `binary`: `option` (`--data-dir`), `<PREFIX>_DATA_DIR`, else `/var/lib/<binary>` for root
    /// and `$XDG_STATE_HOME/<binary>` for others. Nothing is created.
    ///
    /// # Errors
    /// When nothing says where a home is.
    pub fn data_dir(
        &self,
        binary: &str,
        option: Option<&Path>,
        variables: &BTreeMap<String, String>,
        around: &Surroundings,
    ) -> Result<DataDir, FindError> {
        let variable = format!("{}_DATA_DIR", self.prefix);
        let from_variable = variables
            .get(&variable)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from);
        if let Some(path) = option.map(Path::to_owned).or(from_variable) {
            return Ok(DataDir { path, is_named: true });
        }
        let base = if around.is_root {
            Some(around.system_state.clone())
        } else {
            around.user_state()
        };
        let path = base.ok_or(FindError::NoDataDir { variable })?.join(binary);
        Ok(DataDir { path, is_named: false })
    }

    fn config_file(&self, option: Option<&Path>, around: &Surroundings) -> Result<Option<ConfigFile>, FindError> {
        if let Some(path) = option {
            return named(path, NamedBy::Option).map(Some);
        }
        for suffix in ["CONFIG", "CONFIG_PATH"] {
            let variable = format!("{}_{suffix}", self.prefix);
            if let Some(path) = around.variable(&variable) {
                return named(Path::new(path), NamedBy::Variable(variable)).map(Some);
            }
        }
        for (dir, named_by) in self.directories(around) {
            if let Some(file) = in_directory(&dir, named_by)? {
                return Ok(Some(file));
            }
        }
        Ok(None)
    }

    fn directories(&self, around: &Surroundings) -> impl Iterator<Item = (PathBuf, NamedBy)> {
        let user = around.user_config().map(|dir| (dir, NamedBy::UserDirectory));
        let system = (around.system_config.clone(), NamedBy::SystemDirectory);
        let product = self.product;
        user.into_iter()
            .chain([system])
            .map(move |(dir, named_by)| (dir.join(product), named_by))
    }
}

fn named(path: &Path, named_by: NamedBy) -> Result<ConfigFile, FindError> {
    let is_file = is_file(path)?.ok_or_else(|| FindError::Missing {
        path: path.to_owned(),
        named_by: named_by.clone(),
    })?;
    match Format::of_path(path).filter(|_| is_file) {
        Some(format) => Ok(ConfigFile {
            path: path.to_owned(),
            format,
            named_by,
        }),
        None => Err(FindError::Format {
            path: path.to_owned(),
            named_by,
        }),
    }
}

fn in_directory(dir: &Path, named_by: NamedBy) -> Result<Option<ConfigFile>, FindError> {
    let mut found: Option<PathBuf> = None;
    for name in NAMES {
        let path = dir.join(name);
        if is_file(&path)?.is_none() {
            continue;
        }
        if let Some(first) = found {
            return Err(FindError::Two { first, second: path });
        }
        found = Some(path);
    }
    found.map(|path| named(&path, named_by)).transpose()
}

/// Whether it is anything but a directory (a named pipe or `/dev/stdin` can hold a configuration too); `None` when it
/// is not there.
fn is_file(path: &Path) -> Result<Option<bool>, FindError> {
    match std::fs::metadata(path) {
        Ok(found) => Ok(Some(!found.is_dir())),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(source) => Err(FindError::Look {
            path: path.to_owned(),
            source,
        }),
    }
}
