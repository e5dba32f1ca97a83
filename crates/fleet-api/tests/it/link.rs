//! The agent link over real sockets: commands, results, configuration, and every way in which a session ends.
use crate::fixture::{App, As, request};
use axum::http::{Method, StatusCode};
use chrono::Utc;
use core_model::{InstanceId, MessageId};
use fleet_api::{ApiSettings, LinkSettings};
use fleet_core::FleetSettings;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};
use tokio::{net::TcpStream, time};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest, protocol::frame::coding::CloseCode},
};
use tokio_util::sync::CancellationToken;
use transport_http::Server;

/// Far beyond what anything here takes: only a hang meets it.
const GUARD: Duration = Duration::from_secs(30);

/// An agent's end of a socket.
struct Agent(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Agent {
    async fn try_connect(address: SocketAddr, key: &str) -> Result<Self, Error> {
        let mut request = format!("ws://{address}/ws/agent").into_client_request().unwrap();
        request.headers_mut().insert("x-api-key", key.parse().unwrap());
        Ok(Self(connect_async(request).await?.0))
    }

    /// Connects and says HELLO; with the answer.
    async fn hello(address: SocketAddr, who: &As, hello: Value) -> (Self, Value) {
        let As::Agent(key) = who else {
            panic!("an agent has a key")
        };
        let mut agent = Self::try_connect(address, key).await.unwrap();
        agent.say("HELLO", hello).await;
        let answer = agent.hear().await;
        (agent, answer)
    }

    async fn raw(&mut self, text: impl Into<String>) {
        self.0.send(Message::Text(text.into().into())).await.unwrap();
    }

    async fn say(&mut self, kind: &str, payload: Value) -> String {
        let envelope = envelope(kind, payload);
        self.raw(envelope.to_string()).await;
        envelope["id"].as_str().unwrap().to_owned()
    }

    async fn next(&mut self) -> Option<Result<Message, Error>> {
        time::timeout(GUARD, self.0.next())
            .await
            .expect("the controller says something")
    }

    /// The next message.
    async fn hear(&mut self) -> Value {
        loop {
            match self.next().await.expect("the socket is open").unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    #[track_caller]
    fn is(message: &Value, kind: &str) -> Value {
        assert_eq!(message["type"], kind, "{message}");
        message["payload"].clone()
    }

    async fn expect(&mut self, kind: &str) -> Value {
        let message = self.hear().await;
        Self::is(&message, kind)
    }

    /// The code with which the controller closes.
    async fn closed(&mut self) -> Option<CloseCode> {
        loop {
            match self.next().await {
                Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code),
                Some(Ok(Message::Ping(_))) => {}
                Some(Ok(other)) => panic!("{other:?}"),
                Some(Err(_)) | None => return None,
            }
        }
    }
}

fn envelope(kind: &str, payload: Value) -> Value {
    let mut envelope = json!({"type": kind, "v": 1, "id": MessageId::new(Utc::now(), [7; 10]), "later": true});
    envelope["payload"] = payload;
    envelope
}

fn hello(instance: u8) -> Value {
    json!({"kind": "scanner", "version": "0.2.0", "hostname": "host", "machine": "m1",
           "instance": InstanceId::new(chrono::DateTime::UNIX_EPOCH, [instance; 10]), "verbs": ["scan", "stop"]})
}

fn with(mut value: Value, field: &str, content: Value) -> Value {
    value[field] = content;
    value
}

/// Serves `app`, with its link looked after, for as long as `calls` take.
async fn served(app: &App, calls: impl AsyncFnOnce(SocketAddr, &CancellationToken)) {
    let server = Server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = server.local_addr();
    let stop = CancellationToken::new();
    let serving = server.run(app.router.clone(), stop.clone(), GUARD);
    let linking = app.links.run(&app.fleet, stop.clone());
    let calls = async {
        calls(address, &stop).await;
        stop.cancel();
    };
    let (served, (), ()) = tokio::join!(serving, linking, calls);
    served.unwrap();
    assert_eq!(app.links.open(), 0, "no socket outlives the server");
}

async fn send(app: &App, operator: &As, verb: &str) -> Value {
    let answer = app
        .post(
            "/api/v1/commands",
            operator,
            json!({"verb": verb, "to": {"agents": ["a"]}}),
        )
        .await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    answer.json()["id"].clone()
}

async fn delivery(app: &App, operator: &As, command: &Value) -> Value {
    let path = format!("/api/v1/commands/{}", command.as_str().unwrap());
    app.get(&path, operator).await.json()["deliveries"][0].clone()
}

#[tokio::test]
async fn a_command_goes_down_runs_and_its_result_comes_up() {
    let app = App::new().await;
    let operator = app.operator().await;
    let who = app.agent(&operator, "a").await;
    served(&app, async |address, _| {
        let early = send(&app, &operator, "scan").await;
        assert_eq!(
            delivery(&app, &operator, &early).await["state"],
            "queued",
            "the agent is away"
        );
        let (mut agent, welcome) = Agent::hello(address, &who, hello(1)).await;
        let welcome = Agent::is(&welcome, "WELCOME");
        assert_eq!((&welcome["name"], &welcome["epoch"]), (&json!("a"), &json!(1)));
        assert_eq!(
            agent.expect("COMMAND").await["command"],
            early,
            "it gets it on its return"
        );
        let command = send(&app, &operator, "scan").await;
        let told = agent.expect("COMMAND").await;
        assert_eq!((&told["command"], &told["verb"]), (&command, &json!("scan")));
        agent.say("ACK", json!({"command": command})).await;
        let progress = json!({"command": command, "done": 3, "total": 9, "text": "/srv", "at": Utc::now()});
        agent.say("PROGRESS", progress).await;
        let result = json!({"command": command, "outcome": "done", "detail": "9 files", "body": {"files": 9},
                            "ended_at": Utc::now()});
        for _ in 0..2 {
            agent.say("RESULT", result.clone()).await;
            assert_eq!(
                agent.expect("CONFIRM").await["command"],
                command,
                "a repeat is confirmed again"
            );
        }
        let ended = delivery(&app, &operator, &command).await;
        assert_eq!(
            (&ended["state"], &ended["result"]),
            (&json!("done"), &json!({"files": 9}))
        );
        assert_eq!((&ended["progress"]["done"], &ended["attempt"]), (&json!(3), &json!(1)));
        let shown = app.get("/api/v1/agents/a", &operator).await.json();
        assert_eq!(
            (&shown["link"]["session"]["transport"], &shown["version"]),
            (&json!("websocket"), &json!("0.2.0"))
        );
        assert_eq!(shown["link"]["open_commands"], 1);
        let list = app.get("/api/v1/commands?agent=a&open=true", &operator).await.json();
        assert_eq!(list["items"].as_array().unwrap().len(), 1);
    })
    .await;
    let shown = app.get("/api/v1/agents/a", &operator).await.json();
    assert!(shown["link"]["session"]["ended_at"].is_string(), "{shown}");
}

#[tokio::test]
async fn a_journal_is_reconciled_and_a_command_cancelled_halfway() {
    let app = App::new().await;
    let operator = app.operator().await;
    let who = app.agent(&operator, "a").await;
    served(&app, async |address, _| {
        let (mut agent, _) = Agent::hello(address, &who, hello(1)).await;
        let command = send(&app, &operator, "scan").await;
        agent.expect("COMMAND").await;
        drop(agent);
        let journal = json!([{"command": command, "state": "started"}]);
        let (mut agent, welcome) = Agent::hello(address, &who, with(hello(2), "journal", journal)).await;
        assert_eq!(Agent::is(&welcome, "WELCOME")["epoch"], 2);
        assert_eq!(
            delivery(&app, &operator, &command).await["state"],
            "running",
            "its ACK was lost, its journal was not"
        );
        let path = format!("/api/v1/commands/{}/cancel", command.as_str().unwrap());
        assert_eq!(app.post(&path, &operator, json!(null)).await.status, StatusCode::OK);
        assert_eq!(agent.expect("CANCEL").await["command"], command);
        let result = json!({"command": command, "outcome": "cancelled", "ended_at": Utc::now()});
        agent.say("RESULT", result).await;
        agent.expect("CONFIRM").await;
        assert_eq!(delivery(&app, &operator, &command).await["state"], "cancelled");
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_read_is_answered_and_the_socket_stays() {
    let app = App::new().await;
    let operator = app.operator().await;
    let who = app.agent(&operator, "a").await;
    served(&app, async |address, _| {
        let (mut agent, _) = Agent::hello(address, &who, hello(1)).await;
        let id = agent.say("SING", json!({})).await;
        let error = agent.expect("ERROR").await;
        assert_eq!((&error["code"], &error["about"]), (&json!("unknown_type"), &json!(id)));
        agent
            .raw(with(envelope("ACK", json!({})), "v", json!(2)).to_string())
            .await;
        assert_eq!(agent.expect("ERROR").await["code"], "unknown_version");
        agent.say("ACK", json!({"command": 7})).await;
        assert_eq!(agent.expect("ERROR").await["code"], "invalid_payload");
        agent.raw("no JSON").await;
        assert_eq!(agent.expect("ERROR").await["code"], "invalid_message");
        agent.say("HELLO", hello(1)).await;
        assert_eq!(agent.expect("ERROR").await["code"], "unexpected_hello");
        agent
            .say(
                "HEARTBEAT",
                json!({"status": "degraded", "version": "0.2.1", "outbox_records": 4}),
            )
            .await;
        agent
            .say("TELEMETRY", json!({"at": Utc::now(), "cpu_percent": 12.5}))
            .await;
        agent.say("SING", json!({})).await;
        agent.expect("ERROR").await;
        let shown = app.get("/api/v1/agents/a", &operator).await.json();
        assert_eq!(
            (&shown["status"], &shown["link"]["sample"]["cpu_percent"]),
            (&json!("degraded"), &json!(12.5))
        );

        let (mut silent, answer) = Agent::hello(address, &who, json!({"kind": "scanner"})).await;
        assert_eq!(Agent::is(&answer, "ERROR")["code"], "invalid_payload");
        assert_eq!(
            silent.closed().await,
            Some(CloseCode::Normal),
            "without HELLO there is no session"
        );
    })
    .await;
}

#[tokio::test]
async fn a_message_that_is_too_long_ends_the_socket() {
    let links = LinkSettings {
        max_message: 2_000,
        ..LinkSettings::default()
    };
    let app = App::with_links(FleetSettings::default(), ApiSettings::default(), links).await;
    let who = app.agent(&app.operator().await, "a").await;
    served(&app, async |address, _| {
        let (mut agent, welcome) = Agent::hello(address, &who, hello(1)).await;
        assert_eq!(Agent::is(&welcome, "WELCOME")["max_message_bytes"], 2_000);
        agent.raw("x".repeat(2_001)).await;
        assert_eq!(agent.closed().await, Some(CloseCode::Size));
        let (mut agent, _) = Agent::hello(address, &who, hello(1)).await;
        agent.raw("x".repeat(1_999)).await;
        assert_eq!(agent.expect("ERROR").await["code"], "invalid_message");
    })
    .await;
}

#[tokio::test]
async fn settings_that_change_hold_for_sockets_that_are_open() {
    let app = App::new().await;
    let operator = app.operator().await;
    let (who, other) = (app.agent(&operator, "a").await, app.agent(&operator, "b").await);
    served(&app, async |address, _| {
        let (mut agent, welcome) = Agent::hello(address, &who, hello(1)).await;
        assert_eq!(Agent::is(&welcome, "WELCOME")["heartbeat_secs"], 30);
        let fewer = LinkSettings {
            heartbeat: Duration::from_secs(7),
            max_sockets: 1,
            ..app.links.settings()
        };
        app.links.set(fewer);
        let told = agent.expect("THROTTLE").await;
        assert_eq!(
            (&told["heartbeat_secs"], &told["telemetry_secs"]),
            (&json!(7), &json!(60))
        );
        let As::Agent(key) = &other else { panic!() };
        let Err(Error::Http(refused)) = Agent::try_connect(address, key).await else {
            panic!("there is no place left")
        };
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        app.links.set(LinkSettings {
            max_sockets: 2,
            ..fewer
        });
        let (_agent, welcome) = Agent::hello(address, &other, hello(2)).await;
        assert_eq!(Agent::is(&welcome, "WELCOME")["heartbeat_secs"], 7);
    })
    .await;
}

#[tokio::test]
async fn a_newer_session_a_revocation_and_a_shutdown_send_an_agent_away() {
    let app = App::new().await;
    let operator = app.operator().await;
    let (who, other) = (app.agent(&operator, "a").await, app.agent(&operator, "b").await);
    served(&app, async |address, stop| {
        let (mut first, _) = Agent::hello(address, &who, hello(1)).await;
        let (mut second, welcome) = Agent::hello(address, &who, hello(1)).await;
        assert_eq!(Agent::is(&welcome, "WELCOME")["epoch"], 2);
        assert_eq!(first.expect("GOAWAY").await["reason"], "superseded");
        assert_eq!(first.closed().await, Some(CloseCode::Normal));
        assert_eq!(
            app.call(Method::DELETE, "/api/v1/agents/a", &operator, None)
                .await
                .status,
            StatusCode::NO_CONTENT
        );
        assert_eq!(second.expect("GOAWAY").await["reason"], "revoked");
        second.closed().await;
        let As::Agent(key) = &who else { panic!() };
        let Err(Error::Http(refused)) = Agent::try_connect(address, key).await else {
            panic!("a revoked key opens nothing")
        };
        assert_eq!(refused.status(), StatusCode::FORBIDDEN);
        let (mut third, _) = Agent::hello(address, &other, hello(3)).await;
        stop.cancel();
        let away = third.expect("GOAWAY").await;
        assert_eq!(
            (&away["reason"], &away["within_secs"]),
            (&json!("shutdown"), &json!(10))
        );
        third.closed().await;
    })
    .await;
}

#[tokio::test]
async fn a_clone_is_refused_and_shown() {
    let app = App::new().await;
    let operator = app.operator().await;
    let who = app.agent(&operator, "a").await;
    served(&app, async |address, _| {
        let (mut agent, _) = Agent::hello(address, &who, hello(1)).await;
        let copy = with(with(hello(2), "machine", json!("m2")), "hostname", json!("copy"));
        let (mut clone, error) = Agent::hello(address, &who, copy).await;
        let error = Agent::is(&error, "ERROR");
        assert_eq!(error["code"], "cloned");
        assert!(
            error["detail"].as_str().unwrap().contains("one of the two is a copy"),
            "{error}"
        );
        assert_eq!(clone.expect("GOAWAY").await["reason"], "cloned");
        assert_eq!(clone.closed().await, Some(CloseCode::Normal));
        let shown = app.get("/api/v1/agents/a", &operator).await.json();
        assert_eq!(
            (&shown["link"]["clone"]["hostname"], &shown["hostname"]),
            (&json!("copy"), &json!("host"))
        );
        let command = send(&app, &operator, "stop").await;
        assert_eq!(agent.expect("COMMAND").await["command"], command, "the agent goes on");
    })
    .await;
}

#[tokio::test]
async fn a_configuration_is_pushed_and_its_report_shown() {
    let app = App::new().await;
    let operator = app.operator().await;
    let who = app.agent(&operator, "a").await;
    let path = "/api/v1/agents/a/config";
    served(&app, async |address, _| {
        let (mut agent, _) = Agent::hello(address, &who, hello(1)).await;
        let set = async |text: &str| {
            app.call(Method::PUT, path, &operator, Some(json!({"text": text})))
                .await
        };
        let wrong = set("a: 1\na: 2\n").await;
        assert_eq!(
            (wrong.status, wrong.code().as_str()),
            (StatusCode::UNPROCESSABLE_ENTITY, "invalid_config")
        );
        assert!(wrong.text.contains("the key `a` is given twice"), "{}", wrong.text);
        assert_eq!(set("scanner:\n  batch_size: 7\n").await.json()["version"], 1);
        let config = agent.expect("CONFIG").await;
        assert_eq!(config["text"], "scanner:\n  batch_size: 7\n");
        let report = json!({"about": config["version"], "outcome": "refused", "at": Utc::now(),
                            "problems": [{"line": 2, "column": 3, "text": "too small"}]});
        agent.say("CONFIG_REPORT", report).await;
        agent.say("SING", json!({})).await;
        agent.expect("ERROR").await;
        let state = app.get(path, &operator).await.json();
        assert_eq!(
            (&state["latest"]["version"], &state["report"]["problems"][0]["line"]),
            (&json!(1), &json!(2))
        );
        assert_eq!(set("scanner:\n  batch_size: 9\n").await.json()["version"], 2);
        agent.expect("CONFIG").await;
        let back = app
            .post(&format!("{path}/rollback"), &operator, json!({"version": 1}))
            .await;
        assert_eq!((back.status, &back.json()["version"]), (StatusCode::OK, &json!(3)));
        assert_eq!(agent.expect("CONFIG").await["version"]["version"], 3);
        assert_eq!(
            app.call(Method::DELETE, path, &operator, None).await.status,
            StatusCode::OK
        );
        assert_eq!(agent.expect("CONFIG").await, json!({}));
        let history = app.get(&format!("{path}/history"), &operator).await.json();
        assert_eq!(history["items"].as_array().unwrap().len(), 4);
    })
    .await;
}

#[tokio::test]
async fn an_agent_that_polls_too_often_is_told_to_wait_and_others_are_not() {
    let settings = ApiSettings {
        messages_per_minute: 2,
        ..ApiSettings::default()
    };
    let app = App::with_links(FleetSettings::default(), settings, LinkSettings::default()).await;
    let operator = app.operator().await;
    let (eager, other) = (app.agent(&operator, "a").await, app.agent(&operator, "b").await);
    let poll = async |who: &As| {
        app.post("/api/v1/agents/me/messages", who, json!({"messages": []}))
            .await
    };
    for _ in 0..2 {
        assert_eq!(poll(&eager).await.status, StatusCode::OK);
    }
    let refused = poll(&eager).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(poll(&other).await.status, StatusCode::OK);
}

#[tokio::test]
async fn polling_is_the_same_session_by_other_means() {
    let app = App::new().await;
    let operator = app.operator().await;
    let who = app.agent(&operator, "a").await;
    let poll = async |epoch: Option<u64>, messages: Vec<Value>| {
        let body = json!({"messages": messages, "epoch": epoch});
        let answer = app.post("/api/v1/agents/me/messages", &who, body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer.json()
    };
    let kinds = |answer: &Value| -> Vec<String> {
        let messages = answer["messages"].as_array().unwrap();
        messages
            .iter()
            .map(|message| message["type"].as_str().unwrap().to_owned())
            .collect()
    };
    let unknown = poll(None, vec![]).await;
    assert_eq!(unknown["messages"][0]["payload"]["code"], "hello_wanted");
    let command = send(&app, &operator, "scan").await;
    let first = poll(None, vec![envelope("HELLO", hello(1))]).await;
    assert_eq!(
        (kinds(&first), &first["poll_after_secs"]),
        (vec!["WELCOME".into(), "COMMAND".into()], &json!(15))
    );
    assert_eq!(
        kinds(&poll(Some(1), vec![]).await),
        ["COMMAND"],
        "the answer may have been lost"
    );
    let ack = envelope("ACK", json!({"command": command}));
    assert_eq!(kinds(&poll(Some(1), vec![ack]).await), Vec::<String>::new());
    let result = json!({"command": command, "outcome": "failed", "code": "no_root", "ended_at": Utc::now()});
    let ended = poll(None, vec![envelope("RESULT", result), envelope("SING", json!({}))]).await;
    assert_eq!(kinds(&ended), ["CONFIRM", "ERROR"]);
    let shown = delivery(&app, &operator, &command).await;
    assert_eq!(
        (&shown["state"], &shown["code"], &shown["attempt"]),
        (&json!("failed"), &json!("no_root"), &json!(2))
    );
    assert_eq!(kinds(&poll(None, vec![envelope("HELLO", hello(2))]).await), ["WELCOME"]);
    let older = poll(Some(1), vec![]).await;
    assert_eq!(
        (kinds(&older), &older["messages"][0]["payload"]["reason"]),
        (vec!["GOAWAY".into()], &json!("superseded"))
    );
    let many = vec![envelope("SING", json!({})); 257];
    let many = app
        .post("/api/v1/agents/me/messages", &who, json!({"messages": many}))
        .await;
    assert_eq!(
        (many.status, many.code().as_str()),
        (StatusCode::PAYLOAD_TOO_LARGE, "too_many_messages")
    );
}

#[tokio::test]
async fn places_are_counted_and_a_dead_peer_does_not_keep_its_own() {
    let links = LinkSettings {
        max_sockets: 1,
        ..LinkSettings::default()
    };
    let app = App::with_links(FleetSettings::default(), ApiSettings::default(), links).await;
    let who = app.agent(&app.operator().await, "a").await;
    let As::Agent(key) = &who else { panic!() };
    served(&app, async |address, _| {
        let (agent, _) = Agent::hello(address, &who, hello(1)).await;
        let Err(Error::Http(refused)) = Agent::try_connect(address, key).await else {
            panic!("there is one place")
        };
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(refused.headers().contains_key("retry-after"));
        drop(agent);
        until_closed(&app).await;
        Agent::hello(address, &who, hello(1)).await;
    })
    .await;
}

/// Until the controller holds no socket.
async fn until_closed(app: &App) {
    let closed = async {
        while app.links.open() > 0 {
            tokio::task::yield_now().await;
        }
    };
    time::timeout(GUARD, closed).await.expect("the socket is closed");
}

#[tokio::test]
async fn a_silent_socket_is_pinged_and_then_closed() {
    let links = LinkSettings {
        heartbeat: Duration::from_millis(20),
        stale_after: Duration::from_millis(60),
        ..LinkSettings::default()
    };
    let app = App::with_links(FleetSettings::default(), ApiSettings::default(), links).await;
    let who = app.agent(&app.operator().await, "a").await;
    served(&app, async |address, _| {
        let (mut agent, _) = Agent::hello(address, &who, hello(1)).await;
        // It does not read, and so answers nothing.
        until_closed(&app).await;
        assert!(matches!(agent.next().await, Some(Ok(Message::Ping(_)))));
        assert_eq!(agent.closed().await, Some(CloseCode::Policy));
    })
    .await;
}

#[tokio::test]
async fn operators_rename_and_remove_and_send_once_by_key() {
    let app = App::new().await;
    let operator = app.operator().await;
    app.agent(&operator, "a").await;
    app.agent(&operator, "b").await;
    let rename = async |to: &str| {
        app.call(Method::PATCH, "/api/v1/agents/a", &operator, Some(json!({"name": to})))
            .await
    };
    let taken = rename("b").await;
    assert_eq!(
        (taken.status, taken.code().as_str()),
        (StatusCode::CONFLICT, "name_taken")
    );
    assert_eq!(rename("a").await.status, StatusCode::NO_CONTENT);
    let keyed = async |body: Value| {
        let mut request = request(Method::POST, "/api/v1/commands", &operator, Some(body.to_string()));
        request.headers_mut().insert("idempotency-key", "k1".parse().unwrap());
        app.send(request).await
    };
    let body = json!({"verb": "scan", "args": {}, "to": {"all": true}, "priority": "high"});
    let (first, repeat) = (keyed(body.clone()).await, keyed(body).await);
    assert_eq!((first.status, repeat.status), (StatusCode::CREATED, StatusCode::OK));
    assert_eq!(first.json()["id"], repeat.json()["id"]);
    assert_eq!(first.json()["agents"]["queued"], 2);
    let other = keyed(json!({"verb": "stop", "to": {"all": true}})).await;
    assert_eq!(
        (other.status, other.code().as_str()),
        (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused")
    );
    for (body, code) in [
        (
            json!({"verb": "scan", "args": {"paths": ["/srv"]}, "to": {"all": true}}),
            "invalid_args",
        ),
        (json!({"verb": "exec", "to": {"agents": ["a"]}}), "unknown_verb"),
        (json!({"verb": "exec", "to": {"all": true}}), "no_agents"),
        (json!({"verb": "scan", "to": {"agents": ["c"]}}), "agent_not_found"),
        (
            json!({"verb": "scan", "to": {"all": true}, "deadline_secs": 0}),
            "invalid_body",
        ),
    ] {
        assert_eq!(app.post("/api/v1/commands", &operator, body).await.code(), code);
    }
    let remove = async || {
        app.call(Method::DELETE, "/api/v1/agents/a?purge=true", &operator, None)
            .await
    };
    assert_eq!(remove().await.status, StatusCode::NO_CONTENT);
    assert_eq!(remove().await.code(), "agent_not_found");
    assert_eq!(
        app.get("/api/v1/agents?status=revoked", &operator).await.json()["items"],
        json!([])
    );
}
