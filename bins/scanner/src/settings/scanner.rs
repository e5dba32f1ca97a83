//! The `scanner` section.
use crate::request;
use conf::Check;
use core_model::{ByteSize, Period, Share};
use daemon_kit::ScheduleSettings;
use fsscan::{RootRequest, Rules, ScanRequest};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};
use std::{collections::BTreeMap, fmt, path::PathBuf};

/// What is scanned, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct ScannerSettings {
    /// How often `scanner run` scans, counted from one beginning to the next.
    pub(crate) scan_interval: Period,
    /// At which times `scanner run` scans instead.
    pub(crate) schedule: ScheduleSettings,
    /// Directories to scan. Each is a path, or a table with `path` and rules of its own.
    pub(crate) scan_paths: Vec<ScanPath>,
    /// What a controller may have scanned on this machine: its scan paths must lie in one of these [default: the scan
    /// paths that stand here].
    pub(crate) allowed_roots: Option<Vec<PathBuf>>,
    /// What to leave out, in .gitignore syntax; a pattern with a slash inside holds at any depth, one that begins with
    /// a slash only at the top of each scan path.
    pub(crate) ignore_patterns: Vec<String>,
    /// Names of files, such as `.gitignore`, whose patterns hold below the directory that they lie in.
    pub(crate) ignore_files: Vec<String>,
    /// Whether hidden files and directories are scanned.
    pub(crate) hidden: bool,
    /// Larger files are left out.
    pub(crate) max_file_size: Option<ByteSize>,
    /// Whether symbolic links are followed, as far as they stay inside the scan path.
    pub(crate) follow_symlinks: bool,
    /// Whether file systems mounted below a scan path are left out.
    pub(crate) one_file_system: bool,
    /// How changes are detected.
    pub(crate) change_detection: ChangeDetection,
    /// How contents are hashed in the modes `hash` and `hybrid`.
    pub(crate) hash_algorithm: HashAlgorithm,
    /// Which share of the files the mode `hybrid` hashes in each scan, besides those whose time moved and size did not.
    pub(crate) hash_share: Share,
    /// Walking threads, 1 to 50 [default: one for each core, at most 4].
    pub(crate) worker_count: Option<u8>,
    /// Records in one request to the server, 10 to 1,000.
    pub(crate) batch_size: u32,
    /// Requests to the server at one time, 1 to 5.
    pub(crate) concurrent_api_calls: u8,
    /// Whether records carry a MIME type.
    pub(crate) mime_detection: bool,
    /// Whether the MIME type is read from the content where the extension says nothing.
    pub(crate) mime_by_content: bool,
    /// MIME types by extension, such as `.xyz: application/xyz-data`.
    pub(crate) custom_mime_types: BTreeMap<String, String>,
    /// When deletions are held until `scanner accept`.
    pub(crate) deletion_hold: DeletionHold,
}

impl Default for ScannerSettings {
    fn default() -> Self {
        Self {
            scan_interval: Period::from_secs(6 * 60 * 60),
            schedule: ScheduleSettings::default(),
            scan_paths: Vec::new(),
            allowed_roots: None,
            ignore_patterns: Vec::new(),
            ignore_files: Vec::new(),
            hidden: true,
            max_file_size: None,
            follow_symlinks: false,
            one_file_system: false,
            change_detection: ChangeDetection::Metadata,
            hash_algorithm: HashAlgorithm::Sha256,
            hash_share: Share::percent(10),
            worker_count: None,
            batch_size: 500,
            concurrent_api_calls: 3,
            mime_detection: true,
            mime_by_content: false,
            custom_mime_types: BTreeMap::new(),
            deletion_hold: DeletionHold::default(),
        }
    }
}

impl ScannerSettings {
    pub(crate) fn check(&self, check: &mut Check<'_>) {
        if !(10..=1000).contains(&self.batch_size) {
            check.problem("scanner.batch_size", "must lie between 10 and 1000", None);
        }
        if self.scan_interval.get().is_zero() {
            let help = Some("write 6h, for four scans a day; a scan that takes longer is followed by the next at once");
            check.problem("scanner.scan_interval", "must be more than nothing", help);
        }
        if !(1..=5).contains(&self.concurrent_api_calls) {
            check.problem("scanner.concurrent_api_calls", "must lie between 1 and 5", None);
        }
        if self.worker_count.is_some_and(|n| !(1..=50).contains(&n)) {
            check.problem("scanner.worker_count", "must lie between 1 and 50", None);
        }
        for extension in self.custom_mime_types.keys().filter(|e| !e.starts_with('.')) {
            let key = format!("scanner.custom_mime_types.{extension}");
            check.problem(
                &key,
                format!("`{extension}` is no extension"),
                Some(&format!("write `.{extension}`")),
            );
        }
        if self.scan_paths.is_empty() {
            let help = Some("name at least one directory; `scanner scan PATH` needs none");
            check.warning(
                "scanner.scan_paths",
                "no directory is named: `scanner run` has nothing to scan",
                help,
            );
        }
        self.schedule.check("scanner.schedule", check);
        for (n, name) in self.ignore_files.iter().enumerate() {
            // A path would have files read that lie elsewhere.
            if name.contains(['/', '\\']) || matches!(name.as_str(), "" | "." | "..") {
                let help =
                    Some("write the name that such files have in the directories that are scanned, as `.gitignore`");
                check.problem(
                    &format!("scanner.ignore_files[{n}]"),
                    format!("`{name}` is no name of a file"),
                    help,
                );
            }
        }
        check_patterns("scanner.ignore_patterns", &self.ignore_patterns, check);
        for (n, path) in self.scan_paths.iter().enumerate() {
            check_patterns(
                &format!("scanner.scan_paths[{n}].ignore_patterns"),
                &path.ignore_patterns,
                check,
            );
        }
        self.check_overlaps(check);
        for (n, path) in self.scan_paths.iter().enumerate() {
            if path.path.as_os_str().is_empty() {
                check.problem(&format!("scanner.scan_paths[{n}]"), "a scan path is empty", None);
            }
        }
    }
}

impl ScannerSettings {
    fn check_overlaps(&self, check: &mut Check<'_>) {
        let paths: Vec<PathBuf> = self
            .scan_paths
            .iter()
            .filter_map(|path| request::absolute(&path.path).ok())
            .collect();
        for (n, inner) in paths.iter().enumerate() {
            let key = format!("scanner.scan_paths[{n}]");
            if let Some(outer) = paths.iter().find(|outer| inner != *outer && inner.starts_with(outer)) {
                let message = format!(
                    "`{}` lies in `{}`, which is scanned too",
                    inner.display(),
                    outer.display()
                );
                check.problem(&key, message, Some("name only one of them"));
            }
            let written = &self.scan_paths[n].path;
            if written.is_relative() && !written.as_os_str().is_empty() {
                let message = format!(
                    "`{}` is relative: what is scanned depends on where it is started",
                    written.display()
                );
                check.warning(&key, message, Some("write an absolute path"));
            }
        }
    }
}

fn check_patterns(at: &str, patterns: &[String], check: &mut Check<'_>) {
    for (n, pattern) in patterns.iter().enumerate() {
        let mut root = RootRequest::new("/");
        root.ignore = vec![pattern.clone()];
        if let Err(error) = Rules::new(&ScanRequest::new(Vec::new()), &root) {
            let help = Some("write it as in a .gitignore; a backslash before a character takes its meaning away");
            check.problem(&format!("{at}[{n}]"), format!("{error}: {}", error.source), help);
        }
    }
}

/// How changes are detected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ChangeDetection {
    /// By size, times, mode, owner and identity.
    #[default]
    Metadata,
    /// And by the content of every file, in every scan.
    Hash,
    /// And by the content of a share of the files, and of those whose time moved and size did not.
    Hybrid,
}

/// How contents are hashed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum HashAlgorithm {
    /// SHA-256 (FIPS 180-4).
    #[default]
    Sha256,
    /// BLAKE3.
    Blake3,
}

/// When deletions are held until `scanner accept`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct DeletionHold {
    /// More than this share of a scan path's files vanished.
    pub(crate) share: Share,
    /// And more than so many files.
    pub(crate) min_files: u64,
}

impl Default for DeletionHold {
    fn default() -> Self {
        Self {
            share: Share::percent(50),
            min_files: 100,
        }
    }
}

/// A directory to scan, with rules of its own where it has any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(with = "PathOrTable")]
pub(crate) struct ScanPath {
    /// The directory.
    pub(crate) path: PathBuf,
    /// Patterns beside those of all scan paths.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) ignore_patterns: Vec<String>,
    /// Overrides `scanner.hidden`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hidden: Option<bool>,
    /// Overrides `scanner.max_file_size`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_file_size: Option<ByteSize>,
    /// Overrides `scanner.follow_symlinks`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) follow_symlinks: Option<bool>,
    /// Overrides `scanner.one_file_system`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) one_file_system: Option<bool>,
}

/// The table form: a struct of its own, so that unknown keys are found and named.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Table {
    path: PathBuf,
    #[serde(default)]
    ignore_patterns: Vec<String>,
    #[serde(default)]
    hidden: Option<bool>,
    #[serde(default)]
    max_file_size: Option<ByteSize>,
    #[serde(default)]
    follow_symlinks: Option<bool>,
    #[serde(default)]
    one_file_system: Option<bool>,
}

/// What the JSON Schema says: a path, or a table.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it is only described, never made")]
enum PathOrTable {
    Path(PathBuf),
    Table(Table),
}

impl<'de> Deserialize<'de> for ScanPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = ScanPath;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path, or a table with `path`")
            }

            fn visit_str<E: de::Error>(self, path: &str) -> Result<ScanPath, E> {
                Ok(ScanPath {
                    path: path.into(),
                    ..ScanPath::default()
                })
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<ScanPath, A::Error> {
                let table = Table::deserialize(de::value::MapAccessDeserializer::new(map))?;
                let Table {
                    path,
                    ignore_patterns,
                    hidden,
                    max_file_size,
                    follow_symlinks,
                    one_file_system,
                } = table;
                Ok(ScanPath {
                    path,
                    ignore_patterns,
                    hidden,
                    max_file_size,
                    follow_symlinks,
                    one_file_system,
                })
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}
