//! `scanner leave`: this agent goes from its fleet for good.
use crate::{
    cli::{LeaveArgs, Which},
    context::Context,
};
use anyhow::{Context as _, ensure};
use daemon_kit::{Dialect, Exit, RuntimeSettings, to_stdout};
use fleet_link::{CredentialFile, Left, leave};
use state_sqlite::RunLock;
use transport_http::{ApiKey, Client};

pub(crate) fn run(context: &Context, args: &LeaveArgs) -> anyhow::Result<Exit> {
    let file = context.state_file(Which::Run);
    let _lock =
        RunLock::acquire(&file).context("stop the agent first: it would go on with a key that opens nothing")?;
    let credentials = CredentialFile::in_dir(context.data_dir());
    let path = credentials.path().display().to_string();
    if args.forget {
        credentials.remove()?;
        to_stdout(format_args!("{path} is removed; the controller was not told\n"))?;
        return Ok(Exit::Done);
    }
    let client = client(context, &credentials)?;
    daemon_kit::run(RuntimeSettings::default(), async {
        let left = leave(&client, &credentials).await.context(
            "this agent is still of its fleet; `--forget` removes the credentials without telling the controller",
        )?;
        let said = match left {
            Left::Now => "the controller took the key away",
            Left::Before => "the controller did not know the key any more",
        };
        to_stdout(format_args!("{said}, and {path} is removed\n"))?;
        Ok(Exit::Done)
    })
}

fn client(context: &Context, credentials: &CredentialFile) -> anyhow::Result<Client> {
    let live = context.live();
    let server = &live.server;
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
