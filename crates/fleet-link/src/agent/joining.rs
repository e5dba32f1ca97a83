//! How an agent becomes one of a fleet: by a join token, its own certificate, or an operator's claim.
use super::{AgentConfig, AgentContext, AgentHealth};
use crate::{ClaimSettings, CredentialFile, Credentials, claim, enroll, enroll_by_certificate, is_refused, join_token};
use anyhow::Context as _;
use chrono::Utc;
use fleet_wire::ClaimResponse;
use std::path::Path;
use tokio_util::sync::CancellationToken;
use transport_http::{ApiKey, Client, ClientSettings};

/// What an agent joins by.
pub(super) struct Joining<'a, C: AgentConfig> {
    pub(super) context: &'a AgentContext<C>,
    pub(super) health: &'a AgentHealth,
    /// A file with a join token.
    pub(super) token_file: Option<&'a Path>,
    /// Whether it waits for a claim where nothing else is there, and until when.
    pub(super) claims: Option<&'a CancellationToken>,
}

impl<C: AgentConfig> Joining<'_, C> {
    /// Our credentials at the server at `base_url`, stored or newly given.
    pub(super) async fn credentials(&self, base_url: &str, settings: &ClientSettings) -> anyhow::Result<Credentials> {
        let credentials = self.enrol(base_url, settings).await?;
        if credentials.api_key.is_none() && settings.identity.is_none() {
            anyhow::bail!(
                "this agent has joined by its certificate, and none is configured: name it in `server.client_certificate` and \
                 `server.client_key`, or remove `{}` and enrol it anew",
                self.context.credentials().path().display()
            );
        }
        Ok(credentials)
    }

    /// By the join token, else by the agent's own certificate, else, with `claims`, by a claim.
    async fn enrol(&self, base_url: &str, settings: &ClientSettings) -> anyhow::Result<Credentials> {
        let Self { context, health, .. } = self;
        let prefix = context.product.prefix;
        let token = join_token(self.token_file, prefix, &context.variables)?;
        let file = context.credentials();
        if token.is_some() {
            self.warn_if_refused(&file, base_url, settings).await?;
        }
        let introduction = context.introduction().apart_from_original(&file);
        let client = Client::new(settings.clone()).context("the server's settings cannot be used")?;
        if token.is_none() && settings.identity.is_some() {
            let enrolled = enroll_by_certificate(&client, &file, base_url, &introduction, Utc::now()).await?;
            if let Some(enrolled) = enrolled {
                return Ok(enrolled.credentials);
            }
            tracing::info!("the server does not know agents by their certificates: a join token or a claim is needed");
        }
        if let (None, Some(stop)) = (&token, self.claims) {
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
            let settings = ClaimSettings::default();
            let claimed = claim(&client, &file, base_url, &introduction, settings, show, stop).await?;
            return Ok(claimed.credentials);
        }
        let enrolled = enroll(&client, &file, base_url, token, &introduction, prefix, Utc::now()).await?;
        Ok(enrolled.credentials)
    }

    /// Credentials go before a token, also those that open nothing any more: whoever revoked an agent does not want it
    /// back because a token lies about. That is said to whoever gives it one.
    async fn warn_if_refused(
        &self,
        file: &CredentialFile,
        base_url: &str,
        settings: &ClientSettings,
    ) -> anyhow::Result<()> {
        let Some(known) = file.load(base_url)? else {
            return Ok(());
        };
        let mut settings = settings.clone();
        settings.api_key = known.api_key.map(ApiKey::new);
        if is_refused(&Client::new(settings)?, known.agent_id).await {
            tracing::error!(
                "this agent was revoked, and the join token is not used while its credentials are there: run `{} leave \
                 --forget`, and start it again",
                self.context.product.name
            );
        }
        Ok(())
    }
}
