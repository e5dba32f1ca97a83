//! What can be configured, and what is wrong with it.
mod again;
mod canary;
mod clamd;
mod live;
mod quarantine;
mod remarks;
mod remote;
mod rule;
mod rule_check;
mod signatures;
mod throttle;
mod verdicts;
mod watch;
mod webhook;

pub(crate) use again::taken_again;
pub(crate) use canary::CanarySettings;
pub(crate) use clamd::ClamdSettings;
pub(crate) use live::{Boot, Live};
pub(crate) use quarantine::{QuarantineBoot, QuarantineLive, QuarantineSettings};
pub(crate) use remarks::{NO_RULE, remarks};
pub(crate) use rule::{Action, RuleSettings, Symlinks, rule_names};
pub(crate) use rule_check::reaches;
pub(crate) use signatures::{Freshclam, SignatureSettings};
pub(crate) use throttle::{Throttle, ThrottleSettings};
pub(crate) use verdicts::{VerdictBoot, VerdictLive, VerdictSettings};
pub(crate) use watch::{WatchMethod, WatchSettings};
pub(crate) use webhook::{WebhookFormat, WebhookSettings};

use conf::{Check, Settings};
use daemon_kit::{
    AgentSettings, DatabaseSettings, Dialect, HealthSettings, LoggingSettings, OutboxSettings, ServerSettings,
    telemetry::TelemetrySettings,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A rule to begin with.
const RULE: &str = r#"[{
    "name": "web",
    "paths": ["/srv/www", "/home"],
    "exclude": ["*.iso", "node_modules"],
    "max_file_size": "50MB",
    "schedule": {"when": "30 2 * * *", "jitter": "1h"},
    "action": "report"
}]"#;

/// The agent's configuration.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct ReefConfig {
    /// ClamAV's daemon.
    pub(crate) clamd: ClamdSettings,
    /// What is scanned, and what is done about malware there.
    pub(crate) rules: Vec<RuleSettings>,
    /// Directories whose files are scanned as soon as they are written.
    pub(crate) watch: WatchSettings,
    /// How much of the machine scans may take, where a rule does not say.
    pub(crate) throttle: ThrottleSettings,
    /// Where malware is kept that is taken away.
    pub(crate) quarantine: QuarantineSettings,
    /// What is remembered of files.
    pub(crate) verdicts: VerdictSettings,
    /// Proof that clamd detects.
    pub(crate) canary: CanarySettings,
    /// How clamd's signatures are kept fresh.
    pub(crate) signatures: SignatureSettings,
    /// Where each detection is told at once.
    pub(crate) webhook: WebhookSettings,
    /// What a controller may have scanned: these directories and what lies below [default: the paths of the rules in the
    /// configuration of this machine].
    pub(crate) allowed_roots: Option<Vec<PathBuf>>,
    /// Whether a controller may have malware taken away [default: true]; it can never have it deleted.
    pub(crate) allow_remote_quarantine: Option<bool>,
    /// The fleet controller that hears of scans and detections.
    pub(crate) server: ServerSettings,
    /// Who this agent is.
    pub(crate) agent: AgentSettings,
    /// Where the state lies, and its backups.
    pub(crate) database: DatabaseSettings,
    /// What waits for the server, and how much of it may.
    pub(crate) outbox: OutboxSettings,
    /// What is logged, and where.
    pub(crate) logging: LoggingSettings,
    /// The health and metrics endpoint.
    pub(crate) health: HealthSettings,
    /// Where metrics, traces and the log go besides.
    pub(crate) telemetry: TelemetrySettings,
}

impl Settings for ReefConfig {
    fn examples() -> &'static [(&'static str, &'static str)] {
        &[("rules", RULE)]
    }

    fn check(&self, check: &mut Check<'_>) {
        self.clamd.check(check);
        rule_check::check(&self.rules, check);
        self.watch.check(&self.rules, check);
        self.throttle.check("throttle", check);
        self.quarantine.check(check);
        self.verdicts.check(check);
        self.canary.check(check);
        self.signatures.check(check);
        self.webhook.check(check);
        remote::check(self, check);
        self.server.check("server", check);
        if self.server.dialect != Dialect::Shoal {
            let text = "reef-agent speaks with a fleet controller alone";
            check.problem("server.dialect", text, Some("leave it out"));
        }
        self.agent.check("agent", check);
        self.database.check("database", check);
        self.outbox.check("outbox", check);
        self.logging.check("logging", check);
        self.health.check("health", check);
        self.telemetry.check("telemetry", check);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use conf::{Format, Layers};

    #[test]
    fn the_rule_that_config_init_shows_is_valid_in_both_formats() {
        for (example, format) in [
            (conf::annotated_example::<ReefConfig>(), Format::Yaml),
            (conf::annotated_example_toml::<ReefConfig>(), Format::Toml),
        ] {
            let (_, after) = example.split_once("# For example:\n").unwrap();
            let lines = after.lines().map_while(|line| line.strip_prefix("# "));
            let text: String = lines.map(|line| format!("{line}\n")).collect();
            let loaded = Layers::new().file("c", text.clone(), format).load::<ReefConfig>();
            let rules = loaded
                .unwrap_or_else(|problems| panic!("{problems}\n{text}"))
                .value
                .rules;
            assert_eq!((rules.len(), rules[0].name.as_str()), (1, "web"), "{text}");
            assert!(rules[0].plan("a").is_some(), "{text}");
        }
    }
}
