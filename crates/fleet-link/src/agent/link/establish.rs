//! Who this agent is at the configured server, and how that is reached.
use super::{Agent, AgentParts, Connected, Membership, Reached, document::DocumentServer, identity::Copied};
use crate::{
    Delivery, DeliverySettings, EnrollError, Hooks, KeyRotation, Presence,
    agent::{AgentConfig, LiveSettings, joining::Joining},
    machine_id,
};
use anyhow::Context as _;
use chrono::Utc;
use daemon_kit::Dialect;
use state_sqlite::ResyncReason;
use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use transport_http::{ApiKey, Client};

/// How often delivery looks into the outbox although nobody said that there is something.
const QUIET: Duration = Duration::from_secs(60);

impl<C: AgentConfig> Agent<C> {
    /// The server's side of an agent of these parts.
    pub fn new(parts: AgentParts<C>) -> Self {
        Self(Arc::new(parts))
    }

    /// What it is made of.
    pub(in crate::agent) fn parts(&self) -> &Arc<AgentParts<C>> {
        &self.0
    }

    /// Finds out who we are at the configured server, for a run that ends by itself; `None` where none is configured.
    /// That a server which should enrol us is away is no error: everything then waits in the outbox.
    ///
    /// # Errors
    /// When the agent cannot join, or the server's settings cannot be used.
    pub async fn establish(&self) -> anyhow::Result<Option<Membership<C>>> {
        Membership::establish(&self.0, None).await
    }
}

impl<C: AgentConfig> Membership<C> {
    /// With `claims` an agent without credentials waits for an operator to claim it, or for that token.
    pub(super) async fn establish(
        agent: &Arc<AgentParts<C>>,
        claims: Option<&CancellationToken>,
    ) -> anyhow::Result<Option<Self>> {
        let AgentParts { context, health, .. } = &**agent;
        let product = context.product;
        let live = context.live();
        let server = &live.common().server;
        let (Some(base_url), Some(mut settings)) = (&server.base_url, server.client_settings()) else {
            tracing::info!("no server is configured (`server.base_url`): what happens is kept here and told to nobody");
            return Ok(None);
        };
        let spoken = match server.dialect {
            Dialect::Shoal => None,
            Dialect::FilesV1 => {
                let why = || {
                    format!(
                        "{} does not speak the file-scanner document: write `server.dialect: shoal`, or leave it out",
                        product.name
                    )
                };
                Some(agent.document.with_context(why)?)
            }
        };
        settings.user_agent = format!("{}/{}", product.name, product.version);
        settings.max_parallel = live.concurrent_api_calls() + 1;
        settings.observe = Some(health.api_observer());
        let (name, credentials) = if settings.api_key.is_some() {
            (context.name.clone(), None)
        } else {
            let joining = Joining {
                context,
                health,
                token_file: agent.join_token_file.as_deref(),
                claims,
            };
            match joining.credentials(base_url, &settings).await {
                Ok(credentials) => {
                    settings.api_key = credentials.api_key.clone().map(ApiKey::new);
                    (credentials.name.clone(), Some(credentials))
                }
                Err(error) if is_away(&error) => {
                    tracing::warn!("not enrolled yet: {error:#}; what is found waits in the outbox");
                    health.api_failed(&format!("{error:#}"));
                    return Ok(Some(Self::new(agent, None)));
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
                file: context.credentials(),
                is_settled: watch::Sender::new(false),
            });
        let rotation = match (&reached.api_key, credentials) {
            (Some(key), Some(credentials)) => Some(KeyRotation::new(
                client.clone(),
                key.clone(),
                context.credentials(),
                credentials,
            )),
            _ => None,
        };
        if let Some(copied) = copied.as_ref().filter(|_| claims.is_none()) {
            tracing::warn!(
                credentials = %copied.file.path().display(),
                "these credentials were given to another machine: if this host is a copy of it, remove them and join anew"
            );
        }
        // A daemon tells delivery when there is something; a run that ends by itself only has it look.
        let look_every = if claims.is_some() {
            QUIET
        } else {
            Duration::from_secs(5)
        };
        let (sender, receiver) = watch::channel(delivery_settings(&*live, look_every));
        let delivery = Delivery::new(
            Arc::new(agent.state.outbox.clone()),
            client.clone(),
            server.dialect,
            receiver,
            hooks(agent),
        );
        health.watch_delivery(&client, &delivery);
        let presence = Presence::new(client, server.dialect, &name);
        let document = spoken.map(|spoken| DocumentServer::new(context, spoken, presence.clone(), name));
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
        let mut membership = Self::new(agent, Some(connected));
        membership.reached = Some(Reached {
            settings: reached,
            document,
        });
        membership.copied = copied.filter(|_| claims.is_some());
        Ok(Some(membership))
    }
}

pub(super) fn delivery_settings(live: &impl LiveSettings, look_every: Duration) -> DeliverySettings {
    DeliverySettings {
        interval: look_every,
        batch_size: live.batch_size(),
        concurrent_api_calls: live.concurrent_api_calls(),
        ..DeliverySettings::default()
    }
}

fn is_away(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(EnrollError::Unreachable { .. }))
}

/// What delivery tells: refusals are the product's, and a server that lost sight is told everything anew.
fn hooks<C: AgentConfig>(agent: &Arc<AgentParts<C>>) -> Hooks {
    let product = Arc::clone(&agent.hooks);
    let outbox = agent.state.outbox.clone();
    Hooks {
        on_rejected: Arc::new(move |refusals| product.rejected(refusals)),
        on_snapshot_wanted: Arc::new(move |stream| {
            let detail = format!("the server does not know the stream {stream}");
            if let Err(error) = outbox.want_resync(ResyncReason::Wanted, &detail, Utc::now()) {
                tracing::error!(%error, "that the server wants a snapshot could not be written down");
            }
        }),
    }
}
