//! What every agent's `doctor` looks at besides its own work: the state, the health endpoint, the way to the server.
//! Nothing is changed, and no lock is taken: an agent may run meanwhile.
mod server;
mod state;

pub use server::server;
pub use state::StateCheck;

use super::Product;
use daemon_kit::{HealthSettings, doctor};

/// Whether the health endpoint can listen where it should. While the agent runs (`is_running`) it does so already.
pub fn health(product: &Product, settings: &HealthSettings, is_running: bool) -> Option<doctor::Finding> {
    let address = settings.listen(product.port)?;
    Some(doctor::listen_address("health", address, "health.port", is_running))
}
