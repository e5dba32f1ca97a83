//! Who is asking: looked at before anything of the body is read.
use crate::{certificate, error::ApiError, state::Shared};
use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    middleware::Next,
    response::Response,
};
use chrono::Utc;
use fleet_core::{AgentIdentity, Operator, Store};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const OPERATOR: &str = "Bearer";
const AGENT: &str = "ApiKey";

/// Lets operators through, with an [`Operator`] beside the request.
pub(crate) async fn require_operator<S: Store>(
    State(shared): State<Shared<S>>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let operator = operator(&shared, request.headers()).await?;
    // Who did what belongs in the log; who only looked does not.
    let done = (!request.method().is_safe()).then(|| {
        let path = request.uri().path().to_owned();
        (operator.name.clone(), request.method().clone(), path)
    });
    request.extensions_mut().insert(operator);
    let answer = next.run(request).await;
    if let Some((operator, method, path)) = done {
        let status = answer.status().as_u16();
        tracing::info!(operator, %method, path, status, "an operator's request");
    }
    Ok(answer)
}

/// Lets agents through, with an [`AgentIdentity`] beside the request. A key that is presented decides alone: a certificate
/// never makes good what is wrong with it.
pub(crate) async fn require_agent<S: Store>(
    State(shared): State<Shared<S>>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let certified = certificate::shown(&shared, request.extensions());
    let agent = match request.headers().get(API_KEY) {
        Some(key) => {
            let agent = by_key(&shared, key).await?;
            certificate::check_beside(&shared, certified, &agent.name).await?;
            agent
        }
        None => by_certificate(&shared, certified?).await?,
    };
    request.extensions_mut().insert(agent);
    Ok(next.run(request).await)
}

async fn by_key<S: Store>(shared: &Shared<S>, key: &HeaderValue) -> Result<AgentIdentity, ApiError> {
    let unauthorized = || ApiError::unauthorized(AGENT);
    let key = key.to_str().map_err(|_| unauthorized())?;
    let agent = shared.fleet.authenticate_agent(key, Utc::now()).await?;
    not_revoked(agent.ok_or_else(unauthorized)?)
}

async fn by_certificate<S: Store>(shared: &Shared<S>, certified: Option<String>) -> Result<AgentIdentity, ApiError> {
    let certified = certified.ok_or_else(|| ApiError::unauthorized(AGENT))?;
    let agent = shared.fleet.agent_certified(&certified).await?;
    let unknown = || {
        let detail = format!("no agent is called `{certified}`, as the client certificate is: enrol it first");
        ApiError::unauthorized(AGENT).because(detail)
    };
    not_revoked(agent.ok_or_else(unknown)?)
}

fn not_revoked(agent: AgentIdentity) -> Result<AgentIdentity, ApiError> {
    if agent.revoked {
        return Err(ApiError::forbidden(
            "this agent was revoked; enrol it again with a new join token",
        ));
    }
    Ok(agent)
}

/// The operator whose bearer token came.
pub(crate) async fn operator<S: Store>(shared: &Shared<S>, headers: &HeaderMap) -> Result<Operator, ApiError> {
    let unauthorized = || ApiError::unauthorized(OPERATOR);
    let token = bearer(headers).ok_or_else(unauthorized)?;
    let operator = shared.fleet.authenticate_operator(token, Utc::now()).await?;
    operator.ok_or_else(unauthorized)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Where a request came from; requests that came by no socket share one address that is nobody's.
pub(crate) fn peer(request: &axum::http::Extensions) -> IpAddr {
    let socket = request.get::<ConnectInfo<SocketAddr>>();
    socket.map_or(Ipv6Addr::UNSPECIFIED.into(), |ConnectInfo(address)| {
        address.ip().to_canonical()
    })
}

/// Whether a request came from this machine and was not passed on by a proxy that stands on it.
pub(crate) fn is_local(peer: IpAddr, headers: &HeaderMap) -> bool {
    let passed_on = [
        header::FORWARDED,
        HeaderName::from_static("x-forwarded-for"),
        header::VIA,
    ];
    peer.is_loopback() && !passed_on.iter().any(|name| headers.contains_key(name))
}
