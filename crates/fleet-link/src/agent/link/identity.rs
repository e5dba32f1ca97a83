//! Whether this agent is the one that its credentials say. A host that was copied comes with those of the original, and
//! nothing may be told under them before the controller has said that the original is gone.
use super::Membership;
use crate::{CredentialFile, LinkStatus, agent::AgentConfig};
use core_model::chain;
use daemon_kit::blocking;
use tokio::sync::watch;

/// Credentials that were given to another machine than this one.
pub(super) struct Copied {
    pub(super) file: CredentialFile,
    /// Whether the controller has let this machine in under them.
    pub(super) is_settled: watch::Sender<bool>,
}

impl<C: AgentConfig> Membership<C> {
    /// Waits until it is certain that this agent is the one that its credentials say; at once, where they were given to
    /// this machine.
    pub(super) async fn until_settled(&self) {
        if let Some(copied) = &self.copied {
            // The link lives as long as whoever waits here.
            let _ = copied.is_settled.subscribe().wait_for(|is_settled| *is_settled).await;
        }
    }

    /// Ends where the controller says that this is a copy of a host that is there: its credentials are set aside then, and
    /// it has to join for itself. Let in, the host was moved, and is the agent from now on.
    pub(super) async fn until_known_for_a_copy(&self, mut status: watch::Receiver<LinkStatus>) {
        let Some(copied) = &self.copied else {
            return std::future::pending().await;
        };
        let known = status
            .wait_for(|status| status.is_clone || status.connected.is_some())
            .await;
        let is_clone = known.is_ok_and(|status| status.is_clone);
        if !is_clone {
            tracing::warn!("this host took over the agent of another machine, which is gone: it was moved");
            self.note_machine().await;
            copied.is_settled.send_replace(true);
            return std::future::pending().await;
        }
        let file = copied.file.clone();
        match blocking(move || Ok(file.set_aside()?)).await {
            Ok(aside) => tracing::warn!(
                credentials = %aside.display(),
                "this host is a copy of an agent's that is there: the credentials that it was copied with are set aside, and \
                 it joins as an agent of its own"
            ),
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(error, "this host is a copy, and its credentials could not be set aside");
                std::future::pending().await
            }
        }
    }

    /// Until the controller says that another one with our key is there, or is not any more.
    pub(super) async fn until_doubled(&self, is_doubled: bool) {
        // The link lives as long as whoever waits here.
        let _ = self.is_doubled.subscribe().wait_for(|now| *now == is_doubled).await;
    }

    /// Follows the link: whether we may speak, and when the controller is back.
    pub(super) async fn follow(&self, mut status: watch::Receiver<LinkStatus>) {
        let mut was_there = false;
        loop {
            let (is_doubled, is_there) = {
                let now = status.borrow_and_update();
                (now.is_doubled, now.connected.is_some())
            };
            self.is_doubled
                .send_if_modified(|known| std::mem::replace(known, is_doubled) != is_doubled);
            if is_there
                && !std::mem::replace(&mut was_there, is_there)
                && let Some(connected) = &self.connected
            {
                connected.delivery.server_is_back();
            }
            was_there = is_there;
            if status.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    async fn note_machine(&self) {
        let Some(rotation) = self
            .connected
            .as_ref()
            .and_then(|connected| connected.rotation.as_ref())
        else {
            return;
        };
        if let Err(error) = rotation.note_machine(crate::machine_id()).await {
            tracing::warn!(
                error = chain(&error),
                "that the agent has moved could not be written down"
            );
        }
    }
}
