//! A crowd of agents in one process, each with its own key, state file and link, all at one controller. It says on
//! standard output whenever a link comes or goes, one JSON object a line, until it is told to end.
//!
//! `cargo run --release -p fleet-link --example storm -- URL TOKEN_FILE AGENTS`; the token must be good for all of them.
//! `cargo xtask bench storm` measures with it how they come back to a controller that was away.
use anyhow::{Context as _, Result};
use chrono::Utc;
use core_model::{InstanceId, Secret};
use daemon_kit::{Exit, RuntimeSettings, Signals};
use fleet_link::{
    CredentialFile, Introduction, Link, LinkHooks, LinkParts, LinkSettings, LinkStatus, Verbs, delivered, enroll,
};
use fleet_wire::Heartbeat;
use serde::Serialize;
use state_sqlite::{CommandJournal, Database, OpenOptions, Outbox};
use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::{
    sync::{Semaphore, watch},
    task::{JoinSet, spawn_blocking},
};
use tokio_util::sync::CancellationToken;
use transport_http::{Client, ClientSettings, SocketSettings, WebSocketClient, ensure_crypto_provider};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// So many enrol at the same time.
const ENROL_AT_ONCE: usize = 8;

fn main() -> Result<()> {
    let [url, token_file, agents] = <[String; 3]>::try_from(std::env::args().skip(1).collect::<Vec<_>>())
        .ok()
        .context("usage: storm URL TOKEN_FILE AGENTS")?;
    let token = Secret::new(std::fs::read_to_string(token_file)?.trim());
    let agents = agents.parse()?;
    ensure_crypto_provider();
    daemon_kit::run(RuntimeSettings::default(), async {
        storm(&url, &token, agents).await?;
        Ok(Exit::Done)
    })?;
    Ok(())
}

async fn storm(url: &str, token: &Secret, agents: usize) -> Result<()> {
    let home = tempfile::tempdir()?;
    let mut signals = Signals::take()?;
    let stop = CancellationToken::new();
    let (_kept, settings) = watch::channel(LinkSettings::default());
    let turns = Arc::new(Semaphore::new(ENROL_AT_ONCE));
    let mut running = JoinSet::new();
    for number in 0..agents {
        let agent = Agent {
            number,
            server: ClientSettings::new(url.parse()?),
            settings: settings.clone(),
        };
        let dir = home.path().join(number.to_string());
        running.spawn(agent.run(dir, token.clone(), Arc::clone(&turns), stop.clone()));
    }
    loop {
        tokio::select! {
            _ = signals.next(), if !stop.is_cancelled() => stop.cancel(),
            ended = running.join_next() => match ended {
                Some(ended) => ended??,
                None => return Ok(()),
            },
        }
    }
}

/// How the link of an agent is, as it is said.
#[derive(Serialize)]
struct Said<'a> {
    agent: usize,
    /// Seconds since 1970.
    at: f64,
    /// The session's number, while the agent is linked.
    epoch: Option<u64>,
    /// Attempts that failed in a row.
    failures: u32,
    error: Option<&'a str>,
}

struct Agent {
    number: usize,
    server: ClientSettings,
    settings: watch::Receiver<LinkSettings>,
}

impl Agent {
    async fn run(mut self, dir: PathBuf, token: Secret, turns: Arc<Semaphore>, stop: CancellationToken) -> Result<()> {
        let turn = turns.acquire().await?;
        let introduction = self.introduction();
        let file = CredentialFile::in_dir(&dir);
        let url = self.server.base_url.to_string();
        let client = Client::new(self.server.clone())?;
        let enrolled = enroll(&client, &file, &url, Some(token), &introduction, "STORM", Utc::now()).await?;
        self.server.api_key = enrolled.credentials.api_key.map(Into::into);
        let (database, outbox) = spawn_blocking(move || open(&dir)).await??;
        drop(turn);
        let link = Link::new(LinkParts {
            client: Client::new(self.server.clone())?,
            socket: WebSocketClient::new(&self.server, SocketSettings::default())?,
            journal: CommandJournal::open(&database)?,
            introduction,
            instance: instance(),
            verbs: Verbs::new(),
            hooks: LinkHooks::new(move || heartbeat(outbox.clone())),
            settings: self.settings.clone(),
        });
        let mut status = link.status();
        let tell = async {
            let mut before = LinkStatus::default();
            while status.changed().await.is_ok() {
                let now = status.borrow_and_update().clone();
                self.tell(&before, &now)?;
                before = now;
            }
            Ok(())
        };
        tokio::select! {
            () = link.run(stop) => Ok(()),
            told = tell => told,
        }
    }

    fn introduction(&self) -> Introduction {
        let name = format!("storm-{}", self.number);
        Introduction {
            hostname: name.clone(),
            kind: "storm".to_owned(),
            version: VERSION.to_owned(),
            capabilities: Vec::new(),
            machine: Some(name.clone()),
            name,
        }
    }

    /// Says that the link came or went, or that an attempt failed.
    fn tell(&self, before: &LinkStatus, now: &LinkStatus) -> Result<()> {
        if (&before.connected, before.next_try) == (&now.connected, now.next_try) {
            return Ok(());
        }
        let since = now.connected.as_ref().map(|connected| connected.since);
        let said = Said {
            agent: self.number,
            at: since.unwrap_or_else(Utc::now).timestamp_micros() as f64 / 1e6,
            epoch: now.connected.as_ref().map(|connected| connected.epoch),
            failures: now.failures,
            error: now.error.as_deref(),
        };
        let mut line = serde_json::to_string(&said)?;
        line.push('\n');
        io::stdout().lock().write_all(line.as_bytes())?;
        Ok(())
    }
}

fn open(dir: &Path) -> Result<(Database, Outbox)> {
    let database = Database::open(&dir.join("state.db"), OpenOptions::default())?;
    let outbox = Outbox::open(&database)?;
    Ok((database, outbox))
}

async fn heartbeat(outbox: Outbox) -> Heartbeat {
    let delivered = spawn_blocking(move || delivered(&outbox).ok().flatten()).await;
    Heartbeat {
        status: "healthy".to_owned(),
        version: VERSION.to_owned(),
        last_scan_time: None,
        files_processed: 0,
        error_count: 0,
        outbox_records: 0,
        outbox_dropped: 0,
        outbox_damaged: 0,
        delivered: delivered.ok().flatten(),
        reason: None,
        profile: None,
    }
}

fn instance() -> InstanceId {
    let mut random = [0; 10];
    // Without randomness the instant alone tells them apart.
    let _ = getrandom::fill(&mut random);
    InstanceId::new(Utc::now(), random)
}
