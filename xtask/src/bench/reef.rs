//! reef-agent beside clamdscan and clamscan, over one corpus and one clamd, everything in the page cache and clamd's own
//! memory of clean files off.
use super::{
    measure::{self, Cost},
    procfs,
};
use crate::process;
use anyhow::{Context, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use testkit::{Clamd, ClamdOptions, eicar};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Small files, of 4 to 64 KB; a hundredth as many large ones, of 10 to 20 MB.
    #[arg(long, default_value_t = 2_000)]
    files: usize,
    /// Runs of each, of which the one in the middle counts.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Besides, a tree of so many tiny files, of which clamd is asked once: for the memory of the agent and the cost of a
    /// rescan. clamd takes some minutes for a million.
    #[arg(long, default_value_t = 20_000)]
    tiny: usize,
    /// Print the tables as Markdown.
    #[arg(long)]
    markdown: bool,
}

struct Row {
    what: &'static str,
    cost: Cost,
    /// Processor seconds of clamd.
    clamd: f64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let programs = process::programs("release")?;
    let home = tempfile::Builder::new()
        .prefix("shoal-bench-")
        .tempdir_in(programs.parent().unwrap_or(&programs))?;
    let clamd = Clamd::start(ClamdOptions {
        cache: false,
        ..ClamdOptions::default()
    })?;
    let large = (args.files / 100).max(1);
    for (name, files, least, most) in [
        ("small", args.files, 4 << 10, 64 << 10),
        ("large", large, 10 << 20, 20 << 20),
    ] {
        let tree = home.path().join(name);
        let bytes = fill(&tree, files, least, most)?;
        let bench = Bench {
            agent: programs.join("reef-agent"),
            home: home.path(),
            tree,
            clamd: &clamd,
            runs: args.runs.max(1),
        };
        bench.compare(name, files, bytes, args.markdown)?;
    }
    let tree = home.path().join("tiny");
    fill_tiny(&tree, args.tiny)?;
    let bench = Bench {
        agent: programs.join("reef-agent"),
        home: home.path(),
        tree,
        clamd: &clamd,
        runs: args.runs.max(1),
    };
    bench.tiny(args.tiny, &programs.join("xtask"), args.markdown)?;
    bench.start()
}

/// So many files of some bytes, a hundred in each directory.
fn fill_tiny(tree: &Path, files: usize) -> Result<()> {
    for n in 0..files {
        let folder = tree.join(format!("d{}/d{}", n / 10_000, n / 100 % 100));
        if n % 100 == 0 {
            fs::create_dir_all(&folder)?;
        }
        fs::write(folder.join(format!("f{n}")), n.to_le_bytes())?;
    }
    Ok(())
}

/// Files without harm but for one, of lengths between the two; gives their bytes.
fn fill(tree: &Path, files: usize, least: usize, most: usize) -> Result<u64> {
    let mut random: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut next = move || {
        // xorshift64 (Marsaglia, 2003): the same corpus each time, and nothing that compresses.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let mut bytes = 0;
    for n in 0..files {
        let folder = tree.join(format!("d{}", n % 50));
        fs::create_dir_all(&folder)?;
        let length = least + next() as usize % (most - least);
        let content: Vec<u8> = (0..length.div_ceil(8)).flat_map(|_| next().to_le_bytes()).collect();
        fs::write(folder.join(format!("f{n}")), &content)?;
        bytes += content.len() as u64;
    }
    fs::write(tree.join("eicar"), eicar())?;
    Ok(bytes)
}

/// What is measured, and the command that does it.
type Contender<'c> = (&'static str, Box<dyn Fn() -> Command + 'c>);

struct Bench<'b> {
    agent: PathBuf,
    home: &'b Path,
    tree: PathBuf,
    clamd: &'b Clamd,
    runs: usize,
}

impl Bench<'_> {
    fn compare(&self, name: &str, files: usize, bytes: u64, markdown: bool) -> Result<()> {
        let mut contenders: Vec<Contender<'_>> = Vec::new();
        for (what, line) in [
            (
                "clamdscan --multiscan --fdpass",
                "clamdscan --config-file={conf} --multiscan --fdpass {tree}",
            ),
            ("clamdscan --fdpass", "clamdscan --config-file={conf} --fdpass {tree}"),
            ("clamdscan --stream", "clamdscan --config-file={conf} --stream {tree}"),
            ("clamscan -r", "clamscan --database={db} -r {tree}"),
        ] {
            if process::have(what.split(' ').next().unwrap_or_default()) {
                contenders.push((what, Box::new(move || self.peer(line))));
            } else {
                eprintln!("{what}: not installed, not measured");
            }
        }
        contenders.push(("reef-agent scan, cold", Box::new(|| self.scan(&["--no-memory"]))));
        let mut rows = self.in_turn(&contenders, self.runs, 1)?;
        // Files that changed just now are remembered when they have rested.
        self.settle(files)?;
        rows.push(self.row("reef-agent scan, unchanged", self.runs, 1, || self.scan(&[]))?);
        print(name, files, bytes, &rows, markdown);
        judge(&rows, files, name == "small");
        Ok(())
    }

    /// What it costs to find that nothing has changed, beside a bare walk by the same system calls.
    fn tiny(&self, files: usize, xtask: &Path, markdown: bool) -> Result<()> {
        let cold = self.row("reef-agent scan, cold", 1, 0, || self.scan(&["--no-memory"]))?;
        let first = self.row("reef-agent scan, remembering", 1, 0, || self.scan(&[]))?;
        self.settle(files)?;
        let walk = self.row("bare walk, 2 threads", self.runs, 0, || {
            let mut command = Command::new(xtask);
            command.args(["bench", "walk", "--threads", "2"]).arg(&self.tree);
            command
        })?;
        let again = self.row("reef-agent scan, unchanged", self.runs, 0, || {
            self.scan(&["--threads", "2"])
        })?;
        let rows = [walk, cold, first, again];
        print("tiny", files, files as u64 * 8, &rows, markdown);
        let [walk, _, first, again] = &rows;
        let times = again.cost.cpu / walk.cost.cpu.max(1e-6);
        println!("unchanged: {times:.2} x the bare walk's CPU");
        limit("memory <= 24 MB", first.cost.memory.max(again.cost.memory), 24.0, false);
        Ok(())
    }

    /// How soon the program is through with nothing.
    fn start(&self) -> Result<()> {
        let empty = self.home.join("empty");
        fs::create_dir_all(&empty)?;
        let mut times = Vec::new();
        for _ in 0..self.runs.max(5) {
            let mut command = self.scan_of(&empty, &["--no-memory"]);
            times.push(measure::run(&mut command, &[0])?.wall);
        }
        times.sort_by(f64::total_cmp);
        limit("start <= 50 ms", times[times.len() / 2] * 1000.0, 50.0, false);
        Ok(())
    }

    /// Several runs of a command that ends with the code.
    fn row(&self, what: &'static str, runs: usize, code: i32, command: impl Fn() -> Command) -> Result<Row> {
        let mut rows = self.in_turn(&[(what, Box::new(command))], runs, code)?;
        rows.pop().context("nothing was measured")
    }

    /// Several rounds of commands that end with the code, one of each in a round: a machine whose pace changes is as quick for
    /// one as for the other.
    fn in_turn(&self, contenders: &[Contender<'_>], rounds: usize, code: i32) -> Result<Vec<Row>> {
        let mut figures = vec![(Vec::new(), Vec::new()); contenders.len()];
        for _ in 0..rounds {
            for ((_, command), (costs, clamds)) in contenders.iter().zip(&mut figures) {
                let before = procfs::processor_seconds(self.clamd.id()?)?;
                costs.push(measure::run(&mut command(), &[code])?);
                clamds.push(procfs::processor_seconds(self.clamd.id()?)? - before);
            }
        }
        let rows = contenders.iter().zip(figures).map(|((what, _), (costs, mut clamds))| {
            clamds.sort_by(f64::total_cmp);
            Row {
                what,
                cost: Cost::median(&costs),
                clamd: clamds[clamds.len() / 2],
            }
        });
        Ok(rows.collect())
    }

    fn peer(&self, line: &str) -> Command {
        let mut words = line.split(' ').map(|word| {
            word.replace("{conf}", &self.clamd.configuration().display().to_string())
                .replace("{db}", &self.clamd.database().display().to_string())
                .replace("{tree}", &self.tree.display().to_string())
        });
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        command
    }

    fn scan(&self, more: &[&str]) -> Command {
        self.scan_of(&self.tree, more)
    }

    fn scan_of(&self, tree: &Path, more: &[&str]) -> Command {
        let mut command = Command::new(&self.agent);
        command.current_dir(self.home).env_clear().env("HOME", self.home);
        command
            .arg("scan")
            .arg(tree)
            .args(more)
            .args(["--data-dir", "data", "--set"]);
        command.arg(format!("clamd.endpoint=unix:{}", self.clamd.socket().display()));
        command
    }

    /// Scans until every file is remembered.
    fn settle(&self, files: usize) -> Result<()> {
        for _ in 0..120 {
            let output = self.scan(&["--output", "json"]).output().context("could not scan")?;
            let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
            if report["account"]["remembered"]["files"].as_u64() == Some(files as u64) {
                return Ok(());
            }
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
        eprintln!("not every file is remembered: this file system does not show changes");
        Ok(())
    }
}

fn print(name: &str, files: usize, bytes: u64, rows: &[Row], markdown: bool) {
    let bar = if markdown { "|" } else { " " };
    let head = format!("{files} {name} files, {:.0} MB", bytes as f64 / 1e6);
    println!(
        "{bar} {head:34} {bar} files/s {bar} client CPU us/file {bar} clamd CPU s {bar} wall s {bar} RSS MB {bar}"
    );
    if markdown {
        println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    }
    for Row { what, cost, clamd } in rows {
        let (rate, each) = (files as f64 / cost.wall, cost.cpu * 1e6 / files as f64);
        let (wall, memory) = (cost.wall, cost.memory);
        println!(
            "{bar} {what:34} {bar} {rate:7.0} {bar} {each:18.0} {bar} {clamd:11.2} {bar} {wall:6.2} {bar} {memory:6.1} {bar}"
        );
    }
}

/// The limits that the rows of the product name.
fn judge(rows: &[Row], files: usize, is_small: bool) {
    let find = |what: &str| rows.iter().find(|row| row.what.starts_with(what));
    let (Some(cold), Some(again)) = (find("reef-agent scan, cold"), find("reef-agent scan, unchanged")) else {
        return;
    };
    let total = |row: &Row| row.cost.cpu + row.clamd;
    let best = rows
        .iter()
        .filter(|row| row.what.starts_with("clamdscan"))
        .map(|row| row.cost.wall)
        .fold(f64::INFINITY, f64::min);
    limit(
        "cold >= 1.0 x the best of clamdscan, files/s",
        best / cold.cost.wall,
        1.0,
        true,
    );
    if is_small {
        limit(
            "agent CPU <= 40 us a file",
            cold.cost.cpu * 1e6 / files as f64,
            40.0,
            false,
        );
        limit(
            "unchanged >= 50 x cold, CPU",
            total(cold) / total(again).max(1e-6),
            50.0,
            true,
        );
    }
    limit("memory <= 24 MB", cold.cost.memory.max(again.cost.memory), 24.0, false);
}

fn limit(what: &str, value: f64, border: f64, is_least: bool) {
    let is_met = if is_least { value >= border } else { value <= border };
    println!("{}: {what}: {value:.2}", if is_met { "pass" } else { "miss" });
}
