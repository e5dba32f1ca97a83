//! A server of records: it keeps what it is sent, drops repeats by number as a controller does, and fails as it is told.
use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::any,
};
use fleet_wire::{IngestRequest, IngestResponse, Problem, Rejected};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    panic::resume_unwind,
    sync::{Arc, Mutex, MutexGuard},
};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::oneshot,
    task::JoinSet,
};

/// What the server does with one request.
#[derive(Debug)]
pub(crate) enum Act {
    /// Keeps all and says so.
    Take,
    /// Keeps the first so many and says so.
    TakeFirst(u64),
    /// Answers with this status and, if it is not empty, this code.
    Answer(u16, &'static str),
    /// Keeps all and answers with this status.
    TakeAndAnswer(u16),
    /// Hangs up without an answer.
    HangUp,
    /// Keeps all and hangs up without an answer.
    TakeAndHangUp,
    /// Says that it is here, keeps all, and answers when it is told to.
    Hold(oneshot::Sender<()>, oneshot::Receiver<()>),
}

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Empty but for ingest.
    pub(crate) batch_id: String,
    pub(crate) seqs: Vec<u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) seen: Vec<Seen>,
    /// What was kept, by number; a repeat must say the same.
    pub(crate) records: BTreeMap<u64, String>,
    /// What to do with the next requests; then everything is taken.
    pub(crate) script: VecDeque<Act>,
    /// Records that are refused one by one.
    pub(crate) refused: BTreeSet<u64>,
    /// Records for which the whole request is refused with 400.
    pub(crate) poisoned: BTreeSet<u64>,
    /// More records in a request are refused with 413.
    pub(crate) most: Option<usize>,
}

/// The server, running until it is dropped.
pub(crate) struct Server {
    pub(crate) url: String,
    kept: Arc<Mutex<Kept>>,
    tasks: JoinSet<()>,
}

/// An address at which nobody listens yet, and which nobody else can take.
pub(crate) struct Nobody(TcpSocket);

impl Nobody {
    pub(crate) fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self(socket)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }

    /// The server comes up at this address.
    pub(crate) fn listen(self) -> Server {
        Server::on(self.0.listen(64).unwrap())
    }
}

impl Server {
    pub(crate) fn start() -> Self {
        Nobody::new().listen()
    }

    fn on(listener: TcpListener) -> Self {
        let kept = Arc::<Mutex<Kept>>::default();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(any(handle)).with_state(Arc::clone(&kept));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, kept, tasks }
    }

    pub(crate) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }

    pub(crate) fn script(&self, acts: impl IntoIterator<Item = Act>) {
        self.kept().script.extend(acts);
    }

    /// The numbers of each request, in the order of arrival.
    pub(crate) fn requests(&self) -> Vec<Vec<u64>> {
        self.kept().seen.iter().map(|seen| seen.seqs.clone()).collect()
    }

    pub(crate) fn seqs(&self) -> Vec<u64> {
        self.kept().records.keys().copied().collect()
    }

    pub(crate) async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

type Shared = Arc<Mutex<Kept>>;

async fn handle(State(kept): State<Shared>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let mut seen = Seen {
        path: uri.path().to_owned(),
        headers,
        body,
        ..Seen::default()
    };
    let request = (seen.path == "/api/v1/ingest").then(|| serde_json::from_slice::<IngestRequest>(&seen.body).unwrap());
    if let Some(request) = &request {
        seen.batch_id = request.batch_id.to_string();
        seen.seqs = request.records.iter().map(|record| record.seq).collect();
        let first = seen.seqs[0];
        assert!(
            seen.seqs.iter().copied().eq(first..first + seen.seqs.len() as u64),
            "consecutive: {:?}",
            seen.seqs
        );
    }
    let seqs = seen.seqs.clone();
    let act = {
        let mut kept = kept.lock().unwrap();
        kept.seen.push(seen);
        let act = kept.script.pop_front();
        if act.is_none() && kept.most.is_some_and(|most| seqs.len() > most) {
            Act::Answer(413, "too_large")
        } else if act.is_none() && seqs.iter().any(|seq| kept.poisoned.contains(seq)) {
            Act::Answer(400, "invalid_request")
        } else {
            act.unwrap_or(Act::Take)
        }
    };
    let take = |count: u64| take(&kept, request.as_ref(), count);
    match act {
        Act::Take => take(u64::MAX),
        Act::TakeFirst(count) => take(count),
        Act::Answer(status, code) => refuse(status, code),
        Act::TakeAndAnswer(status) => {
            take(u64::MAX);
            refuse(status, "")
        }
        // A panic without its message: the connection's task ends, and with it the connection.
        Act::HangUp => resume_unwind(Box::new(())),
        Act::TakeAndHangUp => {
            take(u64::MAX);
            resume_unwind(Box::new(()))
        }
        Act::Hold(here, go) => {
            here.send(()).unwrap();
            go.await.unwrap();
            take(u64::MAX)
        }
    }
}

fn take(kept: &Mutex<Kept>, request: Option<&IngestRequest>, count: u64) -> Response {
    let Some(request) = request else {
        return Json(serde_json::json!({})).into_response();
    };
    let mut kept = kept.lock().unwrap();
    let first = request.records[0].seq;
    let taken = request.records.iter().filter(|record| record.seq - first < count);
    let mut rejected = Vec::new();
    let mut through = first - 1;
    for record in taken {
        through = record.seq;
        if kept.refused.contains(&record.seq) {
            rejected.push(Rejected {
                seq: record.seq,
                code: "invalid_body".to_owned(),
                detail: "not this one".to_owned(),
            });
            continue;
        }
        let said = format!("{} {}", record.kind, record.body.get());
        let before = kept.records.insert(record.seq, said.clone());
        assert!(
            before.is_none_or(|before| before == said),
            "a repeat says something else"
        );
    }
    let answer = IngestResponse {
        accepted_through: through,
        rejected,
    };
    Json(answer).into_response()
}

fn refuse(status: u16, code: &str) -> Response {
    let known = StatusCode::from_u16(status).unwrap();
    if code.is_empty() {
        return known.into_response();
    }
    let problem = Problem {
        status,
        code: code.to_owned(),
        title: "No".to_owned(),
        detail: String::new(),
    };
    (
        known,
        [("content-type", Problem::MEDIA_TYPE)],
        serde_json::to_string(&problem).unwrap(),
    )
        .into_response()
}
