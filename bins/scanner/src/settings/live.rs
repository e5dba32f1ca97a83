//! What of the configuration takes effect at the next start, and what at once.
use super::{JournalSettings, ScannerConfig, ScannerSettings};
use daemon_kit::{CommonBoot, CommonLive, CommonSettings, live::Reload, real_path};
use fleet_link::agent::LiveSettings;
use serde::Serialize;
use std::path::PathBuf;

/// What takes effect at once: at the next scan, heartbeat, request or backup.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Live {
    pub(crate) scanner: ScannerSettings,
    pub(crate) journal: JournalSettings,
    #[serde(flatten)]
    pub(crate) common: CommonLive,
}

impl LiveSettings for Live {
    fn common(&self) -> &CommonLive {
        &self.common
    }

    fn batch_size(&self) -> usize {
        self.scanner.batch_size as usize
    }

    fn concurrent_api_calls(&self) -> usize {
        usize::from(self.scanner.concurrent_api_calls)
    }
}

impl Reload for ScannerConfig {
    type Boot = CommonBoot;
    type Live = Live;

    // Where it reports and by which key, what it may read, and where on this machine it writes or listens.
    const LOCAL_ONLY: &'static [&'static str] = &[
        "server",
        "agent.id",
        "scanner.allowed_roots",
        "database.path",
        "database.backup_path",
        "logging.file",
        "health",
        "telemetry",
    ];

    fn split(self) -> (CommonBoot, Live) {
        let Self {
            server,
            agent,
            scanner,
            database,
            outbox,
            journal,
            logging,
            health,
            telemetry,
        } = self;
        let common = CommonSettings {
            server,
            agent,
            database,
            outbox,
            logging,
            health,
            telemetry,
        };
        let (boot, common) = common.split();
        let live = Live {
            scanner,
            journal,
            common,
        };
        (boot, live)
    }

    /// Nothing is scanned for a controller that lies outside of what this machine allows.
    fn exceeds(&self, local: &Self) -> Vec<(String, String)> {
        let allowed: Vec<PathBuf> = match &local.scanner.allowed_roots {
            Some(roots) => roots.clone(),
            None => local.scanner.scan_paths.iter().map(|path| path.path.clone()).collect(),
        };
        let allowed: Vec<PathBuf> = allowed.iter().map(|path| real_path(path)).collect();
        let asked = self.scanner.scan_paths.iter().enumerate();
        asked
            .filter(|(_, asked)| !allowed.iter().any(|root| real_path(&asked.path).starts_with(root)))
            .map(|(n, asked)| {
                let text = format!(
                    "`{}` lies outside of what this machine lets a controller have scanned (`scanner.allowed_roots`)",
                    asked.path.display()
                );
                (format!("scanner.scan_paths[{n}]"), text)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use daemon_kit::live::keys_of;
    use std::collections::BTreeSet;

    #[test]
    fn every_key_is_either_reloadable_or_needs_a_restart() {
        let all = keys_of(&ScannerConfig::default());
        let (boot, live) = ScannerConfig::default().split();
        let (boot, live) = (keys_of(&boot), keys_of(&live));
        assert!(boot.is_disjoint(&live));
        assert_eq!(boot.union(&live).cloned().collect::<BTreeSet<_>>(), all);
    }

    #[test]
    fn a_controller_scans_only_what_this_machine_allows() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("data/in")).unwrap();
        std::fs::create_dir_all(root.join("secret")).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(root.join("secret"), root.join("data/way-out")).unwrap();
        let config = |paths: &[&str], allowed: Option<&[&str]>| {
            let mut config = ScannerConfig::default();
            config.scanner.scan_paths = paths
                .iter()
                .map(|path| crate::settings::ScanPath {
                    path: root.join(path),
                    ..Default::default()
                })
                .collect();
            config.scanner.allowed_roots = allowed.map(|allowed| allowed.iter().map(|path| root.join(path)).collect());
            config
        };
        let wishes = |paths: &[&str], local: &ScannerConfig| {
            let exceeding = config(paths, None).exceeds(local);
            exceeding.into_iter().map(|(key, _)| key).collect::<Vec<_>>()
        };
        let local = config(&["data"], None);
        assert!(wishes(&["data", "data/in", "data/not-there-yet"], &local).is_empty());
        assert_eq!(wishes(&["data", "secret"], &local), ["scanner.scan_paths[1]"]);
        assert_eq!(wishes(&["data/../secret"], &local), ["scanner.scan_paths[0]"]);
        #[cfg(unix)]
        assert_eq!(wishes(&["data/way-out/x"], &local), ["scanner.scan_paths[0]"]);
        // Nothing is scanned here, so nothing is allowed, unless it is said.
        assert_eq!(wishes(&["data"], &config(&[], None)), ["scanner.scan_paths[0]"]);
        assert!(wishes(&["secret"], &config(&[], Some(&["secret"]))).is_empty());
        assert_eq!(
            wishes(&["data"], &config(&["data"], Some(&["secret"]))),
            ["scanner.scan_paths[0]"]
        );
    }
}
