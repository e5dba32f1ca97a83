//! What every command begins with: the configuration, the data directory, the log.

use crate::{
    cli::CommonArgs,
    end::log_panics,
    find::DataDir,
    live::{ReloadOutcome, ReloadProblem},
    load::{ConfigError, ConfigSpec, Loaded, Override, load, load_what_can_be},
    settings::LoggingSettings,
    surroundings::Surroundings,
};
use anyhow::Context as _;
use clap::ValueEnum;
use std::path::{Path, PathBuf};
use telemetry_otel::Telemetry;

/// The settings of a product, and what start-up has to know of them.
pub trait Product: conf::Settings {
    /// Where its configuration is found. The name of the product there is also that of its data directory and of the
    /// service in its log.
    const SPEC: ConfigSpec;

    /// The section `logging`.
    fn logging(&self) -> &LoggingSettings;

    /// The name that stands on every JSON line of the log, for agents.
    fn agent_id(&self, around: &Surroundings) -> Option<String> {
        let _ = around;
        None
    }

    /// What `config check` says of a valid configuration besides: what it comes to, and what in it may be meant otherwise, in
    /// whole lines. It tests nothing but the settings; the rest is the doctor's.
    fn remarks(&self, around: &Surroundings) -> String {
        let _ = around;
        String::new()
    }
}

/// What a command runs with.
#[must_use = "dropping it ends the log"]
pub struct Started<T> {
    /// The configuration, with the origin of each value.
    pub loaded: Loaded<T>,
    /// The process's surroundings, as the configuration was loaded in.
    pub around: Surroundings,
    /// Where the state lies. Nothing is created yet.
    pub data_dir: DataDir,
    /// The configuration has mistakes, and what is wrong in it stands at its default: only for who looks.
    pub is_partial: bool,
    /// The log. What it holds is written out when this is dropped.
    pub telemetry: Telemetry,
}

impl<O: ValueEnum + Clone + Send + Sync + 'static> CommonArgs<O> {
    /// Loads the configuration that the command line asks for. `more` are keys that other options set; they win over
    /// `--set`.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn load<T: Product>(&self, more: &[Override<'_>], around: &Surroundings) -> Result<Loaded<T>, ConfigError> {
        let mut overrides: Vec<Override<'_>> = self.overrides();
        overrides.extend_from_slice(more);
        load(&T::SPEC, self.config.as_deref(), &overrides, around)
    }

    /// Loads the configuration, starts the log, has panics logged, and logs what the configuration warns of.
    /// `default_level` is the level where nobody asks for another: commands whose log is not their result are quieter than
    /// `info`, and tell those warnings only to who asks for `debug`.
    ///
    /// # Errors
    /// [`ConfigError`], which [`Exit::of_failure`](crate::Exit::of_failure) shows in full;
    /// [`FindError`](crate::FindError) without a home for the data; and when the log cannot be started.
    pub fn begin<T: Product>(&self, default_level: &str, more: &[Override<'_>]) -> anyhow::Result<Started<T>> {
        let around = Surroundings::of_this_process();
        let loaded = self.load::<T>(more, &around)?;
        self.begin_with(default_level, around, loaded, false)
    }

    /// The same for commands that only look at what a process has written down, and must not be refused for a mistake in a
    /// file that the process itself may well have been running without: what is wrong is left at its default, and warned of.
    ///
    /// # Errors
    /// As of [`begin`](Self::begin), where not even that gives a configuration.
    pub fn begin_to_look<T: Product>(&self, default_level: &str) -> anyhow::Result<Started<T>> {
        let around = Surroundings::of_this_process();
        let (loaded, invalid) =
            load_what_can_be::<T>(&T::SPEC, self.config.as_deref(), &self.overrides(), &around, None)?;
        let started = self.begin_with(default_level, around, loaded, invalid.is_some())?;
        if let Some(invalid) = invalid {
            tell(&ReloadOutcome::refused(&ConfigError::Invalid(invalid)));
        }
        Ok(started)
    }

    fn begin_with<T: Product>(
        &self,
        default_level: &str,
        around: Surroundings,
        loaded: Loaded<T>,
        is_partial: bool,
    ) -> anyhow::Result<Started<T>> {
        let product = T::SPEC.finder.product;
        let data_dir = T::SPEC
            .finder
            .data_dir(product, self.data_dir.as_deref(), &loaded.variables, &around)?;
        let settings = &loaded.settings.value;
        let mut log = settings
            .logging()
            .log_settings(product, settings.agent_id(&around).as_deref());
        let is_asked_for = loaded.settings.origin("logging.level") != conf::Origin::Default;
        log.level = self.level(if is_asked_for { &log.level } else { default_level });
        let telemetry = telemetry_otel::init(log).context("could not start the log")?;
        log_panics();
        for warning in &loaded.settings.warnings {
            let warning = ReloadProblem::of(warning);
            // Whoever only looks did not come for them: `config check`, `doctor` and the log of the service have them.
            if default_level == "info" {
                tracing::warn!("{warning}");
            } else {
                tracing::debug!("{warning}");
            }
        }
        Ok(Started {
            loaded,
            around,
            data_dir,
            is_partial,
            telemetry,
        })
    }
}

/// Says what is wrong with a configuration that is looked at all the same: each mistake by itself, as a log wants it.
fn tell(outcome: &ReloadOutcome) {
    let ReloadOutcome::Refused { problems, .. } = outcome else {
        return;
    };
    tracing::warn!(
        mistakes = problems.len(),
        "the configuration is not valid: what is wrong in it is taken for its default here, which may show other than a \
         running agent goes by; where it is about where the state lies, say that by --data-dir"
    );
    for problem in problems {
        tracing::warn!("wrong in the configuration: {problem}");
    }
}

impl<T> Started<T> {
    /// The settings.
    pub fn settings(&self) -> &T {
        &self.loaded.settings.value
    }

    /// Where a file of the state lies: at `configured`, which is the value of `key`, else as `name` in the data
    /// directory. A path in the configuration file wins over the default directory, not over one that was named for
    /// this call.
    pub fn path(&self, key: &str, configured: Option<&Path>, name: &str) -> PathBuf {
        path_of(&self.loaded, &self.data_dir, key, configured, name)
    }
}

/// See [`Started::path`].
pub(super) fn path_of<T>(
    loaded: &Loaded<T>,
    data_dir: &DataDir,
    key: &str,
    configured: Option<&Path>,
    name: &str,
) -> PathBuf {
    let is_of_file = matches!(loaded.settings.origin(key), conf::Origin::File { .. });
    match configured {
        Some(path) if !(data_dir.is_named && is_of_file) => path.to_owned(),
        _ => data_dir.path.join(name),
    }
}
