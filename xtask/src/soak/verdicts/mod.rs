//! `cargo xtask soak verdicts`: files that were found clean become infected in every way that hides a change, between two
//! scans and while one runs. The next scan must find each, and none may be taken for known.
mod mapper;
mod mutation;

use super::reef::{Agent, Report, harmless};
use anyhow::{Context, Result, bail, ensure};
use mapper::Mapper;
use mutation::{Kind, Victim, When, hole_signature};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use testkit::{Clamd, ClamdOptions, ClamdProxy, MARKER, Random};

/// Mutations of one round, which share their scans.
const BATCH: u64 = 1000;

/// A file is known once it rested for some seconds.
const SETTLED_WITHIN: Duration = Duration::from_secs(120);

/// What was done.
#[derive(Debug, Default)]
pub(super) struct Done {
    rounds: u64,
    mutations: u64,
    by_kind: BTreeMap<Kind, u64>,
    /// By when they were made: how many, and how many of these the scan found that ran then.
    by_time: BTreeMap<When, (u64, u64)>,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} mutations in {} rounds, none missed", self.mutations, self.rounds)?;
        for (when, (made, found)) in &self.by_time {
            write!(f, "\n{made:6} {when}")?;
            if *when != When::Between {
                write!(f, " ({found} found by that scan already)")?;
            }
        }
        let mut kinds = self.by_kind.iter();
        kinds.try_for_each(|(kind, count)| write!(f, "\n{count:6} {kind:?}"))
    }
}

struct Site {
    // Ended before what it stands before.
    proxy: ClamdProxy,
    _clamd: Clamd,
    agent: Agent,
    mapper: Mapper,
    home: PathBuf,
    folder: Option<TempDir>,
}

/// Makes `count` mutations; an error where one is missed.
pub(super) fn soak(program: PathBuf, count: u64, seed: u64) -> Result<Done> {
    let folder = tempfile::Builder::new().prefix("shoal-soak-").tempdir()?;
    let home = fs::canonicalize(folder.path())?;
    let clamd = Clamd::start(ClamdOptions {
        database_version: Some(27_000),
        ..ClamdOptions::default()
    })?;
    clamd.reload_with("Shoal.Test.Hole", &hole_signature())?;
    let mut agent = Agent::new(program, &home);
    let proxy = ClamdProxy::start(&clamd)?;
    agent.set(format!("clamd.endpoint=unix:{}", proxy.socket().display()));
    agent.set(format!("clamd.database_directory={}", clamd.database().display()));
    let mapper = Mapper::start(&home, MARKER)?;
    let mut site = Site {
        proxy,
        _clamd: clamd,
        agent,
        mapper,
        home,
        folder: Some(folder),
    };
    let mut done = Done::default();
    while done.mutations < count {
        let many = BATCH.min(count - done.mutations);
        let mut random = Random::new(Random::new(seed ^ done.rounds.rotate_left(32)).next_u64());
        if let Err(error) = site.round(many, &mut random, &mut done) {
            let kept = site.folder.take().map_or_else(|| site.home.clone(), TempDir::keep);
            return Err(error.context(format!(
                "round {} of seed {seed} failed; what it left lies in {}",
                done.rounds,
                kept.display()
            )));
        }
        done.rounds += 1;
    }
    Ok(done)
}

impl Site {
    fn round(&mut self, many: u64, random: &mut Random, done: &mut Done) -> Result<()> {
        let (tree, outside) = (self.home.join("tree"), self.home.join("outside"));
        for folder in [&tree, &outside] {
            if folder.exists() {
                fs::remove_dir_all(folder)?;
            }
            fs::create_dir(folder)?;
        }
        // Each round writes other contents, so that clamd itself knows none of them.
        let first = done.rounds * 1_000_000;
        let mut victims = Vec::new();
        for number in first..first + many {
            // At least one of each, where there are enough.
            let kind = match number - first {
                nth if nth < Kind::ALL.len() as u64 => Kind::ALL[nth as usize],
                _ => *random.pick(&Kind::ALL),
            };
            victims.push(Victim::new(kind, number, (&tree, &outside), random, &mut self.mapper)?);
        }
        // They stay as they are: that they are known shows that the memory works.
        let controls = 1 + many / 8;
        for number in 0..controls {
            let path = tree.join(format!("d{}/control{number}", number % 20));
            fs::create_dir_all(path.parent().context("files lie in folders")?)?;
            fs::write(path, harmless(first + many + number, 300))?;
        }
        let before: BTreeSet<&Path> = victims.iter().filter_map(Victim::infected_before).collect();
        let clean = many + controls + victims.iter().filter_map(Victim::other_name).count() as u64;
        self.settle(&tree, clean, &paths(&before))?;

        // Up to one half while everything is judged anew, and the rest right after that.
        let meanwhile = self.while_scanned(&tree, &mut victims, random)?;
        for victim in victims.iter_mut().filter(|victim| victim.when().is_none()) {
            victim.infect(When::Between, random, &mut self.mapper)?;
        }

        let report = self.agent.scan(&tree, &[])?;
        report.is_whole()?;
        let found: BTreeSet<Vec<u8>> = report.detections()?.into_keys().collect();
        let names = |victim| {
            [Some(Victim::path(victim)), Victim::other_name(victim)]
                .into_iter()
                .flatten()
        };
        let infected: BTreeSet<&Path> = victims.iter().flat_map(names).collect();
        missed(&victims, &found)?;
        ensure!(
            found == paths(&infected),
            "{} were found that are clean: {}",
            found.len() - infected.len(),
            report.summary()
        );
        ensure!(
            report.files("remembered") == controls,
            "of {controls} files that stayed as they were {} are known",
            report.files("remembered")
        );
        let early = meanwhile.detections()?;
        for victim in &victims {
            *done.by_kind.entry(victim.kind).or_default() += 1;
            let Some(when) = victim.when() else { continue };
            let (made, found) = done.by_time.entry(when).or_default();
            *made += 1;
            *found += u64::from(early.contains_key(victim.path().as_os_str().as_bytes()));
        }
        done.mutations += many;
        Ok(())
    }

    /// Judges everything anew, and changes up to half of the victims meanwhile: mostly those whose verdict clamd has given
    /// and the agent has not heard, since replies are held back, and those that are open and not read yet.
    fn while_scanned(&mut self, tree: &Path, victims: &mut [Victim], random: &mut Random) -> Result<Report> {
        let scan = self.agent.start(tree, &["--fresh", "-v"])?;
        scan.wait_for_text("clamd answers")?;
        let mut left = victims.len() / 2;
        while left > 0 && !scan.has_ended() {
            self.proxy.stall(true);
            // Time for clamd to read what it was asked about.
            thread::sleep(Duration::from_millis(2 + random.below(30)));
            let open = open_files(scan.id());
            for victim in victims.iter_mut().filter(|victim| victim.when().is_none()) {
                let when = if open.contains(victim.path()) {
                    When::Held
                } else {
                    When::Meanwhile
                };
                if left > 0 && (when == When::Held || random.below(100) == 0) {
                    victim.infect(when, random, &mut self.mapper)?;
                    left -= 1;
                }
            }
            self.proxy.stall(false);
            thread::sleep(Duration::from_millis(random.below(20)));
        }
        let report = Report::of_ended(scan)?;
        report.is_whole()?;
        Ok(report)
    }

    /// Scans until every clean file is known.
    fn settle(&self, tree: &Path, clean: u64, infected: &BTreeSet<Vec<u8>>) -> Result<()> {
        let until = Instant::now() + SETTLED_WITHIN;
        loop {
            let report = self.agent.scan(tree, &[])?;
            report.is_whole()?;
            let found: BTreeSet<Vec<u8>> = report.detections()?.into_keys().collect();
            ensure!(found == *infected, "before anything was changed: {}", report.summary());
            if report.files("remembered") == clean {
                return Ok(());
            }
            if Instant::now() > until {
                bail!(
                    "files are not remembered in {}: let TMPDIR name a place on ext4, xfs or btrfs ({})",
                    tree.display(),
                    report.summary()
                );
            }
        }
    }
}

/// The files that a process has open.
fn open_files(process: u32) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(format!("/proc/{process}/fd"));
    // What is closed meanwhile, or belongs to a process that has ended, is not open.
    let links = entries.into_iter().flatten().flatten();
    links.filter_map(|link| fs::read_link(link.path()).ok()).collect()
}

/// An error that names those which were not found.
fn missed(victims: &[Victim], found: &BTreeSet<Vec<u8>>) -> Result<()> {
    let lines: Vec<String> = victims
        .iter()
        .flat_map(|victim| {
            let names = [Some(victim.path()), victim.other_name()].into_iter().flatten();
            let missing = names.filter(|path| !found.contains(path.as_os_str().as_bytes()));
            missing.map(move |path| format!("{victim}: {}", path.display()))
        })
        .collect();
    ensure!(
        lines.is_empty(),
        "{} infected files were not found:\n  {}",
        lines.len(),
        lines.iter().take(10).cloned().collect::<Vec<_>>().join("\n  ")
    );
    Ok(())
}

fn paths(paths: &BTreeSet<&Path>) -> BTreeSet<Vec<u8>> {
    paths.iter().map(|path| path.as_os_str().as_bytes().to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_becomes_infected_behind_a_scan_s_back_is_found_by_the_next() {
        let done = soak(testkit::binary("reef-agent").unwrap(), 210, 1).unwrap_or_else(|error| panic!("{error:#}"));
        assert_eq!(done.by_kind.len(), Kind::ALL.len(), "each kind was made: {done}");
        assert_eq!(done.by_time.len(), 3, "and at each time: {done}");
    }
}
