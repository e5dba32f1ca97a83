//! Health and metrics over HTTP, at an address that may change meanwhile.
use crate::HealthSettings;
use core_model::chain;
use std::{
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use telemetry_otel::Metrics;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use transport_http::{BindError, HealthOptions, HealthRegistry, ServeError, Server, health_routes, metrics_route};

/// Why health and metrics cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServingError {
    /// The address cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// It could not begin.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Serves `/health` and `/metrics` where that is switched on, and goes by the settings as they change.
#[derive(Debug)]
pub struct HealthServer {
    registry: HealthRegistry,
    metrics: Metrics,
    /// The product's own port.
    port: u16,
    /// Bound at the start, so that a port in use is found out at once.
    bound: Mutex<Option<(HealthSettings, Server)>>,
    /// A port that the system chose stays the same when serving starts again.
    chosen: Option<SocketAddr>,
}

impl HealthServer {
    /// Binds the endpoint where it is switched on: an address that cannot be used is an error of the start. `port` is the
    /// product's own.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn bind(
        registry: HealthRegistry,
        metrics: Metrics,
        settings: &HealthSettings,
        port: u16,
    ) -> Result<Self, BindError> {
        let server = bind(settings, port, None)?;
        Ok(Self {
            registry,
            metrics,
            port,
            chosen: server.as_ref().map(Server::local_addr),
            bound: Mutex::new(server.map(|server| (settings.clone(), server))),
        })
    }

    /// Serves until `stop`. Where it is switched off, it waits until it is switched on; `of` finds the settings in what is
    /// published.
    ///
    /// # Errors
    /// When the address cannot be bound or serving could not begin.
    pub async fn run<L>(
        &self,
        mut live: watch::Receiver<L>,
        of: impl Fn(&L) -> &HealthSettings,
        stop: CancellationToken,
    ) -> Result<(), ServingError> {
        loop {
            let settings = of(&live.borrow_and_update()).clone();
            let bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner).take();
            let server = match bound {
                Some((bound_by, server)) if bound_by == settings => Some(server),
                _ => bind(&settings, self.port, self.chosen)?,
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
                self.wait_for_another(&mut live, &of, &settings).await;
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
    async fn wait_for_another<L>(
        &self,
        live: &mut watch::Receiver<L>,
        of: &impl Fn(&L) -> &HealthSettings,
        settings: &HealthSettings,
    ) {
        let mut refused = settings.clone();
        loop {
            let changed = live.wait_for(|live| *of(live) != refused).await;
            let Some(wanted) = changed.ok().map(|live| of(&live).clone()) else {
                // Nobody is left who could change it.
                return std::future::pending().await;
            };
            if wanted == *settings {
                refused = wanted;
                continue;
            }
            if wanted.listen(self.port).is_none() || wanted.listen(self.port) == settings.listen(self.port) {
                return;
            }
            match bind(&wanted, self.port, self.chosen) {
                Ok(server) => {
                    let mut bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
                    *bound = server.map(|server| (wanted, server));
                    return;
                }
                Err(error) => {
                    tracing::error!(
                        error = chain(&error),
                        "health and metrics cannot be served at the new address; they stay where they are"
                    );
                    refused = wanted;
                }
            }
        }
    }
}

/// Binds the endpoint where it is switched on.
fn bind(settings: &HealthSettings, port: u16, chosen: Option<SocketAddr>) -> Result<Option<Server>, BindError> {
    let again = |address: SocketAddr| match chosen {
        Some(chosen) if address.port() == 0 && address.ip() == chosen.ip() => chosen,
        _ => address,
    };
    let server = settings.listen(port).map(again).map(Server::bind).transpose()?;
    if let Some(server) = &server {
        tracing::info!(address = %server.local_addr(), "health and metrics are served");
    }
    Ok(server)
}
