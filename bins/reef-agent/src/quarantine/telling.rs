//! What is in quarantine, and what was done with it, for whoever is to hear of it.
use super::{Item, ItemId, Quarantine, Restored, Target};
use crate::{
    news::Reporter,
    state::{by_hand, detections},
};
use anyhow::{Context as _, bail};
use chrono::{DateTime, Utc};
use core_model::{EventId, chain};
use fleet_wire::{Detection, Handled, MalwareRecord, Outcome, WirePath};
use state_sqlite::Database;
use std::path::Path;

/// Brings back what lies in quarantine under an id that begins like this.
pub(crate) fn restore(store: &Path, id: &str, to: Option<&Path>) -> anyhow::Result<Restored> {
    let quarantine = Quarantine::open_existing(store)?.context("nothing was ever put into quarantine here")?;
    let id = find(&quarantine, id)?;
    Ok(quarantine.restore(&id, &Target { to, force: false })?)
}

/// The item whose id begins like this, if there is only one.
pub(crate) fn find(quarantine: &Quarantine, text: &str) -> anyhow::Result<ItemId> {
    let ids = quarantine.ids()?;
    let mut fitting = ids
        .iter()
        .filter(|id| !text.is_empty() && id.to_string().starts_with(text));
    match (fitting.next(), fitting.next()) {
        (Some(id), None) => Ok(*id),
        (Some(_), Some(_)) => bail!("more than one item begins with `{text}`: give more of the id"),
        (None, _) => bail!("no item begins with `{text}`: `reef-agent quarantine list` shows what there is"),
    }
}

/// Reports what lies in quarantine and was never written down: a process ended between taking it and saying so.
pub(crate) fn tell_unknown(store: &Path, database: &Database, reporter: &Reporter) -> anyhow::Result<()> {
    let quarantine = match Quarantine::open_existing(store) {
        Ok(Some(quarantine)) => quarantine,
        Ok(None) => return Ok(()),
        // Scans that only report need none; those that take away say so themselves.
        Err(error) => {
            tracing::error!(error = chain(&error), "the quarantine cannot be used");
            return Ok(());
        }
    };
    let known = detections::items(database)?;
    let is_unknown = |id: &ItemId| !known.contains(&id.to_string());
    for id in quarantine.ids()?.iter().filter(|id| is_unknown(id)) {
        let item = match quarantine.get(id) {
            Ok(item) => item,
            Err(error) => {
                tracing::error!(%id, error = chain(&error), "an item of the quarantine cannot be read");
                continue;
            }
        };
        reporter.report(item.manifest.scanned_at, MalwareRecord::Detected(of_item(&item)));
    }
    Ok(())
}

/// The detection that put an item there.
fn of_item(item: &Item) -> Detection {
    let manifest = &item.manifest;
    Detection {
        // The item's own bits: told again, it is the same detection.
        id: EventId::from_uuid(manifest.id.as_uuid()),
        path: WirePath::from_bytes(manifest.path.bytes()),
        signatures: manifest.signatures.clone(),
        sha256: Some(manifest.sha256.clone()),
        size: manifest.size,
        uid: Some(manifest.attributes.uid),
        owner: manifest.attributes.owner.clone(),
        rule: manifest.rule.clone(),
        scan: None,
        engine: manifest.clamd.clone(),
        outcome: Outcome::Quarantined,
        detail: None,
        quarantine_id: Some(manifest.id.to_string()),
    }
}

/// Writes down for a running agent what was done with an item by hand. Nothing where there is no agent's state.
pub(crate) fn by_hand(
    state: &Path,
    id: &ItemId,
    path: &[u8],
    outcome: Outcome,
    now: DateTime<Utc>,
) -> anyhow::Result<()> {
    let Some(database) = by_hand::open(state)? else {
        return Ok(());
    };
    let detection = detections::of_item(&database, &id.to_string())?.map(|detection| detection.id);
    let handled = Handled {
        detection,
        quarantine_id: id.to_string(),
        path: WirePath::from_bytes(path),
        outcome,
        detail: Some("by hand, on the machine".to_owned()),
    };
    by_hand::write(&database, &[(now, MalwareRecord::Handled(handled))])
}
