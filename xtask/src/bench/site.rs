//! A controller and a scanner as daemons, started by the benches and asked for their health.
use crate::{demo::fleet::Fleet, interrupt::Interrupt, process};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use testkit::{Clamd, Daemon, GUARD, Program, TreePlan, http_get};

/// A folder with a controller that was signed in to, and an agent that is enrolled at it.
pub(super) struct Site {
    pub(super) fleet: Fleet,
    pub(super) tree: PathBuf,
    /// Where the controller listens, whenever it runs.
    pub(super) address: SocketAddr,
    _home: TempDir,
}

impl Site {
    /// With a controller alone; it runs.
    pub(super) fn new(profile: &str) -> Result<(Self, Daemon)> {
        ensure!(cfg!(target_os = "linux"), "processes are looked at in /proc");
        let programs = process::programs(profile)?;
        let home = tempfile::Builder::new()
            .prefix("shoal-bench-")
            .tempdir()
            .context("could not make a folder")?;
        let mut fleet = Fleet::new(fs::canonicalize(home.path())?, programs);
        let controller = fleet.serve()?;
        let address = fleet.url.strip_prefix("http://").and_then(|text| text.parse().ok());
        let site = Self {
            tree: fleet.home.join("tree"),
            address: address.context("the controller's address is no address")?,
            fleet,
            _home: home,
        };
        Ok((site, controller))
    }

    /// With a tree of so many files too, and a scanner that is enrolled and has told of them.
    pub(super) fn with_scanner(profile: &str, files: u64) -> Result<(Self, Daemon)> {
        let (site, controller) = Self::new(profile)?;
        TreePlan { files, seed: 1 }.create(&site.tree)?;
        site.fleet.configure(&[&site.tree])?;
        let token = site.fleet.join_token("bench")?;
        site.fleet.scan(&token)?;
        Ok((site, controller))
    }

    pub(super) fn home(&self) -> &Path {
        &self.fleet.home
    }

    /// A program of the workspace, in the home that all share.
    pub(super) fn program(&self, name: &str) -> Program {
        Program::at(self.fleet.programs.join(name))
            .home(self.home())
            .own_group()
    }

    /// The controller, where it was at first.
    pub(super) fn controller(&self) -> Program {
        let listen = self.address.to_string();
        let args = ["serve", "--data-dir", "controller", "--listen", &listen];
        self.program("fleet-controller").args(args)
    }

    /// The scanner, with its health at this port.
    pub(super) fn scanner(&self, health: u16) -> (Program, SocketAddr) {
        let port = format!("health.port={health}");
        let args = ["run", "--config", "scanner.yaml", "--data-dir", "scanner"];
        let program = self
            .program("scanner")
            .args(args)
            .args(["--set", "health.enabled=true", "--set", &port]);
        (program, SocketAddr::from((Ipv4Addr::LOCALHOST, health)))
    }

    /// reef-agent alone, with a rule over the tree and a watch on it, and its health at this port.
    pub(super) fn reef(&self, clamd: &Clamd, health: u16) -> Result<(Program, SocketAddr)> {
        let text = format!(
            "[clamd]\nendpoint = \"unix:{}\"\n[[rules]]\nname = \"tree\"\npaths = [\"{tree}\"]\n\
             schedule = {{ when = \"30 2 * * *\" }}\n[watch]\npaths = [\"{tree}\"]\n[health]\nenabled = true\n\
             port = {health}\n",
            clamd.socket().display(),
            tree = self.tree.display(),
        );
        fs::write(self.home().join("reef.toml"), text)?;
        let args = ["run", "--config", "reef.toml", "--data-dir", "reef"];
        Ok((
            self.program("reef-agent").args(args),
            SocketAddr::from((Ipv4Addr::LOCALHOST, health)),
        ))
    }
}

/// Starts a daemon and waits until it says that it is ready; gives the seconds that took.
pub(super) fn start_ready(program: Program, address: SocketAddr) -> Result<(Daemon, f64)> {
    let shown = program.to_string();
    let began = Instant::now();
    let daemon = program.start()?;
    while !is_ready(address) {
        let said = || daemon.lines().join("\n");
        let running = Path::new("/proc").join(daemon.id().to_string()).join("exe").exists();
        ensure!(running, "{shown} ended before it was ready:\n{}", said());
        ensure!(
            began.elapsed() < GUARD,
            "{shown} is not ready after {GUARD:?}:\n{}",
            said()
        );
        thread::sleep(Duration::from_millis(1));
    }
    Ok((daemon, began.elapsed().as_secs_f64()))
}

pub(super) fn is_ready(address: SocketAddr) -> bool {
    http_get(address, "/health/ready").is_ok_and(|answer| answer.status == 200)
}

/// Ends a daemon as a service manager does; it must end well.
pub(super) fn stop(daemon: Daemon) -> Result<()> {
    let status = daemon.stop()?;
    ensure!(status.success(), "a daemon ended with {status}");
    Ok(())
}

pub(super) fn health(address: SocketAddr) -> Result<Value> {
    serde_json::from_str(&http_get(address, "/health")?.body).context("/health is no JSON")
}

/// Whether the agent at `address` is linked by WebSocket; one that polls instead is an error.
pub(super) fn is_linked(address: SocketAddr) -> Result<bool> {
    let link = &health(address)?["link"];
    let transport = link["transport"].as_str();
    ensure!(
        transport.is_none_or(|transport| transport == "websocket"),
        "the agent is linked by {transport:?}"
    );
    Ok(link["connected"] == true)
}

pub(super) fn wait_linked(address: SocketAddr, interrupt: &mut Interrupt) -> Result<()> {
    let began = Instant::now();
    while !is_linked(address)? {
        ensure!(began.elapsed() < GUARD, "the agent is not linked after {GUARD:?}");
        super::procfs::rest(Duration::from_millis(20), interrupt)?;
    }
    Ok(())
}
