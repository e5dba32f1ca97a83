//! Signing in and out, and the token in between.
use super::{block_on, explain};
use crate::cli::LoginArgs;
use anyhow::{Context as _, anyhow, bail};
use chrono::{DateTime, Utc};
use core_model::Secret;
use daemon_kit::{Exit, Surroundings};
use fleet_api::rest::{LoginRequest, LoginResponse};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::{BufRead, IsTerminal, Write},
    path::PathBuf,
};
use tokio_util::sync::CancellationToken;
use transport_http::{Client, ClientIdentity, ClientSettings, HeaderMap, Method, Request};
use url::Url;

/// A sign-in, as it is kept (0600).
#[derive(Serialize, Deserialize)]
struct SignedIn {
    server: String,
    token: String,
    expires_at: DateTime<Utc>,
    #[serde(default)]
    allow_http: bool,
    #[serde(default)]
    ca_file: Option<PathBuf>,
    /// Certificate and key to show.
    #[serde(default)]
    client: Option<(PathBuf, PathBuf)>,
}

/// `FLEET_TOKEN_FILE`, else a file in the user's state directory.
fn file(around: &Surroundings) -> anyhow::Result<PathBuf> {
    if let Some(path) = around.variable("FLEET_TOKEN_FILE") {
        return Ok(path.into());
    }
    let dir = around
        .user_state()
        .context("no place for the sign-in: neither HOME nor FLEET_TOKEN_FILE is set")?;
    Ok(dir.join("fleet-controller/login.json"))
}

fn settings(signed_in: &SignedIn) -> anyhow::Result<ClientSettings> {
    let server = &signed_in.server;
    let url = Url::parse(server).with_context(|| format!("`{server}` is no URL: write it as https://HOST:PORT"))?;
    let mut settings = ClientSettings::new(url);
    settings.allow_http = signed_in.allow_http;
    settings.ca_file = signed_in.ca_file.clone();
    settings.identity = signed_in
        .client
        .clone()
        .map(|(certificate, key)| ClientIdentity { certificate, key });
    settings.user_agent = concat!("fleet-controller/", env!("CARGO_PKG_VERSION")).to_owned();
    // Somebody waits at a terminal: saying at once what is wrong beats trying for a minute.
    settings.retry_attempts = 1;
    Ok(settings)
}

/// A client for the controller that was signed in to last, and `FLEET_SERVER` before that.
pub(super) fn client() -> anyhow::Result<Client> {
    let around = Surroundings::of_this_process();
    let path = file(&around)?;
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!("not signed in: run `fleet-controller login --server URL` first")
        }
        Err(error) => return Err(anyhow!(error).context(format!("could not read `{}`", path.display()))),
    };
    let signed_in: SignedIn = serde_json::from_str(&text)
        .with_context(|| format!("`{}` holds no sign-in: run `fleet-controller login`", path.display()))?;
    if let Some(server) = around.variable("FLEET_SERVER")
        && server.trim_end_matches('/') != signed_in.server.trim_end_matches('/')
    {
        bail!(
            "signed in to {}, not to {server} of FLEET_SERVER: run `fleet-controller login`",
            signed_in.server
        );
    }
    let mut settings = settings(&signed_in)?;
    settings.bearer = Some(Secret::new(signed_in.token));
    Ok(Client::new(settings)?)
}

pub(crate) fn login(args: &LoginArgs) -> anyhow::Result<Exit> {
    let password = Secret::new(password(args)?);
    let request = LoginRequest {
        username: args.username.clone(),
        password,
    };
    // Later commands use the files too, wherever they are started.
    let absolute = |path: &Option<PathBuf>| path.as_ref().map(std::path::absolute).transpose();
    let mut signed_in = SignedIn {
        server: args.server.clone(),
        token: String::new(),
        expires_at: DateTime::UNIX_EPOCH,
        allow_http: args.allow_http,
        ca_file: absolute(&args.ca_file)?,
        client: absolute(&args.client_certificate)?.zip(absolute(&args.client_key)?),
    };
    let client = Client::new(settings(&signed_in)?)?;
    let answer: Result<LoginResponse, _> =
        block_on(async { Ok(client.post_json("/api/v1/auth/login", &request, HeaderMap::new()).await) })?;
    let answer = answer.map_err(|error| match error.status().map(|status| status.as_u16()) {
        Some(401) => anyhow!("the user name or the password is wrong"),
        _ => anyhow::Error::from(error),
    })?;
    signed_in.token = answer.token.reveal().to_owned();
    signed_in.expires_at = answer.expires_at;
    let path = file(&Surroundings::of_this_process())?;
    store(&path, &signed_in).with_context(|| format!("could not write `{}`", path.display()))?;
    eprintln!(
        "signed in to {} as {} until {}",
        args.server,
        args.username,
        answer.expires_at.format("%Y-%m-%dT%H:%M:%SZ")
    );
    Ok(Exit::Done)
}

// Written beside and renamed, so that a half-written sign-in is never read; such files are made 0600.
fn store(path: &std::path::Path, signed_in: &SignedIn) -> anyhow::Result<()> {
    let dir = path.parent().context("it has no directory")?;
    fs::create_dir_all(dir)?;
    let mut temporary = tempfile::NamedTempFile::new_in(dir)?;
    temporary.write_all(serde_json::to_string(signed_in)?.as_bytes())?;
    temporary.as_file().sync_all()?;
    temporary.persist(path)?;
    Ok(())
}

fn password(args: &LoginArgs) -> anyhow::Result<String> {
    if let Some(path) = &args.password_file {
        let text = fs::read_to_string(path).with_context(|| format!("could not read `{}`", path.display()))?;
        return Ok(text.trim_end_matches(['\r', '\n']).to_owned());
    }
    if std::io::stdin().is_terminal() {
        return rpassword::prompt_password("password: ").context("could not read the password");
    }
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .context("could not read the password")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

pub(crate) fn logout() -> anyhow::Result<Exit> {
    let client = client()?;
    let request = Request::new(Method::POST, "/api/v1/auth/logout").repeatable();
    let answer = block_on(async { Ok(client.send(request, &CancellationToken::new()).await) })?;
    let path = file(&Surroundings::of_this_process())?;
    fs::remove_file(&path).with_context(|| format!("could not remove `{}`", path.display()))?;
    answer.map_err(explain)?;
    eprintln!("signed out");
    Ok(Exit::Done)
}
