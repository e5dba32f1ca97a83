//! A server of the file-scanner document: its configuration becomes the controller's layer of ours, and its commands are
//! run as a fleet controller's are.
use super::{Link, controller::instance};
use crate::{
    context::Context,
    joining::{CAPABILITIES, VERSION},
    orders::Orders,
    settings::{Live, ScannerConfig},
};
use chrono::{DateTime, Utc};
use core_model::chain;
use daemon_kit::{
    blocking,
    live::{ReloadOutcome, ReloaderHandle, RemoteConfig},
};
use fleet_link::{DocumentHooks, DocumentLink, DocumentParts, LinkSettings, Presence, document_config};
use fleet_wire::files_v1;
use serde_json::{Map, Value, json};
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
pub(super) struct Document {
    context: Arc<Context>,
    reloader: ReloaderHandle<ScannerConfig>,
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

impl Document {
    pub(super) fn new(context: &Arc<Context>, presence: Presence, name: String) -> Arc<Self> {
        Arc::new(Self {
            context: Arc::clone(context),
            reloader: context.reloader().handle(),
            presence,
            name,
            state: Mutex::default(),
        })
    }

    /// Tells the server who and where we are and what this machine has scanned, unless it knows. A server that is away is
    /// told the next time.
    pub(super) async fn register(&self) {
        let reloader = self.reloader.clone();
        let own = blocking(move || Ok(own_paths(&reloader.local()?))).await;
        // Where the local files are broken at this moment, the running configuration stands, and what was told of it.
        let Ok(own) = own else { return };
        if self.state().registered.as_ref() == Some(&own) {
            return;
        }
        let capabilities: Vec<String> = CAPABILITIES.iter().map(|name| (*name).to_owned()).collect();
        let hostname = &self.context.around().hostname;
        let told = self.presence.register(hostname, VERSION, &own, &capabilities).await;
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
        let text = layer(config, is_ours).map(|layer| layer.to_string());
        let sha256 = text.as_deref().map(sha256);
        let report = self.reloader.report().borrow().clone();
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
        match self.reloader.set_remote(wanted).await {
            Ok(report) => {
                let is_refused = matches!(report.outcome, ReloadOutcome::Refused { .. });
                self.state().refused = is_refused.then_some((sha256, report.at));
            }
            Err(error) => tracing::error!(error = chain(&error), "the server's configuration could not be kept"),
        }
    }

    /// What these locks guard is whole after any panic.
    fn state(&self) -> std::sync::MutexGuard<'_, DocumentState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks the server for its configuration and commands until `stop`.
pub(super) async fn run(
    document: &Arc<Document>,
    link: &Link,
    orders: &Orders,
    settings: &ClientSettings,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut live = document.context.changes();
    let (every, asked_every) = watch::channel(interval(&live.borrow_and_update()));
    // The defaults hold for the life of the process.
    let (_kept, link_settings) = watch::channel(LinkSettings::default());
    let (applying, registering) = (Arc::clone(document), Arc::clone(document));
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
        name: document.name.clone(),
        journal: CommandJournal::open(link.database())?,
        instance: instance(),
        verbs: orders.verbs(link.health()),
        hooks,
        every: asked_every,
        settings: link_settings,
    });
    link.health().watch_document(asking.status());
    let follow = async {
        while live.changed().await.is_ok() {
            let wanted = interval(&live.borrow_and_update());
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

fn interval(live: &Live) -> Duration {
    live.agent.heartbeat_interval.get()
}

/// The scan paths of this machine's own configuration, as they are registered.
fn own_paths(local: &ScannerConfig) -> Vec<String> {
    let paths = local.scanner.scan_paths.iter();
    paths.map(|path| path.path.to_string_lossy().into_owned()).collect()
}

/// What the server set, in our keys; `None` for nothing. The scan paths that it has from us are no wish of its: left out,
/// they keep the rules that they have here.
fn layer(config: files_v1::Config, is_ours: bool) -> Option<Value> {
    let files_v1::Config {
        scan_paths,
        ignore_patterns,
        scan_interval,
        batch_size,
    } = config;
    let mut scanner = Map::new();
    let mut set = |key: &str, is_set: bool, value: Value| {
        if is_set {
            scanner.insert(key.to_owned(), value);
        }
    };
    set("scan_paths", !scan_paths.is_empty() && !is_ours, json!(scan_paths));
    set("ignore_patterns", !ignore_patterns.is_empty(), json!(ignore_patterns));
    set("scan_interval", !scan_interval.is_empty(), json!(scan_interval));
    set("batch_size", batch_size > 0, json!(batch_size));
    (!scanner.is_empty()).then(|| json!({"scanner": scanner}))
}

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_server_set_is_in_the_layer() {
        let config = || files_v1::Config {
            scan_paths: vec!["/srv".to_owned()],
            ignore_patterns: vec!["*.tmp".to_owned()],
            scan_interval: "30m".to_owned(),
            batch_size: 50,
        };
        let whole = json!({"scanner": {
            "scan_paths": ["/srv"], "ignore_patterns": ["*.tmp"], "scan_interval": "30m", "batch_size": 50,
        }});
        assert_eq!(layer(config(), false), Some(whole));
        let own = layer(config(), true).unwrap();
        assert_eq!(own["scanner"]["scan_paths"], Value::Null, "{own}");
        assert_eq!(layer(files_v1::Config::default(), false), None);
        let echo = files_v1::Config {
            scan_paths: vec!["/srv".to_owned()],
            ..files_v1::Config::default()
        };
        assert_eq!(layer(echo, true), None);
    }
}
