//! Whether hosts were scanned as they should be.
use crate::{
    detections::Whose,
    error::ApiError,
    extract::Params,
    paging::{cursor, page},
    rest::{ComplianceQuery, ComplianceView, List},
    state::Shared,
};
use axum::{Json as Answer, extract::State};
use chrono::{DateTime, TimeDelta, Utc};
use fleet_core::{ComplianceFilter, Store};

/// A complete scan has to have ended within so long, when nobody says.
const WITHIN: TimeDelta = TimeDelta::days(7);

pub(crate) async fn list<S: Store>(
    State(shared): State<Shared<S>>,
    Params(query): Params<ComplianceQuery>,
) -> Result<Answer<List<ComplianceView>>, ApiError> {
    let page = page(query.cursor.as_deref(), query.limit)?;
    let of = Whose {
        agent: query.agent,
        site: query.site,
        labels: query.labels,
        group: query.group,
        revoked: false,
    };
    let filter = ComplianceFilter {
        of: of.resolve(&shared).await?,
        rule: query.rule,
    };
    let within = match query.within {
        Some(within) => TimeDelta::from_std(within.get()).unwrap_or(TimeDelta::MAX),
        None => WITHIN,
    };
    // Longer ago than there is time is as long ago as there is.
    let since = Utc::now()
        .checked_sub_signed(within)
        .unwrap_or(DateTime::<Utc>::MIN_UTC);
    let scans = shared.fleet.store().compliance(filter, page).await?;
    let view = |scans| ComplianceView::new(scans, since);
    Ok(Answer(List {
        next_cursor: scans.next.as_ref().map(cursor),
        items: scans.items.into_iter().map(view).collect(),
    }))
}
