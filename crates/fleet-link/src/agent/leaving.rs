//! An agent goes from its fleet for good, by its own word.
use super::{AgentConfig, AgentContext, LiveSettings};
use crate::{CredentialFile, Left};
use anyhow::{Context as _, ensure};
use daemon_kit::Dialect;
use state_sqlite::RunLock;
use std::path::Path;
use transport_http::{ApiKey, Client};

/// Leaves the fleet: the controller takes the agent's key away, and its credentials are removed here; with `forget` they
/// are only removed here. `state_file` is that of the agent, which must not run. Gives what was done, for people.
///
/// # Errors
/// When the agent runs, is of no fleet, or the controller cannot be told: then nothing has changed.
pub async fn leave<C: AgentConfig>(
    context: &AgentContext<C>,
    state_file: &Path,
    forget: bool,
) -> anyhow::Result<String> {
    let _lock =
        RunLock::acquire(state_file).context("stop the agent first: it would go on with a key that opens nothing")?;
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

fn client<C: AgentConfig>(context: &AgentContext<C>, credentials: &CredentialFile) -> anyhow::Result<Client> {
    let live = context.live();
    let server = live.server();
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
