//! Serving it, at an address that may change meanwhile.
use super::Health;
use crate::settings::Live;
use daemon_kit::HealthSettings;
use std::{
    net::SocketAddr,
    sync::{Arc, PoisonError},
    time::Duration,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use transport_http::{HealthOptions, Server, health_routes, metrics_route};

/// The scanner's port for health and metrics.
pub(crate) const PORT: u16 = 7604;

/// Binds the endpoint where it is switched on.
pub(super) fn bind(settings: &HealthSettings, chosen: Option<SocketAddr>) -> anyhow::Result<Option<Server>> {
    let again = |address: SocketAddr| match chosen {
        Some(chosen) if address.port() == 0 && address.ip() == chosen.ip() => chosen,
        _ => address,
    };
    let server = settings.listen(PORT).map(again).map(Server::bind).transpose()?;
    if let Some(server) = &server {
        tracing::info!(address = %server.local_addr(), "health and metrics are served");
    }
    Ok(server)
}

impl Health {
    /// Serves until `stop`; an error only if that fails. Where it is switched off, it waits until it is switched on.
    pub(crate) async fn serve(&self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut live = self.live.clone();
        loop {
            let settings = live.borrow_and_update().health.clone();
            let bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner).take();
            let server = match bound {
                Some((of, server)) if of == settings => Some(server),
                _ => bind(&settings, self.chosen)?,
            };
            let metrics = self.metrics.clone();
            let options = HealthOptions {
                health_path: settings.path.clone(),
            };
            let routes = health_routes(self.registry.clone(), &options).merge(metrics_route(move || metrics.render()));
            let until = stop.child_token();
            let serve = async {
                match server {
                    Some(server) => server.run(routes, until.clone(), Duration::from_secs(1)).await,
                    None => {
                        until.cancelled().await;
                        Ok(())
                    }
                }
            };
            let change = async {
                self.wait_for_another(&mut live, &settings).await;
                until.cancel();
                std::future::pending::<()>().await;
            };
            tokio::select! {
                served = serve => served?,
                () = change => {}
            }
            if stop.is_cancelled() {
                return Ok(());
            }
        }
    }

    /// Waits until something else is to be served than by `settings`. Another address is taken before the one that is
    /// there is given up: where that cannot be, it is said, and all stays as it is.
    async fn wait_for_another(&self, live: &mut watch::Receiver<Arc<Live>>, settings: &HealthSettings) {
        let mut refused = settings.clone();
        loop {
            let changed = live.wait_for(|live| live.health != refused).await;
            let Some(wanted) = changed.ok().map(|live| live.health.clone()) else {
                // Nobody is left who could change it.
                return std::future::pending().await;
            };
            if wanted == *settings {
                refused = wanted;
                continue;
            }
            if wanted.listen(PORT).is_none() || wanted.listen(PORT) == settings.listen(PORT) {
                return;
            }
            match bind(&wanted, self.chosen) {
                Ok(server) => {
                    let mut bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
                    *bound = server.map(|server| (wanted, server));
                    return;
                }
                Err(error) => {
                    tracing::error!(
                        error = format!("{error:#}"),
                        "health and metrics cannot be served at the new address; they stay where they are"
                    );
                    refused = wanted;
                }
            }
        }
    }
}
