//! `config check`, `config schema`, `config show` and `config init`, as functions from what was loaded to text.

use crate::{
    load::{ConfigError, Loaded},
    print::{Table, shortened},
};
use conf::{Format, Settings};
use serde::Serialize;
use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

/// A longer value, such as a list of rules, is cut where people read it: it would push the origins out of sight.
const WIDEST_VALUE: usize = 60;

/// How `config show` writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ShowAs {
    /// Columns for people.
    #[default]
    Table,
    /// One JSON array.
    Json,
    /// One JSON object a line.
    JsonLines,
}

/// Why `config init` wrote nothing.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The file is there already.
    #[error("`{0}` is already there and is not overwritten: move it away or name another file")]
    Exists(PathBuf),
    /// The example is YAML or TOML, and the name says something else: JSON has no comments.
    #[error("`{0}` does not end in `.toml`, `.yaml` or `.yml`: the example is written in TOML or YAML")]
    NoComments(PathBuf),
    /// It could not be written.
    #[error("could not write `{path}`")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// `config check`: says what was read and what has no effect, or every problem.
///
/// # Errors
/// The text for standard error, where the configuration cannot be used; the exit status is
/// [`Exit::Configuration`](crate::Exit::Configuration).
pub fn check<T>(loaded: &Result<Loaded<T>, ConfigError>, color: bool) -> Result<String, String> {
    let loaded = loaded.as_ref().map_err(|error| error.render(color))?;
    let mut text = String::new();
    for warning in &loaded.settings.warnings {
        text.push_str(&format!("{warning}\n"));
    }
    match &loaded.found.config {
        Some(file) => text.push_str(&format!(
            "{}: valid (named by {})\n",
            file.path.display(),
            file.named_by
        )),
        None => text.push_str("no configuration file: the defaults and the environment are valid\n"),
    }
    if let Some(env) = &loaded.found.env {
        text.push_str(&format!("{}: read\n", env.path.display()));
    }
    Ok(text)
}

/// `config schema`: the JSON Schema of the settings.
pub fn schema<T: Settings>() -> String {
    format!("{:#}\n", conf::schema::<T>())
}

/// `config show`: every key with the value in force and its origin, secrets as `***`. In columns, long values are cut.
pub fn show<T: Settings>(loaded: &Loaded<T>, show_as: ShowAs) -> String {
    #[derive(Serialize)]
    struct Row {
        key: String,
        value: String,
        origin: String,
    }
    let rows = loaded.settings.effective().into_iter().map(|effective| Row {
        key: effective.key,
        value: effective.value,
        origin: effective.origin.to_string(),
    });
    match show_as {
        ShowAs::Table => {
            let mut table = Table::new(&["KEY", "VALUE", "ORIGIN"]);
            for row in rows {
                table.row([row.key, shortened(row.value, WIDEST_VALUE), row.origin]);
            }
            table.to_string()
        }
        ShowAs::JsonLines => rows.map(|row| line_of(&row)).collect(),
        ShowAs::Json => line_of(&rows.collect::<Vec<_>>()),
    }
}

// Rows hold nothing but text, which always serializes.
fn line_of(value: &impl Serialize) -> String {
    let mut line = serde_json::to_string(value).unwrap_or_default();
    line.push('\n');
    line
}

/// `config init`: the commented example. With a `path` it is written there, in the format that its name says, and what is
/// returned says so; without one it is returned for standard output, in YAML. Missing parent directories are made.
///
/// # Errors
/// When the file is there already, when its name is that of no YAML or TOML file, and when it cannot be written.
pub fn init<T: Settings>(path: Option<&Path>) -> Result<String, InitError> {
    let Some(path) = path else {
        return Ok(conf::annotated_example::<T>());
    };
    let example = match Format::of_path(path) {
        Some(Format::Yaml) => conf::annotated_example::<T>(),
        Some(Format::Toml) => conf::annotated_example_toml::<T>(),
        Some(Format::Json) | None => return Err(InitError::NoComments(path.to_owned())),
    };
    let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).open(path)?;
        file.write_all(example.as_bytes())
    });
    match written {
        Ok(()) => Ok(format!("wrote {}\n", path.display())),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(InitError::Exists(path.to_owned())),
        Err(source) => Err(InitError::Write {
            path: path.to_owned(),
            source,
        }),
    }
}
