//! Support bundles: what somebody who helps has to see, in one archive, without secrets.

use crate::{
    doctor::{Report, Style},
    load::{ConfigError, Loaded},
    redact::Redactor,
    settings::LoggingSettings,
    verbs::{self, ShowAs},
};
use conf::Settings;
use flate2::{Compression, write::GzEncoder};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

/// How much of the end of a log is taken along.
const LOG_TAIL: u64 = 1 << 20;

/// A file of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name, such as `log.txt`.
    pub name: String,
    /// Its text. Secrets in it are taken out when the bundle is written.
    pub content: String,
}

impl Entry {
    /// A file `name` that holds `content`.
    pub fn new(name: impl Into<String>, content: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            content: content.into(),
        }
    }
}

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The file is there already.
    #[error("`{0}` is already there and is not overwritten: move it away or name another file")]
    Exists(PathBuf),
    /// It could not be written; what was begun is removed.
    #[error("could not write the support bundle `{path}`")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Writes the entries as `path`, a gzip-packed tar that its owner alone may read, in a directory of the archive's name.
/// All of them, names included, go through `redactor`: there is no way past it.
///
/// # Errors
/// When the file is there already, and when it cannot be written.
pub fn write(path: &Path, entries: &[Entry], redactor: &Redactor) -> Result<(), BundleError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    private(&mut options);
    let file = options.open(path).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => BundleError::Exists(path.to_owned()),
        _ => BundleError::Write {
            path: path.to_owned(),
            source,
        },
    })?;
    archive(file, &directory(path), entries, redactor).map_err(|source| {
        // Half a bundle helps nobody, and would be in the way of the next attempt.
        let _ = fs::remove_file(path);
        BundleError::Write {
            path: path.to_owned(),
            source,
        }
    })
}

fn archive(file: File, directory: &str, entries: &[Entry], redactor: &Redactor) -> io::Result<()> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.map_or(0, |since| since.as_secs());
    let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::default()));
    for entry in entries {
        let content = redactor.redact(&entry.content);
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(now);
        let name = redactor.redact(&entry.name);
        archive.append_data(&mut header, format!("{directory}/{name}"), content.as_bytes())?;
    }
    let mut file = archive.into_inner()?.finish()?;
    file.flush()?;
    file.sync_all()
}

/// `bundle` for `/tmp/bundle.tar.gz`.
fn directory(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.split('.').next().filter(|stem| !stem.is_empty());
    stem.unwrap_or("bundle").to_owned()
}

/// What every product's bundle holds: the report of its doctor, its configuration with secrets masked, or what is wrong
/// with it, the version, and the system. `version` is what `--version` prints.
pub fn entries<T: Settings>(version: &str, report: &Report, loaded: Result<&Loaded<T>, &ConfigError>) -> Vec<Entry> {
    let mut entries = vec![
        Entry::new("doctor.json", report.show(ShowAs::Json, Style::default())),
        Entry::new("version.txt", format!("{}\n", version.trim_end())),
        Entry::new("system.txt", system()),
    ];
    if let Ok(release) = fs::read_to_string("/etc/os-release") {
        entries.push(Entry::new("os-release.txt", release));
    }
    entries.push(Entry::new(
        "config.txt",
        match loaded {
            Ok(loaded) => verbs::show(loaded, ShowAs::Table),
            Err(error) => error.render(false),
        },
    ));
    entries
}

/// The last megabyte of the log, from the beginning of a line, where it is written to a file; a text that says why not
/// where that cannot be read.
pub fn log_tail(logging: &LoggingSettings) -> Option<Entry> {
    let path = logging.file.as_ref()?;
    let text = tail(path, LOG_TAIL).unwrap_or_else(|error| format!("{}: {error}\n", path.display()));
    Some(Entry::new("log.txt", text))
}

fn tail(path: &Path, most: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let from = length.saturating_sub(most);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    // What is written meanwhile is not waited for.
    file.take(most).read_to_end(&mut bytes)?;
    let begin = if from == 0 {
        0
    } else {
        let line_end = bytes.iter().position(|byte| *byte == b'\n');
        line_end.map_or(bytes.len(), |end| end + 1)
    };
    Ok(String::from_utf8_lossy(&bytes[begin..]).into_owned())
}

#[cfg(unix)]
fn system() -> String {
    let name = rustix::system::uname();
    let parts = [name.sysname(), name.release(), name.version(), name.machine()];
    let parts = parts.map(|part| part.to_string_lossy().into_owned());
    format!("{}\n", parts.join(" "))
}

#[cfg(not(unix))]
fn system() -> String {
    format!("{} {}\n", std::env::consts::OS, std::env::consts::ARCH)
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600);
}

#[cfg(not(unix))]
fn private(_: &mut OpenOptions) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_begins_with_a_whole_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, "one\ntwo\nthree\n").unwrap();
        for (most, expected) in [(100, "one\ntwo\nthree\n"), (9, "three\n"), (10, "three\n"), (3, "")] {
            assert_eq!(tail(&path, most).unwrap(), expected, "{most}");
        }
    }
}
