//! Fills a store with files by requests in parallel, as an agent would, and says how fast that went.
//!
//! `cargo run --release -p fleet-core --example ingest [FILES]`; a million files when not said.
use chrono::{DateTime, TimeDelta, Utc};
use core_model::{BatchId, StreamId};
use fleet_core::{
    AgentIdentity, FileFilter, FileQuery, Fleet, FleetSettings, Glob, PageRequest, SqliteStore, Store, StoreSettings,
};
use fleet_wire::{EnrollRequest, FileChange, FileKind, FileRecord, IngestRequest, RawRecord, WirePath};
use std::{error::Error, sync::Arc, time::Duration, time::Instant};
use tokio::task::JoinSet;

const RECORDS: u64 = 1_000;
const AT_ONCE: usize = 4;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let files: u64 = std::env::args().nth(1).map_or(Ok(1_000_000), |count| count.parse())?;
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("fleet.db");
    let store = SqliteStore::open(&path, StoreSettings::default())?;
    let fleet = Arc::new(Fleet::new(store, FleetSettings::default()));
    let agent = join(&fleet).await?;

    let stream = StreamId::new(Utc::now(), [1; 10]);
    let initial = run(&fleet, &agent, stream, files, |n| Ok(FileChange::Created(record(n)?))).await?;
    println!(
        "initial: {files} files, {:.0} rows/s",
        files as f64 / initial.as_secs_f64()
    );
    let stream = StreamId::new(Utc::now(), [2; 10]);
    let again = run(&fleet, &agent, stream, files / 10, |n| {
        Ok(FileChange::Updated(record(n * 7 % files)?))
    })
    .await?;
    println!(
        "updates: {} files, {:.0} rows/s",
        files / 10,
        (files / 10) as f64 / again.as_secs_f64()
    );

    let query = FileQuery {
        agent: agent.id,
        prefix: Vec::new(),
        filter: FileFilter {
            name: Some(Glob::new("no such name")),
            ..FileFilter::default()
        },
    };
    let (started, mut after, mut pages) = (Instant::now(), None, 0);
    loop {
        let page = fleet
            .store()
            .files(query.clone(), PageRequest { after, limit: 100 })
            .await?;
        (after, pages) = (page.next, pages + 1);
        if after.is_none() {
            break;
        }
    }
    println!("a name that is not there: {pages} pages, {:?}", started.elapsed());
    let started = Instant::now();
    let sums = fleet.store().statistics(Utc::now(), Duration::from_secs(180)).await?;
    println!("statistics of {} files: {:?}", sums.files.present, started.elapsed());
    drop(fleet);
    println!(
        "{} bytes a file on disk",
        std::fs::metadata(&path)?.len() / files.max(1)
    );
    Ok(())
}

async fn join(fleet: &Fleet<SqliteStore>) -> Result<AgentIdentity, Box<dyn Error>> {
    let now = Utc::now();
    let password = fleet.ensure_admin(now).await?.ok_or("the store is not new")?;
    let session = fleet.login("admin", &password, now).await?;
    let admin = fleet
        .authenticate_operator(session.token.reveal(), now)
        .await?
        .ok_or("no session")?;
    let token = fleet
        .create_join_token(&admin, "", Duration::from_secs(60), 1, now)
        .await?;
    let request = EnrollRequest {
        join_token: Some(token.token),
        name: "host-scanner".to_owned(),
        kind: "scanner".to_owned(),
        hostname: "host".to_owned(),
        version: "0.1.0".to_owned(),
        capabilities: Vec::new(),
    };
    let joined = fleet.enroll(request, now).await?;
    Ok(fleet
        .authenticate_agent(joined.api_key.ok_or("no key")?.reveal(), Utc::now())
        .await?
        .ok_or("no agent")?)
}

/// Sends `files` records in requests of a thousand, a few at once, as an agent would; the time that took.
async fn run(
    fleet: &Arc<Fleet<SqliteStore>>,
    agent: &AgentIdentity,
    stream: StreamId,
    files: u64,
    change: impl Fn(u64) -> Result<FileChange, Box<dyn Error>>,
) -> Result<Duration, Box<dyn Error>> {
    let mut requests = JoinSet::new();
    let mut took = Duration::ZERO;
    for first in (1..=files).step_by(usize::try_from(RECORDS)?) {
        let request = IngestRequest {
            batch_id: BatchId::new(Utc::now(), [0; 10]),
            stream,
            records: (first..=files.min(first + RECORDS - 1))
                .map(|seq| raw(seq, &change(seq)?))
                .collect::<Result<_, _>>()?,
        };
        // Making the records is the agent's work, so it does not count.
        let started = Instant::now();
        let (fleet, agent) = (Arc::clone(fleet), agent.clone());
        requests.spawn(async move { fleet.ingest(&agent, request, Utc::now()).await });
        // The first request opens the stream, so it goes alone.
        while requests.len() >= AT_ONCE || (first == 1 && !requests.is_empty()) {
            requests.join_next().await.ok_or("no request")???;
        }
        took += started.elapsed();
    }
    let started = Instant::now();
    while let Some(answer) = requests.join_next().await {
        answer??;
    }
    Ok(took + started.elapsed())
}

fn raw(seq: u64, change: &FileChange) -> Result<RawRecord, Box<dyn Error>> {
    Ok(RawRecord {
        seq,
        kind: change.kind().to_owned(),
        time: Utc::now(),
        body: serde_json::value::to_raw_value(change)?,
    })
}

fn record(n: u64) -> Result<FileRecord, Box<dyn Error>> {
    let mtime =
        DateTime::from_timestamp(1_700_000_000, 0).ok_or("no time")? + TimeDelta::microseconds(i64::try_from(n)?);
    Ok(FileRecord {
        path: WirePath::from_bytes(format!(
            "/srv/share/department-{}/project-{}/document-{n}.pdf",
            n % 20,
            n / 100 % 500
        )),
        kind: FileKind::File,
        size: n * 37 % 5_000_000,
        allocated_bytes: Some(n * 37 % 5_000_000 / 4096 * 4096),
        mtime,
        ctime: Some(mtime),
        btime: Some(mtime),
        mime: Some("application/pdf".to_owned()),
        mode: Some("0644".to_owned()),
        uid: Some(1000),
        gid: Some(1000),
        owner: Some("alice".to_owned()),
        group: Some("staff".to_owned()),
        inode: Some(n),
        device: Some(64_768),
        links: Some(1),
        sha256: None,
        blake3: None,
        changed: Vec::new(),
    })
}
