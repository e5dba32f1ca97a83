//! Claims: agents open and poll them, operators accept them.
use crate::{
    auth, certificate,
    error::ApiError,
    extract::{Json, JsonBytes, Named, Params, parse},
    paging::{cursor, page},
    rest::{AcceptRequest, ClaimView, List, PageQuery},
    state::Shared,
    throttle::network,
};
use axum::{
    Extension, Json as Answer,
    extract::State,
    http::{Extensions, HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::Utc;
use core_model::{ClaimId, Secret};
use fleet_core::{ClaimAnswer, Operator, Store};
use fleet_wire::{ClaimPending, ClaimRequest, ClaimResponse};

const TOKEN: HeaderName = HeaderName::from_static("x-claim-token");

/// `POST /api/v1/claims`: of anybody, so it is counted by network before anything else.
pub(crate) async fn open<S: Store>(
    State(shared): State<Shared<S>>,
    extensions: Extensions,
    headers: HeaderMap,
    JsonBytes(body): JsonBytes,
) -> Result<(StatusCode, Answer<ClaimResponse>), ApiError> {
    let (peer, now) = (auth::peer(&extensions), Utc::now());
    let too_many = |wait| ApiError::too_many(wait, "too many claims from this network; try again later");
    shared.claims.pass(peer, now).map_err(too_many)?;
    let request: ClaimRequest = parse(&body)?;
    // The key would open nothing beside another agent's certificate.
    certificate::check_beside(&shared, certificate::shown(&shared, &extensions), &request.name).await?;
    let claim = shared
        .fleet
        .open_claim(request, &network(peer).to_string(), now)
        .await?;
    tracing::debug!(name = claim.name, from = %peer, "an agent waits to be claimed");
    let answer = ClaimResponse {
        claim_id: claim.id,
        code: claim.code.to_string(),
        url: url(&shared, &headers),
        expires_at: claim.expires_at,
        poll_after_secs: claim.poll_after_secs(now),
    };
    Ok((StatusCode::CREATED, Answer(answer)))
}

/// `GET /api/v1/claims/{claim_id}`.
pub(crate) async fn poll<S: Store>(
    State(shared): State<Shared<S>>,
    extensions: Extensions,
    headers: HeaderMap,
    Named(id): Named,
) -> Result<Response, ApiError> {
    let now = Utc::now();
    let too_many = |wait| ApiError::too_many(wait, "too many polls from this network; try again later");
    shared.polls.pass(auth::peer(&extensions), now).map_err(too_many)?;
    let token = headers.get(TOKEN).and_then(|token| token.to_str().ok());
    let (Ok(claim), Some(token)) = (id.parse::<ClaimId>(), token) else {
        return Err(fleet_core::PollClaimError::Unknown.into());
    };
    Ok(
        match shared
            .fleet
            .poll_claim(claim, &Secret::new(token.to_owned()), now)
            .await?
        {
            ClaimAnswer::Accepted(answer) => Answer(answer).into_response(),
            ClaimAnswer::Pending(claim) => {
                let pending = ClaimPending {
                    expires_at: claim.expires_at,
                    poll_after_secs: claim.poll_after_secs(now),
                };
                (StatusCode::ACCEPTED, Answer(pending)).into_response()
            }
        },
    )
}

pub(crate) async fn accept<S: Store>(
    State(shared): State<Shared<S>>,
    Extension(operator): Extension<Operator>,
    Json(request): Json<AcceptRequest>,
) -> Result<Answer<ClaimView>, ApiError> {
    let now = Utc::now();
    let claim = shared
        .fleet
        .accept_claim(&operator, &request.code, request.name, now)
        .await?;
    Ok(Answer(ClaimView::new(claim, now)))
}

pub(crate) async fn list<S: Store>(
    State(shared): State<Shared<S>>,
    Params(query): Params<PageQuery>,
) -> Result<Answer<List<ClaimView>>, ApiError> {
    let page = page(query.cursor.as_deref(), query.limit)?;
    let claims = shared.fleet.store().claims(page).await?;
    let now = Utc::now();
    Ok(Answer(List {
        next_cursor: claims.next.as_ref().map(cursor),
        items: claims
            .items
            .into_iter()
            .map(|claim| ClaimView::new(claim, now))
            .collect(),
    }))
}

/// `GET /claim`: whoever follows the URL that an agent shows learns what to do there.
pub(crate) async fn page_for_people() -> &'static str {
    "An agent shows this address with a code, because it has no credentials yet.\n\n\
     To let it into the fleet, on a machine that is signed in to this controller:\n\n    \
     fleet-controller claims          which agents wait, and from where\n    \
     fleet-controller claim CODE      lets the one in that shows this code\n"
}

/// Where an operator learns how to type the code.
fn url<S>(shared: &Shared<S>, headers: &HeaderMap) -> String {
    if let Some(base) = (shared.public_url)() {
        return format!("{}/claim", base.trim_end_matches('/'));
    }
    // As the agent itself reached this controller; what it makes of it harms nobody else.
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or("localhost");
    let scheme = if shared.is_encrypted { "https" } else { "http" };
    format!("{scheme}://{host}/claim")
}
