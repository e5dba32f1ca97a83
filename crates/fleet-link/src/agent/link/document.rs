//! A server of the file-scanner document: its configuration becomes the controller's layer of the product's, and its
//! commands are run as a fleet controller's are.
use super::instance;
use crate::{
    DocumentHooks, DocumentLink, DocumentParts, LinkSettings, Presence,
    agent::{AgentConfig, AgentContext, AgentParts, Document, LiveSettings},
    document_config,
};
use chrono::{DateTime, Utc};
use core_model::chain;
use daemon_kit::{
    blocking,
    live::{ReloadOutcome, RemoteConfig},
};
use fleet_wire::files_v1;
use sha2::{Digest, Sha256};
use state_sqlite::CommandJournal;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use transport_http::{Client, ClientSettings, StatusCode};

/// What such a server was told of us, and what it told.
pub(super) struct DocumentServer<C: AgentConfig> {
    context: AgentContext<C>,
    /// How the product's configuration is said there.
    spoken: Document<C>,
    presence: Presence,
    name: String,
    state: Mutex<DocumentState>,
}

#[derive(Default)]
struct DocumentState {
    /// The scan paths that the server knows for ours.
    registered: Option<Vec<String>>,
    /// It was said that it could not be told.
    is_failing: bool,
    /// The configuration that was refused last, by its SHA-256, and when: until the local one is loaded anew it would be
    /// refused again.
    refused: Option<(Option<String>, DateTime<Utc>)>,
}

impl<C: AgentConfig> DocumentServer<C> {
    pub(super) fn new(context: &AgentContext<C>, spoken: Document<C>, presence: Presence, name: String) -> Arc<Self> {
        Arc::new(Self {
            context: context.clone(),
            spoken,
            presence,
            name,
            state: Mutex::default(),
        })
    }

    /// Tells the server who and where we are and what this machine has scanned, unless it knows. A server that is away is
    /// told the next time.
    pub(super) async fn register(&self) {
        let (reloader, scan_paths) = (self.context.reloader.clone(), self.spoken.scan_paths);
        let own = blocking(move || Ok(scan_paths(&reloader.local()?))).await;
        // Where the local files are broken at this moment, the running configuration stands, and what was told of it.
        let Ok(own) = own else { return };
        if self.state().registered.as_ref() == Some(&own) {
            return;
        }
        let AgentContext { hostname, product, .. } = &self.context;
        let capabilities = self.context.capabilities();
        let told = self.presence.register(hostname, product.version, &own, &capabilities);
        let told = told.await;
        let mut state = self.state();
        let has_none = |status| matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED);
        match told {
            Ok(()) => {
                state.registered = Some(own);
                state.is_failing = false;
            }
            Err(error) if error.status().is_some_and(has_none) => {
                tracing::info!("the server takes no registrations: it knows this agent by its key alone");
                state.registered = Some(own);
            }
            Err(error) => {
                let error = chain(&error);
                if std::mem::replace(&mut state.is_failing, true) {
                    tracing::debug!(error, "still not registered at the server");
                } else {
                    tracing::warn!(error, "could not register at the server; it is tried again");
                }
            }
        }
    }

    /// Asks for the configuration once, for a run that does not stay up. A server that took no registration just now is
    /// not waited for again.
    pub(super) async fn sync(&self, settings: &ClientSettings, stop: &CancellationToken) -> anyhow::Result<()> {
        if self.state().registered.is_none() {
            return Ok(());
        }
        let client = Client::new(settings.clone())?;
        if let Some(config) = document_config(&client, &self.name, stop).await {
            self.apply(config).await;
        }
        Ok(())
    }

    /// Runs with what the server wants from now on, and keeps it for starts without the server; or says what is wrong with
    /// it and changes nothing.
    pub(super) async fn apply(&self, config: files_v1::Config) {
        let is_ours = self.state().registered.as_ref() == Some(&config.scan_paths);
        let text = (self.spoken.layer)(config, is_ours).map(|layer| layer.to_string());
        let sha256 = text.as_deref().map(sha256);
        let report = self.context.reloader.report().borrow().clone();
        let held = report.remote;
        let is_held = held.as_ref().map(|(_, sha256)| sha256) == sha256.as_ref();
        // What it holds is taken up anew where something else was refused since: then all is well again.
        let is_well = !matches!(report.outcome, ReloadOutcome::Refused { .. });
        if (is_held && is_well) || self.state().refused.as_ref() == Some(&(sha256.clone(), report.at)) {
            return;
        }
        // The document numbers nothing: each change is the next.
        let version = held.map_or(0, |(version, _)| version) + u64::from(!is_held);
        let wanted = text
            .zip(sha256.clone())
            .map(|(text, sha256)| RemoteConfig { version, sha256, text });
        match self.context.reloader.set_remote(wanted).await {
            Ok(report) => {
                let is_refused = matches!(report.outcome, ReloadOutcome::Refused { .. });
                self.state().refused = is_refused.then_some((sha256, report.at));
            }
            Err(error) => tracing::error!(error = chain(&error), "the server's configuration could not be kept"),
        }
    }

    /// Asks the server for its configuration and commands until `stop`.
    pub(super) async fn run(
        self: &Arc<Self>,
        agent: &AgentParts<C>,
        settings: &ClientSettings,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut live = self.context.changes();
        let (every, asked_every) = watch::channel(interval(&**live.borrow_and_update()));
        // The defaults hold for the life of the process.
        let (_kept, link_settings) = watch::channel(LinkSettings::default());
        let (applying, registering) = (Arc::clone(self), Arc::clone(self));
        let hooks = DocumentHooks::new(move |config| {
            let document = Arc::clone(&applying);
            async move { document.apply(config).await }
        })
        .before_asking(move || {
            let document = Arc::clone(&registering);
            async move { document.register().await }
        });
        let asking = DocumentLink::new(DocumentParts {
            client: Client::new(settings.clone())?,
            name: self.name.clone(),
            journal: CommandJournal::open(&agent.state.database)?,
            instance: instance(),
            verbs: agent.verbs.clone(),
            hooks,
            every: asked_every,
            settings: link_settings,
        });
        agent.health.watch_document(asking.status());
        let follow = async {
            while live.changed().await.is_ok() {
                let wanted = interval(&**live.borrow_and_update());
                every.send_if_modified(|now| std::mem::replace(now, wanted) != wanted);
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = asking.run(stop) => {}
            () = follow => {}
        }
        Ok(())
    }

    /// What these locks guard is whole after any panic.
    fn state(&self) -> std::sync::MutexGuard<'_, DocumentState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn interval(live: &impl LiveSettings) -> Duration {
    live.common().agent.heartbeat_interval.get()
}

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
