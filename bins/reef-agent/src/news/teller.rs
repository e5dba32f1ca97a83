//! Whoever is to hear of malware: it is written down first, and stays untold until it lies in the outbox.
use crate::state::{
    detections::{self, Entry},
    scans,
};
use anyhow::Context as _;
use chrono::{DateTime, Utc};
use core_model::{Queue as _, Run};
use fleet_wire::{MalwareRecord, MalwareScan, SnapshotBegin, SnapshotEnd, SnapshotReason, malware_kind, snapshot_kind};
use serde::Serialize;
use serde_json::value::RawValue;
use state_sqlite::{Database, Outbox, SnapshotState, Told};

/// So many are put into the outbox at once.
const AT_ONCE: u32 = 500;

/// Writes down what happens with malware, and has the server told where there is one.
#[derive(Clone, Debug)]
pub(crate) struct Teller {
    database: Database,
    outbox: Outbox,
}

impl Teller {
    pub(crate) fn new(database: &Database, outbox: &Outbox) -> Self {
        Self {
            database: database.clone(),
            outbox: outbox.clone(),
        }
    }

    /// Where it is written down.
    pub(super) const fn database(&self) -> &Database {
        &self.database
    }

    /// What was found, and what was done about it later. Blocks.
    pub(crate) fn happened(&self, records: &[(DateTime<Utc>, MalwareRecord)], has_server: bool) -> anyhow::Result<()> {
        let mut entries = Vec::with_capacity(records.len());
        for (at, record) in records {
            match record {
                MalwareRecord::ScanEnded(scan) => self.scan_ended(scan, has_server)?,
                other => entries.extend(Entry::of(*at, other)?),
            }
        }
        let numbers = detections::put(&self.database, &entries)?;
        if has_server {
            let mut runs = Vec::with_capacity(entries.len());
            for entry in &entries {
                runs.push(line(entry.kind, entry.at, raw(&entry.body)?)?);
            }
            self.outbox.enqueue(&runs, Utc::now())?;
        }
        detections::told(&self.database, &numbers)
    }

    /// A scan has ended. Blocks.
    fn scan_ended(&self, scan: &MalwareScan, has_server: bool) -> anyhow::Result<()> {
        scans::end(&self.database, scan)?;
        if has_server {
            let run = line(malware_kind::SCAN_ENDED, scan.ended_at, scan)?;
            self.outbox.enqueue(std::slice::from_ref(&run), scan.ended_at)?;
        }
        scans::told(&self.database, &[scan.id])
    }

    /// What lies written down and nobody was told of. Blocks.
    pub(super) fn untold(&self) -> anyhow::Result<Vec<(DateTime<Utc>, MalwareRecord)>> {
        let untold = detections::untold(&self.database, AT_ONCE)?;
        Ok(untold
            .iter()
            .filter_map(|event| Some((event.at, event.record()?)))
            .collect())
    }

    /// There is no server. Blocks.
    pub(super) fn nobody_is_to_be_told(&self) -> anyhow::Result<()> {
        detections::all_told(&self.database)?;
        scans::all_told(&self.database)
    }

    /// Brings into the outbox what a process that ended could not, and everything where the server wants it anew. Blocks;
    /// told twice does no harm.
    pub(crate) fn catch_up(&self, now: DateTime<Utc>) -> anyhow::Result<()> {
        if let Some(wanted) = self.outbox.resync()? {
            let begin = SnapshotBegin {
                reason: SnapshotReason::of_name(wanted.reason.name()),
                detail: wanted.detail.clone(),
            };
            // In this order: a process that ends in between finds the wish, or all untold.
            detections::forget_told(&self.database)?;
            scans::forget_told(&self.database)?;
            let stream = self
                .outbox
                .open_stream(&line(snapshot_kind::BEGIN, now, &begin)?, now)?;
            let detail = wanted.detail;
            tracing::info!(
                %stream,
                reason = wanted.reason.name(),
                detail,
                "opened a new stream: the server is told everything in it"
            );
        }
        let is_open = self.outbox.snapshot()? != SnapshotState::None;
        while self.tell_events(now, is_open)? || self.tell_scans(now, is_open)? {}
        if is_open {
            let end = line(snapshot_kind::END, now, &SnapshotEnd::default())?;
            self.outbox.tell(&[], Told::All, now)?;
            self.outbox.close_snapshot(&end, now)?;
        }
        Ok(())
    }

    fn tell_events(&self, now: DateTime<Utc>, is_open: bool) -> anyhow::Result<bool> {
        let untold = detections::untold(&self.database, AT_ONCE)?;
        let mut runs = Vec::with_capacity(untold.len());
        for event in &untold {
            runs.push(line(event.kind, event.at, raw(&event.body)?)?);
        }
        self.put(&runs, now, is_open)?;
        detections::told(
            &self.database,
            &untold.iter().map(|event| event.number).collect::<Vec<_>>(),
        )?;
        Ok(!untold.is_empty())
    }

    fn tell_scans(&self, now: DateTime<Utc>, is_open: bool) -> anyhow::Result<bool> {
        let untold = scans::untold(&self.database, AT_ONCE)?;
        let mut runs = Vec::with_capacity(untold.len());
        for scan in untold.iter().filter_map(|scan| scan.ended.as_ref()) {
            runs.push(line(malware_kind::SCAN_ENDED, scan.ended_at, scan)?);
        }
        self.put(&runs, now, is_open)?;
        scans::told(&self.database, &untold.iter().map(|scan| scan.id).collect::<Vec<_>>())?;
        Ok(!untold.is_empty())
    }

    fn put(&self, runs: &[Run], now: DateTime<Utc>, is_open: bool) -> anyhow::Result<()> {
        if is_open {
            self.outbox.tell(runs, Told::Through(None), now)?;
        } else {
            self.outbox.enqueue(runs, now)?;
        }
        Ok(())
    }
}

/// A body that is JSON already.
fn raw(body: &str) -> anyhow::Result<&RawValue> {
    serde_json::from_str(body).context("what is written down cannot be read")
}

/// One record as it lies in the outbox.
fn line<B: Serialize + ?Sized>(kind: &'static str, time: DateTime<Utc>, body: &B) -> anyhow::Result<Run> {
    #[derive(Serialize)]
    struct Line<'a, B: ?Sized> {
        kind: &'static str,
        time: DateTime<Utc>,
        body: &'a B,
    }
    let mut body = serde_json::to_vec(&Line { kind, time, body }).context("could not write a record")?;
    body.push(b'\n');
    Ok(Run { records: 1, body })
}
