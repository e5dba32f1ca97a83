//! A controller and a scanner as a person would use them: the released programs, their command lines, real sockets and
//! real trees. What the journeys share stands here; the journeys are in `it/`.
#[cfg(unix)]
mod held;
pub mod http;
mod later;
mod peer;
#[cfg(unix)]
mod site;
#[cfg(unix)]
mod small_disk;
mod staying;
mod tap;
#[cfg(unix)]
mod terminal;

#[cfg(unix)]
pub use held::Held;
#[cfg(unix)]
pub use site::{AGENT, Signal, Site, end, health_address, long_names, send, wait_health};
#[cfg(unix)]
pub use small_disk::SmallDisk;

pub use later::{LaterController, Poll};
pub use peer::{Peer, envelope, id_of};
pub use tap::{Part, WireTap};
#[cfg(unix)]
pub use terminal::{Left, Terminal};

use anyhow::{Context, Result};
use fleet_wire::WirePath;
use serde_json::Value;
use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;
use testkit::{Daemon, Output, Program};

/// A folder with a controller that was signed in to.
#[derive(Debug)]
pub struct Fleet {
    home: TempDir,
    daemon: Option<Daemon>,
    /// Where the controller answers.
    pub url: String,
    /// What it is started with besides.
    options: Vec<String>,
    /// Who issued its certificate.
    authority: Option<PathBuf>,
}

const CONFIG_FILE: &str = "fleet-controller.yaml";

/// The password of the admin, kept for signing in again.
const PASSWORD_FILE: &str = "password";

impl Fleet {
    /// Starts a controller for the first time and signs in.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start() -> Result<Self> {
        Self::start_set(&[])
    }

    /// The same with these settings, each as `KEY=VALUE`.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_set(settings: &[&str]) -> Result<Self> {
        Ok(Self::start_with(None, settings, |_| Ok(()))?.0)
    }

    /// The same, after `prepare` was given the place of the controller's data, which is not there yet.
    ///
    /// # Errors
    /// That of `prepare`, or when it does not come up.
    pub fn start_after<T>(prepare: impl FnOnce(&Path) -> Result<T>) -> Result<(Self, T)> {
        Self::start_with(None, &[], prepare)
    }

    /// The same over TLS, with this certificate and key of that authority.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_tls(certificate: &Path, key: &Path, authority: &Path) -> Result<Self> {
        Self::start_tls_with(certificate, key, authority, &[])
    }

    /// The same, with these settings, each as `KEY=VALUE`.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_tls_with(certificate: &Path, key: &Path, authority: &Path, settings: &[&str]) -> Result<Self> {
        Ok(Self::start_with(Some((certificate, key, authority)), settings, |_| Ok(()))?.0)
    }

    /// The same with this configuration, in YAML or JSON.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_configured(config: &str) -> Result<Self> {
        Ok(Self::start_with(None, &[], |data| {
            Ok(fs::write(data.with_file_name(CONFIG_FILE), config)?)
        })?
        .0)
    }

    /// Its configuration file, where it was started with one.
    pub fn config_file(&self) -> PathBuf {
        self.home().join(CONFIG_FILE)
    }

    fn start_with<T>(
        tls: Option<(&Path, &Path, &Path)>,
        settings: &[&str],
        prepare: impl FnOnce(&Path) -> Result<T>,
    ) -> Result<(Self, T)> {
        let home = tempfile::Builder::new().prefix("shoal-e2e-").tempdir()?;
        let mut fleet = Self {
            home,
            daemon: None,
            url: String::new(),
            options: settings
                .iter()
                .flat_map(|&setting| ["--set", setting])
                .map(str::to_owned)
                .collect(),
            authority: None,
        };
        if let Some((certificate, key, authority)) = tls {
            for (name, file) in [("certificate", certificate), ("key", key)] {
                fleet.options.push("--set".to_owned());
                fleet.options.push(format!("tls.{name}={}", file.display()));
            }
            fleet.authority = Some(authority.to_owned());
        }
        let prepared = prepare(&fleet.data())?;
        if fleet.config_file().exists() {
            fleet.options.extend(["--config".to_owned(), CONFIG_FILE.to_owned()]);
        }
        let daemon = fleet.serve("127.0.0.1:0")?;
        let password = daemon.wait_for("the password", |line| {
            line.strip_prefix("admin password: ").map(str::to_owned)
        })?;
        fleet.url = daemon.wait_for("its address", |line| {
            line.strip_prefix("listening on ").map(str::to_owned)
        })?;
        fleet.daemon = Some(daemon);
        fs::write(fleet.home().join(PASSWORD_FILE), password)?;
        fleet.login()?;
        Ok((fleet, prepared))
    }

    fn serve(&self, listen: &str) -> Result<Daemon> {
        let args = ["serve", "--data-dir", "controller", "--listen", listen];
        Program::named("fleet-controller")?
            .args(args)
            .args(&self.options)
            .home(self.home())
            .start()
    }

    /// The folder of everything, removed at the end.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The controller's process.
    ///
    /// # Errors
    /// When it was ended.
    pub fn daemon(&self) -> Result<&Daemon> {
        self.daemon.as_ref().context("the controller does not run")
    }

    /// Host and port of the controller.
    pub fn address(&self) -> &str {
        self.url.split_once("://").map_or(&self.url, |(_, address)| address)
    }

    /// Where the controller's data lie.
    pub fn data(&self) -> PathBuf {
        self.home().join("controller")
    }

    /// Ends the controller at once, as `kill -9` does.
    ///
    /// # Errors
    /// When it cannot be ended.
    pub fn kill(&mut self) -> Result<()> {
        self.daemon.take().map_or(Ok(()), |daemon| daemon.kill_hard().map(drop))
    }

    /// Ends the controller by SIGTERM; it must exit 0.
    ///
    /// # Errors
    /// When it does not.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(daemon) = self.daemon.take() {
            let status = daemon.stop()?;
            anyhow::ensure!(status.success(), "the controller ended with {status}");
        }
        Ok(())
    }

    /// Starts it again where it was.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restart(&mut self) -> Result<()> {
        let address = self.address().to_owned();
        let daemon = self.serve(&address)?;
        daemon.wait_for_text("listening on ")?;
        self.daemon = Some(daemon);
        Ok(())
    }

    /// Signs in as the admin.
    ///
    /// # Errors
    /// When that is refused.
    pub fn login(&self) -> Result<()> {
        let mut args = vec!["login", "--server", &self.url, "--password-file", PASSWORD_FILE];
        let authority = self.authority.as_ref().map(|file| file.display().to_string());
        if let Some(authority) = &authority {
            args.extend(["--ca-file", authority]);
        }
        self.client(&args)?.success()?;
        Ok(())
    }

    /// Runs a command of the controller on its own machine.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn local(&self, args: &[&str]) -> Result<Output> {
        self.client(&[args, &["--data-dir", "controller"]].concat())
    }

    /// Runs a command of the controller's client.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn client(&self, args: &[&str]) -> Result<Output> {
        Program::named("fleet-controller")?.args(args).home(self.home()).run()
    }

    /// The same, with its JSON.
    ///
    /// # Errors
    /// When it fails or prints something else.
    pub fn json(&self, args: &[&str]) -> Result<Value> {
        self.client(&[args, &["--output", "json"]].concat())?.success()?.json()
    }

    /// A new join token.
    ///
    /// # Errors
    /// When none is given.
    pub fn join_token(&self) -> Result<String> {
        let created = self.json(&["join-tokens", "create", "--uses", "5"])?;
        Ok(created["token"].as_str().context("no token")?.to_owned())
    }

    /// Paths that the controller says an agent's host has.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn paths(&self, agent: &str) -> Result<Vec<Vec<u8>>> {
        let files = self.json(&["files", "list", "--agent", agent, "--limit", "0"])?;
        let mut paths: Vec<Vec<u8>> = rows(&files)?.iter().map(path).collect::<Result<_>>()?;
        paths.sort();
        Ok(paths)
    }

    /// What the controller says happened, the newest last, as `action path` or `moved from -> to`.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn changes(&self, agent: &str) -> Result<Vec<String>> {
        let changes = self.json(&["files", "changes", "--agent", agent, "--limit", "0"])?;
        let line = |row: &Value| -> Result<String> {
            let own = String::from_utf8_lossy(&path(row)?).into_owned();
            let action = row["action"].as_str().context("no action")?;
            Ok(match row.get("from").filter(|from| !from.is_null()) {
                Some(from) => format!("{action} {} -> {own}", String::from_utf8_lossy(&path(from)?)),
                None => format!("{action} {own}"),
            })
        };
        rows(&changes)?.iter().rev().map(line).collect()
    }
}

fn rows(json: &Value) -> Result<&Vec<Value>> {
    json.as_array().context("not a list")
}

fn path(row: &Value) -> Result<Vec<u8>> {
    let text = row["path"].as_str().context("no path")?;
    let path = WirePath::from_parts(text, row["path_raw"].as_str()).context("a path that is none")?;
    Ok(path.into_bytes())
}

/// A scanner with a configuration, a state and a tree of its own in one folder.
#[derive(Debug)]
pub struct Scanner {
    home: PathBuf,
    name: String,
    token: Option<String>,
    /// What it finds as the id of its machine, in the place of this one's.
    machine: Option<PathBuf>,
}

impl Scanner {
    /// One that reports to `fleet` and scans `home/NAME/tree`, which is made. `more` goes to its configuration.
    ///
    /// # Errors
    /// When its files cannot be written.
    pub fn new(fleet: &Fleet, name: &str, more: &str) -> Result<Self> {
        Self::at(fleet.home(), name, fleet.join_token()?, &fleet.url, more)
    }

    /// The same by this token, at this address, after which more of the section `server` may follow.
    ///
    /// # Errors
    /// When its files cannot be written.
    pub fn with_token(fleet: &Fleet, name: &str, token: &str, url: &str, more: &str) -> Result<Self> {
        Self::at(fleet.home(), name, token.to_owned(), url, more)
    }

    /// One in `home/NAME` that reports to whatever answers at `url`.
    ///
    /// # Errors
    /// When its files cannot be written.
    pub fn alone(home: &Path, name: &str, url: &str) -> Result<Self> {
        Self::at(home, name, "a token that anybody takes".to_owned(), url, "")
    }

    fn at(home: &Path, name: &str, token: String, url: &str, more: &str) -> Result<Self> {
        let scanner = Self {
            home: home.join(name),
            name: name.to_owned(),
            token: Some(token),
            machine: None,
        };
        fs::create_dir_all(scanner.tree())?;
        scanner.configure(url, more)?;
        Ok(scanner)
    }

    /// Writes its configuration.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn configure(&self, url: &str, more: &str) -> Result<()> {
        let tree = self.tree();
        let text = format!(
            "server:\n  base_url: {url}\n  retry_attempts: 0\nagent:\n  id: {}\nscanner:\n  scan_paths: ['{}']\n{more}",
            self.name,
            tree.display()
        );
        fs::write(self.home.join("scanner.yaml"), text).context("could not write the configuration")
    }

    /// It runs on a machine with another `/etc/machine-id` from now on; `false`, and a word about it, where whoever runs the
    /// test may not make such a place.
    ///
    /// # Errors
    /// When the id cannot be written.
    pub fn on_machine(&mut self, id: &str) -> Result<bool> {
        let file = self.home.join("machine-id");
        fs::write(&file, id)?;
        let tried = on_machine(&file, "true".as_ref()).run()?;
        if tried.code() != Some(0) {
            eprintln!("skipped: no other machine can be made here: {}", tried.stderr().trim());
            return Ok(false);
        }
        self.machine = Some(file);
        Ok(true)
    }

    /// A copy of its host, at the same place of its own: configuration, state and credentials, all of it.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub fn copied(&self, name: &str) -> Result<Self> {
        let home = self.home.with_file_name(name);
        let copy = Program::at("cp").args(["-a".as_ref(), self.home.as_os_str(), home.as_os_str()]);
        copy.run()?.success()?;
        Ok(Self {
            home,
            name: self.name.clone(),
            token: self.token.clone(),
            machine: None,
        })
    }

    /// It starts without its join token from now on.
    pub fn forget_token(&mut self) {
        self.token = None;
    }

    /// What it scans.
    pub fn tree(&self) -> PathBuf {
        self.home.join("tree")
    }

    /// Its home.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// A command of it, not yet started.
    ///
    /// # Errors
    /// When the program cannot be built.
    pub fn program(&self, args: &[&str]) -> Result<Program> {
        let program = match &self.machine {
            Some(machine) => on_machine(machine, testkit::binary("scanner")?.as_os_str()),
            None => Program::named("scanner")?,
        };
        let mut program = program
            .args(args)
            .args(["--config", "scanner.yaml", "--data-dir", "state"])
            .home(&self.home);
        if let Some(token) = &self.token {
            program = program.env("SCANNER_JOIN_TOKEN", token);
        }
        Ok(program)
    }

    /// Runs a command.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn command(&self, args: &[&str]) -> Result<Output> {
        self.program(args)?.run()
    }

    /// One round; it must end with `code`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn round(&self, code: i32) -> Result<Output> {
        Ok(self.command(&["run", "--once"])?.assert_code(code))
    }
}

/// A program in a place of its own, where this file is the id of the machine.
fn on_machine(id: &Path, program: &OsStr) -> Program {
    let script = "mount --bind \"$0\" /etc/machine-id && exec \"$@\"";
    Program::at("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", script])
        .args([id.as_os_str(), program])
}
