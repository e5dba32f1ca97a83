//! `env` files: variables for one product, kept beside its configuration file.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

/// Why an `env` file was refused. Values are never shown: they are mostly secrets.
#[derive(Debug, thiserror::Error)]
pub enum EnvFileError {
    /// It is there and cannot be read.
    #[error("could not read the env file `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line is none of `NAME=value`, a comment and nothing.
    #[error("`{path}`, line {line}: expected `NAME=value`, a comment that begins with `#`, or an empty line")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// A value opens a quote and does not close it at its end.
    #[error("`{path}`, line {line}: the value of `{name}` opens a quote that does not close at the end of the line")]
    Quote {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The variable.
        name: String,
    },
    /// The same name stands in two lines, so one of them would be lost.
    #[error("`{path}`, line {line}: `{name}` was already set in line {earlier}; remove one of the two")]
    Repeated {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The variable.
        name: String,
        /// The line it was set in first.
        earlier: usize,
    },
    /// Every user of the machine could read a secret.
    #[error("`{path}` sets `{name}` and can be read by every user: run `chmod 0640 {path}`")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// The first variable that looks like a secret.
        name: String,
    },
}

/// Reads `path` if it is there. Lines are `NAME=value`; `#` begins a comment; a value may stand in single quotes, as it
/// is, or in double quotes, where `\"` and `\\` are escapes. systemd's `EnvironmentFile=` reads such a file alike.
///
/// # Errors
/// See [`EnvFileError`]; that the file is absent is not an error.
pub(crate) fn read(path: &Path) -> Result<Option<BTreeMap<String, String>>, EnvFileError> {
    let failed = |source| EnvFileError::Read {
        path: path.to_owned(),
        source,
    };
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(failed(error)),
    };
    let variables = parse(path, &text)?;
    let secret = variables.keys().find(|name| names_a_secret(name));
    match secret {
        Some(name) if others_can_read(path).map_err(failed)? => Err(EnvFileError::Exposed {
            path: path.to_owned(),
            name: name.clone(),
        }),
        _ => Ok(Some(variables)),
    }
}

pub(crate) fn parse(path: &Path, text: &str) -> Result<BTreeMap<String, String>, EnvFileError> {
    let mut variables: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for (line, content) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        let content = content.trim();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let malformed = || EnvFileError::Line {
            path: path.to_owned(),
            line,
        };
        let (name, value) = content.split_once('=').ok_or_else(malformed)?;
        let name = name.strip_prefix("export ").unwrap_or(name).trim();
        if !is_name(name) {
            return Err(malformed());
        }
        let value = unquote(value.trim()).ok_or_else(|| EnvFileError::Quote {
            path: path.to_owned(),
            line,
            name: name.to_owned(),
        })?;
        if let Some((earlier, _)) = variables.insert(name.to_owned(), (line, value)) {
            return Err(EnvFileError::Repeated {
                path: path.to_owned(),
                line,
                name: name.to_owned(),
                earlier,
            });
        }
    }
    Ok(variables.into_iter().map(|(name, (_, value))| (name, value)).collect())
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// `None` when a quote opens and does not close at the end.
fn unquote(value: &str) -> Option<String> {
    if let Some(rest) = value.strip_prefix('\'') {
        return rest
            .strip_suffix('\'')
            .filter(|inner| !inner.contains('\''))
            .map(str::to_owned);
    }
    let Some(rest) = value.strip_prefix('"') else {
        return Some(value.to_owned());
    };
    let mut inner = String::with_capacity(rest.len());
    let mut chars = rest.chars();
    loop {
        match chars.next()? {
            '"' => return chars.next().is_none().then_some(inner),
            '\\' => match chars.next()? {
                escaped @ ('"' | '\\') => inner.push(escaped),
                other => inner.extend(['\\', other]),
            },
            other => inner.push(other),
        }
    }
}

pub(crate) fn names_a_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let words = [
        "KEY",
        "TOKEN",
        "PASSWORD",
        "PASSWD",
        "PASSPHRASE",
        "SECRET",
        "CREDENTIAL",
    ];
    let elsewhere = ["_FILE", "_PATH", "_DIR", "_URL"];
    words.iter().any(|word| name.contains(word)) && !elsewhere.iter().any(|end| name.ends_with(end))
}

#[cfg(unix)]
fn others_can_read(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::metadata(path)?.permissions().mode() & 0o004 != 0)
}

// Access lists of other systems are not read: their directories are closed by default.
#[cfg(not(unix))]
fn others_can_read(_: &Path) -> io::Result<bool> {
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Result<Vec<(String, String)>, String> {
        parse(Path::new("env"), text)
            .map(|variables| variables.into_iter().collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn lines_are_read_as_systemd_reads_them() {
        let text = "\u{feff}# key\n\nA=1\n B = two words \nexport C='it \"is\" $X'\nD=\"a \\\"b\\\" \\\\ c\\n\"\nE=\nF=a#b=c\n";
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "it \"is\" $X"),
            ("D", "a \"b\" \\ c\\n"),
            ("E", ""),
            ("F", "a#b=c"),
        ];
        let expected: Vec<_> = expected
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        assert_eq!(parsed(text).unwrap(), expected);
    }

    #[test]
    fn what_is_wrong_is_named_by_line_and_no_value_is_shown() {
        for (text, expected) in [
            ("A=1\nhunter2", "line 2: expected `NAME=value`"),
            ("9A=hunter2", "line 1: expected"),
            ("A='hunter2", "the value of `A` opens a quote"),
            ("A=\"hunter2\" x", "the value of `A` opens a quote"),
            ("A=hunter2\n\nA=2", "line 3: `A` was already set in line 1"),
        ] {
            let error = parsed(text).unwrap_err();
            assert!(error.contains(expected) && !error.contains("hunter2"), "{error}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn what_is_written_in_quotes_is_read_back(value in "[^\r\n'\u{b}\u{c}\u{85}\u{2028}\u{2029}]{0,40}", text in any::<String>()) {
            let read = parsed(&format!("NAME='{value}'")).unwrap();
            prop_assert_eq!(read, [("NAME".to_owned(), value)]);
            // Whatever the bytes: an answer, and no value in an error.
            let _ = parsed(&text);
        }
    }

    #[test]
    fn an_absent_file_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(&dir.path().join("env")).unwrap().is_none());
    }

    #[cfg(unix)]
    #[test]
    fn a_secret_that_everybody_can_read_is_refused_with_the_remedy() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("env");
        let with_mode = |text: &str, mode| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            read(&path)
        };
        assert!(
            with_mode("SCANNER_API_KEY_FILE=/run/key\n", 0o644).is_ok(),
            "a file's name is no secret"
        );
        assert!(
            with_mode("SCANNER_API_KEY=k\n", 0o640).is_ok(),
            "the service's group may read"
        );
        let error = with_mode("SCANNER_API_KEY=k\n", 0o644).unwrap_err().to_string();
        assert!(error.contains("chmod 0640"), "{error}");
    }
}
