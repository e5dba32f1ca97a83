//! The engine against a real clamd, on a real file system.
mod ageing;
mod blind;
mod ending;
mod limits;
mod malware;
mod record;
mod steered;
mod taking;
mod watched;

use super::{Detection, Engine, EngineSettings, How, Progress, Report, Wanted};
use crate::settings::{Action, ReefConfig, ThrottleSettings};
use daemon_kit::live::Reload as _;
use fleet_wire::{Outcome, ScanScope};
use std::{
    fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};
use tempfile::TempDir;
use testkit::{Clamd, ClamdOptions};
use tokio_util::sync::CancellationToken;

/// A clamd, an engine, and a tree to scan.
struct Rig {
    clamd: Clamd,
    engine: Engine,
    tree: PathBuf,
    _folder: TempDir,
}

impl Rig {
    fn new() -> Self {
        Self::with(ClamdOptions::default())
    }

    fn with(options: ClamdOptions) -> Self {
        let clamd = Clamd::start(options).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let tree = root.join("tree");
        fs::create_dir(&tree).unwrap();
        let (boot, live) = ReefConfig::default().split();
        let (verdicts, quarantine) = (root.join("verdicts.db"), root.join("quarantine"));
        let mut settings = EngineSettings::of(&live, &boot.verdicts, verdicts, quarantine);
        settings.clamd.endpoint = format!("unix:{}", clamd.socket().display());
        settings.clamd.database_directory = Some(clamd.database());
        Self {
            clamd,
            engine: Engine::new(settings),
            tree,
            _folder: folder,
        }
    }

    /// Has the engine go by other settings.
    fn set(&self, change: impl FnOnce(&mut EngineSettings)) {
        let mut settings = (*self.engine.settings()).clone();
        change(&mut settings);
        self.engine.apply(settings);
    }

    fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.tree.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// So many small files without harm, no two alike.
    fn fill(&self, files: usize) {
        for n in 0..files {
            self.write(&format!("d{}/f{n}", n % 7), format!("harmless {n}").as_bytes());
        }
    }

    fn wanted(&self, action: Action) -> Wanted {
        Wanted {
            rule: "test".to_owned(),
            scope: ScanScope::Whole,
            paths: vec![self.tree.clone()],
            exclude: Vec::new(),
            max_file_size: None,
            is_recursive: true,
            follow_symlinks: false,
            one_file_system: false,
            action,
            throttle: ThrottleSettings::default(),
        }
    }

    /// Connections that clamd has open.
    fn connections(&self) -> usize {
        let socket = self.clamd.socket().display().to_string();
        let table = fs::read_to_string("/proc/net/unix").unwrap();
        // The sixth column is the state: 03 is a connection, 01 listens.
        let is_connected = |line: &&str| line.ends_with(&socket) && line.split_whitespace().nth(5) == Some("03");
        table.lines().filter(is_connected).count()
    }

    /// Has clamd found to detect, so that the next scan sends no test file first.
    async fn prove(&self) {
        let nothing = self.tree.with_file_name("nothing");
        fs::create_dir_all(&nothing).unwrap();
        let wanted = self.wanted(Action::Report).only(vec![nothing]);
        self.scan_by(wanted, How::default()).await;
    }

    async fn scan(&self, action: Action) -> Report {
        self.scan_by(self.wanted(action), How::default()).await.0
    }

    async fn scan_by(&self, wanted: Wanted, how: How) -> (Report, Arc<Progress>) {
        let progress = Arc::new(Progress::default());
        let stop = CancellationToken::new();
        let scanned = self.engine.scan(wanted, how, Arc::clone(&progress), |_| {}, stop).await;
        let report = scanned.unwrap();
        assert_eq!(report.unaccounted, 0, "{report:?}");
        (report, progress)
    }
}

/// Files that ended so.
fn files(report: &Report, key: &str) -> u64 {
    report.account[key].files
}

/// The paths of detections and what became of them, sorted.
fn outcomes(found: &[Detection]) -> Vec<(Vec<u8>, Outcome)> {
    let mut all: Vec<_> = found
        .iter()
        .map(|detection| (detection.path.as_bytes().to_vec(), detection.outcome))
        .collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all
}

fn bytes(path: &Path) -> Vec<u8> {
    path.as_os_str().as_bytes().to_vec()
}
