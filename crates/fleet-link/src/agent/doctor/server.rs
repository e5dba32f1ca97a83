//! The way to the server, step by step, and whether it takes the agent's key.
use crate::{CredentialFile, Credentials, agent::Product};
use chrono::{DateTime, TimeDelta, Utc};
use core_model::chain;
use daemon_kit::{
    Dialect, ServerSettings,
    cli::{self, Checkup},
    doctor::{self, Finding},
};
use std::{io, path::Path, time::Duration};
use transport_http::{Client, ClientIdentity, ClientSettings, HeaderMap, SendError};

/// A clock that differs by more makes times of records wrong, and certificates too early or too late.
const LARGEST_SKEW: Duration = Duration::from_secs(60);

/// A certificate of its own that ends sooner than this should have been renewed by now.
const RENEWED_BEFORE: TimeDelta = TimeDelta::days(2);

/// Adds what there is to say of the server of `settings`: the name, the connection, the certificate, the clock, and
/// whether it takes this agent's key or certificate. Blocks, and must not be called by a task.
///
/// # Errors
/// When no task can be run at all.
pub(super) fn server<T: cli::Product>(
    checkup: &mut Checkup<T>,
    product: &Product,
    settings: &ServerSettings,
) -> io::Result<()> {
    let (Some(base_url), Some(mut client)) = (settings.base_url.as_deref(), settings.client_settings()) else {
        let why = "none is configured (`server.base_url`): what is found is kept here and told to nobody";
        checkup.report.add(Finding::skipped("server", why));
        return Ok(());
    };
    if let Some(identity) = &client.identity {
        checkup.report.add(certificate(identity, Utc::now()));
    }
    let data_dir = checkup.data_dir.as_ref().map(|data_dir| data_dir.path.clone());
    let proof = match (&client.api_key, data_dir) {
        (Some(key), _) => Some(Some(key.current())),
        (None, Some(data_dir)) => credentials(checkup, &data_dir, base_url).map(|credentials| credentials.api_key),
        (None, None) => None,
    };
    if let Some(Some(key)) = &proof {
        checkup.hide(key);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let around = checkup.around.clone();
    let steps = runtime.block_on(doctor::server(settings, &around, LARGEST_SKEW));
    let answers = steps.iter().all(|step| step.verdict != doctor::Verdict::Failure);
    for step in steps {
        checkup.report.add(step);
    }
    if !answers {
        return Ok(());
    }
    if settings.dialect == Dialect::FilesV1 {
        let why = "a server of the file-scanner document cannot be asked without telling it something";
        checkup.report.add(Finding::skipped("key", why));
        return Ok(());
    }
    let Some(key) = proof else {
        if client.identity.is_some() {
            let why = "none yet: the agent joins by its certificate at its first run";
            checkup.report.add(Finding::skipped("key", why));
            return Ok(());
        }
        let remedy = format!(
            "give the agent a join token: `fleet-controller join-tokens create`, then {}_JOIN_TOKEN or \
             --join-token-file at its first run",
            product.prefix
        );
        let finding = Finding::failure("key", "this agent has none yet", remedy);
        checkup.report.add(finding);
        return Ok(());
    };
    client.api_key = key.map(Into::into);
    client.retry_attempts = 0;
    let finding = runtime.block_on(key_is_taken(client));
    checkup.report.add(finding);
    Ok(())
}

/// Whether the agent's own certificate can be shown, and for how long.
fn certificate(identity: &ClientIdentity, now: DateTime<Utc>) -> Finding {
    const CHECK: &str = "client certificate";
    let remedy = "have it renewed by the authority that the server trusts; the agent takes it up by itself";
    let end = match identity.expires_at() {
        Ok(Some(end)) => end,
        Ok(None) => return Finding::ok(CHECK, "fits its key"),
        Err(error) => {
            let remedy = "correct `server.client_certificate` and `server.client_key`, and see that the user of the agent \
                          may read both";
            return Finding::failure(CHECK, chain(&error), remedy);
        }
    };
    let shown = end.format("%Y-%m-%d %H:%M UTC");
    match end - now {
        left if left <= TimeDelta::zero() => Finding::failure(CHECK, format!("it ended at {shown}"), remedy),
        left if left < RENEWED_BEFORE => Finding::warning(CHECK, format!("it ends at {shown}"), remedy),
        _ => Finding::ok(CHECK, format!("fits its key, and is good until {shown}")),
    }
}

fn credentials<T: cli::Product>(checkup: &mut Checkup<T>, data_dir: &Path, base_url: &str) -> Option<Credentials> {
    let file = CredentialFile::in_dir(data_dir);
    checkup.report.add(doctor::credentials(
        file.path(),
        "not enrolled yet: a join token is needed at the first run",
    ));
    match file.load(base_url) {
        Ok(credentials) => credentials,
        Err(error) => {
            let remedy = "remove the file and enrol again with a new join token";
            let finding = Finding::failure("credentials", chain(&error), remedy);
            checkup.report.add(finding);
            None
        }
    }
}

/// An ingest of nothing changes nothing: it is refused for what it is by whoever takes the key, and for the key by
/// whoever does not.
async fn key_is_taken(settings: ClientSettings) -> Finding {
    const CHECK: &str = "key";
    let client = match Client::new(settings) {
        Ok(client) => client,
        Err(error) => return Finding::failure(CHECK, chain(&error), "correct the section `server`"),
    };
    let nothing = serde_json::json!({});
    let answer: Result<serde::de::IgnoredAny, SendError> =
        client.post_json("/api/v1/ingest", &nothing, HeaderMap::new()).await;
    match answer
        .as_ref()
        .map_err(|error| (error, error.status().map(|status| status.as_u16())))
    {
        Err((_, Some(401 | 403))) => Finding::failure(
            CHECK,
            "the server does not take this agent's key or certificate",
            "it was revoked or is another server's: remove the credentials and enrol again with a new join token, or \
             correct `server.api_key`",
        ),
        Ok(_) | Err((_, Some(400..=499))) => Finding::ok(CHECK, "the server takes it"),
        Err((error, _)) => Finding::warning(CHECK, chain(error), "see the server's own log"),
    }
}
