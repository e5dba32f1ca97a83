//! The agent's end of a server of the file-scanner document: it asks for its configuration and its commands, as often as
//! it is set.
//!
//! The document has no way to confirm a command or to tell its end. The journal of commands makes each run at most once
//! by its id, however often it is listed, and over restarts.
mod answer;
mod endpoint;

pub(crate) use answer::{commands, config};

use crate::{
    LinkSettings,
    link::{
        executor::{Ends, Executor},
        runner::Runner,
        verb::Verbs,
    },
};
use answer::Listed;
use chrono::{DateTime, Utc};
use core_model::{CommandId, InstanceId};
use endpoint::{Answer, Endpoint};
use fleet_wire::{files_v1, link::Command};
use state_sqlite::{CommandJournal, Seen};
use std::{collections::HashSet, fmt, pin::Pin, sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, watch},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use transport_http::Client;

/// However short the interval is, no server is asked more often.
const SHORTEST: Duration = Duration::from_secs(1);

type Done = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a link to a server of the document is made of.
pub struct DocumentParts {
    /// With the agent's key.
    pub client: Client,
    /// The agent's name, as it registered.
    pub name: String,
    /// The commands of the agent's state file.
    pub journal: CommandJournal,
    /// This start of the process.
    pub instance: InstanceId,
    /// What it can be told to do.
    pub verbs: Verbs,
    /// What it asks of the product.
    pub hooks: DocumentHooks,
    /// How often the server is asked.
    pub every: watch::Receiver<Duration>,
    /// How commands are run and remembered; the rest is for a fleet controller.
    pub settings: watch::Receiver<LinkSettings>,
}

/// What the link asks of the product.
#[derive(Clone)]
pub struct DocumentHooks {
    before: Arc<dyn Fn() -> Done + Send + Sync>,
    apply: Arc<dyn Fn(files_v1::Config) -> Done + Send + Sync>,
}

impl DocumentHooks {
    /// `apply` runs with a configuration or refuses it, and says so itself; it is called with each answer, one at a time,
    /// whether or not anything is new. A server that has none gives none.
    pub fn new<F, R>(apply: F) -> Self
    where
        F: Fn(files_v1::Config) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        Self {
            before: Arc::new(|| Box::pin(std::future::ready(()))),
            apply: Arc::new(move |config| Box::pin(apply(config))),
        }
    }

    /// Called before the server is asked, each time: to tell it first what its answer depends on.
    #[must_use]
    pub fn before_asking<F, R>(mut self, before: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        self.before = Arc::new(move || Box::pin(before()));
        self
    }
}

/// How it is, for `/health`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DocumentStatus {
    /// The configuration's endpoint.
    pub config: EndpointStatus,
    /// The commands' endpoint.
    pub commands: EndpointStatus,
    /// Commands that wait for their turn.
    pub waiting: usize,
    /// Commands that run.
    pub running: usize,
}

/// How an endpoint of the server is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointStatus {
    /// When it last gave something that could be used.
    pub answered_at: Option<DateTime<Utc>>,
    /// The server has none: it is of the document's first version.
    pub is_absent: bool,
    /// What went wrong the last time, with all causes.
    pub error: Option<String>,
}

/// The agent's end of a server of the document. Clones are the same.
#[derive(Clone)]
pub struct DocumentLink {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    name: String,
    executor: Arc<Executor>,
    hooks: DocumentHooks,
    every: watch::Receiver<Duration>,
    settings: watch::Receiver<LinkSettings>,
    status: watch::Sender<DocumentStatus>,
    /// One at a time: two would run each command twice.
    run: Mutex<()>,
}

impl DocumentLink {
    /// A link of these parts. Nothing is asked yet.
    pub fn new(parts: DocumentParts) -> Self {
        let status = watch::Sender::<DocumentStatus>::default();
        let told = status.clone();
        let tell = move |waiting, running| {
            told.send_if_modified(|status| {
                let is_news = (status.waiting, status.running) != (waiting, running);
                (status.waiting, status.running) = (waiting, running);
                is_news
            });
        };
        let settings = parts.settings;
        let executor = Executor::new(
            parts.journal,
            parts.instance,
            parts.verbs,
            settings.clone(),
            Ends::Untold,
            tell,
        );
        let inner = Inner {
            client: parts.client,
            name: parts.name,
            executor: Arc::new(executor),
            hooks: parts.hooks,
            every: parts.every,
            settings,
            status,
            run: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// How it is, updated as it changes.
    pub fn status(&self) -> watch::Receiver<DocumentStatus> {
        self.inner.status.subscribe()
    }

    /// Asks the server, and runs commands, until `stop` is cancelled and those that run have come to an end. What is
    /// dropped instead loses nothing that the journal holds.
    pub async fn run(&self, stop: CancellationToken) {
        let inner = &self.inner;
        let _alone = inner.run.lock().await;
        let mut runner = Runner::new(&inner.executor);
        runner.recover(&stop).await;
        tokio::join!(runner.run(&stop), inner.ask(&stop));
    }
}

impl Inner {
    async fn ask(&self, stop: &CancellationToken) {
        let mut config = Endpoint::config(&self.name);
        let mut commands = Endpoint::commands(&self.name);
        let mut seen = HashSet::new();
        let mut every = self.every.clone();
        loop {
            let asked = Instant::now();
            if stop.run_until_cancelled((self.hooks.before)()).await.is_none() {
                return;
            }
            self.ask_config(&mut config, stop).await;
            self.ask_commands(&mut commands, &mut seen, stop).await;
            self.status.send_if_modified(|status| {
                let is_news = (&status.config, &status.commands) != (&config.status, &commands.status);
                status.config.clone_from(&config.status);
                status.commands.clone_from(&commands.status);
                is_news
            });
            loop {
                let due = asked + (*every.borrow_and_update()).max(SHORTEST);
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = sleep_until(due) => break,
                    // Another interval counts from the last time.
                    Ok(()) = every.changed() => {}
                }
            }
        }
    }

    async fn ask_config(&self, endpoint: &mut Endpoint, stop: &CancellationToken) {
        if let Some(config) = ask_config(endpoint, &self.client, stop).await {
            // Not cut off by the end: half a configuration is none.
            (self.hooks.apply)(config).await;
        }
    }

    async fn ask_commands(&self, endpoint: &mut Endpoint, seen: &mut HashSet<CommandId>, stop: &CancellationToken) {
        let read = match endpoint.ask(&self.client, stop).await {
            Answer::Something(response) => commands(self.client.server(), &response.body, Utc::now()),
            Answer::Nothing => Ok(Listed::default()),
            Answer::None => return,
        };
        match read {
            Ok(listed) => {
                endpoint.succeeded();
                if listed.unusable > 0 {
                    debug!(entries = listed.unusable, "the server lists what is no command");
                }
                self.take(listed.commands, seen).await;
            }
            Err(error) => endpoint.failed(&error),
        }
    }

    /// Writes down what was not seen before, and has it run. `seen` spares the disk what is listed again and again.
    async fn take(&self, listed: Vec<Command>, seen: &mut HashSet<CommandId>) {
        let max_open = self.settings.borrow().max_open_commands;
        let ids: HashSet<CommandId> = listed.iter().map(|command| command.command).collect();
        seen.retain(|id| ids.contains(id));
        for command in listed {
            let id = command.command;
            if seen.contains(&id) {
                continue;
            }
            match self.executor.accept(command, max_open).await {
                Ok(Seen::New | Seen::Before(_)) => drop(seen.insert(id)),
                Ok(Seen::Full) => {
                    info!(max_open, "no more commands are taken until some have ended");
                    return;
                }
                Err(error) => {
                    let error = core_model::chain(&error);
                    warn!(command = %id, error, "a command is not taken, for it cannot be written down");
                    return;
                }
            }
        }
    }
}

/// The configuration that a server of the document gives the agent called `name`, asked for once; `None` where it gives
/// nothing that can be used, which is said in the log.
pub async fn document_config(client: &Client, name: &str, stop: &CancellationToken) -> Option<files_v1::Config> {
    ask_config(&mut Endpoint::config(name), client, stop).await
}

async fn ask_config(endpoint: &mut Endpoint, client: &Client, stop: &CancellationToken) -> Option<files_v1::Config> {
    let read = match endpoint.ask(client, stop).await {
        Answer::Something(response) => config(&response.body),
        Answer::Nothing => Ok(files_v1::Config::default()),
        Answer::None => return None,
    };
    match read {
        Ok(config) => {
            endpoint.succeeded();
            Some(config)
        }
        Err(error) => {
            endpoint.failed(&error);
            None
        }
    }
}

impl fmt::Debug for DocumentLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DocumentLink")
            .field("status", &*self.inner.status.borrow())
            .finish_non_exhaustive()
    }
}
