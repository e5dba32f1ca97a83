//! A controller and a scanner in one folder, spoken to by their command lines.
use anyhow::{Context, Result};
use serde_json::Value;
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};
use testkit::{Daemon, Output, Program};

/// The agent's name.
pub(crate) const AGENT: &str = "demo-scanner";

/// What the demo starts.
pub(crate) struct Fleet {
    /// Home and working folder of every program, removed at the end.
    pub(crate) home: PathBuf,
    /// Where the programs lie.
    pub(crate) programs: PathBuf,
    /// Where the controller answers.
    pub(crate) url: String,
}

impl Fleet {
    pub(crate) const fn new(home: PathBuf, programs: PathBuf) -> Self {
        Self {
            home,
            programs,
            url: String::new(),
        }
    }

    pub(crate) fn program(&self, name: &str) -> Program {
        Program::at(self.programs.join(name)).home(&self.home)
    }

    /// Starts the controller on a free port of the loopback, and signs in.
    pub(crate) fn serve(&mut self) -> Result<Daemon> {
        let args = ["serve", "--data-dir", "controller", "--listen", "127.0.0.1:0"];
        let controller = self.program("fleet-controller").args(args).own_group().start()?;
        let after = |start: &'static str| move |line: &str| line.strip_prefix(start).map(str::to_owned);
        let password = controller.wait_for("the first password", after("admin password: "))?;
        self.url = controller.wait_for("its address", after("listening on "))?;
        fs::write(self.home.join("password"), password).context("could not write the password")?;
        self.client(&["login", "--server", &self.url, "--password-file", "password"])?;
        fs::remove_file(self.home.join("password")).context("could not remove the password")?;
        Ok(controller)
    }

    /// A command of the controller's client; it must succeed.
    pub(crate) fn client(&self, args: &[&str]) -> Result<Output> {
        self.program("fleet-controller").args(args).run()?.success()
    }

    fn json(&self, args: &[&str]) -> Result<Value> {
        self.client(&[args, &["--output", "json"]].concat())?.json()
    }

    /// A token with which an agent can enrol.
    pub(crate) fn join_token(&self, name: &str) -> Result<String> {
        let created = self.json(&["join-tokens", "create", "--name", name])?;
        Ok(created["token"].as_str().context("no join token")?.to_owned())
    }

    /// Writes the scanner's configuration.
    pub(crate) fn configure(&self, paths: &[&Path]) -> Result<()> {
        let mut text = format!(
            "server:\n  base_url: {}\nagent:\n  id: {AGENT}\nlogging:\n  level: warn\n",
            self.url
        );
        text.push_str("scanner:\n  scan_paths:\n");
        for path in paths {
            // In single quotes YAML knows one escape: the quote itself, written twice.
            writeln!(text, "    - '{}'", path.display().to_string().replace('\'', "''"))?;
        }
        fs::write(self.home.join("scanner.yaml"), text).context("could not write the scanner's configuration")
    }

    /// One round of the scanner.
    pub(crate) fn scan(&self, token: &str) -> Result<Output> {
        let args = ["run", "--once", "--config", "scanner.yaml", "--data-dir", "scanner"];
        // Some files of a real tree may be closed to whoever runs the demo: that is said (5), and no failure.
        self.program("scanner")
            .args(args)
            .env("SCANNER_JOIN_TOKEN", token)
            .run()?
            .one_of(&[0, 5])
    }

    /// How many files the controller knows below `root`.
    pub(crate) fn files(&self, root: &str) -> Result<usize> {
        let files = self.json(&["files", "list", "--agent", AGENT, "--under", root, "--limit", "0"])?;
        Ok(files.as_array().context("the files are not a list")?.len())
    }

    /// What the controller says happened below `root`, the oldest first, with paths from there.
    pub(crate) fn changes(&self, root: &str) -> Result<Vec<String>> {
        let changes = self.json(&["files", "changes", "--agent", AGENT, "--under", root, "--limit", "0"])?;
        let changes = changes.as_array().context("the changes are not a list")?;
        changes
            .iter()
            .rev()
            .map(|change| line(change, root).context("a change without action or path"))
            .collect()
    }
}

/// `created a`, `moved   a -> b`.
fn line(change: &Value, root: &str) -> Option<String> {
    let below = |value: &Value| {
        let path = value["path"].as_str()?;
        Some(
            path.strip_prefix(root)
                .unwrap_or(path)
                .trim_start_matches('/')
                .to_owned(),
        )
    };
    let action = change["action"].as_str()?;
    let path = below(change)?;
    Some(match change.get("from").filter(|from| !from.is_null()) {
        Some(from) => format!("{action:7} {} -> {path}", below(from)?),
        None => format!("{action:7} {path}"),
    })
}
