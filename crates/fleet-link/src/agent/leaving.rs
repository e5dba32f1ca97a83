//! An agent goes from its fleet for good, by its own word.
use super::{AgentConfig, AgentContext, LiveSettings};
use crate::{CredentialFile, Left};
use anyhow::{Context as _, ensure};
use daemon_kit::Dialect;
use state_sqlite::{Database, Outbox, RunLock};
use std::path::Path;
use transport_http::{ApiKey, Client};

/// How an agent leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leaving {
    /// The credentials are only removed here, and the controller is not told.
    pub forget: bool,
    /// It leaves although records wait that the controller was not told of.
    pub discard: bool,
}

/// Leaves the fleet: the controller takes the agent's key away, and its credentials are removed here; with
/// [`Leaving::forget`] they are only removed here. `state_file` is that of the agent, which must not run. Gives what was done, for people.
///
/// # Errors
/// When the agent runs, is of no fleet, records wait, or the controller cannot be told: then nothing has changed.
pub async fn leave<C: AgentConfig>(
    context: &AgentContext<C>,
    state_file: &Path,
    Leaving { forget, discard }: Leaving,
) -> anyhow::Result<String> {
    let _lock =
        RunLock::acquire(state_file).context("stop the agent first: it would go on with a key that opens nothing")?;
    let owed = owed(state_file);
    ensure!(
        discard || forget || owed == 0,
        "{owed} records wait that the controller was not told of: `{name} run --once` tells it, `{name} leave --discard` leaves \
         all the same",
        name = context.product.name
    );
    let credentials = context.credentials();
    let path = credentials.path().display().to_string();
    if forget {
        credentials.remove()?;
        return Ok(format!("{path} is removed; the controller was not told"));
    }
    let client = client(context, &credentials)?;
    let left = crate::leave(&client, &credentials).await.context(
        "this agent is still of its fleet; `--forget` removes the credentials without telling the controller",
    )?;
    let said = match left {
        Left::Now => "the controller took the key away",
        Left::Before => "the controller did not know the key any more",
    };
    Ok(format!("{said}, and {path} is removed"))
}

/// Records that wait in the state, if there is one that can be read.
fn owed(state_file: &Path) -> u64 {
    let stats = Database::open_read_only(state_file)
        .ok()
        .map(|state| Outbox::stats_of(&state));
    stats.and_then(Result::ok).map_or(0, |stats| stats.records)
}

fn client<C: AgentConfig>(context: &AgentContext<C>, credentials: &CredentialFile) -> anyhow::Result<Client> {
    let live = context.live();
    let server = &live.common().server;
    let (Some(base_url), Some(mut settings)) = (&server.base_url, server.client_settings()) else {
        anyhow::bail!("no server is configured (`server.base_url`): there is nothing to leave");
    };
    ensure!(
        server.dialect == Dialect::Shoal,
        "a server of the file-scanner document knows no leaving (`server.dialect`): have its operator remove the agent"
    );
    if settings.api_key.is_none() {
        let known = credentials
            .load(base_url)?
            .context("this agent is of no fleet: it has no credentials")?;
        settings.api_key = known.api_key.map(ApiKey::new);
    }
    Client::new(settings).context("the server's settings cannot be used")
}
