//! A state that opens whatever became of it: moved aside and replaced where it is damaged.
mod aside;
mod restore;

pub use restore::restore_from;

use crate::{
    Backups, Component, Database, OpenError, OpenOptions, Outbox, ResyncReason, SqliteTree, StateError,
    ballast::Ballast, files, journal, outbox, tree,
};
use chrono::{DateTime, SecondsFormat, Utc};
use rusqlite::ErrorCode;
use std::{
    error::Error,
    fmt, fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// How a state came to be open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Story {
    /// There was none; it was made.
    New,
    /// It was as it had been left.
    Sound,
    /// It was damaged or gone, and a backup took its place.
    Restored {
        /// The backup.
        backup: PathBuf,
        /// When it was taken.
        taken_at: DateTime<Utc>,
        /// Where the damaged file lies now, if there was one; its log and the rest lie beside it.
        aside: Option<PathBuf>,
        /// What was found.
        why: String,
    },
    /// It was damaged or gone and there was no sound backup; a new one took its place.
    Rebuilt {
        /// Where the damaged file lies now, if there was one; its log and the rest lie beside it.
        aside: Option<PathBuf>,
        /// What was found.
        why: String,
    },
    /// It is sound, and stands at an earlier instant than it had reached.
    RolledBack {
        /// What was found.
        why: String,
    },
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => write!(f, "the state is new"),
            Self::Sound => write!(f, "the state is sound"),
            Self::Restored {
                backup,
                taken_at,
                aside,
                why,
            } => {
                let at = taken_at.to_rfc3339_opts(SecondsFormat::Secs, true);
                write!(
                    f,
                    "the state was damaged ({why}): restored the backup `{}` of {at}",
                    backup.display()
                )?;
                moved(f, aside.as_deref())
            }
            Self::Rebuilt { aside, why } => {
                write!(
                    f,
                    "the state was damaged ({why}) and there was no sound backup: began a new one"
                )?;
                moved(f, aside.as_deref())
            }
            Self::RolledBack { why } => write!(f, "the state went back in time: {why}"),
        }
    }
}

fn moved(f: &mut fmt::Formatter<'_>, aside: Option<&Path>) -> fmt::Result {
    match aside {
        Some(aside) => write!(f, ", moved the damaged one to `{}`", aside.display()),
        None => Ok(()),
    }
}

/// Opens an agent's state with its outbox and the tables of `components`, whatever became of the file. Whoever calls it
/// holds the [`RunLock`](crate::RunLock).
///
/// - A file of an older version is backed up before it is brought up to date.
/// - A damaged one is moved aside with its log, and the newest sound backup takes its place, or else a new state. The two
///   newest of what was moved aside stay. One that is empty or gone, though its mark or backups of it are there, counts as
///   damaged: whoever wants to begin anew takes those away as well.
/// - Directories that are damaged in themselves are made such that the next scan looks at them anew.
///
/// Where the server's picture may be wrong afterwards, [`Outbox::resync`] says so.
///
/// # Errors
/// When the path names a database of another program, a newer version wrote it, or the system refuses. Nothing is moved
/// then.
pub fn open_or_recover(
    path: &Path,
    backups: &Backups,
    components: &[Component],
    now: DateTime<Utc>,
) -> Result<(Database, Story), OpenError> {
    let why = match damage_seen(path, backups)? {
        Some(why) => why,
        None if is_absent(path)? => {
            let database = open_new(path, components, ResyncReason::First, "")?;
            return Ok((database, Story::New));
        }
        None => match open_starved(path, backups, components, now) {
            Err(error) if error.is_damage() => with_causes(&error),
            done => return done,
        },
    };
    tracing::error!(path = %path.display(), "the state is damaged: {why}");
    recover(path, backups, components, now, why)
}

/// What can be seen without opening the file.
fn damage_seen(path: &Path, backups: &Backups) -> Result<Option<String>, OpenError> {
    if files::beside(path, restore::READY).exists() {
        return Ok(Some("a backup was being restored when it was cut off".to_owned()));
    }
    let why = match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() && metadata.len() == 0 => "the file is empty",
        Err(error) if error.kind() == ErrorKind::NotFound => "the file is gone",
        _ => return Ok(None),
    };
    let had_more = files::beside(path, files::MARK).exists() || !backups.list().is_ok_and(|list| list.is_empty());
    Ok(had_more.then(|| why.to_owned()))
}

fn is_absent(path: &Path) -> Result<bool, OpenError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.is_file() && metadata.len() == 0),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(source) => Err(OpenError::Open {
            path: path.to_owned(),
            source,
        }),
    }
}

fn open_new(path: &Path, components: &[Component], reason: ResyncReason, detail: &str) -> Result<Database, OpenError> {
    let database = Database::open(path, OpenOptions::default())?;
    database.migrate(components)?;
    Outbox::open_for(&database, reason, detail)?;
    Ok(database)
}

/// Opens it also on a full disk, where SQLite has no room for its index of the log: the ballast is given up for it.
fn open_starved(
    path: &Path,
    backups: &Backups,
    components: &[Component],
    now: DateTime<Utc>,
) -> Result<(Database, Story), OpenError> {
    match open_sound(path, backups, components, now) {
        Err(OpenError::Sqlite { source, .. })
            if matches!(
                source.sqlite_error_code(),
                Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure)
            ) && files::beside(path, files::BALLAST).exists() =>
        {
            tracing::warn!(error = %source, "could not open the state; gave up the ballast and try again");
            Ballast::new(files::beside(path, files::BALLAST)).remove();
            open_sound(path, backups, components, now)
        }
        done => done,
    }
}

fn open_sound(
    path: &Path,
    backups: &Backups,
    components: &[Component],
    now: DateTime<Utc>,
) -> Result<(Database, Story), OpenError> {
    let database = Database::open(path, OpenOptions::default())?;
    let all = [components, &[outbox::COMPONENT, tree::COMPONENT, journal::COMPONENT]].concat();
    if database.is_older(&all)? {
        let backup = backups.take(&database, now).map_err(|source| OpenError::NoBackup {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        tracing::info!(backup = %backup.path.display(), "backed the state up before it is brought up to date");
    }
    database.migrate(components)?;
    Outbox::open(&database)?;
    outbox::recount(&database).map_err(|error| in_opening(path, error))?;
    let has_tree = database
        .with_writer(|connection| crate::database::has_table(connection, "tree_meta"))
        .map_err(|error| crate::database::damaged_or(path, "read", error))?;
    if has_tree {
        SqliteTree::open(&database)?;
        tree::mend(&database).map_err(|error| in_opening(path, error))?;
    }
    let story = match database.shared().rolled_back() {
        Some(why) => Story::RolledBack { why },
        None => Story::Sound,
    };
    Ok((database, story))
}

/// Replaces a damaged state. The copy that takes its place is made first and whole, so that there is one from the instant
/// that anything is moved: whatever cuts this off, the next start ends it.
fn recover(
    path: &Path,
    backups: &Backups,
    components: &[Component],
    now: DateTime<Utc>,
    why: String,
) -> Result<(Database, Story), OpenError> {
    let list = backups.list().map_err(|source| OpenError::Backup {
        path: backups.dir().to_owned(),
        source: Box::new(source),
    })?;
    let mut chosen = None;
    for backup in list {
        match restore::prepare(path, &backup.path, ResyncReason::Restored, &why) {
            Ok(()) => {
                chosen = Some(backup);
                break;
            }
            Err(error @ OpenError::File { .. }) => return Err(error),
            Err(error) => {
                tracing::warn!(backup = %backup.path.display(), error = &error as &dyn Error, "a backup cannot be used");
            }
        }
    }
    let aside = Some(aside::move_aside(path, aside::DAMAGED, now)?).filter(|aside| aside.exists());
    let Some(backup) = chosen else {
        files::remove_if_there(&files::beside(path, restore::READY)).map_err(|source| OpenError::File {
            path: path.to_owned(),
            doing: "clean up beside",
            source,
        })?;
        let database = open_new(path, components, ResyncReason::Rebuilt, &why)?;
        return Ok((database, Story::Rebuilt { aside, why }));
    };
    restore::put_in_place(path)?;
    let (database, _) = open_sound(path, backups, components, now)?;
    let story = Story::Restored {
        backup: backup.path,
        taken_at: backup.taken_at,
        aside,
        why,
    };
    Ok((database, story))
}

/// A failure of the work on a file that is being opened.
pub(crate) fn in_opening(path: &Path, error: StateError) -> OpenError {
    match error {
        StateError::Sqlite { doing, source } | StateError::DiskFull { doing, source, .. } => {
            crate::database::damaged_or(path, doing, source)
        }
        StateError::Random(source) => OpenError::Random {
            path: path.to_owned(),
            source,
        },
        other => OpenError::Corrupt {
            path: path.to_owned(),
            detail: other.to_string(),
        },
    }
}

fn with_causes(error: &OpenError) -> String {
    let what = match error {
        // Its remedy is what is being done.
        OpenError::Corrupt { detail, .. } => detail.clone(),
        OpenError::NotADatabase { .. } => "it begins with something other than an SQLite database".to_owned(),
        other => other.to_string(),
    };
    let mut text = what;
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
