//! The agent's end of the link to the controller: commands and their results, heartbeats, configuration.
//!
//! Commands run whether or not there is a connection; a connection comes and goes, by WebSocket or by polling, and each
//! begins by telling the controller where the journal stands.
mod connection;
mod desk;
mod error;
pub(crate) mod executor;
mod hooks;
mod ledger;
mod outgoing;
mod polling;
mod report;
pub(crate) mod runner;
mod settings;
mod socket;
mod status;
mod talk;
mod tries;
pub(crate) mod verb;

pub use error::{JournalError, LinkError};
pub use hooks::LinkHooks;
pub use settings::{LinkSettings, TransportChoice};
pub use status::{Connected, LinkStatus, Transport};
pub use verb::{AfterRestartDecision, CommandContext, CommandError, CommandProgress, InterruptedCommand, Verb, Verbs};

use crate::Introduction;
use chrono::Utc;
use core_model::{InstanceId, MessageId};
use executor::{Ends, Executor};
use fleet_wire::link::{Config, ConfigReport};
use outgoing::Outgoing;
use runner::Runner;
use state_sqlite::CommandJournal;
use std::{fmt, sync::Arc};
use tokio::{
    sync::{Mutex, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use transport_http::{Client, WebSocketClient};

/// What a link is made of.
#[derive(Debug)]
pub struct LinkParts {
    /// For polling; with the agent's key.
    pub client: Client,
    /// For the socket; with the same key.
    pub socket: WebSocketClient,
    /// The commands of the agent's state file.
    pub journal: CommandJournal,
    /// What the agent says of itself.
    pub introduction: Introduction,
    /// This start of the process.
    pub instance: InstanceId,
    /// What it can be told to do.
    pub verbs: Verbs,
    /// What the link asks of the product.
    pub hooks: LinkHooks,
    /// How it behaves.
    pub settings: watch::Receiver<LinkSettings>,
}

/// The agent's end of the link. Clones are the same link.
///
/// ```no_run
/// use core_model::InstanceId;
/// use fleet_link::{CommandContext, CommandError, Introduction, Link, LinkHooks, LinkParts, LinkSettings, Verb, Verbs};
/// use fleet_wire::Heartbeat;
/// use state_sqlite::{CommandJournal, Database};
/// use tokio::sync::watch;
/// use transport_http::{Client, ClientSettings, SocketSettings, WebSocketClient};
///
/// # async fn scan(cancel: &tokio_util::sync::CancellationToken) -> Option<u64> { None }
/// # async fn alive() -> Heartbeat { std::future::pending().await }
/// # async fn wire(
/// #     server: ClientSettings, state: Database, who: Introduction, instance: InstanceId,
/// #     settings: watch::Receiver<LinkSettings>, stop: tokio_util::sync::CancellationToken,
/// # ) -> Result<(), Box<dyn std::error::Error>> {
/// let verbs = Verbs::new()
///     .with("scan", Verb::new(async |_args, command: CommandContext| {
///         let files = scan(&command.cancel).await.ok_or(CommandError::cancelled())?;
///         command.progress.tell(files, Some(files), "every file looked at");
///         Ok(serde_json::json!({ "files": files }))
///     }).idempotent())
///     .with("stop", Verb::new(async |_args, _command| Ok(().into())).immediate());
/// let link = Link::new(LinkParts {
///     socket: WebSocketClient::new(&server, SocketSettings::default())?,
///     client: Client::new(server)?,
///     journal: CommandJournal::open(&state)?,
///     introduction: who,
///     instance,
///     verbs,
///     hooks: LinkHooks::new(alive),
///     settings,
/// });
/// let health = link.status();
/// link.run(stop).await;
/// # drop(health);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Link {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    client: Client,
    socket: WebSocketClient,
    executor: Arc<Executor>,
    introduction: Introduction,
    hooks: LinkHooks,
    settings: watch::Receiver<LinkSettings>,
    outgoing: Arc<Outgoing>,
    /// The latest configuration that came and was not looked at yet.
    config: watch::Sender<Option<Config>>,
    status: watch::Sender<LinkStatus>,
    /// When the controller first took this for a copy of the agent, since it last let it in.
    cloned_at: std::sync::Mutex<Option<Instant>>,
    /// One at a time: two would run each command twice.
    run: Mutex<()>,
}

impl Link {
    /// A link of these parts. Nothing is opened yet.
    pub fn new(parts: LinkParts) -> Self {
        let status = watch::Sender::<LinkStatus>::default();
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
            Ends::Confirmed,
            tell,
        );
        let inner = Inner {
            client: parts.client,
            socket: parts.socket,
            outgoing: Arc::clone(&executor.outgoing),
            executor: Arc::new(executor),
            introduction: parts.introduction,
            hooks: parts.hooks,
            settings,
            config: watch::Sender::default(),
            status,
            cloned_at: std::sync::Mutex::default(),
            run: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// How it is, updated as it changes.
    pub fn status(&self) -> watch::Receiver<LinkStatus> {
        self.inner.status.subscribe()
    }

    /// Tells the controller what became of a configuration: of one on this machine too. The latest is told, and again
    /// with each connection, since a report is answered by nothing that would show its arrival.
    pub fn report_config(&self, report: ConfigReport) {
        self.inner.outgoing.config(report);
    }

    /// Keeps the link, and runs commands, until `stop` is cancelled. Then commands that run are told, their results are
    /// sent if there is a connection, and it ends when they have. What is dropped instead loses nothing that the journal
    /// holds.
    pub async fn run(&self, stop: CancellationToken) {
        let inner = &self.inner;
        let _alone = inner.run.lock().await;
        let mut runner = Runner::new(&inner.executor);
        runner.recover(&stop).await;
        let drained = CancellationToken::new();
        let commands = async {
            runner.run(&stop).await;
            drained.cancel();
        };
        tokio::join!(
            commands,
            inner.keep_connected(&stop, &drained),
            inner.apply_configs(&stop)
        );
    }
}

impl Inner {
    fn welcomed(&self, connected: Connected) {
        self.executor.set_skew(connected.clock_skew);
        tracing::info!(
            transport = connected.transport.name(),
            epoch = connected.epoch,
            name = connected.name,
            "linked with the controller"
        );
        self.status.send_modify(|status| {
            status.connected = Some(connected);
            status.error = None;
            status.unauthorized = false;
            status.is_doubled = false;
            status.is_clone = false;
            status.next_try = None;
        });
        *self.cloned_at.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
    }

    async fn apply_configs(&self, stop: &CancellationToken) {
        let Some(apply) = &self.hooks.apply_config else {
            return;
        };
        let mut configs = self.config.subscribe();
        while let Some(Ok(())) = stop.run_until_cancelled(configs.changed()).await {
            let config = configs.borrow_and_update().clone();
            // Not cut off by the end: half a configuration is none.
            if let Some(config) = config {
                self.outgoing.config(apply(config).await);
            }
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("status", &*self.inner.status.borrow())
            .finish_non_exhaustive()
    }
}

/// Where there is no randomness the ids of messages may repeat, which spoils the log and nothing else.
fn message_id() -> MessageId {
    let mut random = [0; 10];
    getrandom::fill(&mut random).ok();
    MessageId::new(Utc::now(), random)
}
