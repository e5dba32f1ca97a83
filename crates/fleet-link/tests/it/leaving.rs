//! Leaving the fleet: what is said, and what becomes of the credentials.
use crate::rig::{client, noon};
use axum::{Router, http::StatusCode, routing::post};
use core_model::{AgentId, Secret};
use fleet_link::{CredentialFile, Credentials, LeaveError, Left, leave};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinSet};
use uuid::Uuid;

/// A controller that answers so, and an agent with credentials for it.
async fn stand(status: StatusCode) -> (String, TempDir, CredentialFile, JoinSet<()>) {
    let router = Router::new().route("/api/v1/agents/me/leave", post(move || async move { status }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    let dir = tempfile::tempdir().unwrap();
    let file = CredentialFile::in_dir(dir.path());
    let credentials = Credentials {
        agent_id: AgentId::from_uuid(Uuid::from_u128(7)),
        name: "web-1".to_owned(),
        api_key: Some(Secret::new("the-key")),
        server: url.clone(),
        enrolled_at: noon(),
        machine: None,
    };
    file.store(&credentials).unwrap();
    (url, dir, file, tasks)
}

#[tokio::test]
async fn whoever_leaves_keeps_no_credentials() {
    for (status, expected) in [
        (StatusCode::NO_CONTENT, Left::Now),
        (StatusCode::UNAUTHORIZED, Left::Before),
        (StatusCode::FORBIDDEN, Left::Before),
    ] {
        let (url, _dir, file, _tasks) = stand(status).await;
        assert_eq!(leave(&client(&url), &file).await.unwrap(), expected);
        assert!(!file.path().exists(), "{status}");
    }
}

#[tokio::test]
async fn whoever_could_not_say_so_is_still_of_the_fleet() {
    let (url, _dir, file, _tasks) = stand(StatusCode::NOT_FOUND).await;
    let error = leave(&client(&url), &file).await.unwrap_err();
    assert!(matches!(error, LeaveError::Untold(_)), "{error:?}");
    assert!(file.load(&url).unwrap().is_some());
}
