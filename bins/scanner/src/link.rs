//! The server's side of a run: who we are there, what is delivered, that we are alive.
use crate::{cli::RunArgs, context::Context, health::Health, session};
use anyhow::Context as _;
use chrono::Utc;
use core_model::Queue;
use fleet_link::{
    CredentialFile, Delivery, DeliverySettings, EnrollError, Introduction, OnRejected, Presence, enroll, join_token,
};
use fleet_wire::Heartbeat;
use fsscan::Summary;
use state_sqlite::{Database, Outbox};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time};
use tokio_util::sync::CancellationToken;
use transport_http::{Client, ClientSettings};

const VERSION: &str = env!("CARGO_PKG_VERSION");
const CAPABILITIES: &[&str] = &["files"];

/// A server, and us at it.
pub(crate) struct Link {
    outbox: Arc<Outbox>,
    /// `None` while the server that should enrol us cannot be reached: then everything waits in the outbox.
    connected: Option<Connected>,
    heartbeat_interval: Duration,
}

struct Connected {
    delivery: Delivery<Outbox>,
    presence: Presence,
    // Delivery rereads its settings at each round; whoever holds this end could change them.
    _settings: watch::Sender<DeliverySettings>,
}

impl Link {
    /// Finds out who we are at the configured server; `None` where none is configured.
    pub(crate) async fn establish(
        context: &Context,
        args: &RunArgs,
        database: &Database,
        outbox: &Outbox,
        health: &Health,
    ) -> anyhow::Result<Option<Self>> {
        let server = &context.config.server;
        let (Some(base_url), Some(mut settings)) = (&server.base_url, server.client_settings()) else {
            tracing::info!("no server is configured (`server.base_url`): changes are kept here and told to nobody");
            return Ok(None);
        };
        settings.user_agent = format!("scanner/{VERSION}");
        settings.max_parallel = usize::from(context.config.scanner.concurrent_api_calls) + 1;
        settings.observe = Some(health.api_observer());
        let name = if settings.api_key.is_some() {
            context.agent_name()
        } else {
            match enrolled(context, args, base_url, &settings).await {
                Ok(credentials) => {
                    settings.api_key = Some(credentials.api_key);
                    credentials.name
                }
                Err(error) if matches!(error.downcast_ref(), Some(EnrollError::Unreachable { .. })) => {
                    tracing::warn!("not enrolled yet: {error:#}; what is found waits in the outbox");
                    health.api_failed(&format!("{error:#}"));
                    return Ok(Some(Self::new(context, outbox, None)));
                }
                Err(error) => return Err(error),
            }
        };
        let client = Client::new(settings)?;
        health.watch_client(&client);
        let (sender, receiver) = watch::channel(DeliverySettings {
            batch_size: context.config.scanner.batch_size as usize,
            concurrent_api_calls: usize::from(context.config.scanner.concurrent_api_calls),
            ..DeliverySettings::default()
        });
        let delivery = Delivery::new(
            Arc::new(outbox.clone()),
            client.clone(),
            server.dialect,
            receiver,
            keep_refusals(database.clone()),
        );
        let presence = Presence::new(client, server.dialect, &name);
        let paths: Vec<String> = context
            .config
            .scanner
            .scan_paths
            .iter()
            .map(|path| path.path.to_string_lossy().into_owned())
            .collect();
        let capabilities: Vec<String> = CAPABILITIES.iter().map(|name| (*name).to_owned()).collect();
        if let Err(error) = presence
            .register(&context.around.hostname, VERSION, &paths, &capabilities)
            .await
        {
            tracing::warn!(error = chain(&error), "could not register at the server");
        }
        Ok(Some(Self::new(
            context,
            outbox,
            Some(Connected {
                delivery,
                presence,
                _settings: sender,
            }),
        )))
    }

    fn new(context: &Context, outbox: &Outbox, connected: Option<Connected>) -> Self {
        Self {
            outbox: Arc::new(outbox.clone()),
            connected,
            heartbeat_interval: context
                .config
                .agent
                .heartbeat_interval
                .get()
                .max(Duration::from_secs(1)),
        }
    }

    /// Delivers and gives signs of life while the scan goes on. Never ends by itself.
    pub(crate) async fn keep_up(&self) {
        let Some(connected) = &self.connected else {
            return std::future::pending().await;
        };
        // The scan's end cuts this off; requests under way are then repeated by the last round.
        let stop = CancellationToken::new();
        let beat = async {
            loop {
                // Whether it was refused is said by the last heartbeat.
                let _ = self.heartbeat(connected, None).await;
                time::sleep(self.heartbeat_interval).await;
            }
        };
        tokio::join!(connected.delivery.run(stop), beat);
    }

    /// Delivers what is left and says how the run went; gives whether the server now knows all of it.
    pub(crate) async fn finish(&self, summary: &Summary, stop: &CancellationToken) -> bool {
        let Some(connected) = &self.connected else {
            return self.waiting() == 0;
        };
        let report = connected.delivery.deliver_until_empty(stop).await;
        if let Some(error) = &report.error {
            tracing::error!(
                error = chain(error),
                waiting = report.remaining,
                "records could not be delivered; they wait for the next run"
            );
            return false;
        }
        // A server that does not answer must not keep a process that was told to end.
        let is_known = tokio::select! {
            is_known = self.heartbeat(connected, Some(summary)) => is_known,
            () = stop.cancelled() => true,
        };
        is_known && report.remaining == 0
    }

    fn waiting(&self) -> u64 {
        self.outbox.stats().map_or(u64::MAX, |stats| stats.records)
    }

    /// Gives whether the server still takes our key: a run with nothing to deliver has no other way to find out.
    async fn heartbeat(&self, connected: &Connected, summary: Option<&Summary>) -> bool {
        let errors = summary.map_or(0, Summary::error_count);
        let heartbeat = Heartbeat {
            status: if errors > 0 { "degraded" } else { "healthy" }.to_owned(),
            version: VERSION.to_owned(),
            last_scan_time: summary.map(|_| Utc::now()),
            files_processed: summary.map_or(0, |summary| summary.files),
            error_count: errors,
            outbox_records: self.waiting(),
        };
        let memory = telemetry_otel::process_sample().map_or(0, |sample| sample.resident_bytes);
        let Err(error) = connected.presence.heartbeat(&heartbeat, memory).await else {
            return true;
        };
        let is_refused = matches!(error.status().map(|status| status.as_u16()), Some(401 | 403));
        if is_refused {
            tracing::error!(
                error = chain(&error),
                "the server does not take this agent's key: it was revoked or is another server's; enrol again with a \
                 new join token"
            );
        } else {
            tracing::warn!(error = chain(&error), "the server did not take the heartbeat");
        }
        !is_refused
    }
}

/// Our credentials, stored or newly given.
async fn enrolled(
    context: &Context,
    args: &RunArgs,
    base_url: &str,
    settings: &ClientSettings,
) -> anyhow::Result<fleet_link::Credentials> {
    let token = join_token(args.join_token_file.as_deref(), "SCANNER", &context.loaded.variables)?;
    let introduction = Introduction {
        name: context.agent_name(),
        kind: "scanner".to_owned(),
        hostname: context.around.hostname.clone(),
        version: VERSION.to_owned(),
        capabilities: CAPABILITIES.iter().map(|name| (*name).to_owned()).collect(),
    };
    let client = Client::new(settings.clone()).context("the server's settings cannot be used")?;
    let file = CredentialFile::in_dir(&context.data_dir);
    let enrolled = enroll(&client, &file, base_url, token, &introduction, "SCANNER", Utc::now()).await?;
    Ok(enrolled.credentials)
}

fn keep_refusals(database: Database) -> OnRejected {
    Arc::new(move |refusals| {
        for refusal in refusals {
            let rejected = &refusal.rejected;
            tracing::warn!(
                seq = rejected.seq,
                code = rejected.code,
                detail = rejected.detail,
                "a record was refused"
            );
        }
        if let Err(error) = session::keep_refusals(&database, refusals, Utc::now()) {
            tracing::error!(%error, "refusals could not be kept");
        }
    })
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
