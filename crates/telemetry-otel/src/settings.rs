//! What a process says about its logs.
use core_model::ByteSize;
use std::{path::PathBuf, time::Duration};

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people: `2026-11-21T03:50:33Z INFO  scanner: message key=value`.
    #[default]
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

/// A log file that rotates by size and by age, whichever comes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSettings {
    /// The file that is written; rotated ones are beside it as `NAME.1`, `NAME.2` and so on, the newest first.
    pub path: PathBuf,
    /// It is rotated before it grows beyond this. Zero: never for its size.
    pub max_size: ByteSize,
    /// It is rotated when it was begun so long ago. Zero: never for its age.
    pub max_age: Duration,
    /// How many rotated files are kept.
    pub max_backups: u32,
    /// Whether rotated files are packed (`NAME.1.gz`).
    pub compress: bool,
}

impl FileSettings {
    /// 100 MB or seven days, five rotated files, packed.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            max_size: ByteSize::new(100 << 20),
            max_age: Duration::from_secs(7 * 24 * 60 * 60),
            max_backups: 5,
            compress: true,
        }
    }
}

/// The logs of a process. They go to stderr, and to a file where one is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// `error`, `warn`, `info`, `debug`, `trace` or `off`, then exceptions for parts of the program, parted by commas:
    /// `info,fsscan=debug`.
    pub level: String,
    /// How lines look.
    pub format: Format,
    /// The file, if any.
    pub file: Option<FileSettings>,
    /// The name of the product: the component of lines that name no part of the program themselves.
    pub service: String,
    /// Written on every JSON line.
    pub agent_id: Option<String>,
    /// Whether stderr is coloured. `None`: if it is a terminal and `NO_COLOR` is not set.
    pub color: Option<bool>,
}

impl LogSettings {
    /// `info`, as text, to stderr alone.
    pub fn new(service: impl Into<String>) -> Self {
        Self {
            level: "info".to_owned(),
            format: Format::Text,
            file: None,
            service: service.into(),
            agent_id: None,
            color: None,
        }
    }
}
