//! What every command begins with: the configuration, the data directory, the log.
use crate::{
    cli::{Common, Output, Which},
    settings::{MEANINGLESS, OTHER_NAMES, SHORT_NAMES, ScannerConfig},
};
use anyhow::Context as _;
use daemon_kit::{ConfigError, ConfigFinder, ConfigSpec, Loaded, Override, Surroundings, load};
use state_sqlite::{Database, OpenError};
use std::path::PathBuf;
use telemetry_otel::Telemetry;

const SPEC: ConfigSpec = ConfigSpec {
    finder: ConfigFinder {
        product: "scanner",
        prefix: "SCANNER",
    },
    short_variables: SHORT_NAMES,
    other_variables: OTHER_NAMES,
    meaningless: MEANINGLESS,
    never_literal: &["server.api_key"],
};

/// What every command begins with.
pub(crate) struct Context {
    pub(crate) config: ScannerConfig,
    pub(crate) loaded: Loaded<ScannerConfig>,
    pub(crate) around: Surroundings,
    pub(crate) data_dir: PathBuf,
    pub(crate) output: Output,
    pub(crate) quiet: bool,
    data_dir_is_named: bool,
    // Flushes the log when it is dropped.
    _telemetry: Telemetry,
}

/// Loads the configuration that the command line asks for.
pub(crate) fn load_config(common: &Common) -> Result<Loaded<ScannerConfig>, ConfigError> {
    load_with(common, &Surroundings::of_this_process())
}

fn load_with(common: &Common, around: &Surroundings) -> Result<Loaded<ScannerConfig>, ConfigError> {
    let of_set = |(key, value): &(String, String)| Override {
        option: "--set",
        key: key.clone().into(),
        value: value.clone(),
    };
    let overrides: Vec<Override> = common.set.iter().map(of_set).collect();
    load(&SPEC, common.config.as_deref(), &overrides, around)
}

impl Context {
    /// Loads the configuration and starts the log. `default_level` is for commands whose log is not their result.
    pub(crate) fn new(common: &Common, default_level: &str) -> anyhow::Result<Self> {
        let around = Surroundings::of_this_process();
        let loaded = load_with(common, &around)?;
        let config = loaded.settings.value.clone();
        let data_dir = SPEC
            .finder
            .data_dir("scanner", common.data_dir.as_deref(), &loaded.variables, &around)?;
        let name = config.agent.name(&around.hostname);
        let mut log = config.logging.log_settings("scanner", Some(&name));
        log.level = match (common.quiet, common.verbose) {
            (true, _) => "error".to_owned(),
            (_, 0) if loaded.settings.origin("logging.level") == conf::Origin::Default => default_level.to_owned(),
            (_, 0) => log.level,
            (_, 1) => "debug".to_owned(),
            _ => "trace".to_owned(),
        };
        let telemetry = telemetry_otel::init(log).context("could not start the log")?;
        for warning in &loaded.settings.warnings {
            tracing::warn!("{}", warning.to_string().trim_end());
        }
        Ok(Self {
            config,
            loaded,
            around,
            data_dir: data_dir.path,
            output: common.output,
            quiet: common.quiet,
            data_dir_is_named: data_dir.is_named,
            _telemetry: telemetry,
        })
    }

    /// The agent's name.
    pub(crate) fn agent_name(&self) -> String {
        self.config.agent.name(&self.around.hostname)
    }

    /// The state file of `run` or of `scan`. A path in the configuration wins over the default directory, not over one
    /// that was named for this call.
    pub(crate) fn state_file(&self, which: Which) -> PathBuf {
        let is_of_file = matches!(self.loaded.settings.origin("database.path"), conf::Origin::File { .. });
        match (which, &self.config.database.path) {
            (Which::Run, Some(path)) if !(self.data_dir_is_named && is_of_file) => path.clone(),
            (Which::Run, _) => self.data_dir.join("state.db"),
            (Which::Scan, _) => self.data_dir.join("scan.db"),
        }
    }

    /// The state that a reading command reads: the one asked for, else that of `run` where it exists, else of `scan`.
    pub(crate) fn which(&self, asked: Option<Which>) -> Which {
        let run_exists = || self.state_file(Which::Run).exists();
        asked.unwrap_or_else(|| if run_exists() { Which::Run } else { Which::Scan })
    }

    /// Opens a state for reading; the error says how to make one.
    pub(crate) fn open_state(&self, asked: Option<Which>) -> anyhow::Result<Database> {
        let which = self.which(asked);
        let hint = match which {
            Which::Run => "`scanner run --once` makes it",
            Which::Scan => "`scanner scan PATH` or `scanner run --once` makes one",
        };
        let opened = Database::open_read_only(&self.state_file(which));
        opened.map_err(|error| match &error {
            OpenError::Missing { .. } => anyhow::anyhow!("{error}: {hint}"),
            _ => error.into(),
        })
    }
}
