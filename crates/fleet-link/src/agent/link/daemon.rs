//! The link of a daemon: begun anew whenever the server or how to reach it changes.
use super::{Agent, AgentParts, Membership, Reached, controller};
use crate::{
    DeliveryStatus,
    agent::{AgentConfig, LiveSettings, answer::Answer},
};
use chrono::Utc;
use core_model::Backoff;
use daemon_kit::blocking;
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time};
use tokio_util::sync::CancellationToken;

/// Waits between attempts to enrol.
const ENROL: Backoff = Backoff {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(300),
};

impl<C: AgentConfig> Agent<C> {
    /// The server's side of a daemon until `stop`: joins as soon as the server lets it, delivers, gives signs of life, runs
    /// commands and takes configurations. Begins anew whenever the server, how to reach it, or the agent's own
    /// certificate changes.
    ///
    /// # Errors
    /// When the server's settings cannot be used or the state fails; to begin again later is right then.
    pub async fn run(&self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut live = self.0.context.changes();
        while !stop.is_cancelled() {
            let key = |live: &C::Live| (live.common().server.clone(), live.concurrent_api_calls());
            let of = key(&live.borrow_and_update());
            let until = stop.child_token();
            // Begun before the files are read for the link, so that no renewal falls in between.
            let identity = live.borrow().common().server.identity();
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
                linked = link(&self.0, until.clone()) => linked?,
                () = change => {}
                () = renewed => {}
            }
        }
        Ok(())
    }
}

/// Enrols as soon as the server lets it, then delivers until `stop`.
async fn link<C: AgentConfig>(agent: &Arc<AgentParts<C>>, stop: CancellationToken) -> anyhow::Result<()> {
    let mut failures = 0;
    let (link, delivery) = loop {
        let established = tokio::select! {
            established = Membership::establish(agent, Some(&stop)) => established,
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
                agent.health.api_failed(&format!("{error:#}"));
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
    agent.linked.delivers(delivery.wake());
    let link = Arc::new(link);
    let controlled = async {
        let Some(Reached { settings, document }) = &link.reached else {
            stop.cancelled().await;
            return Ok(());
        };
        match document {
            Some(document) => document.run(agent, settings, stop.clone()).await,
            None => controller::run(&link, settings, stop.clone()).await,
        }
    };
    let served = async {
        tokio::select! {
            () = link.serve(stop.clone(), agent.linked.news()) => {}
            () = link.watch_status(delivery.status()) => {}
        }
        Ok(())
    };
    tokio::try_join!(controlled, served).map(drop)
}

impl<C: AgentConfig> Membership<C> {
    /// Passes on how delivery goes: to whoever waits for the server's return, and into the state for whoever asks there.
    async fn watch_status(&self, mut status: watch::Receiver<DeliveryStatus>) {
        let linked = &self.agent.linked;
        let mut last: Option<(bool, u64)> = None;
        while status.changed().await.is_ok() {
            let now = status.borrow_and_update().clone();
            let is_good = now.error.is_none();
            let was_answering = linked.set_answering(now.is_answering());
            // What the server wants told anew is in the state before this status is out.
            if now.snapshot_wanted || (now.is_answering() && !was_answering) {
                linked.wake().notify_one();
            }
            self.agent.health.delivered();
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
            self.keep(answer).await;
        }
        std::future::pending().await
    }
}
