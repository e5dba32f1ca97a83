//! What the link asks of the product.
use fleet_wire::{
    Heartbeat, Profile,
    link::{Config, ConfigReport, ConfigVersion, HostSample},
};
use std::{fmt, pin::Pin, sync::Arc};
use tokio::sync::watch;

type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Ask<T> = Arc<dyn Fn() -> Answer<T> + Send + Sync>;
type Apply = Arc<dyn Fn(Config) -> Answer<ConfigReport> + Send + Sync>;

/// What the link asks of the product, and tells it.
#[derive(Clone)]
pub struct LinkHooks {
    pub(super) heartbeat: Ask<Heartbeat>,
    pub(super) sample: Option<Ask<Option<HostSample>>>,
    pub(super) config_in_force: Arc<dyn Fn() -> Option<ConfigVersion> + Send + Sync>,
    pub(super) apply_config: Option<Apply>,
    pub(super) profile: Option<watch::Receiver<Profile>>,
    pub(super) snapshot_wanted: Arc<dyn Fn() + Send + Sync>,
    pub(super) new_key_wanted: Arc<dyn Fn() + Send + Sync>,
}

impl LinkHooks {
    /// `heartbeat` says how the agent is; what it says is delivered goes into HELLO too. It may ask the disk, on a thread
    /// where that may block.
    pub fn new<F, R>(heartbeat: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Heartbeat> + Send + 'static,
    {
        Self {
            heartbeat: Arc::new(move || Box::pin(heartbeat())),
            sample: None,
            config_in_force: Arc::new(|| None),
            apply_config: None,
            profile: None,
            snapshot_wanted: Arc::new(|| {}),
            new_key_wanted: Arc::new(|| {}),
        }
    }

    /// How the host is; asked as often as the controller wants it.
    #[must_use]
    pub fn with_sample<F, R>(mut self, sample: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Option<HostSample>> + Send + 'static,
    {
        self.sample = Some(Arc::new(move || Box::pin(sample())));
        self
    }

    /// Where and on what the agent runs: said in HELLO, and with a heartbeat at once when it changes.
    #[must_use]
    pub fn with_profile(mut self, profile: watch::Receiver<Profile>) -> Self {
        self.profile = Some(profile);
        self
    }

    /// `in_force` is the controller's configuration that the agent runs with; `apply` checks another one, makes it run or
    /// refuses it, and says which. It is called for one at a time; of several that come meanwhile only the last. Without
    /// it, configurations are refused as unknown.
    #[must_use]
    pub fn with_config<I, F, R>(mut self, in_force: I, apply: F) -> Self
    where
        I: Fn() -> Option<ConfigVersion> + Send + Sync + 'static,
        F: Fn(Config) -> R + Send + Sync + 'static,
        R: Future<Output = ConfigReport> + Send + 'static,
    {
        self.config_in_force = Arc::new(in_force);
        self.apply_config = Some(Arc::new(move |config| Box::pin(apply(config))));
        self
    }

    /// Called when the controller lacks records that the agent holds for delivered.
    #[must_use]
    pub fn on_snapshot_wanted(mut self, wanted: impl Fn() + Send + Sync + 'static) -> Self {
        self.snapshot_wanted = Arc::new(wanted);
        self
    }

    /// Called when the controller wants the agent to have another key: see [`KeyRotation`](crate::KeyRotation).
    #[must_use]
    pub fn on_new_key_wanted(mut self, wanted: impl Fn() + Send + Sync + 'static) -> Self {
        self.new_key_wanted = Arc::new(wanted);
        self
    }
}

impl fmt::Debug for LinkHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkHooks")
            .field("sample", &self.sample.is_some())
            .field("apply_config", &self.apply_config.is_some())
            .finish_non_exhaustive()
    }
}
