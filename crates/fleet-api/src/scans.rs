//! Scans for malware that have ended.
use crate::{
    detections::{SCAN, Whose, event, found, word},
    error::ApiError,
    extract::{Named, Params},
    paging::{cursor, page},
    rest::{EventQuery, List, MalwareScanView, ScanQuery},
    state::Shared,
};
use axum::{Json as Answer, extract::State};
use fleet_core::{ScanFilter, Store};
use fleet_wire::ScanStatus;

pub(crate) async fn list<S: Store>(
    State(shared): State<Shared<S>>,
    Params(query): Params<ScanQuery>,
) -> Result<Answer<List<MalwareScanView>>, ApiError> {
    let page = page(query.cursor.as_deref(), query.limit)?;
    let of = Whose {
        agent: query.agent,
        site: query.site,
        labels: query.labels,
        group: query.group,
        revoked: query.revoked.unwrap_or(false),
    };
    let filter = ScanFilter {
        of: of.resolve(&shared).await?,
        rule: query.rule,
        status: word("status", query.status, ScanStatus::name)?,
        since: query.since,
    };
    let scans = shared.fleet.store().scans(filter, page).await?;
    Ok(Answer(List {
        next_cursor: scans.next.as_ref().map(cursor),
        items: scans.items.into_iter().map(Into::into).collect(),
    }))
}

pub(crate) async fn show<S: Store>(
    State(shared): State<Shared<S>>,
    Named(id): Named,
    Params(query): Params<EventQuery>,
) -> Result<Answer<MalwareScanView>, ApiError> {
    let named = event(&shared, SCAN, &id, &query).await?;
    let scan = found(SCAN, &id, shared.fleet.store().scan(named).await?)?;
    Ok(Answer(scan.into()))
}
