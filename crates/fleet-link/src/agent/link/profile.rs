//! Where and on what this agent runs.
use super::Membership;
use crate::agent::{AgentConfig, LiveSettings};
use daemon_kit::{Host, blocking};
use fleet_wire::Profile;
use tokio::sync::watch;

impl<C: AgentConfig> Membership<C> {
    /// As it is now; whoever watches it hears what has changed.
    pub(super) async fn profile(&self) -> Profile {
        let host = blocking(|| Ok(Host::look())).await.unwrap_or_default();
        let now = profile(&**self.agent.context.changes().borrow(), host);
        self.profile.send_if_modified(|known| {
            let is_news = *known != now;
            known.clone_from(&now);
            is_news
        });
        now
    }

    /// As it was last looked at.
    pub(super) fn watch_profile(&self) -> watch::Receiver<Profile> {
        self.profile.subscribe()
    }

    /// Looks whenever the configuration changes.
    pub(super) async fn keep_profile(&self) {
        let mut live = self.agent.context.changes();
        loop {
            self.profile().await;
            if live.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

fn profile(live: &impl LiveSettings, host: Host) -> Profile {
    let labels = live.common().agent.labels.iter();
    Profile {
        site: live.common().agent.site.as_ref().map(ToString::to_string),
        labels: labels
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect(),
        os: host.os,
        kernel: host.kernel,
        architecture: (!host.architecture.is_empty()).then_some(host.architecture),
        container_engines: host.container_engines,
    }
}
