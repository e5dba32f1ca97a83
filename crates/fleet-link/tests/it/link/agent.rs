//! An agent with a link, whose state outlives it.
use super::controller::{Controller, guard, in_secs, rand};
use chrono::{DateTime, Utc};
use core_model::{Backoff, CommandId, InstanceId};
use fleet_link::{
    CommandContext, CommandError, Introduction, Link, LinkHooks, LinkParts, LinkSettings, LinkStatus, Verb, Verbs,
};
use fleet_wire::{
    Heartbeat,
    link::{AgentMessage, Command, CommandReport, ControllerMessage, Outcome, Priority},
};
use serde_json::Value;
use state_sqlite::{CommandJournal, Database, OpenOptions};
use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use transport_http::{ApiKey, Client, ClientSettings, SocketSettings, WebSocketClient};
use uuid::Uuid;

pub(crate) struct Agent {
    pub(crate) link: Link,
    pub(crate) journal: CommandJournal,
    pub(crate) database: Database,
    /// What its sockets are opened with.
    pub(crate) key: ApiKey,
    _settings: watch::Sender<LinkSettings>,
    stop: CancellationToken,
    task: JoinSet<()>,
}

/// How a test's agent differs from the others.
pub(crate) struct Plan {
    pub(crate) verbs: Verbs,
    pub(crate) hooks: LinkHooks,
    pub(crate) settings: LinkSettings,
    pub(crate) socket: SocketSettings,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            verbs: Verbs::new(),
            hooks: LinkHooks::new(async || heartbeat()),
            settings: LinkSettings {
                backoff: Backoff {
                    first: Duration::from_millis(1),
                    longest: Duration::from_millis(5),
                },
                ..LinkSettings::default()
            },
            socket: SocketSettings::default(),
        }
    }
}

impl Plan {
    pub(crate) fn with(verbs: Verbs) -> Self {
        Self {
            verbs,
            ..Self::default()
        }
    }
}

impl Agent {
    pub(crate) fn start(dir: &TempDir, controller: &Controller, plan: Plan) -> Self {
        Self::start_at(&dir.path().join("state.db"), &controller.url, plan)
    }

    pub(crate) fn start_at(state: &Path, url: &str, plan: Plan) -> Self {
        let database = Database::open(state, OpenOptions::default()).unwrap();
        let journal = CommandJournal::open(&database).unwrap();
        let settings = watch::Sender::new(plan.settings);
        let client_settings: ClientSettings = crate::rig::client_settings(url);
        let link = Link::new(LinkParts {
            socket: WebSocketClient::new(&client_settings, plan.socket).unwrap(),
            client: Client::new(client_settings.clone()).unwrap(),
            journal: journal.clone(),
            introduction: Introduction {
                name: "web-1".to_owned(),
                kind: "scanner".to_owned(),
                hostname: "web-1".to_owned(),
                version: "0.1.0".to_owned(),
                capabilities: vec!["scan".to_owned()],
                machine: Some("m".to_owned()),
            },
            instance: InstanceId::from_uuid(Uuid::from_u128(rand())),
            verbs: plan.verbs,
            hooks: plan.hooks,
            settings: settings.subscribe(),
        });
        let key = client_settings.api_key.clone().unwrap();
        let stop = CancellationToken::new();
        let mut task = JoinSet::new();
        let (running, stopping) = (link.clone(), stop.clone());
        task.spawn(async move { running.run(stopping).await });
        Self {
            link,
            journal,
            database,
            key,
            _settings: settings,
            stop,
            task,
        }
    }

    /// As `kill -9` would: nothing of it runs on, and nothing more is written.
    pub(crate) async fn kill(mut self) {
        self.task.shutdown().await;
    }

    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        guard("the end of the link", self.task.join_next())
            .await
            .unwrap()
            .unwrap();
    }

    pub(crate) fn begin_to_stop(&self) {
        self.stop.cancel();
    }

    pub(crate) async fn status(&self, is_so: impl FnMut(&LinkStatus) -> bool) -> LinkStatus {
        let mut status = self.link.status();
        let found = guard("that status", status.wait_for(is_so)).await.unwrap();
        LinkStatus::clone(&found)
    }
}

/// A verb that the test has in its hand: it says when it begins, and ends as it is told.
#[derive(Clone)]
pub(crate) struct Held {
    began: mpsc::UnboundedSender<(Value, CommandContext)>,
    go: Arc<Notify>,
    pub(crate) runs: Arc<Mutex<Vec<CommandId>>>,
}

impl Held {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<(Value, CommandContext)>) {
        let (began, begins) = mpsc::unbounded_channel();
        let held = Self {
            began,
            go: Arc::default(),
            runs: Arc::default(),
        };
        (held, begins)
    }

    pub(crate) fn verb(&self) -> Verb {
        let held = self.clone();
        Verb::new(move |args, context: CommandContext| {
            let held = held.clone();
            async move {
                held.runs.lock().unwrap().push(context.command);
                let cancel = context.cancel.clone();
                held.began.send((args.clone(), context)).ok();
                tokio::select! {
                    () = held.go.notified() => Ok(args),
                    () = cancel.cancelled() => Err(CommandError::Cancelled { body: args }),
                }
            }
        })
    }

    /// One that runs, or the next one, ends well.
    pub(crate) fn go(&self) {
        self.go.notify_one();
    }

    pub(crate) fn runs(&self) -> usize {
        self.runs.lock().unwrap().len()
    }
}

pub(crate) fn heartbeat() -> Heartbeat {
    Heartbeat {
        status: "healthy".to_owned(),
        version: "0.1.0".to_owned(),
        last_scan_time: None,
        files_processed: 0,
        error_count: 0,
        outbox_records: 3,
        outbox_dropped: 0,
        outbox_damaged: 0,
        delivered: None,
        reason: None,
        profile: None,
    }
}

pub(crate) fn command(verb: &str) -> Command {
    command_by(verb, in_secs(3600))
}

pub(crate) fn command_by(verb: &str, deadline: DateTime<Utc>) -> Command {
    Command {
        command: CommandId::from_uuid(Uuid::from_u128(rand())),
        verb: verb.to_owned(),
        args: serde_json::json!({"n": 1}),
        priority: Priority::Normal,
        deadline,
        issued_at: Utc::now(),
    }
}

pub(crate) fn order(command: &Command) -> ControllerMessage {
    ControllerMessage::Command(command.clone())
}

/// The result of a command, from among other messages.
pub(crate) fn result_of(id: CommandId) -> impl FnMut(AgentMessage) -> Option<CommandReport> {
    move |message| match message {
        AgentMessage::Result(report) if report.command == id => Some(report),
        _ => None,
    }
}

pub(crate) fn ack_of(id: CommandId) -> impl FnMut(AgentMessage) -> Option<()> {
    move |message| match message {
        AgentMessage::Ack(ack) if ack.command == id => Some(()),
        _ => None,
    }
}

/// Outcome and code.
pub(crate) fn ended(report: &CommandReport) -> (Outcome, &str) {
    (report.outcome, report.code.as_deref().unwrap_or_default())
}
