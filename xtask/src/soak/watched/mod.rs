//! `cargo xtask soak watched`: malware is dropped in bursts, in every way in which a file comes to be, into a directory that
//! a running agent watches. Each must be told and taken away, also where the agent or clamd is killed meanwhile, and
//! nothing else.
mod drop;

use super::reef::{Agent, path_of};
use anyhow::{Context, Result, bail, ensure};
use chrono::{DateTime, Utc};
use drop::{Dropped, Dropper};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use testkit::{Clamd, ClamdOptions, Daemon, Random};

/// The largest burst.
const BURST: u64 = 500;
/// What was dropped is told within this, whatever was killed.
const PATIENCE: Duration = Duration::from_secs(120);

/// What was done.
#[derive(Debug, Default)]
pub(super) struct Done {
    bursts: u64,
    clean: u64,
    by_way: BTreeMap<drop::Way, u64>,
    /// How often what was killed.
    killed: BTreeMap<&'static str, u64>,
    /// Told besides as left where they are: a scan and the watch met them at once, and one of the two found them gone.
    besides: u64,
    /// From the drop to the verdict, where nothing was killed.
    delays: Vec<Duration>,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} infected files in {} bursts, each told and taken away; {} clean ones among them, none touched; {} told besides as \
             gone when they were to be taken",
            self.by_way.values().sum::<u64>(),
            self.bursts,
            self.clean,
            self.besides
        )?;
        let ways = self.by_way.iter();
        ways.clone()
            .try_for_each(|(way, count)| write!(f, "\n{count:6} {way:?}"))?;
        let mut killed = self.killed.iter();
        killed.try_for_each(|(what, count)| write!(f, "\n{count:6} {what}"))?;
        let mut delays = self.delays.clone();
        delays.sort();
        let at = |percent: usize| delays.get((delays.len() * percent / 100).min(delays.len() - 1));
        if let (Some(median), Some(most_of_them), Some(last)) = (at(50), at(99), delays.last()) {
            write!(
                f,
                "\nfrom the drop to the verdict, {} times with nothing killed: median {} ms, 99 % within {} ms, most {} ms",
                delays.len(),
                median.as_millis(),
                most_of_them.as_millis(),
                last.as_millis()
            )?;
        }
        Ok(())
    }
}

/// What is killed in the middle of a burst.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Killed {
    Nothing,
    Clamd,
    Agent,
}

/// What the agent told.
#[derive(Default)]
struct Told {
    taken: BTreeMap<Vec<u8>, DateTime<Utc>>,
    besides: BTreeSet<Vec<u8>>,
}

struct Site {
    daemon: Option<Daemon>,
    clamd: Clamd,
    agent: Agent,
    tree: PathBuf,
}

/// Drops `count` infected files; an error where one is not told, or anything else is.
pub(super) fn soak(program: PathBuf, count: u64, seed: u64) -> Result<Done> {
    let folder = tempfile::Builder::new().prefix("shoal-soak-").tempdir()?;
    let told = in_folder(folder.path(), program, count, seed);
    told.map_err(|error| {
        let kept = TempDir::keep(folder);
        error.context(format!("seed {seed} failed; what it left lies in {}", kept.display()))
    })
}

fn in_folder(folder: &Path, program: PathBuf, count: u64, seed: u64) -> Result<Done> {
    let home = fs::canonicalize(folder)?;
    let (tree, outside) = (home.join("tree"), home.join("outside"));
    fs::create_dir(&outside)?;
    let mut random = Random::new(seed);
    let mut dropper = Dropper::new(&tree, &outside, count, &mut random)?;
    let clamd = Clamd::start(ClamdOptions::default())?;
    let rule = format!(
        "[clamd]\nendpoint = \"unix:{}\"\n[[rules]]\nname = \"tree\"\npaths = [\"{tree}\"]\naction = \"quarantine\"\n\
         [watch]\npaths = [\"{tree}\"]\n",
        clamd.socket().display(),
        tree = tree.display()
    );
    fs::write(home.join("reef.toml"), rule)?;
    let mut site = Site {
        daemon: None,
        clamd,
        agent: Agent::new(program, &home),
        tree,
    };
    site.start()?;
    let mut done = Done::default();
    let mut all: BTreeMap<Vec<u8>, Dropped> = BTreeMap::new();
    while (all.len() as u64) < count {
        // Some bursts there are, however few files.
        let most = *random.pick(&[10, (count / 10).clamp(10, BURST)]);
        let many = (1 + random.below(most)).min(count - all.len() as u64);
        site.burst(many, &mut dropper, &mut random, &mut all, &mut done)?;
        done.bursts += 1;
        eprintln!("{:5}: {} infected files dropped", done.bursts, all.len());
    }
    let left: Vec<_> = all.values().filter(|dropped| dropped.path.exists()).collect();
    ensure!(left.is_empty(), "told, and not taken away: {left:#?}");
    dropper.check_clean()?;
    done.clean = dropper.clean();
    if let Some(daemon) = site.daemon.take() {
        let status = daemon.stop()?;
        ensure!(status.success(), "the agent ended with {status}");
    }
    Ok(done)
}

impl Site {
    fn start(&mut self) -> Result<()> {
        let daemon = self.agent.program(&["run", "--config", "reef.toml"]).start()?;
        daemon.wait_for_text("watched from now on")?;
        self.daemon = Some(daemon);
        Ok(())
    }

    /// Drops so many, and waits until each is told.
    fn burst(
        &mut self,
        many: u64,
        dropper: &mut Dropper,
        random: &mut Random,
        all: &mut BTreeMap<Vec<u8>, Dropped>,
        done: &mut Done,
    ) -> Result<()> {
        let killed = match done.bursts % 6 {
            1 => Killed::Clamd,
            3 => Killed::Agent,
            _ => Killed::Nothing,
        };
        let middle = random.below(many);
        let mut dropped = BTreeSet::new();
        for number in 0..many {
            if number == middle {
                self.kill(killed, done)?;
            }
            let one = dropper.drop_one(random)?;
            *done.by_way.entry(one.way).or_default() += 1;
            let path = one.path.as_os_str().as_bytes().to_vec();
            dropped.insert(path.clone());
            all.insert(path, one);
        }
        match killed {
            Killed::Nothing => {}
            // Some of it is missed, and is to be found afterwards.
            Killed::Clamd => {
                thread::sleep(Duration::from_millis(random.below(1500)));
                self.clamd.restart()?;
            }
            Killed::Agent => self
                .start()
                .context("the agent was killed, and did not come up again")?,
        }
        let told = self.until_told(all)?;
        for path in dropped {
            let (Some(one), Some(first)) = (all.get(&path), told.taken.get(&path)) else {
                continue;
            };
            if killed == Killed::Nothing {
                done.delays.push((*first - one.at).to_std().unwrap_or_default());
            }
        }
        done.besides = told.besides.len() as u64;
        Ok(())
    }

    fn kill(&mut self, killed: Killed, done: &mut Done) -> Result<()> {
        let what = match killed {
            Killed::Nothing => return Ok(()),
            Killed::Clamd => {
                self.clamd.kill_hard()?;
                "clamd killed"
            }
            Killed::Agent => {
                self.daemon.take().context("it runs")?.kill_hard()?;
                "agent killed"
            }
        };
        *done.killed.entry(what).or_default() += 1;
        Ok(())
    }

    /// What was told, as soon as all of it is.
    fn until_told(&self, all: &BTreeMap<Vec<u8>, Dropped>) -> Result<Told> {
        let until = Instant::now() + PATIENCE;
        loop {
            let told = self.told()?;
            let mut paths = told.taken.keys().chain(&told.besides);
            let wrong = paths.find(|path| !all.contains_key(*path));
            if let Some(path) = wrong {
                bail!("{} was reported and is clean", path.escape_ascii());
            }
            if told.taken.len() == all.len() {
                return Ok(told);
            }
            if Instant::now() > until {
                let missed: Vec<_> = all
                    .iter()
                    .filter(|(path, _)| !told.taken.contains_key(*path))
                    .map(|(_, dropped)| dropped)
                    .take(10)
                    .collect();
                let lines = self.daemon.as_ref().map(Daemon::lines).unwrap_or_default();
                let last = lines[lines.len().saturating_sub(20)..].join("\n");
                bail!(
                    "{} of {} were not told in {PATIENCE:?}, below {}: {missed:#?}\nthe agent's last words:\n{last}",
                    all.len() - told.taken.len(),
                    all.len(),
                    self.tree.display()
                );
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// What was told as taken away, and when first; the rest told besides is counted.
    fn told(&self) -> Result<Told> {
        let args = [
            "detections",
            "--config",
            "reef.toml",
            "--limit",
            "10000000",
            "--output",
            "json",
        ];
        let listed = self.agent.program(&args).run()?.success()?.json()?;
        let mut told = Told::default();
        for one in listed.as_array().context("a list")? {
            let path = path_of(one)?;
            if one["outcome"] != "quarantined" {
                told.besides.insert(path);
                continue;
            }
            let time = one["time"].as_str().context("a detection has a time")?;
            let time = DateTime::parse_from_rfc3339(time)?.to_utc();
            let first = told.taken.entry(path).or_insert(time);
            *first = time.min(*first);
        }
        Ok(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malware_that_is_dropped_into_a_watched_directory_is_told_whatever_is_killed() {
        let done = soak(testkit::binary("reef-agent").unwrap(), 150, 1).unwrap_or_else(|error| panic!("{error:#}"));
        assert_eq!(done.by_way.len(), drop::Way::ALL.len(), "each way was gone: {done}");
        assert_eq!(done.killed.len(), 2, "and both were killed: {done}");
    }
}
