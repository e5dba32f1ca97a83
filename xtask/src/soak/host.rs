//! A host of its own for a scanner: a tree, a state, a configuration, and a server that remembers all it was told.
use super::{
    files::{self, Files},
    mutate,
};
use anyhow::{Context, Result, ensure};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tempfile::TempDir;
use testkit::{Output, Program, Random, Recorder, TreePlan};

/// The scanner's key, by which the recorder calls it.
const KEY: &str = "soak";

/// No single run takes longer on any working machine.
const PATIENCE: Duration = Duration::from_secs(1800);

pub(super) struct Host {
    folder: Option<TempDir>,
    home: PathBuf,
    scanner: PathBuf,
    recorder: Recorder,
    /// What is scanned.
    pub(super) tree: PathBuf,
    /// Which iteration this is, from 0.
    pub(super) number: u64,
    /// Shapes the changes to the tree, and nothing else.
    changing: Random,
    /// How often the tree was changed in this iteration.
    changes: u64,
    /// How long a run takes that nobody disturbs: the first one, and one after changes.
    undisturbed: [Duration; 2],
}

impl Host {
    /// Makes the tree, and takes the time of undisturbed runs.
    pub(super) fn new(scanner: PathBuf, files: u64, seed: u64) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("shoal-soak-").tempdir()?;
        let home = fs::canonicalize(folder.path())?;
        let tree = home.join("tree");
        TreePlan { files, seed }.create(&tree)?;
        let mut host = Self {
            folder: Some(folder),
            home,
            scanner,
            recorder: Recorder::start()?,
            tree,
            number: 0,
            changing: Random::new(seed),
            changes: 0,
            undisturbed: [Duration::ZERO; 2],
        };
        host.begin(0, Random::new(seed))?;
        for run in 0..2 {
            if run > 0 {
                host.change()?;
            }
            let began = Instant::now();
            host.round(&["run", "--once"])?;
            host.undisturbed[run] = began.elapsed();
        }
        host.check().context("nothing was disturbed")?;
        eprintln!(
            "undisturbed: first run {} ms, second {} ms",
            host.undisturbed[0].as_millis(),
            host.undisturbed[1].as_millis()
        );
        Ok(host)
    }

    /// Begins an iteration: a scanner without a state, and a server that knows nothing. The tree stays.
    pub(super) fn begin(&mut self, number: u64, changing: Random) -> Result<()> {
        self.number = number;
        self.changing = changing;
        self.changes = 0;
        for name in ["state", "copy"] {
            let folder = self.home.join(name);
            if folder.exists() {
                fs::remove_dir_all(&folder).with_context(|| format!("could not remove {}", folder.display()))?;
            }
        }
        self.recorder.reset();
        let text = format!(
            "server:\n  base_url: {}\nagent:\n  id: {KEY}\nlogging:\n  level: warn\n\
             scanner:\n  scan_paths: ['{}']\n",
            self.recorder.url(),
            self.tree.display()
        );
        fs::write(self.home.join("scanner.yaml"), text).context("could not write the configuration")
    }

    /// Changes the tree a little; gives how many files were touched.
    pub(super) fn change(&mut self) -> Result<u64> {
        self.changes += 1;
        mutate::mutate(&self.tree, &mut self.changing)
    }

    /// Changes the tree until this iteration has done so `times` times.
    pub(super) fn change_until(&mut self, times: u64) -> Result<()> {
        while self.changes < times {
            self.change()?;
        }
        Ok(())
    }

    /// The folder of everything.
    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    /// The scanner's data directory.
    pub(super) fn state(&self) -> PathBuf {
        self.home.join("state")
    }

    /// How long a run takes that nobody disturbs.
    pub(super) fn duration(&self, is_first: bool) -> Duration {
        self.undisturbed[usize::from(!is_first)]
    }

    /// Leaves everything where it is, for whoever wants to look; gives the folder.
    pub(super) fn keep(&mut self) -> PathBuf {
        self.folder.take().map_or_else(|| self.home.clone(), TempDir::keep)
    }

    /// A command of the scanner, not yet started.
    pub(super) fn program(&self, args: &[&str]) -> Program {
        Program::at(&self.scanner)
            .args(args)
            .args(["--config", "scanner.yaml", "--data-dir", "state"])
            .env("SCANNER_API_KEY", KEY)
            .home(&self.home)
            .guard(PATIENCE)
    }

    /// Runs a command of the scanner, which must succeed.
    pub(super) fn round(&self, args: &[&str]) -> Result<Output> {
        self.program(args).run()?.success()
    }

    /// Holds the tree against the server's picture and the scanner's state; gives the number of files.
    pub(super) fn check(&self) -> Result<usize> {
        let truth = self.check_server()?;
        for stream in self.recorder.streams() {
            ensure!(stream.gaps.is_empty(), "records never came: {stream:?}");
        }
        files::same("the scanner's state", &self.exported()?, &truth)?;
        // Exits 1 where something differs, in any of the fields that a scan compares.
        self.round(&["diff"]).context("the state differs from the tree")?;
        Ok(truth.len())
    }

    /// Holds the tree against the server's picture; gives the tree's files.
    pub(super) fn check_server(&self) -> Result<Files> {
        let truth = files::truth(&self.tree)?;
        let live = self.recorder.live(KEY);
        let wanted: BTreeSet<Vec<u8>> = truth.keys().cloned().collect();
        if live != wanted {
            // The server tells no sizes: what it has and what it should have only differ in paths.
            let of = |paths: BTreeSet<Vec<u8>>| paths.into_iter().map(|path| (path, files::NOTHING)).collect();
            files::same("the server's picture", &of(live), &of(wanted)).with_context(|| {
                format!(
                    "it was told {:?}, doubled: {:?}",
                    self.recorder.streams(),
                    self.doubled()
                )
            })?;
        }
        let doubled = self.doubled();
        ensure!(doubled.is_empty(), "told twice: {}", doubled.join("; "));
        let newest = self
            .recorder
            .newest_stream(KEY)
            .context("the server was told nothing")?;
        ensure!(newest.gaps.is_empty(), "records never came: {newest:?}");
        Ok(truth)
    }

    /// The first of what the server was told twice.
    fn doubled(&self) -> Vec<String> {
        let mut doubled = self.recorder.doubled();
        doubled.truncate(5);
        doubled
    }

    /// What the scanner's state holds.
    fn exported(&self) -> Result<Files> {
        let output = self.round(&["export", "--output", "jsonl"])?;
        output.stdout().lines().map(files::read).collect()
    }
}
