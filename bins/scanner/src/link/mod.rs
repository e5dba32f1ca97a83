//! The server's side of a run: who we are there, what is delivered, that we are alive.
mod controller;
mod daemon;
mod document;
mod heartbeat;
mod identity;
mod lack;
mod profile;
mod serve;

pub(crate) use daemon::{Linked, run};

use crate::{
    answers,
    cli::JoinArgs,
    context::Context,
    health::Health,
    joining::{VERSION, enrolled},
    settings::Live,
    state::State,
};
use chrono::Utc;
use daemon_kit::Dialect;
use document::Document;
use fleet_link::{
    CredentialFile, Delivery, DeliverySettings, EnrollError, Hooks, KeyRotation, LinkStatus, Presence, machine_id,
};
use fleet_wire::Profile;
use identity::Copied;
use state_sqlite::{Database, Outbox, ResyncReason};
use std::{
    sync::{Arc, OnceLock, atomic::AtomicBool},
    time::Duration,
};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use transport_http::{ApiKey, Client, ClientSettings};

/// How often delivery looks into the outbox although nobody said that there is something.
const QUIET: Duration = Duration::from_secs(60);

/// A server, and us at it.
pub(crate) struct Link {
    /// How the server is reached, for what is asked of it besides delivery.
    reached: Option<Reached>,
    outbox: Outbox,
    database: Database,
    health: Arc<Health>,
    /// `None` while the server that should enrol us cannot be reached: then everything waits in the outbox.
    connected: Option<Connected>,
    live: watch::Receiver<Arc<Live>>,
    /// Where and on what this agent runs, as it was last looked at.
    profile: watch::Sender<Profile>,
    /// The credentials were given to another machine; only a daemon can find out what that means.
    copied: Option<Copied>,
    /// The controller says that another one with our key is there.
    is_doubled: watch::Sender<bool>,
    /// Notified when the server wants everything told anew.
    anew: Arc<Notify>,
    /// How the link to a fleet controller is, once there is one.
    controlled: OnceLock<watch::Receiver<LinkStatus>>,
}

struct Reached {
    settings: ClientSettings,
    /// `None` for a fleet controller.
    document: Option<Arc<Document>>,
}

struct Connected {
    delivery: Delivery<Outbox>,
    presence: Presence,
    /// `None` where the key is of the configuration, or the agent has none.
    rotation: Option<KeyRotation>,
    /// It was said that the key cannot be renewed.
    is_key_fixed: AtomicBool,
    // Delivery rereads its settings at each round.
    settings: watch::Sender<DeliverySettings>,
    look_every: Duration,
}

impl Link {
    /// Finds out who we are at the configured server; `None` where none is configured. `anew` is notified when the server
    /// wants everything told anew. With `claims` an agent without credentials waits for an operator to claim it, or for
    /// that token.
    pub(crate) async fn establish(
        context: &Arc<Context>,
        join: &JoinArgs,
        state: &Arc<State>,
        health: &Arc<Health>,
        anew: Arc<Notify>,
        claims: Option<&CancellationToken>,
    ) -> anyhow::Result<Option<Self>> {
        let live = context.live();
        let server = &live.server;
        let (Some(base_url), Some(mut settings)) = (&server.base_url, server.client_settings()) else {
            tracing::info!("no server is configured (`server.base_url`): changes are kept here and told to nobody");
            return Ok(None);
        };
        settings.user_agent = format!("scanner/{VERSION}");
        settings.max_parallel = usize::from(live.scanner.concurrent_api_calls) + 1;
        settings.observe = Some(health.api_observer());
        let (name, credentials) = if settings.api_key.is_some() {
            (context.agent_name(), None)
        } else {
            match enrolled(context, join, base_url, &settings, claims, health).await {
                Ok(credentials) => {
                    settings.api_key = credentials.api_key.clone().map(ApiKey::new);
                    (credentials.name.clone(), Some(credentials))
                }
                Err(error) if is_away(&error) => {
                    tracing::warn!("not enrolled yet: {error:#}; what is found waits in the outbox");
                    health.api_failed(&format!("{error:#}"));
                    return Ok(Some(Self::new(context, state, health, None, anew)));
                }
                Err(error) => return Err(error),
            }
        };
        let reached = settings.clone();
        let client = Client::new(settings)?;
        let copied = credentials
            .as_ref()
            .filter(|known| server.dialect == Dialect::Shoal && known.is_of_another_machine(machine_id().as_deref()))
            .map(|_| Copied {
                file: CredentialFile::in_dir(context.data_dir()),
                is_settled: watch::Sender::new(false),
            });
        let rotation = match (&reached.api_key, credentials) {
            (Some(key), Some(credentials)) => {
                let file = CredentialFile::in_dir(context.data_dir());
                Some(KeyRotation::new(client.clone(), key.clone(), file, credentials))
            }
            _ => None,
        };
        if let Some(copied) = copied.as_ref().filter(|_| claims.is_none()) {
            tracing::warn!(
                credentials = %copied.file.path().display(),
                "these credentials were given to another machine: if this host is a copy of it, remove them and join anew"
            );
        }
        // A daemon tells delivery when there is something; `run --once` only has it look.
        let look_every = if claims.is_some() {
            QUIET
        } else {
            Duration::from_secs(5)
        };
        let (sender, receiver) = watch::channel(delivery_settings(&live, look_every));
        let delivery = Delivery::new(
            Arc::new(state.outbox.clone()),
            client.clone(),
            server.dialect,
            receiver,
            hooks(state, health),
        );
        health.watch_delivery(&client, &delivery);
        let presence = Presence::new(client, server.dialect, &name);
        let document = (server.dialect == Dialect::FilesV1).then(|| Document::new(context, presence.clone(), name));
        if let Some(document) = &document {
            document.register().await;
        }
        let connected = Connected {
            delivery,
            presence,
            rotation,
            is_key_fixed: AtomicBool::new(false),
            settings: sender,
            look_every,
        };
        let mut link = Self::new(context, state, health, Some(connected), anew);
        link.reached = Some(Reached {
            settings: reached,
            document,
        });
        link.copied = copied.filter(|_| claims.is_some());
        Ok(Some(link))
    }

    fn new(
        context: &Context,
        state: &State,
        health: &Arc<Health>,
        connected: Option<Connected>,
        anew: Arc<Notify>,
    ) -> Self {
        Self {
            anew,
            controlled: OnceLock::new(),
            reached: None,
            outbox: state.outbox.clone(),
            database: state.database.clone(),
            health: Arc::clone(health),
            connected,
            live: context.changes(),
            profile: watch::Sender::default(),
            copied: None,
            is_doubled: watch::Sender::new(false),
        }
    }

    /// Has a run that does not stay up go by the configuration that a server of the file-scanner document gives.
    pub(crate) async fn sync_config(&self, stop: &CancellationToken) -> anyhow::Result<()> {
        match &self.reached {
            Some(Reached {
                settings,
                document: Some(document),
            }) => document.sync(settings, stop).await,
            _ => Ok(()),
        }
    }

    /// Whether the server took records when it was last asked.
    pub(crate) fn is_answering(&self) -> bool {
        let status = self.connected.as_ref().map(|connected| connected.delivery.status());
        status.is_some_and(|status| status.borrow().is_answering())
    }

    /// Shows how the link to the controller is.
    pub(crate) fn watch(&self, status: watch::Receiver<LinkStatus>) {
        // There is one link for each of us.
        let _ = self.controlled.set(status);
    }

    /// Whether the link to the controller is up.
    fn is_controlled(&self) -> bool {
        let status = self.controlled.get();
        status.is_some_and(|status| status.borrow().connected.is_some())
    }

    /// The state's file.
    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// What is told of the run.
    pub(crate) fn health(&self) -> &Arc<Health> {
        &self.health
    }
}

fn delivery_settings(live: &Live, look_every: Duration) -> DeliverySettings {
    DeliverySettings {
        interval: look_every,
        batch_size: live.scanner.batch_size as usize,
        concurrent_api_calls: usize::from(live.scanner.concurrent_api_calls),
        ..DeliverySettings::default()
    }
}

fn is_away(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(EnrollError::Unreachable { .. }))
}

/// What delivery tells: refusals are kept by path, and a server that lost sight is told everything anew.
fn hooks(state: &Arc<State>, health: &Arc<Health>) -> Hooks {
    let health = Arc::clone(health);
    let database = state.database.clone();
    let outbox = state.outbox.clone();
    Hooks {
        on_rejected: Arc::new(move |refusals| {
            health.refused(refusals.len() as u64);
            if let Err(error) = answers::keep_refusals(&database, refusals, Utc::now()) {
                tracing::error!(%error, "refusals could not be kept");
            }
        }),
        on_snapshot_wanted: Arc::new(move |stream| {
            let detail = format!("the server does not know the stream {stream}");
            if let Err(error) = outbox.want_resync(ResyncReason::Wanted, &detail, Utc::now()) {
                tracing::error!(%error, "that the server wants a snapshot could not be written down");
            }
        }),
    }
}
