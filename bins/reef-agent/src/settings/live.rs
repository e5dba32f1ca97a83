//! What of the configuration takes effect at the next start, and what at once.
use super::{
    CanarySettings, ClamdSettings, QuarantineBoot, QuarantineLive, ReefConfig, RuleSettings, SignatureSettings,
    ThrottleSettings, VerdictBoot, VerdictLive, WatchSettings, WebhookSettings,
    remote::{allowed_roots, exceeds},
};
use daemon_kit::{CommonBoot, CommonLive, CommonSettings, live::Reload};
use fleet_link::agent::{BootSettings, LiveSettings};
use serde::Serialize;
use std::path::PathBuf;

/// What takes effect at the next start.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Boot {
    pub(crate) quarantine: QuarantineBoot,
    pub(crate) verdicts: VerdictBoot,
    #[serde(flatten)]
    pub(crate) common: CommonBoot,
}

/// What takes effect at once: at the next scan, file, heartbeat, request or backup.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Live {
    pub(crate) clamd: ClamdSettings,
    pub(crate) rules: Vec<RuleSettings>,
    pub(crate) throttle: ThrottleSettings,
    pub(crate) watch: WatchSettings,
    pub(crate) quarantine: QuarantineLive,
    pub(crate) verdicts: VerdictLive,
    pub(crate) canary: CanarySettings,
    pub(crate) signatures: SignatureSettings,
    pub(crate) webhook: WebhookSettings,
    pub(crate) allowed_roots: Option<Vec<PathBuf>>,
    pub(crate) allow_remote_quarantine: Option<bool>,
    #[serde(flatten)]
    pub(crate) common: CommonLive,
}

impl Live {
    /// Below what a controller may have something scanned, as it really lies.
    pub(crate) fn allowed_roots(&self) -> Vec<PathBuf> {
        allowed_roots(self.allowed_roots.as_deref(), &self.rules)
    }
}

impl BootSettings for Boot {
    fn common(&self) -> &CommonBoot {
        &self.common
    }
}

impl LiveSettings for Live {
    fn common(&self) -> &CommonLive {
        &self.common
    }
}

impl Reload for ReefConfig {
    type Boot = Boot;
    type Live = Live;

    // Where it reports and by which key, what it may read and take away, which programs it runs and whom it tells, and
    // where on this machine it writes or listens.
    const LOCAL_ONLY: &'static [&'static str] = &[
        "clamd.endpoint",
        "clamd.database_directory",
        "quarantine",
        "verdicts.path",
        "signatures",
        "webhook",
        "allowed_roots",
        "allow_remote_quarantine",
        "server",
        "agent.id",
        "database.path",
        "database.backup_path",
        "logging.file",
        "health",
        "telemetry",
    ];

    fn split(self) -> (Boot, Live) {
        let Self {
            clamd,
            rules,
            watch,
            throttle,
            quarantine,
            verdicts,
            canary,
            signatures,
            webhook,
            allowed_roots,
            allow_remote_quarantine,
            server,
            agent,
            database,
            outbox,
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
        let (common_boot, common) = common.split();
        let (quarantine_boot, quarantine) = quarantine.split();
        let (verdict_boot, verdicts) = verdicts.split();
        let boot = Boot {
            quarantine: quarantine_boot,
            verdicts: verdict_boot,
            common: common_boot,
        };
        let live = Live {
            clamd,
            rules,
            watch,
            throttle,
            quarantine,
            verdicts,
            canary,
            signatures,
            webhook,
            allowed_roots,
            allow_remote_quarantine,
            common,
        };
        (boot, live)
    }

    /// Nothing is scanned for a controller that lies outside of what this machine allows, and nothing deleted.
    fn exceeds(&self, local: &Self) -> Vec<(String, String)> {
        exceeds(self, local)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use daemon_kit::live::keys_of;
    use std::collections::BTreeSet;

    #[test]
    fn every_key_is_either_reloadable_or_needs_a_restart() {
        let all = keys_of(&ReefConfig::default());
        let (boot, live) = ReefConfig::default().split();
        let (boot, live) = (keys_of(&boot), keys_of(&live));
        assert!(boot.is_disjoint(&live));
        assert_eq!(boot.union(&live).cloned().collect::<BTreeSet<_>>(), all);
    }
}
