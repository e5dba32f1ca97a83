//! Delivery and signs of life while the process runs, and what is said at its end.
use super::{Connected, Membership, establish::delivery_settings};
use crate::agent::{
    AgentConfig, LiveSettings, Pulse,
    answer::{Answer, keep_answer},
};
use chrono::Utc;
use core_model::chain;
use daemon_kit::blocking;
use std::{sync::Arc, time::Duration};
use tokio::{sync::Notify, time};
use tokio_util::sync::CancellationToken;

impl<C: AgentConfig> Membership<C> {
    /// Delivers and gives signs of life while the work goes on. Never ends by itself.
    pub async fn keep_up(&self) {
        // The work's end cuts this off; requests under way are then repeated by the last round.
        self.serve(CancellationToken::new(), &Notify::new()).await;
        std::future::pending().await
    }

    /// Delivers and gives signs of life until `stop`: every so often, and when there is something to say. Nothing is told
    /// while the controller says that another one with our key is there.
    pub(super) async fn serve(&self, stop: CancellationToken, news: &Notify) {
        let Some(connected) = &self.connected else { return };
        if stop.run_until_cancelled(self.until_settled()).await.is_none() {
            return;
        }
        while stop.run_until_cancelled(self.until_doubled(false)).await.is_some() {
            tokio::select! {
                // Ends by itself at a stop, so that what is under way is answered for.
                () = self.tell(connected, stop.clone(), news) => return,
                () = self.until_doubled(true) => {}
            }
        }
    }

    async fn tell(&self, connected: &Connected, stop: CancellationToken, news: &Notify) {
        let beat = async {
            let mut live = self.agent.context.changes();
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
                        .send_replace(delivery_settings(&*now, connected.look_every));
                    let interval = now.common().agent.heartbeat_interval.get().max(Duration::from_secs(1));
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

    /// Delivers what is left and says how the run went: by `pulse`, or as the product says. Gives whether the server now
    /// knows all of it.
    pub async fn finish(&self, pulse: Option<Pulse>, stop: &CancellationToken) -> bool {
        let Some(connected) = &self.connected else {
            return self.agent.state.waiting() == 0;
        };
        let report = connected.delivery.deliver_until_empty(stop).await;
        self.agent.health.delivered();
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
            is_known = self.last_heartbeat(connected, pulse) => is_known,
            () = stop.cancelled() => true,
        };
        is_known && report.remaining == 0
    }

    pub(super) async fn keep(&self, answer: Answer) {
        let database = self.agent.state.database.clone();
        let kept = blocking(move || keep_answer(&database, &answer)).await;
        if let Err(error) = kept {
            tracing::debug!(error = format!("{error:#}"), "the server's answer was not written down");
        }
    }
}
