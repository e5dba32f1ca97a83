//! What every command begins with: the configuration, the data directory, the log.
use crate::{
    cli::Common,
    settings::{ControllerConfig, OTHER_NAMES, SHORT_NAMES},
};
use anyhow::Context as _;
use daemon_kit::{ConfigError, ConfigFinder, ConfigSpec, Loaded, Override, Surroundings, load};
use std::path::PathBuf;
use telemetry_otel::Telemetry;

const SPEC: ConfigSpec = ConfigSpec {
    finder: ConfigFinder {
        product: "fleet-controller",
        prefix: "FLEET",
    },
    short_variables: SHORT_NAMES,
    other_variables: OTHER_NAMES,
    meaningless: &[],
    never_literal: &[],
};

/// Loads the configuration that the command line asks for; `listen` is `serve --listen`.
pub(crate) fn load_config(
    common: &Common,
    listen: Option<std::net::SocketAddr>,
    around: &Surroundings,
) -> Result<Loaded<ControllerConfig>, ConfigError> {
    let of_set = |(key, value): &(String, String)| Override {
        option: "--set",
        key: key.clone().into(),
        value: value.clone(),
    };
    let mut overrides: Vec<Override> = common.set.iter().map(of_set).collect();
    overrides.extend(listen.map(|address| Override {
        option: "--listen",
        key: "server.listen".into(),
        value: address.to_string(),
    }));
    load(&SPEC, common.config.as_deref(), &overrides, around)
}

/// What `serve` runs with.
pub(crate) struct Context {
    pub(crate) config: ControllerConfig,
    pub(crate) database: PathBuf,
    // Flushes the log when it is dropped.
    _telemetry: Telemetry,
}

impl Context {
    /// Loads the configuration and starts the log.
    pub(crate) fn new(common: &Common, listen: Option<std::net::SocketAddr>) -> anyhow::Result<Self> {
        let around = Surroundings::of_this_process();
        let loaded = load_config(common, listen, &around)?;
        let config = loaded.settings.value.clone();
        let dir = SPEC.finder.data_dir(
            "fleet-controller",
            common.data_dir.as_deref(),
            &loaded.variables,
            &around,
        )?;
        let is_of_file = matches!(loaded.settings.origin("store.path"), conf::Origin::File { .. });
        let database = match &config.store.path {
            Some(path) if !(dir.is_named && is_of_file) => path.clone(),
            _ => dir.path.join("fleet.db"),
        };
        let mut log = config.logging.log_settings("fleet-controller", None);
        log.level = match (common.quiet, common.verbose) {
            (true, _) => "error".to_owned(),
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
            database,
            _telemetry: telemetry,
        })
    }
}
