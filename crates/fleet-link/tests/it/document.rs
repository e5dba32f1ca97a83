//! An agent that asks a server of the file-scanner document for its configuration and its commands.
use crate::{
    link::controller::{guard, rand},
    rig::client,
};
use axum::{
    Router,
    extract::State,
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::get,
};
use core_model::InstanceId;
use fleet_link::{
    AfterRestartDecision, DocumentHooks, DocumentLink, DocumentParts, DocumentStatus, LinkSettings, Verb, Verbs,
    document_config,
};
use fleet_wire::files_v1::Config;
use serde_json::json;
use state_sqlite::{CommandJournal, Database, OpenOptions};
use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// What the server answers, and what it was asked.
struct Book {
    config: (u16, String),
    commands: (u16, String),
    asked: mpsc::UnboundedSender<String>,
}

struct Server {
    url: String,
    book: Arc<Mutex<Book>>,
    asked: mpsc::UnboundedReceiver<String>,
    _tasks: JoinSet<()>,
}

impl Server {
    async fn start() -> Self {
        let (sender, asked) = mpsc::unbounded_channel();
        let book = Arc::new(Mutex::new(Book {
            config: (200, "{}".to_owned()),
            commands: (200, r#"{"commands":[]}"#.to_owned()),
            asked: sender,
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(get(answer)).with_state(Arc::clone(&book));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url,
            book,
            asked,
            _tasks: tasks,
        }
    }

    fn config(&self, status: u16, body: &str) {
        self.book.lock().unwrap().config = (status, body.to_owned());
    }

    fn commands(&self, status: u16, body: &str) {
        self.book.lock().unwrap().commands = (status, body.to_owned());
    }

    /// Waits until this was asked for `times` times from now on.
    async fn until_asked(&mut self, path: &str, times: usize) {
        for _ in 0..times {
            while guard(path, self.asked.recv()).await.unwrap() != path {}
        }
    }
}

async fn answer(State(book): State<Arc<Mutex<Book>>>, uri: Uri) -> Response {
    let book = book.lock().unwrap();
    let (status, body) = match uri.path() {
        path if path.ends_with("/config") => book.config.clone(),
        path if path.ends_with("/commands") => book.commands.clone(),
        _ => (500, String::new()),
    };
    book.asked.send(uri.path().to_owned()).ok();
    (StatusCode::from_u16(status).unwrap(), body).into_response()
}

struct Agent {
    link: DocumentLink,
    journal: CommandJournal,
    configs: mpsc::UnboundedReceiver<Config>,
    ran: mpsc::UnboundedReceiver<String>,
    _every: watch::Sender<Duration>,
    _settings: watch::Sender<LinkSettings>,
    stop: CancellationToken,
    task: JoinSet<()>,
}

impl Agent {
    fn start(state: &Path, server: &Server) -> Self {
        let database = Database::open(state, OpenOptions::default()).unwrap();
        let journal = CommandJournal::open(&database).unwrap();
        let (applied, configs) = mpsc::unbounded_channel();
        let (running, ran) = mpsc::unbounded_channel::<String>();
        let settings = watch::Sender::new(LinkSettings::default());
        let every = watch::Sender::new(Duration::from_secs(1));
        let told = running.clone();
        let verbs = Verbs::new()
            .with(
                "scan",
                Verb::new(move |_, command| {
                    told.send(format!("scan {}", command.command)).ok();
                    std::future::ready(Ok(json!({})))
                }),
            )
            .with(
                "restart",
                Verb::new(move |_, command| {
                    running.send("restart".to_owned()).ok();
                    async move {
                        command.cancel.cancelled().await;
                        Err(fleet_link::CommandError::cancelled())
                    }
                })
                .after_restart(async |_| AfterRestartDecision::Done(json!({}))),
            );
        let link = DocumentLink::new(DocumentParts {
            client: client(&server.url),
            name: "web 1".to_owned(),
            journal: journal.clone(),
            instance: InstanceId::from_uuid(Uuid::from_u128(rand())),
            verbs,
            hooks: DocumentHooks::new(move |config| {
                applied.send(config).ok();
                std::future::ready(())
            }),
            every: every.subscribe(),
            settings: settings.subscribe(),
        });
        let stop = CancellationToken::new();
        let mut task = JoinSet::new();
        let (asking, stopping) = (link.clone(), stop.clone());
        task.spawn(async move { asking.run(stopping).await });
        Self {
            link,
            journal,
            configs,
            ran,
            _every: every,
            _settings: settings,
            stop,
            task,
        }
    }

    async fn ran(&mut self) -> String {
        guard("a command to run", self.ran.recv()).await.unwrap()
    }

    async fn until(&self, what: &str, is_so: impl Fn(&DocumentStatus) -> bool) {
        let mut status = self.link.status();
        guard(what, status.wait_for(|status| is_so(status))).await.unwrap();
    }

    async fn stop(mut self) {
        self.stop.cancel();
        guard("the end", self.task.join_next()).await.unwrap().unwrap();
    }
}

const CONFIG: &str = "/api/agents/web%201/config";
const COMMANDS: &str = "/api/agents/web%201/commands";

#[tokio::test]
async fn a_command_runs_once_however_often_it_is_listed_and_by_whom_it_is_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state.db");
    let mut server = Server::start().await;
    let first = r#"{"id":"0190a5c1-7e2b-7c11-8a3e-5b1d9f0c2d4e","type":"scan","parameters":{},"priority":"low"}"#;
    server.commands(200, &format!(r#"{{"commands":[{first}]}}"#));
    let mut agent = Agent::start(&state, &server);
    assert_eq!(agent.ran().await, "scan 0190a5c1-7e2b-7c11-8a3e-5b1d9f0c2d4e");
    server.until_asked(COMMANDS, 2).await;
    agent.stop().await;
    // Another start of the process, at which the server lists one more, by a name of its own making.
    let second = r#"{"id":"job 7","type":"scan"}"#;
    server.commands(200, &format!(r#"{{"commands":[{first},{second}]}}"#));
    let mut agent = Agent::start(&state, &server);
    let other = agent.ran().await;
    assert!(other.starts_with("scan ") && !other.contains("0190a5c1"), "{other}");
    server.until_asked(COMMANDS, 2).await;
    assert!(agent.ran.try_recv().is_err(), "neither ran again");
    assert_eq!(
        agent.journal.unconfirmed().unwrap(),
        [],
        "nobody is waited for to confirm"
    );
    agent.stop().await;
}

#[tokio::test]
async fn a_restart_is_over_when_the_agent_is_back_although_it_is_still_listed() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state.db");
    let mut server = Server::start().await;
    server.commands(200, r#"{"commands":[{"id":"r","type":"restart","parameters":{}}]}"#);
    let mut agent = Agent::start(&state, &server);
    assert_eq!(agent.ran().await, "restart");
    agent.stop().await;
    let mut agent = Agent::start(&state, &server);
    server.until_asked(COMMANDS, 3).await;
    assert!(agent.ran.try_recv().is_err(), "it restarted once");
    assert_eq!(agent.journal.unconfirmed().unwrap(), []);
    agent.stop().await;
}

#[tokio::test]
async fn each_configuration_is_handed_over_and_what_is_none_is_an_error_that_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start().await;
    server.config(200, r#"{"scanPaths":["/srv"],"batchSize":50,"later":{}}"#);
    let mut agent = Agent::start(&dir.path().join("state.db"), &server);
    let config = guard("a configuration", agent.configs.recv()).await.unwrap();
    assert_eq!((config.scan_paths, config.batch_size), (vec!["/srv".to_owned()], 50));
    server.config(200, "<html>sign in</html>");
    agent.until("an error", |status| status.config.error.is_some()).await;
    while agent.configs.try_recv().is_ok() {}
    server.until_asked(CONFIG, 2).await;
    assert!(agent.configs.try_recv().is_err(), "nothing was handed over");
    server.config(204, "");
    agent.until("an answer", |status| status.config.error.is_none()).await;
    let none = guard("that there is none", agent.configs.recv()).await.unwrap();
    assert_eq!(none, Config::default());
    agent.stop().await;
}

#[tokio::test]
async fn a_server_of_the_first_version_is_not_asked_at_every_turn_and_that_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start().await;
    server.config(404, "");
    let agent = Agent::start(&dir.path().join("state.db"), &server);
    agent.until("its absence", |status| status.config.is_absent).await;
    let status = agent.link.status().borrow().clone();
    assert_eq!(status.config.error, None, "that is no error");
    // Commands are asked for all the while.
    let mut configs = 0;
    let mut commands = 0;
    while commands < 3 {
        match guard("a question", server.asked.recv()).await.unwrap().as_str() {
            CONFIG => configs += 1,
            COMMANDS => commands += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!(configs, 1);
    agent.stop().await;
}

#[tokio::test]
async fn a_run_that_does_not_stay_up_asks_once() {
    let server = Server::start().await;
    server.config(200, r#"{"scanInterval":"30m"}"#);
    let stop = CancellationToken::new();
    let client = client(&server.url);
    let config = document_config(&client, "web 1", &stop).await.unwrap();
    assert_eq!(config.scan_interval, "30m");
    server.config(500, "");
    assert_eq!(document_config(&client, "web 1", &stop).await, None);
}
