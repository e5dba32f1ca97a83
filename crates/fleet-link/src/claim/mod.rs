//! Becoming one of the fleet without a token: the agent shows a code, and an operator who types it claims the agent.
mod error;
mod token;

pub use error::ClaimError;

use crate::{
    CredentialFile, Enrolled, Introduction,
    credentials::{CredentialError, Credentials, origin},
};
use chrono::{SecondsFormat, Utc};
use core_model::{Backoff, Secret};
use error::Answered;
use fleet_wire::{ClaimPending, ClaimRequest, ClaimResponse, EnrollResponse};
use std::time::Duration;
use token::ClaimToken;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use transport_http::{Client, HeaderMap, HeaderName, HeaderValue, Method, Request, SendError, StatusCode};
use url::{Host, Url};

const TOKEN_HEADER: HeaderName = HeaderName::from_static("x-claim-token");

/// Bounds for what a server asks, in seconds.
const SHORTEST_POLL: u32 = 1;
const LONGEST_POLL: u32 = 300;

/// How an agent waits to be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimSettings {
    /// The waits after the server could not be reached, or let a claim lapse.
    pub backoff: Backoff,
}

impl Default for ClaimSettings {
    /// From 2 s to 5 minutes.
    fn default() -> Self {
        Self {
            backoff: Backoff {
                first: Duration::from_secs(2),
                longest: Duration::from_secs(300),
            },
        }
    }
}

/// Has this agent claimed at the server at `base_url`, which `client` must be for, without a key. Where credentials are
/// stored already they are used, and nothing is asked.
///
/// `show` is handed each claim to be shown to people, with its code and where to type it: once, and again whenever an old
/// one has lapsed. What proves the agent is kept beside the credentials until the key is stored, so that after a restart
/// the same claim goes on. It waits for as long as it takes: until an operator has claimed the agent, or `stop`.
///
/// # Errors
/// See [`ClaimError`]. Trouble on the network is none: it is waited out.
pub async fn claim(
    client: &Client,
    file: &CredentialFile,
    base_url: &str,
    introduction: &Introduction,
    settings: ClaimSettings,
    show: impl FnMut(&ClaimResponse),
    stop: &CancellationToken,
) -> Result<Enrolled, ClaimError> {
    let server = origin(base_url)?;
    let (stored, url) = (file.clone(), base_url.to_owned());
    let found = blocking(move || {
        let found = stored.load(&url)?;
        // The end of a claim that a crash cut off.
        if found.is_some() {
            ClaimToken::forget(&stored)?;
        }
        Ok(found)
    });
    if let Some(credentials) = found.await? {
        let is_new = false;
        return Ok(Enrolled { credentials, is_new });
    }
    // The key travels in an answer, and the token that fetches it in a header: no setting makes that fit for the open.
    if !is_private(base_url) {
        return Err(ClaimError::Insecure { server });
    }
    let writable = file.clone();
    blocking(move || Ok(writable.check_writable()?)).await?;
    let claimant = Claimant {
        client,
        file,
        server,
        introduction,
        settings,
    };
    let claimed = claimant.persist(show);
    stop.run_until_cancelled(claimed)
        .await
        .unwrap_or(Err(ClaimError::Stopped))
}

struct Claimant<'a> {
    client: &'a Client,
    file: &'a CredentialFile,
    server: String,
    introduction: &'a Introduction,
    settings: ClaimSettings,
}

/// What a poll brought.
enum Polled {
    /// An operator has claimed the agent.
    Claimed(EnrollResponse),
    /// The claim is over.
    Lapsed,
}

impl Claimant<'_> {
    async fn persist(&self, mut show: impl FnMut(&ClaimResponse)) -> Result<Enrolled, ClaimError> {
        let mut lapsed = 0;
        loop {
            let token = self.token().await?;
            let polled = match self.begin(&token).await? {
                Some(claim) => {
                    info!(
                        url = claim.url,
                        expires_at = claim.expires_at.to_rfc3339_opts(SecondsFormat::Secs, true),
                        "waiting to be claimed by an operator"
                    );
                    show(&claim);
                    self.poll(&token, &claim).await?
                }
                None => Polled::Lapsed,
            };
            match polled {
                Polled::Claimed(answer) => return self.take(answer).await,
                Polled::Lapsed => {
                    info!("the claim has lapsed; a new one is made");
                    self.forget().await?;
                    self.wait(lapsed).await;
                    lapsed += 1;
                }
            }
        }
    }

    /// Asks to be taken in, until there is an answer; `None` where the claim of this token is over.
    async fn begin(&self, token: &ClaimToken) -> Result<Option<ClaimResponse>, ClaimError> {
        let introduction = self.introduction;
        let request = ClaimRequest {
            token_sha256: token.sha256(),
            name: introduction.name.clone(),
            kind: introduction.kind.clone(),
            hostname: introduction.hostname.clone(),
            version: introduction.version.clone(),
            capabilities: introduction.capabilities.clone(),
        };
        let mut failures = 0;
        loop {
            let asked = self.client.post_json("/api/v1/claims", &request, HeaderMap::new());
            match asked.await.map_err(|error| self.sort(error)) {
                Ok(claim) => return Ok(Some(claim)),
                Err(Answered::Later(error)) if error.is_temporary() => self.wait_out(&error, &mut failures).await,
                // A wrong certificate or address is for whoever sets the agent up, who is there now.
                Err(Answered::Later(error)) => {
                    let (server, source) = (self.server.clone(), Box::new(error));
                    return Err(ClaimError::Refused { server, source });
                }
                Err(Answered::Lapsed) => return Ok(None),
                // Of this route it says that the server has none.
                Err(Answered::Unknown(error)) => {
                    let server = self.server.clone();
                    return Err(ClaimError::NotOffered { server, source: error });
                }
                Err(Answered::Used(error) | Answered::Never(error)) => return Err(error),
            }
        }
    }

    /// Asks as often as the server wants until an operator has decided, or the claim is over.
    async fn poll(&self, token: &ClaimToken, claim: &ClaimResponse) -> Result<Polled, ClaimError> {
        let path = format!("/api/v1/claims/{}", claim.claim_id);
        let mut headers = HeaderMap::new();
        headers.insert(TOKEN_HEADER, token.header());
        let (mut after, mut failures) = (claim.poll_after_secs, 0);
        loop {
            sleep(Duration::from_secs(after.clamp(SHORTEST_POLL, LONGEST_POLL).into())).await;
            let request = Request::new(Method::GET, path.clone()).with_headers(headers.clone());
            let answered = self.client.send(request, &CancellationToken::new()).await;
            let answered = match answered {
                Ok(answer) if answer.status == StatusCode::OK => answer.json().map(Ok),
                Ok(answer) => answer.json::<ClaimPending>().map(Err),
                Err(error) => Err(error),
            };
            match answered.map_err(|error| self.sort(error)) {
                Ok(Ok(key)) => return Ok(Polled::Claimed(key)),
                Ok(Err(pending)) => (after, failures) = (pending.poll_after_secs, 0),
                Err(Answered::Later(error)) => self.wait_out(&error, &mut failures).await,
                Err(Answered::Lapsed | Answered::Unknown(_)) => return Ok(Polled::Lapsed),
                Err(Answered::Used(error)) => {
                    // Whoever begins anew gets a new claim, and not this answer for ever.
                    self.forget().await?;
                    return Err(error);
                }
                Err(Answered::Never(error)) => return Err(error),
            }
        }
    }

    /// Stores the key, and only then forgets what would fetch it again.
    async fn take(&self, answer: EnrollResponse) -> Result<Enrolled, ClaimError> {
        if answer.api_key.is_none() {
            let server = self.server.clone();
            return Err(ClaimError::NoKey { server });
        }
        let credentials = Credentials {
            agent_id: answer.agent_id,
            name: self.introduction.name.clone(),
            api_key: answer.api_key,
            server: self.server.clone(),
            enrolled_at: Utc::now(),
            machine: self.introduction.machine.clone(),
        };
        let (file, written) = (self.file.clone(), credentials.clone());
        blocking(move || {
            file.store(&written)?;
            // The key is safe. What is left over is removed at the next start.
            if let Err(error) = ClaimToken::forget(&file) {
                warn!(
                    error = core_model::chain(&error),
                    "the claim token is not needed any more and could not be removed"
                );
            }
            Ok(())
        })
        .await?;
        info!(agent_id = %credentials.agent_id, name = credentials.name, "claimed");
        let is_new = true;
        Ok(Enrolled { credentials, is_new })
    }

    async fn token(&self) -> Result<ClaimToken, ClaimError> {
        let (file, server) = (self.file.clone(), self.server.clone());
        blocking(move || ClaimToken::load_or_make(&file, &server)).await
    }

    async fn forget(&self) -> Result<(), ClaimError> {
        let file = self.file.clone();
        blocking(move || ClaimToken::forget(&file)).await
    }

    fn sort(&self, error: SendError) -> Answered {
        error::sort(error, &self.server, &self.introduction.name)
    }

    async fn wait_out(&self, error: &SendError, failures: &mut u32) {
        let text = core_model::chain(error);
        if *failures == 0 {
            warn!(error = text, "the claim cannot be asked about; it is tried again");
        }
        sleep(error.retry_after().unwrap_or_default()).await;
        self.wait(*failures).await;
        *failures = failures.saturating_add(1);
    }

    async fn wait(&self, failures: u32) {
        // Without randomness the longest wait is the safe one.
        let random = getrandom::u64().unwrap_or(u64::MAX);
        sleep(self.settings.backoff.wait(failures, random)).await;
    }
}

/// Whether nobody on the way can listen.
fn is_private(base_url: &str) -> bool {
    let Ok(url) = Url::parse(base_url) else {
        return false;
    };
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name.trim_end_matches('.').eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || is_loopback
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ClaimError> + Send + 'static,
) -> Result<T, ClaimError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or(Err(ClaimError::Stopped))
}

/// A header value that is shown nowhere.
fn hidden(secret: &Secret) -> HeaderValue {
    // It was made of letters that fit, or checked to be.
    let mut value = HeaderValue::from_str(secret.reveal()).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

impl From<CredentialError> for ClaimError {
    fn from(error: CredentialError) -> Self {
        Self::Credentials(error)
    }
}

#[cfg(test)]
mod tests {
    use super::is_private;

    #[test]
    fn only_tls_and_this_machine_are_private() {
        for fine in [
            "https://fleet.example.com",
            "http://127.0.0.1:7600",
            "http://[::1]",
            "http://localhost",
        ] {
            assert!(is_private(fine), "{fine}");
        }
        for open in [
            "http://fleet.example.com",
            "http://10.0.0.1",
            "http://localhost.example.com",
            "nonsense",
        ] {
            assert!(!is_private(open), "{open}");
        }
    }
}
