//! The server's side of a run: who we are there, what is delivered, that we are alive.
use crate::{
    answers::{self, Answer},
    cli::JoinArgs,
    context::Context,
    health::Health,
    joining::{CAPABILITIES, VERSION, enrolled, introduction},
    linking,
    run::{AgentParts, blocking},
    settings::Live,
    state::State,
};
use chrono::Utc;
use core_model::{Backoff, Queue, QueueStats, StreamId};
use daemon_kit::Dialect;
use fleet_link::{
    CredentialFile, Delivery, DeliverySettings, DeliveryStatus, EnrollError, Hooks, KeyRotation, LinkStatus, Presence,
    delivered,
};
use fleet_wire::{Delivered, Heartbeat};
use fsscan::Summary;
use state_sqlite::{Database, Outbox, ResyncReason, StateError};
use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time,
};
use tokio_util::sync::CancellationToken;
use transport_http::{ApiKey, Client, ClientSettings};

/// Waits between attempts to enrol.
const ENROL: Backoff = Backoff {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(300),
};

/// How often delivery looks into the outbox although nobody said that there is something.
const QUIET: Duration = Duration::from_secs(60);

/// A server, and us at it.
pub(crate) struct Link {
    /// How a fleet controller is reached, for the link; `None` for other servers.
    reached: Option<ClientSettings>,
    outbox: Outbox,
    database: Database,
    health: Arc<Health>,
    /// `None` while the server that should enrol us cannot be reached: then everything waits in the outbox.
    connected: Option<Connected>,
    live: watch::Receiver<Arc<Live>>,
    /// Notified when the server wants everything told anew.
    anew: Arc<Notify>,
    /// How the link to a fleet controller is, once there is one.
    controlled: OnceLock<watch::Receiver<LinkStatus>>,
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
        context: &Context,
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
        let rotation = match (&reached.api_key, credentials) {
            (Some(key), Some(credentials)) => {
                let file = CredentialFile::in_dir(context.data_dir());
                Some(KeyRotation::new(client.clone(), key.clone(), file, credentials))
            }
            _ => None,
        };
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
        let paths: Vec<String> = context
            .live()
            .scanner
            .scan_paths
            .iter()
            .map(|path| path.path.to_string_lossy().into_owned())
            .collect();
        let capabilities: Vec<String> = CAPABILITIES.iter().map(|name| (*name).to_owned()).collect();
        if let Err(error) = presence
            .register(&context.around().hostname, VERSION, &paths, &capabilities)
            .await
        {
            tracing::warn!(error = chain(&error), "could not register at the server");
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
        link.reached = (server.dialect == Dialect::Shoal).then_some(reached);
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
        }
    }

    /// Whether the server took records when it was last asked.
    pub(crate) fn is_answering(&self) -> bool {
        let status = self.connected.as_ref().map(|connected| connected.delivery.status());
        status.is_some_and(|status| status.borrow().is_answering())
    }

    /// Delivers and gives signs of life while the scan goes on. Never ends by itself.
    pub(crate) async fn keep_up(&self) {
        // The scan's end cuts this off; requests under way are then repeated by the last round.
        self.serve(CancellationToken::new(), &Notify::new()).await;
        std::future::pending().await
    }

    /// Delivers and gives signs of life until `stop`: every so often, and when there is something to say.
    async fn serve(&self, stop: CancellationToken, news: &Notify) {
        let Some(connected) = &self.connected else { return };
        let beat = async {
            let mut live = self.live.clone();
            let mut is_news = true;
            loop {
                // A controller on the link hears there that we are alive.
                if is_news || !self.is_controlled() {
                    // Whether it was refused is said by the last heartbeat.
                    let _ = self.heartbeat(connected, None).await;
                }
                let last = time::Instant::now();
                loop {
                    let now = Arc::clone(&live.borrow_and_update());
                    connected
                        .settings
                        .send_replace(delivery_settings(&now, connected.look_every));
                    let interval = now.agent.heartbeat_interval.get().max(Duration::from_secs(1));
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = news.notified() => {
                            is_news = true;
                            break;
                        }
                        () = time::sleep_until(last + interval) => {
                            is_news = false;
                            break;
                        }
                        // Another interval counts from the last heartbeat.
                        Ok(()) = live.changed() => {}
                    }
                }
            }
        };
        let renew = async {
            if let Some(rotation) = &connected.rotation {
                rotation.run(&stop).await;
            }
            std::future::pending().await
        };
        tokio::select! {
            () = connected.delivery.run(stop.clone()) => {}
            () = beat => {}
            () = renew => {}
        }
    }

    /// Delivers what is left and says how the run went; gives whether the server now knows all of it.
    pub(crate) async fn finish(&self, summary: Option<&Summary>, stop: &CancellationToken) -> bool {
        let Some(connected) = &self.connected else {
            return self.waiting() == 0;
        };
        let report = connected.delivery.deliver_until_empty(stop).await;
        self.health.delivered();
        let answer = Answer {
            at: Utc::now(),
            is_good: report.error.is_none(),
            text: match &report.error {
                None => "took all that it was sent".to_owned(),
                Some(error) => chain(error),
            },
        };
        self.keep(answer).await;
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
            is_known = self.last_heartbeat(connected, summary) => is_known,
            () = stop.cancelled() => true,
        };
        is_known && report.remaining == 0
    }

    /// The heartbeat of the end, and what it asks for: nobody comes after it who could do that.
    async fn last_heartbeat(&self, connected: &Connected, summary: Option<&Summary>) -> bool {
        let is_known = self.heartbeat(connected, summary).await;
        if let Some(rotation) = &connected.rotation
            && let Err(error) = rotation.rotate_if_wanted().await
        {
            tracing::warn!(
                error = chain(&error),
                "the key could not be renewed: the agent goes on with the one it has"
            );
        }
        is_known
    }

    /// The controller wants this agent to have another key.
    pub(crate) fn wants_new_key(&self) {
        let Some(connected) = &self.connected else { return };
        match &connected.rotation {
            Some(rotation) => rotation.want(),
            None if connected.is_key_fixed.swap(true, Ordering::Relaxed) => {}
            None => tracing::warn!(
                "the controller wants this agent to have another key, and its key is of the configuration: have it enrolled \
                 without `server.api_key`, by a join token or a claim"
            ),
        }
    }

    /// What waits in the outbox, and what of it the server has, as we were told.
    async fn look_at_the_outbox(&self) -> (QueueStats, Option<Delivered>) {
        let outbox = self.outbox.clone();
        let looked = blocking(move || Ok((outbox.stats()?, delivered(&outbox)?))).await;
        looked.unwrap_or_else(|error| {
            tracing::debug!(
                error = format!("{error:#}"),
                "the outbox could not be looked at for a heartbeat"
            );
            Default::default()
        })
    }

    /// The server lacks what we hold for delivered.
    async fn want_snapshot(&self, stream: StreamId) {
        let outbox = self.outbox.clone();
        let wanted = move || {
            let is_news = note_lack(&outbox, stream)?;
            if is_news {
                // Said here: whoever waits for this may be cut off by the end of a scan.
                tracing::warn!(%stream, "the server lacks records that it had taken: everything is told anew");
            }
            Ok(is_news)
        };
        match blocking(wanted).await {
            Ok(true) => self.anew.notify_one(),
            Ok(false) => {}
            Err(error) => tracing::error!(
                error = format!("{error:#}"),
                "that the server wants a snapshot could not be written down"
            ),
        }
    }

    /// Whether the server has seen records that were never made here: the state and all beside it was put back.
    async fn went_back(&self, seen: Option<Delivered>) -> bool {
        let Some(seen) = seen else { return false };
        let outbox = self.outbox.clone();
        match blocking(move || Ok(outbox.was_seen(seen.stream, seen.through, Utc::now())?)).await {
            Ok(false) => false,
            Ok(true) => {
                tracing::error!(
                    stream = %seen.stream,
                    "the state went back in time: the server has seen records of it that are not known here; everything is \
                     told anew"
                );
                self.anew.notify_one();
                true
            }
            Err(error) => {
                tracing::error!(
                    error = format!("{error:#}"),
                    "that the state went back in time could not be written down"
                );
                false
            }
        }
    }

    async fn keep(&self, answer: Answer) {
        let database = self.database.clone();
        let kept = blocking(move || answers::keep_answer(&database, &answer)).await;
        if let Err(error) = kept {
            tracing::debug!(error = format!("{error:#}"), "the server's answer was not written down");
        }
    }

    fn waiting(&self) -> u64 {
        self.outbox.stats().map_or(u64::MAX, |stats| stats.records)
    }

    /// Gives whether the server still takes our key and has what we hold for delivered: a run with nothing to deliver has
    /// no other way to find out.
    async fn heartbeat(&self, connected: &Connected, summary: Option<&Summary>) -> bool {
        let heartbeat = self.how_it_is(summary).await;
        let told = heartbeat.delivered;
        let memory = telemetry_otel::process_sample().map_or(0, |sample| sample.resident_bytes);
        let error = match connected.presence.heartbeat(&heartbeat, memory).await {
            Ok(answer) => {
                if answer.new_key_wanted {
                    self.wants_new_key();
                }
                if let Some(told) = told.filter(|_| answer.snapshot_wanted) {
                    self.want_snapshot(told.stream).await;
                }
                return !answer.snapshot_wanted && !self.went_back(answer.seen).await;
            }
            Err(error) => error,
        };
        let is_refused = matches!(error.status().map(|status| status.as_u16()), Some(401 | 403));
        if is_refused {
            tracing::error!(
                error = chain(&error),
                "the server does not take this agent's key or certificate: it was revoked or is another server's; enrol \
                 again with a new join token"
            );
        } else {
            tracing::warn!(error = chain(&error), "the server did not take the heartbeat");
        }
        !is_refused
    }

    /// How this agent is.
    pub(crate) async fn how_it_is(&self, summary: Option<&Summary>) -> Heartbeat {
        let last = self.health.last_scan();
        let errors = summary.map_or(last.errors, Summary::error_count);
        let (stats, told) = self.look_at_the_outbox().await;
        Heartbeat {
            status: self.health.heartbeat_status(errors).to_owned(),
            version: VERSION.to_owned(),
            last_scan_time: summary.map(|_| Utc::now()).or(last.ended_at),
            files_processed: summary.map_or(last.files, |summary| summary.files),
            error_count: errors,
            outbox_records: stats.records,
            outbox_dropped: stats.dropped,
            outbox_damaged: stats.damaged,
            delivered: told,
        }
    }

    /// The controller lacks records that we hold for delivered: everything is told anew.
    pub(crate) fn lacks_records(&self) {
        match note_lack(&self.outbox, self.outbox.stream()) {
            Ok(_) => self.anew.notify_one(),
            Err(error) => tracing::error!(%error, "that the server wants a snapshot could not be written down"),
        }
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

/// How the link of a daemon is, for the tasks beside it.
#[derive(Clone, Default)]
pub(crate) struct Linked(Arc<LinkedInner>);

#[derive(Default)]
struct LinkedInner {
    is_answering: AtomicBool,
    /// A scan has ended: the server should hear of it.
    news: Notify,
    wake: Mutex<Option<Arc<Notify>>>,
}

impl Linked {
    /// Whether the server took records when it was last asked.
    pub(crate) fn is_answering(&self) -> bool {
        self.0.is_answering.load(Ordering::Relaxed)
    }

    /// A scan has ended: there may be something to deliver, and the server should hear of it.
    pub(crate) fn scan_ended(&self) {
        self.0.news.notify_one();
        self.found();
    }

    /// There may be something to deliver.
    pub(crate) fn found(&self) {
        let wake = self.0.wake.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wake) = &*wake {
            wake.notify_one();
        }
    }
}

/// The link of a daemon, begun anew whenever the server or how to reach it changes.
pub(crate) async fn run(parts: AgentParts, join: Arc<JoinArgs>, stop: CancellationToken) -> anyhow::Result<()> {
    let mut live = parts.scanning.context.changes();
    while !stop.is_cancelled() {
        let key = |live: &Live| (live.server.clone(), live.scanner.concurrent_api_calls);
        let of = key(&live.borrow_and_update());
        let until = stop.child_token();
        // Begun before the files are read for the link, so that no renewal falls in between.
        let identity = live.borrow().server.identity();
        let mut renewal = match identity {
            Some(identity) => Some(blocking(move || Ok(identity.watch())).await?),
            None => None,
        };
        let renewed = async {
            if let Some(renewal) = &mut renewal {
                renewal.renewed().await;
                tracing::info!("the agent's own certificate was renewed: the link begins anew");
                until.cancel();
            }
            std::future::pending::<()>().await;
        };
        let change = async {
            if live.wait_for(|live| key(live) != of).await.is_ok() {
                tracing::info!("the server's settings changed: the link begins anew");
                until.cancel();
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            linked = link(parts.clone(), Arc::clone(&join), until.clone()) => linked?,
            () = change => {}
            () = renewed => {}
        }
    }
    Ok(())
}

/// Enrols as soon as the server lets it, then delivers until `stop`.
async fn link(parts: AgentParts, join: Arc<JoinArgs>, stop: CancellationToken) -> anyhow::Result<()> {
    let scanning = &parts.scanning;
    let mut failures = 0;
    let (link, delivery) = loop {
        let established = tokio::select! {
            established = Link::establish(&scanning.context, &join, &scanning.state, &scanning.health, Arc::clone(&parts.wake), Some(&stop)) => established,
            () = stop.cancelled() => return Ok(()),
        };
        match established {
            Ok(None) => {
                stop.cancelled().await;
                return Ok(());
            }
            Ok(Some(link)) => {
                if let Some(connected) = &link.connected {
                    let delivery = connected.delivery.clone();
                    break (link, delivery);
                }
            }
            Err(error) => {
                tracing::error!("not at the server: {error:#}; scans go on, and it is tried again");
                scanning.health.api_failed(&format!("{error:#}"));
            }
        }
        let random = getrandom::u64().unwrap_or(u64::MAX);
        let wait = ENROL.wait(failures, random).max(ENROL.first);
        failures = failures.saturating_add(1);
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = time::sleep(wait) => {}
        }
    };
    *parts.linked.0.wake.lock().unwrap_or_else(PoisonError::into_inner) = Some(delivery.wake());
    let link = Arc::new(link);
    let controlled = async {
        let Some(reached) = &link.reached else {
            stop.cancelled().await;
            return Ok(());
        };
        let context = &scanning.context;
        linking::run(
            context,
            &link,
            &parts.orders,
            reached,
            introduction(context),
            stop.clone(),
        )
        .await
    };
    let served = async {
        tokio::select! {
            () = link.serve(stop.clone(), &parts.linked.0.news) => {}
            () = watch_status(&parts, delivery.status()) => {}
        }
        Ok(())
    };
    tokio::try_join!(controlled, served).map(drop)
}

/// Passes on how delivery goes: to whoever waits for the server's return, and into the state for `scanner explain`.
async fn watch_status(parts: &AgentParts, mut status: watch::Receiver<DeliveryStatus>) {
    let mut last: Option<(bool, u64)> = None;
    while status.changed().await.is_ok() {
        let now = status.borrow_and_update().clone();
        let is_good = now.error.is_none();
        let was_answering = parts.linked.0.is_answering.swap(now.is_answering(), Ordering::Relaxed);
        // What the server wants told anew is in the state before this status is out.
        if now.snapshot_wanted || (now.is_answering() && !was_answering) {
            parts.wake.notify_one();
        }
        parts.scanning.health.delivered();
        let news = Some((is_good, now.sent));
        if last == news {
            continue;
        }
        last = news;
        let answer = Answer {
            at: Utc::now(),
            is_good,
            text: now
                .error
                .unwrap_or_else(|| format!("took all; {} records since the start", now.sent)),
        };
        let state = Arc::clone(&parts.scanning.state);
        let kept = blocking(move || answers::keep_answer(&state.database, &answer)).await;
        if let Err(error) = kept {
            tracing::debug!(error = format!("{error:#}"), "the server's answer was not written down");
        }
    }
    std::future::pending().await
}

fn is_away(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(EnrollError::Unreachable { .. }))
}

/// Wants everything told anew because the server lacks records of `stream`; whether that is news: it may be asked for
/// already, or be told anew since.
fn note_lack(outbox: &Outbox, stream: StreamId) -> Result<bool, StateError> {
    if outbox.resync()?.is_some() || outbox.stream() != stream {
        return Ok(false);
    }
    let detail = format!("the server lacks records of the stream {stream} that it had taken");
    outbox.want_resync(ResyncReason::Wanted, &detail, Utc::now())?;
    Ok(true)
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

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
