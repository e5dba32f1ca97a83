//! A product with an agent in it, and what it is started with.
use crate::rig::noon;
use conf::Check;
use daemon_kit::{
    AgentSettings, CommonBoot, CommonLive, CommonSettings, ConfigFinder, ConfigSpec, DataDir, DatabaseSettings,
    HealthSettings, LoggingSettings, OutboxSettings, ServerSettings, Surroundings,
    cli::{CommonArgs, Output, Product as _, Started},
    live::{Reload, Reloader},
    telemetry::TelemetrySettings,
};
use fleet_link::{
    Refusal,
    agent::{AgentContext, AgentHealth, AgentHooks, AgentProcess, AgentState, LiveSettings, Product, Pulse},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    sync::{Arc, Mutex},
};
use tempfile::TempDir;

pub(super) const GUARD: Product = Product {
    name: "guard-agent",
    prefix: "GUARD",
    metrics: "guard",
    version: "1.2.3",
    capabilities: &["watching"],
    port: 0,
    components: &[],
};

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct Config {
    server: ServerSettings,
    agent: AgentSettings,
    database: DatabaseSettings,
    outbox: OutboxSettings,
    health: HealthSettings,
    logging: LoggingSettings,
    telemetry: TelemetrySettings,
    gates: Vec<String>,
}

#[derive(PartialEq, Serialize)]
pub(super) struct Live {
    gates: Vec<String>,
    #[serde(flatten)]
    common: CommonLive,
}

impl conf::Settings for Config {
    fn check(&self, check: &mut Check<'_>) {
        self.server.check("server", check);
    }
}

impl daemon_kit::cli::Product for Config {
    const SPEC: ConfigSpec = ConfigSpec {
        finder: ConfigFinder {
            product: GUARD.name,
            prefix: GUARD.prefix,
        },
        short_variables: &[],
        other_variables: &["GUARD_JOIN_TOKEN"],
        meaningless: &[],
        never_literal: &[],
    };

    fn logging(&self) -> &LoggingSettings {
        &self.logging
    }
}

impl Reload for Config {
    type Boot = CommonBoot;
    type Live = Live;

    const LOCAL_ONLY: &'static [&'static str] = &["server"];

    fn split(self) -> (CommonBoot, Live) {
        let common = CommonSettings {
            server: self.server,
            agent: self.agent,
            database: self.database,
            outbox: self.outbox,
            logging: self.logging,
            health: self.health,
            telemetry: self.telemetry,
        };
        let (boot, common) = common.split();
        let gates = self.gates;
        (boot, Live { gates, common })
    }
}

impl LiveSettings for Live {
    fn common(&self) -> &CommonLive {
        &self.common
    }
}

/// An installation of the product.
pub(super) struct Host {
    pub(super) process: Arc<AgentProcess<Config>>,
    _dir: TempDir,
}

impl Host {
    /// Configured by `text`, which is YAML, with a join token in its variable.
    pub(super) fn new(text: &str) -> Self {
        transport_http::ensure_crypto_provider();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("guard.yaml");
        fs::write(&file, text).unwrap();
        let mut around = Surroundings {
            hostname: "web-1".to_owned(),
            ..Surroundings::default()
        };
        around
            .variables
            .insert("GUARD_JOIN_TOKEN".to_owned(), "the-token".to_owned());
        let common = CommonArgs {
            config: Some(file),
            data_dir: Some(dir.path().to_owned()),
            set: Vec::new(),
            output: Output::Table,
            verbose: 0,
            quiet: false,
        };
        let loaded = common.load::<Config>(&[], &around).unwrap();
        let logging = loaded.settings.value.logging().log_settings(GUARD.name, None);
        let started = Started {
            is_partial: false,
            loaded,
            around,
            data_dir: DataDir {
                path: dir.path().to_owned(),
                is_named: true,
            },
            telemetry: telemetry_otel::subscriber(logging).unwrap().1,
        };
        let reloader = Reloader::begin(&common, "info", &[], &started).unwrap();
        let process = Arc::new(AgentProcess::new(&GUARD, started, reloader));
        Self { _dir: dir, process }
    }

    pub(super) fn context(&self) -> &AgentContext<Config> {
        self.process.agent()
    }

    pub(super) fn state(&self) -> Arc<AgentState> {
        Arc::new(self.process.own_state().unwrap())
    }

    pub(super) fn health(&self, state: &Arc<AgentState>) -> Arc<AgentHealth> {
        Arc::new(self.process.health(state).unwrap())
    }
}

/// The product's work, which had a mishap.
#[derive(Default)]
pub(super) struct Work {
    pub(super) refused: Mutex<Vec<Refusal>>,
}

impl AgentHooks for Work {
    fn pulse(&self) -> Pulse {
        Pulse {
            last_scan_time: Some(noon()),
            files: 7,
            errors: 2,
            reason: Some("a gate stands open".to_owned()),
        }
    }

    fn rejected(&self, refusals: &[Refusal]) {
        self.refused.lock().unwrap().extend_from_slice(refusals);
    }
}
