//! How this agent becomes one of a fleet: by a join token, its own certificate, or an operator's claim.
use crate::{cli::JoinArgs, context::Context, health::Health};
use anyhow::Context as _;
use chrono::Utc;
use fleet_link::{
    ClaimSettings, CredentialFile, Credentials, Introduction, claim, enroll, enroll_by_certificate, is_refused,
    join_token, machine_id,
};
use fleet_wire::ClaimResponse;
use tokio_util::sync::CancellationToken;
use transport_http::{ApiKey, Client, ClientSettings};

/// The version that this agent tells.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What this agent can do.
pub(crate) const CAPABILITIES: &[&str] = &["files"];

/// Our credentials, stored or newly given.
pub(crate) async fn enrolled(
    context: &Context,
    join: &JoinArgs,
    base_url: &str,
    settings: &ClientSettings,
    claims: Option<&CancellationToken>,
    health: &Health,
) -> anyhow::Result<Credentials> {
    let credentials = enrol(context, join, base_url, settings, claims, health).await?;
    if credentials.api_key.is_none() && settings.identity.is_none() {
        anyhow::bail!(
            "this agent has joined by its certificate, and none is configured: name it in `server.client_certificate` and \
             `server.client_key`, or remove `{}` and enrol it anew",
            CredentialFile::in_dir(context.data_dir()).path().display()
        );
    }
    Ok(credentials)
}

/// By the join token, else by the agent's own certificate, else, with `claims`, by a claim.
async fn enrol(
    context: &Context,
    join: &JoinArgs,
    base_url: &str,
    settings: &ClientSettings,
    claims: Option<&CancellationToken>,
    health: &Health,
) -> anyhow::Result<Credentials> {
    let token = join_token(join.join_token_file.as_deref(), "SCANNER", &context.loaded().variables)?;
    let file = CredentialFile::in_dir(context.data_dir());
    if token.is_some() {
        warn_if_refused(&file, base_url, settings).await?;
    }
    let introduction = introduction(context).apart_from_original(&file);
    let client = Client::new(settings.clone()).context("the server's settings cannot be used")?;
    if token.is_none() && settings.identity.is_some() {
        let enrolled = enroll_by_certificate(&client, &file, base_url, &introduction, Utc::now()).await?;
        if let Some(enrolled) = enrolled {
            return Ok(enrolled.credentials);
        }
        tracing::info!("the server does not know agents by their certificates: a join token or a claim is needed");
    }
    if let (None, Some(stop)) = (&token, claims) {
        let show = |claim: &ClaimResponse| {
            // For whoever looks at the terminal or at the service's log: the code opens nothing without an operator.
            tracing::warn!(
                code = claim.code,
                url = claim.url,
                "not of a fleet yet: claim this agent by its code at that address, or by `fleet-controller claim {}`",
                claim.code
            );
            let (code, url) = (&claim.code, &claim.url);
            health.api_failed(&format!("waits to be claimed by the code {code} at {url}"));
        };
        let claimed = claim(
            &client,
            &file,
            base_url,
            &introduction,
            ClaimSettings::default(),
            show,
            stop,
        )
        .await?;
        return Ok(claimed.credentials);
    }
    let enrolled = enroll(&client, &file, base_url, token, &introduction, "SCANNER", Utc::now()).await?;
    Ok(enrolled.credentials)
}

/// Credentials go before a token, also those that open nothing any more: whoever revoked an agent does not want it back
/// because a token lies about. That is said to whoever gives it one.
async fn warn_if_refused(file: &CredentialFile, base_url: &str, settings: &ClientSettings) -> anyhow::Result<()> {
    let Some(known) = file.load(base_url)? else {
        return Ok(());
    };
    let mut settings = settings.clone();
    settings.api_key = known.api_key.map(ApiKey::new);
    if is_refused(&Client::new(settings)?, known.agent_id).await {
        tracing::error!(
            "this agent was revoked, and the join token is not used while its credentials are there: run `scanner leave \
             --forget`, and start it again"
        );
    }
    Ok(())
}

/// What this agent says of itself.
pub(crate) fn introduction(context: &Context) -> Introduction {
    Introduction {
        name: context.agent_name(),
        kind: "scanner".to_owned(),
        hostname: context.around().hostname.clone(),
        version: VERSION.to_owned(),
        capabilities: CAPABILITIES.iter().map(|name| (*name).to_owned()).collect(),
        machine: machine_id(),
    }
}
