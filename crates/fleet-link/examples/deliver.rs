//! A queue in a state file, a server that fails at first, and every record there in the end.
use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::post};
use core_model::{Queue, Run};
use daemon_kit::Dialect;
use fleet_link::{Delivery, DeliverySettings, Hooks};
use fleet_wire::{IngestRequest, IngestResponse};
use state_sqlite::{Database, OpenOptions, Outbox};
use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;
use transport_http::{Client, ClientSettings, ensure_crypto_provider};

async fn ingest(State(asked): State<Arc<AtomicU32>>, Json(request): Json<IngestRequest>) -> impl IntoResponse {
    let last = request.records.last().map_or(0, |record| record.seq);
    if asked.fetch_add(1, Ordering::Relaxed) < 2 {
        println!("server: records up to {last}? not now");
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    println!("server: took {} records up to {last}", request.records.len());
    Json(IngestResponse {
        accepted_through: last,
        rejected: Vec::new(),
    })
    .into_response()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let router = Router::new()
        .route("/api/v1/ingest", post(ingest))
        .with_state(Arc::default());
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, router).await });

    let dir = tempfile::tempdir()?;
    let database = Database::open(&dir.path().join("state.db"), OpenOptions::default())?;
    let queue = Arc::new(Outbox::open(&database)?);
    let record = "{\"kind\":\"file.deleted\",\"time\":\"2026-11-21T12:00:00Z\",\"body\":{\"path\":\"/data/a\"}}\n";
    let run = Run {
        records: 100,
        body: record.repeat(100).into_bytes(),
    };
    queue.enqueue(&[run.clone(), run], chrono::Utc::now())?;

    ensure_crypto_provider();
    let client = Client::new(ClientSettings::new(url.parse()?))?;
    let settings = watch::Sender::new(DeliverySettings::default());
    let hooks = Hooks {
        on_rejected: Arc::new(|refusals| println!("refused: {refusals:?}")),
        on_snapshot_wanted: Arc::new(|stream| println!("the server does not know {stream}")),
    };
    let delivery = Delivery::new(queue, client, Dialect::Shoal, settings.subscribe(), hooks);
    let report = delivery.deliver_until_empty(&CancellationToken::new()).await;
    println!("agent: sent {}, left {}", report.sent, report.remaining);
    Ok(())
}
