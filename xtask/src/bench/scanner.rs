//! The scanner beside a bare walk and its peers, over one generated tree, everything in the page cache.
use super::measure::{self, Cost};
use crate::process;
use anyhow::{Context, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use testkit::TreePlan;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A million files instead of 200,000.
    #[arg(long)]
    full: bool,
    /// So many files.
    #[arg(long, conflicts_with = "full")]
    files: Option<u64>,
    /// Runs of each, of which the one in the middle counts.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Also fd, updatedb and aide, where they are installed (`setup --bench`). aide takes minutes.
    #[arg(long)]
    peers: bool,
    /// Print the table as Markdown.
    #[arg(long)]
    markdown: bool,
}

struct Row {
    what: String,
    cost: Cost,
    note: String,
}

/// The most memory that a scan may take, in MB, up to a million files.
const MEMORY: f64 = 50.0;

pub(crate) fn run(args: &Args) -> Result<()> {
    let files = args.files.unwrap_or(if args.full { 1_000_000 } else { 200_000 });
    let programs = process::build_programs("release")?;
    let scanner = programs.join("scanner");
    let home = tempfile::Builder::new()
        .prefix("shoal-bench-")
        .tempdir_in(bench_folder(&programs)?)?;
    let root = home.path().join("tree");
    eprintln!("making a tree of {files} files …");
    let tree = TreePlan { files, seed: 1 }.create(&root)?;
    measure::run(Command::new("sync").arg("-f").arg(&root), &[0])?;

    let bench = Bench {
        // The released xtask, not the one that runs now: an unoptimised walk would be a generous limit.
        xtask: programs.join("xtask"),
        scanner,
        home: home.path().to_owned(),
        root,
        runs: args.runs.max(1),
    };
    let walk = bench.several(|_| bench.walk())?;
    let mut rows = vec![row("bare walk, 2 threads", walk, "the limit".to_owned())];
    rows.extend(bench.peers(args.peers)?);

    let initial = bench.several(|run| bench.look(&format!("initial-{run}"), &[0]))?;
    let state = bench.state("initial-0", "scan.db")? / files as f64;
    rows.push(row(
        "scanner: initial scan alone",
        initial,
        format!("{state:.0} bytes of state a file"),
    ));
    let owed = bench.several(|run| bench.run_owed(&format!("owed-{run}")))?;
    let owed_state = bench.state("owed-0", "state.db")? / files as f64;
    rows.push(row(
        "scanner: initial scan with outbox",
        owed,
        format!("{owed_state:.0} bytes a file, all owed"),
    ));
    // A file whose time was younger than two seconds at its look is looked at again by the next; a bench wants settled
    // ones.
    bench.look("initial-0", &[0])?;
    let rescan = bench.several(|_| bench.look("initial-0", &[0]))?;
    rows.push(row("scanner: rescan, no change", rescan, String::new()));
    let changed = bench.several(|run| {
        tree.edit(0.01, run as u64 + 1)?;
        bench.look("initial-0", &[0])
    })?;
    rows.push(row("scanner: rescan, 1 % changed", changed, String::new()));

    print(&rows, files, args.markdown);
    limit("rescan <= 1.5 x the bare walk's CPU", rescan.ratio, 1.5);
    limit("initial scan alone <= 3 x the bare walk's CPU", initial.ratio, 3.0);
    let highest = [initial, owed, rescan, changed]
        .iter()
        .map(|cost| cost.memory)
        .fold(0.0, f64::max);
    limit("memory < 50 MB", highest, MEMORY);
    Ok(())
}

fn row(what: &str, cost: Cost, note: String) -> Row {
    Row {
        what: what.to_owned(),
        cost,
        note,
    }
}

/// On the disk that builds are made on: a folder for temporary files may lie in memory.
fn bench_folder(programs: &Path) -> Result<PathBuf> {
    let folder = programs.parent().unwrap_or(programs).join("bench");
    fs::create_dir_all(&folder).with_context(|| format!("could not make {}", folder.display()))?;
    Ok(folder)
}

struct Bench {
    xtask: PathBuf,
    scanner: PathBuf,
    home: PathBuf,
    root: PathBuf,
    runs: usize,
}

impl Bench {
    /// Several runs of one thing, each right after a bare walk: what else the machine does meanwhile hits both.
    fn several(&self, mut run: impl FnMut(usize) -> Result<Cost>) -> Result<Cost> {
        let mut costs = Vec::new();
        for number in 0..self.runs {
            let walk = self.walk()?;
            let mut cost = run(number)?;
            cost.ratio = cost.cpu / walk.cpu.max(f64::EPSILON);
            costs.push(cost);
        }
        Ok(Cost::median(&costs))
    }

    fn walk(&self) -> Result<Cost> {
        let mut command = Command::new(&self.xtask);
        command.args(["bench", "walk", "--threads", "2"]).arg(&self.root);
        measure::run(&mut command, &[0])
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.scanner);
        command.current_dir(&self.home).env_clear().env("HOME", &self.home);
        command
    }

    fn look(&self, state: &str, codes: &[i32]) -> Result<Cost> {
        let mut command = self.command();
        command
            .args(["scan", "--summary", "--quiet", "--threads", "2", "--data-dir", state])
            .arg(&self.root);
        measure::run(&mut command, codes)
    }

    /// Bytes of a state file, with what its write-ahead log still holds.
    fn state(&self, state: &str, file: &str) -> Result<f64> {
        let folder = self.home.join(state);
        let main = fs::metadata(folder.join(file)).with_context(|| format!("no state in {state}"))?;
        let log = fs::metadata(folder.join(format!("{file}-wal"))).map_or(0, |log| log.len());
        Ok((main.len() + log) as f64)
    }

    /// A run whose server is not there, so that every record stays in the outbox.
    fn run_owed(&self, state: &str) -> Result<Cost> {
        let port = testkit::free_loopback_port()?;
        let config = format!(
            "server:\n  base_url: http://127.0.0.1:{port}\n  api_key: ${{KEY}}\n  retry_attempts: 0\n\
             scanner:\n  scan_paths: ['{}']\n  worker_count: 2\n",
            self.root.display()
        );
        fs::write(self.home.join("bench.yaml"), config)?;
        let mut command = self.command();
        command
            .args([
                "run",
                "--once",
                "--quiet",
                "--config",
                "bench.yaml",
                "--data-dir",
                state,
            ])
            .env("KEY", "k");
        measure::run(&mut command, &[5])
    }

    fn peers(&self, all: bool) -> Result<Vec<Row>> {
        let mut rows = vec![self.peer(
            "find -printf, sizes and times",
            "find {tree} -type f -printf %p\\t%s\\t%T@\\n",
        )?];
        if all {
            let fd = if process::have("fdfind") { "fdfind" } else { "fd" };
            rows.push(self.peer("fd, with sizes", &format!("{fd} -u -j2 -t f -S +0b . {{tree}}"))?);
            let updatedb = "updatedb.plocate -l 0 -U {tree} -o {home}/plocate.db \
                            --prunepaths {nothing} --prunefs {nothing} --prunenames {nothing}";
            rows.push(self.peer("updatedb (names only), repeated", updatedb)?);
            rows.extend(self.aide()?);
        }
        Ok(rows.into_iter().flatten().collect())
    }

    /// Metadata alone, as the scanner does: first its database, then the comparison with it.
    fn aide(&self) -> Result<[Option<Row>; 2]> {
        let database = self.home.join("aide.db");
        let rules = format!(
            "database_in=file:{0}\ndatabase_out=file:{0}\ngzip_dbout=no\nnum_workers=2\nreport_url=stdout\n\
             {1} s+m+c+i+n+u+g+p\n",
            database.display(),
            self.root.display()
        );
        fs::write(self.home.join("aide.conf"), rules).context("could not write aide's rules")?;
        let init = self.peer("aide --init, metadata", "aide -c {home}/aide.conf --init")?;
        let check = self.peer("aide --check, metadata", "aide -c {home}/aide.conf --check")?;
        Ok([init, check])
    }

    /// Measures a program, where it is installed: `line` is its command line, with `{tree}`, `{home}` and `{nothing}`
    /// as words or in them.
    fn peer(&self, what: &str, line: &str) -> Result<Option<Row>> {
        let mut words = line.split_whitespace().map(|word| {
            let word = word.replace("{tree}", &self.root.display().to_string());
            word.replace("{home}", &self.home.display().to_string())
                .replace("{nothing}", "")
        });
        let program = words.next().unwrap_or_default();
        if !process::have(&program) {
            eprintln!("{what}: `{program}` is not installed, not measured");
            return Ok(None);
        }
        let words: Vec<String> = words.collect();
        let cost = self.several(|_| measure::run(Command::new(&program).args(&words), &[0]))?;
        Ok(Some(row(what, cost, String::new())))
    }
}

fn print(rows: &[Row], files: u64, markdown: bool) {
    let bar = if markdown { "|" } else { " " };
    let head = format!("{files} files");
    println!("{bar} {head:38} {bar} CPU s {bar} x walk {bar} wall s {bar} RSS MB {bar} note {bar}");
    if markdown {
        println!("| --- | ---: | ---: | ---: | ---: | --- |");
    }
    for Row { what, cost, note } in rows {
        let Cost {
            cpu,
            wall,
            memory,
            ratio,
        } = cost;
        println!(
            "{bar} {what:38} {bar} {cpu:5.2} {bar} {ratio:6.2} {bar} {wall:6.2} {bar} {memory:6.0} {bar} {note} {bar}"
        );
    }
}

fn limit(what: &str, value: f64, most: f64) {
    let word = if value <= most { "pass" } else { "miss" };
    println!("{word}: {what}: {value:.2}");
}
