//! Detections of malware: listed, shown, acknowledged.
use crate::{
    error::ApiError,
    extract::{Named, OptionalJson, Params},
    files::bytes,
    fleet::{find, labels},
    groups,
    paging::{cursor, page},
    rest::{AcknowledgeRequest, DetectionDetailView, DetectionQuery, DetectionState, DetectionView, EventQuery, List},
    state::Shared,
};
use axum::{Extension, Json as Answer, extract::State, http::StatusCode};
use chrono::Utc;
use core_model::Site;
use fleet_core::{AgentSelector, DetectionFilter, EventFound, EventRef, EventsOf, Glob, Operator, Store};
use fleet_wire::Outcome;
use serde::de::DeserializeOwned;

pub(crate) async fn list<S: Store>(
    State(shared): State<Shared<S>>,
    Params(query): Params<DetectionQuery>,
) -> Result<Answer<List<DetectionView>>, ApiError> {
    let page = page(query.cursor.as_deref(), query.limit)?;
    let of = Whose {
        agent: query.agent,
        site: query.site,
        labels: query.labels,
        group: query.group,
        revoked: query.revoked.unwrap_or(false),
    };
    let filter = DetectionFilter {
        of: of.resolve(&shared).await?,
        signature: query.signature.map(Glob::new),
        path: query.path.map(Glob::new),
        prefix: bytes(query.prefix, query.prefix_raw.as_deref(), "prefix_raw")?.unwrap_or_default(),
        rule: query.rule,
        outcome: word("outcome", query.outcome, Outcome::name)?,
        open: query.state.map(|state| state == DetectionState::Open),
        acknowledged: query.acknowledged,
        since: query.since,
        until: query.until,
    };
    let detections = shared.fleet.store().detections(filter, page).await?;
    Ok(Answer(List {
        next_cursor: detections.next.as_ref().map(cursor),
        items: detections.items.into_iter().map(Into::into).collect(),
    }))
}

pub(crate) async fn show<S: Store>(
    State(shared): State<Shared<S>>,
    Named(id): Named,
    Params(query): Params<EventQuery>,
) -> Result<Answer<DetectionDetailView>, ApiError> {
    let named = event(&shared, DETECTION, &id, &query).await?;
    detail(&shared, &id, named).await
}

pub(crate) async fn acknowledge<S: Store>(
    State(shared): State<Shared<S>>,
    Extension(operator): Extension<Operator>,
    Named(id): Named,
    Params(query): Params<EventQuery>,
    OptionalJson(request): OptionalJson<AcknowledgeRequest>,
) -> Result<Answer<DetectionDetailView>, ApiError> {
    let named = event(&shared, DETECTION, &id, &query).await?;
    let (fleet, now) = (&shared.fleet, Utc::now());
    let done = fleet.acknowledge_detection(&operator, named, request.note, now).await?;
    found(DETECTION, &id, done)?;
    detail(&shared, &id, named).await
}

pub(crate) async fn unacknowledge<S: Store>(
    State(shared): State<Shared<S>>,
    Named(id): Named,
    Params(query): Params<EventQuery>,
) -> Result<StatusCode, ApiError> {
    let named = event(&shared, DETECTION, &id, &query).await?;
    found(DETECTION, &id, shared.fleet.unacknowledge_detection(named).await?)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn detail<S: Store>(
    shared: &Shared<S>,
    id: &str,
    named: EventRef,
) -> Result<Answer<DetectionDetailView>, ApiError> {
    let detail = found(DETECTION, id, shared.fleet.store().detection(named).await?)?;
    Ok(Answer(detail.into()))
}

/// What one kind of event is called.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    name: &'static str,
    not_found: &'static str,
    ambiguous: &'static str,
}

const DETECTION: Kind = Kind {
    name: "detection",
    not_found: "detection_not_found",
    ambiguous: "detection_ambiguous",
};

pub(crate) const SCAN: Kind = Kind {
    name: "scan",
    not_found: "scan_not_found",
    ambiguous: "scan_ambiguous",
};

/// The event that a route is about.
pub(crate) async fn event<S: Store>(
    shared: &Shared<S>,
    kind: Kind,
    id: &str,
    query: &EventQuery,
) -> Result<EventRef, ApiError> {
    Ok(EventRef {
        id: id.parse().map_err(|_| unknown(kind, id))?,
        agent: match &query.agent {
            Some(agent) => Some(find(shared, agent).await?.agent.id),
            None => None,
        },
    })
}

/// What was found, or why nothing is answered.
pub(crate) fn found<T>(kind: Kind, id: &str, found: EventFound<T>) -> Result<T, ApiError> {
    match found {
        EventFound::One(found) => Ok(found),
        EventFound::None => Err(unknown(kind, id)),
        EventFound::Ambiguous => {
            let detail = format!(
                "several agents told of a {} `{id}`, as copies of a host do: say whose is meant by `agent`, at the \
                 command line --agent",
                kind.name
            );
            Err(ApiError::new(StatusCode::CONFLICT, kind.ambiguous, detail))
        }
    }
}

fn unknown(kind: Kind, id: &str) -> ApiError {
    ApiError::not_found(kind.not_found, format!("there is no {} `{id}`", kind.name))
}

/// A word of the wire that a list is narrowed by. The wire takes unknown ones of later agents for `other`; whoever asks for
/// one has mistyped it.
pub(crate) fn word<T: DeserializeOwned + Copy>(
    what: &str,
    text: Option<String>,
    name: fn(T) -> &'static str,
) -> Result<Option<T>, ApiError> {
    let Some(text) = text else { return Ok(None) };
    let read = serde_json::from_value(text.as_str().into()).ok();
    let known = read.filter(|word| name(*word) == text);
    let wrong = || ApiError::bad_request("invalid_query", format!("there is no {what} `{text}`"));
    known.map(Some).ok_or_else(wrong)
}

/// Whose events are asked for, in the words of a query.
pub(crate) struct Whose {
    pub(crate) agent: Option<String>,
    pub(crate) site: Option<Site>,
    pub(crate) labels: Option<String>,
    pub(crate) group: Option<String>,
    pub(crate) revoked: bool,
}

impl Whose {
    pub(crate) async fn resolve<S: Store>(self, shared: &Shared<S>) -> Result<EventsOf, ApiError> {
        let mut selectors = vec![AgentSelector {
            site: self.site,
            labels: labels(self.labels.as_deref())?,
            ..AgentSelector::default()
        }];
        if let Some(group) = &self.group {
            selectors.push(groups::find(shared, group).await?.selector);
        }
        let agent = match &self.agent {
            Some(agent) => Some(find(shared, agent).await?.agent.id),
            None => None,
        };
        Ok(EventsOf {
            agent,
            selectors,
            revoked: self.revoked,
        })
    }
}
