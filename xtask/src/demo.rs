//! `cargo xtask demo`: a controller and a scanner on this machine, doing real work.
use crate::{process, setup};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};
use testkit::{Daemon, Output, Program};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Check everything, then end.
    #[arg(long)]
    once: bool,
    /// The real tree to scan.
    #[arg(long, default_value = "/usr/share")]
    path: PathBuf,
}

/// The agent's name.
const AGENT: &str = "demo-scanner";

pub(crate) fn once() -> Result<()> {
    run(&Args {
        once: true,
        path: "/usr/share".into(),
    })
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let started = Instant::now();
    setup::run(&setup::Args::default())?;
    let programs = process::build_programs("dev")?;
    let home = tempfile::Builder::new().prefix("shoal-demo-").tempdir()?;
    let demo = Demo {
        home: home.path().to_owned(),
        programs,
    };

    say("a controller starts, on SQLite, with nothing beside it");
    let controller = demo.controller()?;
    let url = controller.wait_for("its address", |line| {
        line.strip_prefix("listening on ").map(str::to_owned)
    })?;
    println!("{url}");
    let password = controller
        .lines()
        .iter()
        .find_map(|line| line.strip_prefix("admin password: ").map(str::to_owned));
    fs::write(
        demo.home.join("password"),
        password.context("the first start printed no password")?,
    )?;
    demo.client(&["login", "--server", &url, "--password-file", "password"])?;
    let token = demo.json(&["join-tokens", "create", "--name", "demo"])?;
    let token = token["token"].as_str().context("no join token")?.to_owned();

    let own = demo.home.join("tree");
    plant(&own)?;
    let path = fs::canonicalize(&args.path).with_context(|| format!("cannot scan `{}`", args.path.display()))?;
    demo.configure(&url, &[&path, &own])?;
    say(&format!(
        "a scanner enrols and scans {} and a tree of its own ({} s after the start)",
        path.display(),
        started.elapsed().as_secs()
    ));
    // Some files of a real tree may be closed to whoever runs the demo: that is said, and no failure.
    let first = demo.scan(&token)?.one_of(&[0, 5])?;
    print!("{}", first.stdout());
    say("the controller knows the agent");
    print!("{}", demo.client(&["agents"])?.stdout());
    let own_text = own.display().to_string();
    let listed = demo.rows(&["files", "list", "--agent", AGENT, "--under", &own_text, "--limit", "0"])?;

    say("files change");
    let expected = change(&own)?;
    let known: u64 = demo.json(&["agents", "show", AGENT])?["files"]["present"]
        .as_u64()
        .unwrap_or(0);
    let before = demo
        .rows(&[
            "files", "changes", "--agent", AGENT, "--under", &own_text, "--limit", "0",
        ])?
        .len();
    print!("{}", demo.scan(&token)?.one_of(&[0, 5])?.stdout());
    say("what the controller now says");
    let mut seen = demo.changes(&own, before)?;
    seen.sort();
    seen.iter().for_each(|line| println!("{line}"));

    let mut wrong = differences(&expected, &seen);
    if listed.len() != PLANTED {
        wrong.push(format!("{} files were planted and {} are known", PLANTED, listed.len()));
    }
    if known < PLANTED as u64 {
        wrong.push(format!("the controller knows only {known} files"));
    }
    if !wrong.is_empty() {
        bail!("the controller's picture is wrong:\n{}", wrong.join("\n"));
    }
    say(&format!(
        "all of it is as it should be ({} s)",
        started.elapsed().as_secs()
    ));
    if !args.once {
        linger(&demo, &url, controller)?;
    }
    Ok(())
}

struct Demo {
    home: PathBuf,
    programs: PathBuf,
}

impl Demo {
    fn program(&self, name: &str) -> Program {
        Program::at(self.programs.join(name)).home(&self.home)
    }

    fn controller(&self) -> Result<Daemon> {
        let args = ["serve", "--data-dir", "controller", "--listen", "127.0.0.1:0"];
        self.program("fleet-controller").args(args).start()
    }

    fn client(&self, args: &[&str]) -> Result<Output> {
        self.program("fleet-controller").args(args).run()?.success()
    }

    fn json(&self, args: &[&str]) -> Result<Value> {
        self.client(&[args, &["--output", "json"]].concat())?.json()
    }

    fn rows(&self, args: &[&str]) -> Result<Vec<Value>> {
        Ok(self.json(args)?.as_array().context("not a list")?.clone())
    }

    fn configure(&self, url: &str, paths: &[&Path]) -> Result<()> {
        let paths: Vec<String> = paths
            .iter()
            .map(|path| format!("    - '{}'\n", path.display()))
            .collect();
        let text = format!(
            "server:\n  base_url: {url}\nagent:\n  id: {AGENT}\nscanner:\n  scan_paths:\n{}logging:\n  level: warn\n",
            paths.concat()
        );
        fs::write(self.home.join("scanner.yaml"), text).context("could not write the scanner's configuration")
    }

    fn scan(&self, token: &str) -> Result<Output> {
        let args = ["run", "--once", "--config", "scanner.yaml", "--data-dir", "scanner"];
        self.program("scanner")
            .args(args)
            .env("SCANNER_JOIN_TOKEN", token)
            .run()
    }

    /// Changes under `root` after the first `before`, with paths from there.
    fn changes(&self, root: &Path, before: usize) -> Result<Vec<String>> {
        let under = root.display().to_string();
        let rows = self.rows(&["files", "changes", "--agent", AGENT, "--under", &under, "--limit", "0"])?;
        let short = |value: &Value| {
            let path = value["path"].as_str().unwrap_or_default();
            path.strip_prefix(&under)
                .unwrap_or(path)
                .trim_start_matches('/')
                .to_owned()
        };
        let line = |row: &Value| {
            let action = row["action"].as_str().unwrap_or_default();
            let from = row.get("from").filter(|from| !from.is_null());
            let from = from.map(|from| format!("{} -> ", short(from))).unwrap_or_default();
            format!("{action:7} {from}{}", short(row))
        };
        let new = rows.len().saturating_sub(before);
        Ok(rows[..new].iter().map(line).collect())
    }
}

const PLANTED: usize = 200;

/// A small tree to change.
fn plant(root: &Path) -> Result<()> {
    for folder in ["reports", "images", "archive/old"] {
        fs::create_dir_all(root.join(folder))?;
    }
    let folder = |n: usize| ["reports", "images", "archive"][n % 3];
    for n in 0..PLANTED - 3 {
        fs::write(
            root.join(folder(n)).join(format!("file-{n:03}.txt")),
            format!("number {n}\n"),
        )?;
    }
    for n in 0..3 {
        fs::write(root.join("archive/old").join(format!("{n}.log")), "old\n")?;
    }
    Ok(())
}

/// Changes it; gives what must be told, sorted.
fn change(root: &Path) -> Result<Vec<String>> {
    let at = |name: &str| root.join(name);
    fs::write(at("reports/new-1.txt"), "new\n")?;
    fs::write(at("images/new-2.txt"), "new\n")?;
    fs::write(at("reports/file-000.txt"), "edited, and longer than before\n")?;
    fs::write(at("images/file-001.txt"), "edited, and longer than before\n")?;
    fs::rename(at("archive/file-002.txt"), at("reports/renamed.txt"))?;
    fs::rename(at("reports/file-003.txt"), at("reports/file-003.bak"))?;
    fs::rename(at("archive/old"), at("archive/older"))?;
    fs::remove_file(at("images/file-004.txt"))?;
    fs::remove_file(at("archive/file-005.txt"))?;
    let mut permissions = fs::metadata(at("reports/file-006.txt"))?.permissions();
    permissions.set_readonly(true);
    fs::set_permissions(at("reports/file-006.txt"), permissions)?;
    let mut expected: Vec<String> = [
        "created images/new-2.txt",
        "created reports/new-1.txt",
        "deleted archive/file-005.txt",
        "deleted images/file-004.txt",
        "moved   archive/file-002.txt -> reports/renamed.txt",
        "moved   archive/old/0.log -> archive/older/0.log",
        "moved   archive/old/1.log -> archive/older/1.log",
        "moved   archive/old/2.log -> archive/older/2.log",
        "moved   reports/file-003.txt -> reports/file-003.bak",
        "updated images/file-001.txt",
        "updated reports/file-000.txt",
        "updated reports/file-006.txt",
    ]
    .map(str::to_owned)
    .to_vec();
    expected.sort();
    Ok(expected)
}

fn differences(expected: &[String], seen: &[String]) -> Vec<String> {
    let missing = expected
        .iter()
        .filter(|line| !seen.contains(line))
        .map(|line| format!("not told: {line}"));
    let extra = seen
        .iter()
        .filter(|line| !expected.contains(line))
        .map(|line| format!("told, but not so: {line}"));
    missing.chain(extra).collect()
}

/// Keeps the controller up until it is ended, and says how to look around.
fn linger(demo: &Demo, url: &str, controller: Daemon) -> Result<()> {
    let home = demo.home.display();
    let bin = demo.programs.display();
    println!(
        "\nThe controller goes on at {url} until you press Ctrl-C. In another terminal:\n\n  \
         export PATH={bin}:$PATH HOME={home}\n  \
         fleet-controller agents\n  \
         fleet-controller files list --agent {AGENT} --name '*.conf'\n  \
         cd {home} && touch tree/another && scanner run --once --config scanner.yaml --data-dir scanner\n  \
         fleet-controller files changes --agent {AGENT} --limit 5\n"
    );
    // Ctrl-C reaches the controller too: it ends in order, and so do we, removing what was made.
    let status = controller.wait()?;
    println!("the controller ended ({status})");
    Ok(())
}

fn say(text: &str) {
    println!("\n── {text}");
}
