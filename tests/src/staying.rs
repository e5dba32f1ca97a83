//! What journeys of agents that stay up begin with, and wait for.
use crate::{Fleet, Scanner};
use anyhow::{Context, Result};
use serde_json::Value;
use testkit::{Daemon, eventually};

/// It scans when it starts and then only when it is told to, and is heard of each second.
const SELDOM: [&str; 2] = ["scanner.scan_interval=6h", "agent.heartbeat_interval=1s"];

impl Scanner {
    /// Starts it as an agent that stays up, scans at its first start and then only when it is told to, and is heard of
    /// each second; with these settings besides or instead, each as `KEY=VALUE`.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(&self, settings: &[&str]) -> Result<Daemon> {
        let key = |setting: &str| setting.split('=').next().map(str::to_owned);
        let own = SELDOM
            .iter()
            .filter(|own| !settings.iter().any(|setting| key(setting) == key(own)));
        let set = own.chain(settings).flat_map(|setting| ["--set", setting]);
        let args: Vec<&str> = ["run"].into_iter().chain(set).collect();
        let daemon = self.program(&args)?.start()?;
        daemon.wait_for_text("scanner is up")?;
        Ok(daemon)
    }

    /// Scans that its state tells of, also one that lasts; none while there is no state.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn scans(&self) -> Result<usize> {
        Ok(self.history()?.len())
    }

    /// Waits until it has scanned so often, each time to the end.
    ///
    /// # Errors
    /// When it never does.
    pub fn until_scans(&self, count: usize) -> Result<()> {
        eventually("a scan", || {
            let history = self.history()?;
            let completed = history.iter().filter(|scan| scan["status"] == "completed");
            Ok((completed.count() >= count).then_some(()))
        })
    }

    fn history(&self) -> Result<Vec<Value>> {
        let history = self.command(&["history", "--output", "json"])?;
        let Ok(history) = history.success() else {
            return Ok(Vec::new());
        };
        Ok(history.json()?.as_array().context("no list of scans")?.clone())
    }
}

impl Fleet {
    /// Waits until the controller knows of exactly so many files of an agent's host.
    ///
    /// # Errors
    /// When it never does.
    pub fn until_told(&self, agent: &str, files: usize) -> Result<()> {
        eventually("files at the controller", || {
            Ok(self.paths(agent).is_ok_and(|paths| paths.len() == files).then_some(()))
        })
    }
}
