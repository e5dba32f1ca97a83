//! What every agent's `doctor` looks at besides its own work: the state, the health endpoint, the way to the server.
//! Nothing is changed, and no lock is taken: an agent may run meanwhile.
mod server;
mod state;

use super::{AgentConfig, BootSettings as _, LiveSettings as _, Product};
use daemon_kit::{cli::Checkup, doctor};
use state::StateCheck;
use state_sqlite::RunLock;
use std::io;

/// Adds what there is to say of an agent, where its configuration can be used. `given_up` says what becomes of what the
/// outbox has given up, for people: it ends a sentence. Blocks, and must not be called by a task.
///
/// # Errors
/// When no task can be run at all.
pub fn examine<C: AgentConfig + Clone>(checkup: &mut Checkup<C>, product: &Product, given_up: &str) -> io::Result<()> {
    let Some(config) = checkup.settings().cloned() else {
        return Ok(());
    };
    let (boot, live) = config.split();
    let (boot, live) = (boot.common(), live.common());
    let mut is_running = false;
    if let Some(file) = checkup.path("database.path", boot.database.path.as_deref(), "state.db") {
        is_running = RunLock::is_held(&file);
        let state = StateCheck {
            product,
            file: &file,
            backups: &live.database,
            outbox: &live.outbox,
            given_up,
        };
        state.examine(&mut checkup.report);
    }
    if let Some(address) = live.health.listen(product.port) {
        // While the agent runs it listens there itself.
        let finding = doctor::listen_address("health", address, "health.port", is_running);
        checkup.report.add(finding);
    }
    server::server(checkup, product, &live.server)
}
