//! What was scanned by hand, for the agent that runs beside or will: it tells as it tells what it found itself.
use super::{
    detections::{self, Entry},
    scans,
};
use crate::{news::bell, scan::Report};
use daemon_kit::bell::ring;
use fleet_wire::{Detection, ScanCause, malware_kind};
use state_sqlite::{Database, OpenOptions};
use std::path::Path;

/// Writes down a scan by a rule. Nothing where there is no agent's state.
pub(crate) fn scanned(state: &Path, report: &Report) -> anyhow::Result<()> {
    if !state.exists() {
        return Ok(());
    }
    let database = Database::open(state, OpenOptions { check: false })?;
    let bodies = report.detections.iter().map(|found| {
        let detection = Detection::from(found);
        anyhow::Ok((detection.id, found.time, serde_json::to_string(&detection)?))
    });
    let bodies = bodies.collect::<anyhow::Result<Vec<_>>>()?;
    let entries = bodies.iter().map(|(id, at, body)| Entry {
        kind: malware_kind::DETECTED,
        id: *id,
        at: *at,
        body,
    });
    detections::put(&database, &entries.collect::<Vec<_>>())?;
    scans::end(&database, &report.to_wire(ScanCause::Local))?;
    // Unheard, it is seen all the same at the next start.
    if let Err(error) = ring(&bell(state)) {
        tracing::debug!(%error, "the agent's bell could not be rung");
    }
    Ok(())
}
