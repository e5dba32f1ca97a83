//! The link of a daemon: begun anew whenever the server or how to reach it changes.
use super::{Link, Reached, controller, document};
use crate::{
    answers::{self, Answer},
    cli::JoinArgs,
    joining::introduction,
    run::AgentParts,
    settings::Live,
};
use chrono::Utc;
use core_model::Backoff;
use daemon_kit::blocking;
use fleet_link::DeliveryStatus;
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time,
};
use tokio_util::sync::CancellationToken;

/// Waits between attempts to enrol.
const ENROL: Backoff = Backoff {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(300),
};

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
        let Some(Reached { settings, document }) = &link.reached else {
            stop.cancelled().await;
            return Ok(());
        };
        if let Some(document) = document {
            return document::run(document, &link, &parts.orders, settings, stop.clone()).await;
        }
        let context = &scanning.context;
        controller::run(
            context,
            &link,
            &parts.orders,
            settings,
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
