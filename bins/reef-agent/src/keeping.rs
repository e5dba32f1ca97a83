//! What follows the configuration for those that go by a part of it, and what looks after clamd's signatures.
use crate::{
    context::Context,
    keeper::{CanaryOutcome, ClamdState, Keeper, KeeperHandle, KeeperSettings, Looked},
    parts::Parts,
    scan::{Engine, EngineSettings},
    settings::{Live, WebhookSettings},
    signatures::{FreshclamEnd, Updater, watch_age},
};
use chrono::Utc;
use core_model::{ByteSize, chain};
use daemon_kit::Timing;
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time};
use tokio_util::sync::CancellationToken;

/// How often it is looked whether an update of the signatures is due: a clock may be set.
const LOOK: Duration = Duration::from_secs(30);

/// And no more often than this, whatever the clock does.
const SHORTEST_REST: Duration = Duration::from_millis(10);

/// Those that go by a part of the configuration.
pub(crate) struct Followers {
    engine: Engine,
    keeper: watch::Sender<KeeperSettings>,
    webhook: watch::Sender<WebhookSettings>,
    updater: watch::Sender<Arc<Updater>>,
    handle: KeeperHandle,
}

/// What is made of the configuration at the start.
pub(crate) struct Made {
    pub(crate) engine: Engine,
    pub(crate) keeper: Keeper,
    pub(crate) handle: KeeperHandle,
    pub(crate) webhook: watch::Receiver<WebhookSettings>,
    pub(crate) updater: watch::Receiver<Arc<Updater>>,
    pub(crate) followers: Followers,
}

/// Makes all of it.
pub(crate) fn make(context: &Context) -> anyhow::Result<Made> {
    let live = context.live();
    let engine = Engine::new(engine_settings(context, &live));
    let (sender, settings) = watch::channel(KeeperSettings::new(&live.clamd, &live.canary)?);
    let (keeper, handle) = Keeper::new(settings);
    let (webhook, webhook_settings) = watch::channel(live.webhook.clone());
    let updater = Updater::new(&live.signatures, &live.clamd, handle.clone())?;
    let (updater, updaters) = watch::channel(Arc::new(updater));
    Ok(Made {
        engine: engine.clone(),
        keeper,
        handle: handle.clone(),
        webhook: webhook_settings,
        updater: updaters,
        followers: Followers {
            engine,
            keeper: sender,
            webhook,
            updater,
            handle,
        },
    })
}

fn engine_settings(context: &Context, live: &Live) -> EngineSettings {
    EngineSettings::of(
        live,
        &context.boot.verdicts,
        context.verdict_file(),
        context.quarantine(),
    )
}

/// What clamd looks at whole, where that is less than it is said to: for longer files its `OK` says nothing.
fn looks_at(state: &ClamdState) -> Option<ByteSize> {
    match state.looked {
        Some(Looked::Less { at, .. }) => Some(ByteSize::new(at)),
        _ => None,
    }
}

/// Passes every change on until `stop`.
pub(crate) async fn follow(parts: Parts, followers: Arc<Followers>, stop: CancellationToken) -> anyhow::Result<()> {
    let mut changes = parts.context.changes();
    let mut clamd = parts.keeper.state();
    loop {
        let live = Arc::clone(&changes.borrow_and_update());
        let most = looks_at(&clamd.borrow_and_update());
        followers.apply(&parts, &live, most)?;
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            changed = changes.changed() => changed?,
            changed = clamd.wait_for(|clamd| looks_at(clamd) != most) => drop(changed?),
        }
    }
}

impl Followers {
    fn apply(&self, parts: &Parts, live: &Live, most: Option<ByteSize>) -> anyhow::Result<()> {
        let mut settings = engine_settings(&parts.context, live);
        let said = settings.clamd.max_file_size;
        settings.clamd.max_file_size = most.map_or(said, |most| said.min(most));
        self.engine.apply(settings);
        let wanted = KeeperSettings::new(&live.clamd, &live.canary)?;
        self.keeper.send_if_modified(|known| {
            let is_news = *known != wanted;
            *known = wanted;
            is_news
        });
        self.webhook.send_if_modified(|known| {
            let is_news = *known != live.webhook;
            known.clone_from(&live.webhook);
            is_news
        });
        let updater = Updater::new(&live.signatures, &live.clamd, self.handle.clone())?;
        self.updater.send_replace(Arc::new(updater));
        parts
            .health
            .metrics
            .rules_are(live.rules.iter().map(|rule| rule.name.as_str()));
        Ok(())
    }
}

/// Has the engine hear of every test file that the keeper sends, and the keeper of one that a scan has sent in vain, until
/// `stop`.
pub(crate) async fn sight(parts: Parts, stop: CancellationToken) -> anyhow::Result<()> {
    let mut clamd = parts.keeper.state();
    let mut sight = parts.engine.sight();
    let mut heard = None;
    loop {
        let canary = clamd.borrow_and_update().canary.clone();
        if let Some(canary) = canary.filter(|canary| heard != Some(canary.at)) {
            heard = Some(canary.at);
            match canary.outcome {
                CanaryOutcome::Found => parts.engine.clamd_detects(),
                CanaryOutcome::Missed { .. } => parts.engine.clamd_is_blind().await,
                CanaryOutcome::NoVerdict { .. } => {}
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            changed = clamd.changed() => changed?,
            changed = sight.changed() => {
                changed?;
                let is_news = sight.borrow_and_update().is_blind && !clamd.borrow().is_blind();
                if is_news {
                    parts.keeper.missed_elsewhere();
                }
            }
        }
    }
}

/// Updates clamd's signatures when that is due, and says when they are too old, until `stop`.
pub(crate) async fn signatures(parts: Parts, stop: CancellationToken) -> anyhow::Result<()> {
    let max_age = {
        let live = parts.context.changes();
        move || live.borrow().signatures.max_age.get()
    };
    let age = watch_age(parts.keeper.state(), max_age, &stop);
    tokio::select! {
        () = age => Ok(()),
        updated = update_when_due(&parts, &stop) => updated,
    }
}

async fn update_when_due(parts: &Parts, stop: &CancellationToken) -> anyhow::Result<()> {
    let mut timing = Timing::new(parts.context.agent_name(), "signatures", Some(Utc::now()));
    let mut changes = parts.context.changes();
    loop {
        let rest = timing.rest(None, Utc::now()).clamp(SHORTEST_REST, LOOK);
        // Without a schedule only a change can bring one.
        let has_schedule = parts.context.live().signatures.schedule.when.is_some();
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            changed = changes.changed() => changed?,
            () = time::sleep(rest), if has_schedule => {}
        }
        let (live, now) = (parts.context.live(), Utc::now());
        if !timing.is_due(&live.signatures.schedule, None, now) {
            continue;
        }
        timing.began(now);
        let updater = Arc::clone(&parts.updater.borrow());
        let updated = updater.update(stop).await;
        timing.ended(None, now, updated.is_err(), Utc::now());
        parts.health.metrics.signatures_looked_after(match &updated {
            Ok(update) if update.freshclam == FreshclamEnd::Updated => "updated",
            Ok(_) => "up_to_date",
            Err(_) => "failed",
        });
        match updated {
            Ok(update) => tracing::info!(
                before = update.before,
                after = update.after,
                detects = update.detects,
                "the signatures were looked after"
            ),
            Err(error) => tracing::error!(error = chain(&error), "the signatures could not be updated"),
        }
    }
}
