//! Becoming one of the fleet with a join token, or by a certificate.

use crate::credentials::{CredentialError, CredentialFile, Credentials, origin};
use chrono::{DateTime, Utc};
use core_model::Secret;
use fleet_wire::{EnrollRequest, EnrollResponse};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};
use tracing::{debug, info, warn};
use transport_http::{Client, HeaderMap, SendError, StatusCode};

/// What an agent says of itself when it enrols.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Introduction {
    /// Its name, unique at the controller: `agent.id` of the configuration.
    pub name: String,
    /// The product.
    pub kind: String,
    /// The machine's name.
    pub hostname: String,
    /// The product's version.
    pub version: String,
    /// What it can do.
    pub capabilities: Vec<String>,
    /// The machine's own lasting id, hashed ([`machine_id`](crate::machine_id)), where it has one.
    pub machine: Option<String>,
}

impl Introduction {
    /// The same under a name of its own, where this host is a copy of one that is enrolled under this name: the
    /// credentials that it was copied with were set aside ([`CredentialFile::set_aside`]). Blocks on the disk.
    #[must_use]
    pub fn apart_from_original(mut self, file: &CredentialFile) -> Self {
        let is_taken = file.name_set_aside().is_some_and(|name| name == self.name);
        if let Some(machine) = self.machine.as_ref().filter(|_| is_taken) {
            let mark: String = machine.chars().take(6).collect();
            self.name = format!("{}-{mark}", self.name);
        }
        self
    }
}

/// Why an agent is not enrolled. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// The stored credentials are there and unusable, or the new ones could not be stored.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// There are neither credentials nor a token.
    #[error(
        "this agent is not enrolled at {server}: make a join token at the controller (`fleet-controller join-tokens create`) \
         and name its file with --join-token-file, or set {variable}"
    )]
    NoToken {
        /// The server.
        server: String,
        /// The variable that may hold a token.
        variable: String,
    },
    /// The token's file cannot be read.
    #[error("could not read the join token from `{path}`")]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The token's file is empty.
    #[error("`{0}` is empty: it should hold the join token as the controller printed it")]
    EmptyTokenFile(PathBuf),
    /// 401 or 403.
    #[error(
        "the controller does not take this join token: it is mistyped, used up, revoked or out of date; make a new one \
         with `fleet-controller join-tokens create`"
    )]
    TokenRefused(#[source] Box<SendError>),
    /// 403 to an agent that shows a certificate.
    #[error("the controller does not let this agent join by its certificate (`server.client_certificate`)")]
    CertificateRefused(#[source] Box<SendError>),
    /// An answer without a key, to a token.
    #[error("{server} took the join token and gave no key: is it a fleet controller?")]
    NoKey {
        /// The server.
        server: String,
    },
    /// 409.
    #[error(
        "the controller knows another agent named `{name}`: choose another `agent.id`, or, if this is the same machine \
         set up anew, remove the old agent there first"
    )]
    NameTaken {
        /// The name.
        name: String,
        /// The controller's words.
        source: Box<SendError>,
    },
    /// No answer, or a failure of the server's own. The same call may succeed later.
    #[error(
        "{server} did not answer the enrolment: try again; if it then says that the name is taken, its answer was lost, \
         and the agent that it knows must be removed there first"
    )]
    Unreachable {
        /// The server.
        server: String,
        /// Why.
        source: Box<SendError>,
    },
    /// Anything else that it said.
    #[error("{server} did not enrol this agent: is it a fleet controller?")]
    Refused {
        /// The server.
        server: String,
        /// What it said.
        source: Box<SendError>,
    },
    /// The disk could not be asked, because the process is ending.
    #[error("enrolment was interrupted")]
    Interrupted,
}

/// An enrolled agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolled {
    /// Its credentials, already stored.
    pub credentials: Credentials,
    /// Whether it happened now; otherwise credentials were there, and a token was not needed.
    pub is_new: bool,
}

/// The join token: the content of `file` (`--join-token-file`), else the variable `<prefix>_JOIN_TOKEN`; `None` where
/// neither is there. Blocks on the disk.
///
/// # Errors
/// When the file is named and cannot be read, or is empty.
pub fn join_token(
    file: Option<&Path>,
    prefix: &str,
    variables: &BTreeMap<String, String>,
) -> Result<Option<Secret>, EnrollError> {
    let Some(path) = file else {
        let token = variables.get(&format!("{prefix}_JOIN_TOKEN")).map(|token| token.trim());
        return Ok(token.filter(|token| !token.is_empty()).map(Secret::new));
    };
    let text = fs::read_to_string(path).map_err(|source| EnrollError::TokenFile {
        path: path.to_owned(),
        source,
    })?;
    match text.trim() {
        "" => Err(EnrollError::EmptyTokenFile(path.to_owned())),
        token => Ok(Some(Secret::new(token))),
    }
}

/// Enrols this agent at the server at `base_url`, which `client` must be for, and stores what it gave. Where
/// credentials are stored already they are used and the token is left alone.
///
/// `prefix` is that of the product's variables, for the message about a missing token; `now` is put in the file.
///
/// # Errors
/// See [`EnrollError`].
pub async fn enroll(
    client: &Client,
    file: &CredentialFile,
    base_url: &str,
    token: Option<Secret>,
    introduction: &Introduction,
    prefix: &str,
    now: DateTime<Utc>,
) -> Result<Enrolled, EnrollError> {
    if let Some(credentials) = stored(file, base_url, introduction).await? {
        if token.is_some() {
            info!(path = %file.path().display(), "already enrolled; the join token is not used");
        }
        let is_new = false;
        return Ok(Enrolled { credentials, is_new });
    }
    let server = origin(base_url)?;
    let join_token = token.ok_or_else(|| EnrollError::NoToken {
        server: server.clone(),
        variable: format!("{prefix}_JOIN_TOKEN"),
    })?;
    // A token may work but once, and the key is said but once: whether it can be stored is found out before.
    let writable = file.clone();
    blocking(move || writable.check_writable()).await?;
    let answer = ask(client, introduction, Some(join_token))
        .await
        .map_err(|error| refusal(error, &server, &introduction.name))?;
    if answer.api_key.is_none() {
        return Err(EnrollError::NoKey { server });
    }
    take(file, answer, introduction, server, now).await
}

/// Enrols this agent by the certificate that `client` shows, and stores the id that the server gave: there is no key.
/// Where credentials are stored already they are used. `None` where the server does not know agents by their
/// certificates; then there are other ways.
///
/// # Errors
/// See [`EnrollError`].
pub async fn enroll_by_certificate(
    client: &Client,
    file: &CredentialFile,
    base_url: &str,
    introduction: &Introduction,
    now: DateTime<Utc>,
) -> Result<Option<Enrolled>, EnrollError> {
    if let Some(credentials) = stored(file, base_url, introduction).await? {
        let is_new = false;
        return Ok(Some(Enrolled { credentials, is_new }));
    }
    let server = origin(base_url)?;
    let error = match ask(client, introduction, None).await {
        Ok(answer) => return take(file, answer, introduction, server, now).await.map(Some),
        Err(error) => error,
    };
    match error.status() {
        // It wants a token, which an older one misses in the body.
        Some(StatusCode::UNAUTHORIZED | StatusCode::UNPROCESSABLE_ENTITY | StatusCode::NOT_FOUND) => {
            debug!(
                error = core_model::chain(&error),
                "the server does not know agents by their certificates"
            );
            Ok(None)
        }
        Some(StatusCode::FORBIDDEN) => Err(EnrollError::CertificateRefused(Box::new(error))),
        _ => Err(refusal(error, &server, &introduction.name)),
    }
}

/// The credentials that are there already.
async fn stored(
    file: &CredentialFile,
    base_url: &str,
    introduction: &Introduction,
) -> Result<Option<Credentials>, EnrollError> {
    let (stored, url) = (file.clone(), base_url.to_owned());
    let found = blocking(move || stored.load(&url)).await?;
    if let Some(credentials) = found.as_ref().filter(|found| found.name != introduction.name) {
        warn!(
            enrolled = credentials.name,
            configured = introduction.name,
            "this agent is enrolled under another name than `agent.id` says; the enrolled one holds"
        );
    }
    Ok(found)
}

async fn ask(
    client: &Client,
    introduction: &Introduction,
    join_token: Option<Secret>,
) -> Result<EnrollResponse, SendError> {
    let request = EnrollRequest {
        join_token,
        name: introduction.name.clone(),
        kind: introduction.kind.clone(),
        hostname: introduction.hostname.clone(),
        version: introduction.version.clone(),
        capabilities: introduction.capabilities.clone(),
    };
    client
        .post_json("/api/v1/agents/enroll", &request, HeaderMap::new())
        .await
}

async fn take(
    file: &CredentialFile,
    answer: EnrollResponse,
    introduction: &Introduction,
    server: String,
    now: DateTime<Utc>,
) -> Result<Enrolled, EnrollError> {
    let credentials = Credentials {
        agent_id: answer.agent_id,
        name: introduction.name.clone(),
        api_key: answer.api_key,
        server,
        enrolled_at: now,
        machine: introduction.machine.clone(),
    };
    let (stored, written) = (file.clone(), credentials.clone());
    blocking(move || stored.store(&written)).await?;
    let has_key = credentials.api_key.is_some();
    info!(agent_id = %credentials.agent_id, name = credentials.name, has_key, "enrolled");
    Ok(Enrolled {
        credentials,
        is_new: true,
    })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CredentialError> + Send + 'static,
) -> Result<T, EnrollError> {
    let done = tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| EnrollError::Interrupted)?;
    Ok(done?)
}

fn refusal(error: SendError, server: &str, name: &str) -> EnrollError {
    let (server, is_temporary, status) = (server.to_owned(), error.is_temporary(), error.status());
    let source = Box::new(error);
    match status {
        Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => EnrollError::TokenRefused(source),
        Some(StatusCode::CONFLICT) => EnrollError::NameTaken {
            name: name.to_owned(),
            source,
        },
        _ if is_temporary => EnrollError::Unreachable { server, source },
        _ => EnrollError::Refused { server, source },
    }
}
