//! A reef-agent of a soak's own, and what its reports say.
use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};
use testkit::{Daemon, MARKER, Output, Program, eicar};

/// No single command takes longer on any working machine.
const PATIENCE: Duration = Duration::from_secs(1800);

/// A reef-agent with a home of its own.
pub(super) struct Agent {
    /// The program, or what runs it with fewer rights: see [`Agent::without_root_s_rights`].
    words: Vec<PathBuf>,
    home: PathBuf,
    /// Further settings, each `KEY=VALUE`.
    settings: Vec<String>,
}

impl Agent {
    pub(super) fn new(program: PathBuf, home: &Path) -> Self {
        Self {
            words: vec![program],
            home: home.to_owned(),
            settings: Vec::new(),
        }
    }

    /// Permissions of files hold for it, even where the soak is run by root.
    pub(super) fn without_root_s_rights(mut self) -> Self {
        if nix::unistd::Uid::effective().is_root() {
            let rights = "--bounding-set=-dac_override,-dac_read_search";
            self.words.splice(0..0, ["setpriv".into(), rights.into()]);
        }
        self
    }

    /// From now on with this setting, too.
    pub(super) fn set(&mut self, setting: String) {
        self.settings.push(setting);
    }

    /// A command, not yet started.
    pub(super) fn program(&self, args: &[&str]) -> Program {
        let settings = self.settings.iter().flat_map(|setting| ["--set", setting]);
        Program::at(&self.words[0])
            .args(&self.words[1..])
            .args(args)
            .args(["--data-dir", "data"])
            .args(settings)
            .home(&self.home)
            .guard(PATIENCE)
    }

    /// Scans `tree` to the end, and gives the exit code and what it reports.
    pub(super) fn scan(&self, tree: &Path, more: &[&str]) -> Result<Report> {
        let tree = tree.to_str().context("a soak's folder is text")?;
        let args = [&["scan", tree, "--output", "json"], more].concat();
        Report::of(&self.program(&args).run()?)
    }

    /// Starts a scan of `tree`.
    pub(super) fn start(&self, tree: &Path, more: &[&str]) -> Result<Daemon> {
        let tree = tree.to_str().context("a soak's folder is text")?;
        self.program(&[&["scan", tree, "--output", "json"], more].concat())
            .start()
    }
}

/// The path of a detection, as the agent writes it.
pub(super) fn path_of(detection: &Value) -> Result<Vec<u8>> {
    Ok(match detection["path_raw"].as_str() {
        Some(raw) => base64::engine::general_purpose::STANDARD.decode(raw)?,
        None => detection["path"].as_str().context("a detection has a path")?.into(),
    })
}

/// So many bytes of text in which there is nothing, and which no other file has.
pub(super) fn harmless(number: u64, bytes: usize) -> Vec<u8> {
    let line = format!("a line of file {number} in which nobody finds anything\n");
    line.bytes().cycle().take(bytes).collect()
}

/// Malware that no other file has, or the test file itself.
pub(super) fn infected(number: u64) -> Vec<u8> {
    let rest = harmless(number, (number * 13 % 3000) as usize);
    match number % 3 {
        0 => eicar(),
        1 => [eicar(), rest].concat(),
        _ => [rest, MARKER.to_vec()].concat(),
    }
}

/// What a scan ended with.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) code: i32,
    pub(super) document: Value,
    /// The last lines of its log.
    said: Vec<String>,
}

/// So many lines of a log are shown with what is wrong.
const SHOWN: usize = 30;

/// Malware that was found.
#[derive(Clone, Debug)]
pub(super) struct Detected {
    /// What became of it, by its name in the report.
    pub(super) outcome: String,
    /// The item in quarantine.
    pub(super) quarantined: Option<String>,
}

impl Report {
    fn of(output: &Output) -> Result<Self> {
        let code = output.code().with_context(|| format!("it was killed: {output}"))?;
        ensure!(matches!(code, 0 | 1 | 5), "no report: {output}");
        let document = output.json()?;
        let lines: Vec<String> = output.stderr().lines().map(str::to_owned).collect();
        Ok(Self::new(code, document, &lines))
    }

    /// What a scan that ends by itself prints. Blocks until it has.
    pub(super) fn of_ended(scan: Daemon) -> Result<Self> {
        let until = Instant::now() + PATIENCE;
        while !scan.has_ended() {
            ensure!(Instant::now() < until, "the scan goes on and on: {:#?}", scan.lines());
            thread::sleep(Duration::from_millis(10));
        }
        // Its file goes with it, so what it printed is read before it is reaped.
        let document = std::fs::read_to_string(scan.stdout_file())?;
        let lines = scan.lines();
        let status = scan.wait()?;
        let code = status.code().with_context(|| format!("it was killed: {lines:#?}"))?;
        let document =
            serde_json::from_str(&document).with_context(|| format!("no report, but code {code}: {lines:#?}"))?;
        Ok(Self::new(code, document, &lines))
    }

    fn new(code: i32, document: Value, lines: &[String]) -> Self {
        Self {
            code,
            document,
            said: lines[lines.len().saturating_sub(SHOWN)..].to_vec(),
        }
    }

    /// Files that ended so.
    pub(super) fn files(&self, end: &str) -> u64 {
        self.document["account"][end]["files"].as_u64().unwrap_or_default()
    }

    /// Files that were met, and what is not a file.
    pub(super) fn met(&self) -> u64 {
        self.document["met"]["files"].as_u64().unwrap_or_default()
    }

    /// That every file which was met ended in one way, and that the exit code says what they came to.
    pub(super) fn is_whole(&self) -> Result<()> {
        let ends = self.document["account"]
            .as_object()
            .context("a report has an account")?;
        let ended: u64 = ends.values().filter_map(|end| end["files"].as_u64()).sum();
        let met = self.met();
        let unaccounted = &self.document["unaccounted"];
        ensure!(
            *unaccounted == 0 && ended == met,
            "{unaccounted} unaccounted, {met} met, {ended} ended: {}",
            self.summary()
        );
        let unknown = self.files("failed") + self.files("unreadable");
        let code = match (self.files("infected"), unknown) {
            (1.., _) => 1,
            (0, 1..) => 5,
            // A directory that could not be read shows in the exit code only.
            (0, 0) if self.code == 5 => 5,
            (0, 0) => 0,
        };
        ensure!(self.code == code, "exit code {} for {}", self.code, self.summary());
        Ok(())
    }

    /// What was found, by path.
    pub(super) fn detections(&self) -> Result<BTreeMap<Vec<u8>, Detected>> {
        let found = self.document["detections"]
            .as_array()
            .context("a report has detections")?;
        let mut all = BTreeMap::new();
        for one in found {
            let text = |field: &str| one[field].as_str().map(str::to_owned);
            let path = path_of(one)?;
            let detected = Detected {
                outcome: text("outcome").context("a detection has an outcome")?,
                quarantined: text("quarantined"),
            };
            if all.insert(path, detected).is_some() {
                bail!("told twice: {one}");
            }
        }
        Ok(all)
    }

    /// What it says of itself beside the account, shortened.
    pub(super) fn told(&self) -> String {
        let field = |name: &str| format!("{name}: {}", self.document[name]);
        let failures = self.document["failures"].as_array().into_iter().flatten();
        let failures: Vec<String> = failures.take(3).map(Value::to_string).collect();
        let fields = ["stopped", "gave_up", "missing"].map(field);
        let (fields, failures) = (fields.join(", "), failures.join(", "));
        format!(
            "{fields}, failures: {failures}; its last words:\n{}",
            self.said.join("\n")
        )
    }

    /// The account alone.
    pub(super) fn summary(&self) -> String {
        let ends = self.document["account"].as_object().into_iter().flatten();
        let ends = ends.filter_map(|(end, count)| {
            let files = count["files"].as_u64().filter(|files| *files > 0)?;
            Some(format!("{files} {end}"))
        });
        ends.collect::<Vec<_>>().join(", ")
    }
}
