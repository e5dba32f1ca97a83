//! What the commands on the controller's own machine begin with: the configuration, the data directory, the log.
use crate::{
    cli::Common,
    settings::{Boot, ControllerConfig, Live, OTHER_NAMES, SHORT_NAMES},
};
use daemon_kit::{
    ConfigFinder, ConfigSpec, LoggingSettings, Override,
    cli::{Product, Started},
    live::Reloader,
};
use state_sqlite::Backups;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};
use telemetry_otel::Telemetry;
use tokio::sync::watch;

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
    /// What takes effect at a start.
    pub(crate) boot: Boot,
    pub(crate) database: PathBuf,
    reloader: Reloader<ControllerConfig>,
    started: Started<ControllerConfig>,
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
    fn new(common: &Common, level: &'static str, listen: Option<SocketAddr>) -> anyhow::Result<Self> {
        let of_listen = |address: SocketAddr| Override {
            option: "--listen",
            key: "server.listen".into(),
            value: address.to_string(),
        };
        let more: Vec<Override<'static>> = listen.map(of_listen).into_iter().collect();
        let started = common.begin::<ControllerConfig>(level, &more)?;
        let reloader = Reloader::begin(common, level, &more, &started)?;
        let boot = reloader.handle().boot().clone();
        let database = started.path("store.path", boot.store.path.as_deref(), STORE);
        Ok(Self {
            boot,
            database,
            reloader,
            started,
        })
    }

    /// What keeps the configuration current while the controller serves.
    pub(crate) fn reloader(&self) -> &Reloader<ControllerConfig> {
        &self.reloader
    }

    /// What is in force now. To be asked for at the beginning of each round, and kept for that round only.
    pub(crate) fn live(&self) -> Arc<Live> {
        Arc::clone(&self.changes().borrow())
    }

    /// The same for who waits for changes.
    pub(crate) fn changes(&self) -> watch::Receiver<Arc<Live>> {
        self.reloader.handle().live()
    }

    /// The log.
    pub(crate) fn telemetry(&self) -> &Telemetry {
        &self.started.telemetry
    }

    /// Where everything lies for which the configuration names no other place.
    pub(crate) fn data_dir(&self) -> &Path {
        &self.started.data_dir.path
    }

    /// Where the backups of the store lie, and how many are kept.
    pub(crate) fn backups(&self) -> Backups {
        backups(&self.live(), &self.database)
    }
}

/// Where the backups of the store at `database` lie, and how many are kept.
pub(crate) fn backups(live: &Live, database: &Path) -> Backups {
    Backups::new(live.store.dir(database), live.store.max_backups as usize)
}
