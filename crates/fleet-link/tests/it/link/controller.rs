//! A controller's end of the link, on a real port: every connection and every poll is handed to the test, which answers.
use axum::{
    Json, Router,
    extract::{
        State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::{any, post},
};
use chrono::{DateTime, TimeDelta, Utc};
use core_model::{AgentId, MessageId};
use fleet_wire::{
    Problem,
    link::{AgentMessage, ControllerMessage, Envelope, ErrorMessage, Hello, PollRequest, PollResponse, Welcome},
};
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};
use testkit::GUARD;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::timeout,
};
use uuid::Uuid;

pub(crate) struct Controller {
    pub(crate) url: String,
    shared: Arc<Shared>,
    peers: mpsc::UnboundedReceiver<Peer>,
    polls: mpsc::UnboundedReceiver<Poll>,
    _tasks: JoinSet<()>,
}

struct Shared {
    peers: mpsc::UnboundedSender<Peer>,
    polls: mpsc::UnboundedSender<Poll>,
    /// What the next upgrades are refused with: a status, and a code unless it is empty.
    refusals: Mutex<VecDeque<(u16, &'static str)>>,
    upgrades: AtomicU64,
}

impl Controller {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let ((peers, peers_out), (polls, polls_out)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let shared = Arc::new(Shared {
            peers,
            polls,
            refusals: Mutex::default(),
            upgrades: AtomicU64::new(0),
        });
        let router = Router::new()
            .route("/ws/agent", any(upgrade))
            .route("/api/v1/agents/me/messages", post(poll))
            .with_state(Arc::clone(&shared));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url,
            shared,
            peers: peers_out,
            polls: polls_out,
            _tasks: tasks,
        }
    }

    pub(crate) fn refuse(&self, times: usize, status: u16, code: &'static str) {
        let refusals = std::iter::repeat_n((status, code), times);
        self.shared.refusals.lock().unwrap().extend(refusals);
    }

    /// How often a socket was asked for.
    pub(crate) fn upgrades(&self) -> u64 {
        self.shared.upgrades.load(Relaxed)
    }

    /// The next socket, before anything was said on it.
    pub(crate) async fn peer(&mut self) -> Peer {
        guard("a socket", self.peers.recv()).await.unwrap()
    }

    /// The next socket, with what it said in HELLO, and welcomed.
    pub(crate) async fn linked(&mut self) -> (Peer, Hello) {
        let mut peer = self.peer().await;
        let hello = peer.hello().await;
        peer.say(ControllerMessage::Welcome(welcome())).await;
        (peer, hello)
    }

    pub(crate) async fn poll(&mut self) -> Poll {
        guard("a poll", self.polls.recv()).await.unwrap()
    }
}

async fn upgrade(State(shared): State<Arc<Shared>>, headers: HeaderMap, upgrade: WebSocketUpgrade) -> Response {
    shared.upgrades.fetch_add(1, Relaxed);
    if let Some((status, code)) = shared.refusals.lock().unwrap().pop_front() {
        let status = StatusCode::from_u16(status).unwrap();
        let problem = Problem {
            status: status.as_u16(),
            code: code.to_owned(),
            title: "No".to_owned(),
            detail: String::new(),
        };
        let json = [("content-type", Problem::MEDIA_TYPE)];
        return match code {
            "" => (status, "<html>a proxy</html>").into_response(),
            _ => (status, json, serde_json::to_string(&problem).unwrap()).into_response(),
        };
    }
    let peers = shared.peers.clone();
    let key = headers["x-api-key"].to_str().unwrap().to_owned();
    upgrade.on_upgrade(move |socket| async move { drop(peers.send(Peer { socket, key })) })
}

async fn poll(State(shared): State<Arc<Shared>>, Json(request): Json<PollRequest>) -> Response {
    let (answer, answered) = oneshot::channel();
    shared.polls.send(Poll { request, answer }).ok();
    match answered.await {
        Ok(Ok(response)) => Json(response).into_response(),
        Ok(Err(status)) => StatusCode::from_u16(status).unwrap().into_response(),
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}

/// A poll that waits for its answer.
pub(crate) struct Poll {
    request: PollRequest,
    answer: oneshot::Sender<Result<PollResponse, u16>>,
}

impl Poll {
    pub(crate) fn said(&self) -> Vec<AgentMessage> {
        let read = |envelope: &Envelope| AgentMessage::of_envelope(envelope).unwrap();
        self.request.messages.iter().map(read).collect()
    }

    pub(crate) fn answer(self, messages: impl IntoIterator<Item = ControllerMessage>) {
        self.answer_after(messages, 1);
    }

    pub(crate) fn answer_after(self, messages: impl IntoIterator<Item = ControllerMessage>, poll_after_secs: u32) {
        let messages = messages.into_iter().map(|message| message.to_envelope(id()).unwrap());
        let response = PollResponse {
            messages: messages.collect(),
            poll_after_secs,
        };
        self.answer.send(Ok(response)).ok();
    }

    pub(crate) fn fail(self, status: u16) {
        self.answer.send(Err(status)).ok();
    }
}

/// An agent's socket.
pub(crate) struct Peer {
    socket: WebSocket,
    /// What it came with.
    pub(crate) key: String,
}

impl Peer {
    pub(crate) async fn say(&mut self, message: ControllerMessage) -> MessageId {
        let id = id();
        let envelope = message.to_envelope(id).unwrap();
        self.say_text(serde_json::to_string(&envelope).unwrap()).await;
        id
    }

    pub(crate) async fn say_text(&mut self, text: String) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// The next message; `None` when the agent is gone.
    pub(crate) async fn hear(&mut self) -> Option<AgentMessage> {
        loop {
            match guard("a message", self.socket.recv()).await? {
                Ok(Message::Text(text)) => {
                    let envelope: Envelope = serde_json::from_str(&text).unwrap();
                    return Some(AgentMessage::of_envelope(&envelope).unwrap());
                }
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The first message that is asked for; others are passed over.
    pub(crate) async fn wait_for<T>(&mut self, mut asked: impl FnMut(AgentMessage) -> Option<T>) -> T {
        loop {
            if let Some(found) = asked(self.hear().await.expect("the agent hung up")) {
                return found;
            }
        }
    }

    pub(crate) async fn hello(&mut self) -> Hello {
        match self.hear().await {
            Some(AgentMessage::Hello(hello)) => hello,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn error(&mut self) -> ErrorMessage {
        let error = |message| match message {
            AgentMessage::Error(error) => Some(error),
            _ => None,
        };
        self.wait_for(error).await
    }
}

pub(crate) async fn guard<T>(what: &str, wait: impl Future<Output = T>) -> T {
    timeout(GUARD, wait)
        .await
        .unwrap_or_else(|_| panic!("{what} never came"))
}

pub(crate) fn id() -> MessageId {
    MessageId::from_uuid(Uuid::from_u128(rand()))
}

/// Different each time.
pub(crate) fn rand() -> u128 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    u128::from(NEXT.fetch_add(1, Relaxed))
}

pub(crate) fn welcome() -> Welcome {
    Welcome {
        agent_id: AgentId::from_uuid(Uuid::from_u128(7)),
        name: "web-1".to_owned(),
        version: "0.1.0".to_owned(),
        time: Utc::now(),
        heartbeat_secs: 3600,
        telemetry_secs: 0,
        max_message_bytes: 1 << 20,
        epoch: 4,
        snapshot_wanted: false,
        config: None,
        new_key_wanted: false,
    }
}

pub(crate) fn in_secs(secs: i64) -> DateTime<Utc> {
    Utc::now() + TimeDelta::seconds(secs)
}
