//! The routes, and who may use each.
use crate::{
    agents, auth, claims, commands, compliance, configs, detections,
    error::ApiError,
    files, fleet, groups, ingest, join_tokens, link, scans, sessions,
    state::{AppState, Shared},
    throttle::Throttle,
};
use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::{HeaderValue, Method, StatusCode, Uri, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::Response,
    routing::{MethodRouter, delete, get, patch, post, put},
};
use fleet_core::Store;
use std::sync::Arc;
use transport_http::{HealthOptions, health_routes};

/// A route that operators alone may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorRoute {
    /// Its method.
    pub method: Method,
    /// Its path, with `{…}` for what varies.
    pub path: &'static str,
    operation: Operation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Logout,
    ChangePassword,
    ListAgents,
    ShowAgent,
    RevokeAgent,
    AmendAgent,
    RotateKey,
    ShowConfig,
    SetConfig,
    WithdrawConfig,
    ConfigHistory,
    RollBackConfig,
    SendCommand,
    ListCommands,
    ShowCommand,
    CancelCommand,
    ListGroups,
    ShowGroup,
    PutGroup,
    RemoveGroup,
    ListClaims,
    AcceptClaim,
    ListFiles,
    ShowFile,
    ListChanges,
    ListDetections,
    ShowDetection,
    AcknowledgeDetection,
    UnacknowledgeDetection,
    ListScans,
    ShowScan,
    ListCompliance,
    ShowStatistics,
    CreateJoinToken,
    ListJoinTokens,
    RevokeJoinToken,
}

const fn route(method: Method, path: &'static str, operation: Operation) -> OperatorRoute {
    OperatorRoute {
        method,
        path,
        operation,
    }
}

/// Every route that wants an operator's token. The router is built from this table and from nothing else, so that a test
/// that walks it has tried them all.
pub static OPERATOR_ROUTES: [OperatorRoute; 36] = [
    route(Method::POST, "/api/v1/auth/logout", Operation::Logout),
    route(Method::POST, "/api/v1/auth/password", Operation::ChangePassword),
    route(Method::GET, "/api/v1/agents", Operation::ListAgents),
    route(Method::GET, "/api/v1/agents/{agent}", Operation::ShowAgent),
    route(Method::DELETE, "/api/v1/agents/{agent}", Operation::RevokeAgent),
    route(Method::PATCH, "/api/v1/agents/{agent}", Operation::AmendAgent),
    route(Method::POST, "/api/v1/agents/{agent}/rotate-key", Operation::RotateKey),
    route(Method::GET, "/api/v1/agents/{agent}/config", Operation::ShowConfig),
    route(Method::PUT, "/api/v1/agents/{agent}/config", Operation::SetConfig),
    route(
        Method::DELETE,
        "/api/v1/agents/{agent}/config",
        Operation::WithdrawConfig,
    ),
    route(
        Method::GET,
        "/api/v1/agents/{agent}/config/history",
        Operation::ConfigHistory,
    ),
    route(
        Method::POST,
        "/api/v1/agents/{agent}/config/rollback",
        Operation::RollBackConfig,
    ),
    route(Method::POST, "/api/v1/commands", Operation::SendCommand),
    route(Method::GET, "/api/v1/commands", Operation::ListCommands),
    route(Method::GET, "/api/v1/commands/{id}", Operation::ShowCommand),
    route(Method::POST, "/api/v1/commands/{id}/cancel", Operation::CancelCommand),
    route(Method::GET, "/api/v1/groups", Operation::ListGroups),
    route(Method::GET, "/api/v1/groups/{group}", Operation::ShowGroup),
    route(Method::PUT, "/api/v1/groups/{group}", Operation::PutGroup),
    route(Method::DELETE, "/api/v1/groups/{group}", Operation::RemoveGroup),
    route(Method::GET, "/api/v1/claims", Operation::ListClaims),
    route(Method::POST, "/api/v1/claims/accept", Operation::AcceptClaim),
    route(Method::GET, "/api/v1/files", Operation::ListFiles),
    route(Method::GET, "/api/v1/files/entry", Operation::ShowFile),
    route(Method::GET, "/api/v1/files/changes", Operation::ListChanges),
    route(Method::GET, "/api/v1/detections", Operation::ListDetections),
    route(Method::GET, "/api/v1/detections/{id}", Operation::ShowDetection),
    route(
        Method::POST,
        "/api/v1/detections/{id}/acknowledge",
        Operation::AcknowledgeDetection,
    ),
    route(
        Method::DELETE,
        "/api/v1/detections/{id}/acknowledge",
        Operation::UnacknowledgeDetection,
    ),
    route(Method::GET, "/api/v1/scans", Operation::ListScans),
    route(Method::GET, "/api/v1/scans/{id}", Operation::ShowScan),
    route(Method::GET, "/api/v1/compliance", Operation::ListCompliance),
    route(Method::GET, "/api/v1/statistics", Operation::ShowStatistics),
    route(Method::POST, "/api/v1/join-tokens", Operation::CreateJoinToken),
    route(Method::GET, "/api/v1/join-tokens", Operation::ListJoinTokens),
    route(Method::DELETE, "/api/v1/join-tokens/{id}", Operation::RevokeJoinToken),
];

fn handler<S: Store>(operation: Operation) -> MethodRouter<Shared<S>> {
    match operation {
        Operation::Logout => post(sessions::logout),
        Operation::ChangePassword => post(sessions::change_password),
        Operation::ListAgents => get(fleet::list),
        Operation::ShowAgent => get(fleet::show),
        Operation::RevokeAgent => delete(fleet::revoke),
        Operation::AmendAgent => patch(fleet::amend),
        Operation::RotateKey => post(fleet::rotate_key),
        Operation::ShowConfig => get(configs::show),
        Operation::SetConfig => put(configs::set),
        Operation::WithdrawConfig => delete(configs::withdraw),
        Operation::ConfigHistory => get(configs::history),
        Operation::RollBackConfig => post(configs::roll_back),
        Operation::SendCommand => post(commands::send),
        Operation::ListCommands => get(commands::list),
        Operation::ShowCommand => get(commands::show),
        Operation::CancelCommand => post(commands::cancel),
        Operation::ListGroups => get(groups::list),
        Operation::ShowGroup => get(groups::show),
        Operation::PutGroup => put(groups::put),
        Operation::RemoveGroup => delete(groups::remove),
        Operation::ListClaims => get(claims::list),
        Operation::AcceptClaim => post(claims::accept),
        Operation::ListFiles => get(files::list),
        Operation::ShowFile => get(files::show),
        Operation::ListChanges => get(files::changes),
        Operation::ListDetections => get(detections::list),
        Operation::ShowDetection => get(detections::show),
        Operation::AcknowledgeDetection => post(detections::acknowledge),
        Operation::UnacknowledgeDetection => delete(detections::unacknowledge),
        Operation::ListScans => get(scans::list),
        Operation::ShowScan => get(scans::show),
        Operation::ListCompliance => get(compliance::list),
        Operation::ShowStatistics => get(fleet::statistics),
        Operation::CreateJoinToken => post(join_tokens::create),
        Operation::ListJoinTokens => get(join_tokens::list),
        Operation::RevokeJoinToken => delete(join_tokens::revoke),
    }
}

/// All routes over this state.
pub fn router<S: Store>(state: AppState<S>) -> Router {
    let shared = Shared {
        fleet: state.fleet,
        metrics: state.metrics,
        logins: Arc::new(Throttle::new(state.settings.logins_per_minute)),
        claims: Arc::new(Throttle::new(state.settings.claims_per_minute)),
        polls: Arc::new(Throttle::new(state.settings.polls_per_minute)),
        messages: Arc::new(Throttle::new(state.settings.messages_per_minute)),
        links: state.links,
        read_config: state.read_config,
        public_url: state.public_url,
        is_encrypted: state.settings.is_encrypted,
    };
    let operators = OPERATOR_ROUTES
        .iter()
        .fold(Router::new(), |router, route| {
            router.route(route.path, handler(route.operation))
        })
        .route_layer(from_fn_with_state(shared.clone(), auth::require_operator));
    let agents = Router::new()
        .route("/api/v1/ingest", post(ingest::records))
        .route("/api/v1/agents/me/heartbeat", post(agents::heartbeat))
        .route("/api/v1/agents/me/key", post(agents::renew_key))
        .route("/api/v1/agents/me/leave", post(agents::leave))
        .route("/api/v1/agents/me/messages", post(link::messages))
        .route("/ws/agent", get(link::connect))
        .route("/api/files/ingest", post(ingest::files_v1))
        .route("/api/agents/register", post(agents::register_v1))
        .route("/api/agents/heartbeat", post(agents::heartbeat_v1))
        .route("/api/agents/heartbeat/{agent}", post(agents::heartbeat_v1_named))
        .route("/api/agents/{agent}/config", get(agents::config_v1))
        .route("/api/agents/{agent}/commands", get(agents::commands_v1))
        .route_layer(from_fn_with_state(shared.clone(), auth::require_agent));
    let anybody = Router::new()
        .route("/api/v1/auth/login", post(sessions::login))
        .route("/api/v1/agents/enroll", post(agents::enroll))
        .route("/api/v1/claims", post(claims::open))
        .route("/api/v1/claims/{id}", get(claims::poll))
        .route("/claim", get(claims::page_for_people))
        // Looks for itself: a token, or the loopback address.
        .route("/metrics", get(fleet::metrics));
    operators
        .merge(agents)
        .merge(anybody)
        .with_state(shared)
        .merge(health_routes(state.health, &HealthOptions::default()))
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(state.settings.max_body))
        .layer(from_fn(guard_answers))
}

async fn nothing_here(uri: Uri) -> ApiError {
    ApiError::not_found("not_found", format!("there is nothing at `{}`", uri.path()))
}

async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    let detail = format!("`{}` does not take {method}", uri.path());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

/// Answers hold names, paths and at times secrets: no cache keeps them, and no browser takes them for anything else.
async fn guard_answers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
