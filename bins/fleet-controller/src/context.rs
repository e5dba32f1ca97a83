//! What the commands on the controller's own machine begin with: the configuration, the data directory, the log.
use crate::{
    cli::Common,
    settings::{ControllerConfig, OTHER_NAMES, SHORT_NAMES},
};
use daemon_kit::{
    ConfigFinder, ConfigSpec, LoggingSettings, Override,
    cli::{Product, Started},
};
use state_sqlite::Backups;
use std::{net::SocketAddr, path::PathBuf};

/// The name of the store in the data directory.
pub(crate) const STORE: &str = "fleet.db";

impl Product for ControllerConfig {
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

    fn logging(&self) -> &LoggingSettings {
        &self.logging
    }
}

/// What `serve` and `store` run with.
pub(crate) struct Context {
    pub(crate) config: ControllerConfig,
    pub(crate) database: PathBuf,
    // Flushes the log when it is dropped.
    _started: Started<ControllerConfig>,
}

impl Context {
    /// For `serve`, whose log is read.
    pub(crate) fn serving(common: &Common, listen: Option<SocketAddr>) -> anyhow::Result<Self> {
        Self::new(common, "info", listen)
    }

    /// For commands whose log is not their result.
    pub(crate) fn reading(common: &Common) -> anyhow::Result<Self> {
        Self::new(common, "warn", None)
    }

    /// Loads the configuration and starts the log.
    fn new(common: &Common, level: &str, listen: Option<SocketAddr>) -> anyhow::Result<Self> {
        let of_listen = |address: SocketAddr| Override {
            option: "--listen",
            key: "server.listen".into(),
            value: address.to_string(),
        };
        let more: Vec<Override<'_>> = listen.map(of_listen).into_iter().collect();
        let started = common.begin::<ControllerConfig>(level, &more)?;
        let config = started.settings().clone();
        let database = started.path("store.path", config.store.path.as_deref(), STORE);
        Ok(Self {
            config,
            database,
            _started: started,
        })
    }

    /// Where the backups of the store lie, and how many are kept.
    pub(crate) fn backups(&self) -> Backups {
        let settings = &self.config.store;
        Backups::new(settings.backup_dir(&self.database), settings.max_backups as usize)
    }
}
