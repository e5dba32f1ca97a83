//! An agent that stays up: which tasks it has, and how it ends.
use super::product::{Host, Work};
use crate::{link::controller::guard, rig::client_settings};
use daemon_kit::Exit;
use fleet_link::agent::{Agent, AgentParts, Daemon, Linked, daemon};
use serde_json::{Value, json};
use state_sqlite::RunLock;
use std::{
    process::Command,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio_util::sync::CancellationToken;
use transport_http::{Client, HealthOptions, HealthRegistry, Server, health_routes};

/// Asks this process to end, as a service manager does.
fn terminate() {
    let pid = std::process::id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
}

/// What `/health` says.
async fn document(registry: HealthRegistry) -> Value {
    let server = Server::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let client = Client::new(client_settings(&format!("http://{}", server.local_addr()))).unwrap();
    let routes = health_routes(registry, &HealthOptions::default());
    tokio::select! {
        served = server.run(routes, CancellationToken::new(), Duration::ZERO) => panic!("{served:?}"),
        document = guard("/health", client.get_json("/health")) => document.unwrap(),
    }
}

#[test]
fn a_daemon_begins_its_product_s_tasks_again_beside_every_agent_s_and_a_signal_ends_all_of_them() {
    let host = Host::new("{}");
    let process = Arc::clone(&host.process);
    let registry = Arc::<OnceLock<HealthRegistry>>::default();
    let known = Arc::clone(&registry);
    let exit = daemon(Arc::clone(&host.process), move |state, orders| {
        assert!(RunLock::is_held(&state.file));
        let health = Arc::new(process.health(&state)?);
        known.get_or_init(|| health.registry().clone());
        let agent = Agent::new(AgentParts {
            context: process.agent().clone(),
            state,
            health,
            hooks: Arc::<Work>::default(),
            verbs: orders.verbs(),
            document: None,
            linked: Linked::default(),
            join_token_file: None,
        });
        let (is_up, was_stuck, is_open) = (
            CancellationToken::new(),
            Arc::<AtomicBool>::default(),
            CancellationToken::new(),
        );
        let up = is_up.clone();
        Ok(Daemon::new(agent, move || up.cancel(), "the gates are looked at again")
            .task(
                "gates",
                (was_stuck, is_open.clone()),
                |(was_stuck, is_open), stop| async move {
                    anyhow::ensure!(was_stuck.swap(true, Relaxed), "a gate is stuck");
                    is_open.cancel();
                    stop.cancelled().await;
                    Ok(())
                },
            )
            .task("watch", (is_up, is_open), |(is_up, is_open), stop| async move {
                guard("that it is up", is_up.cancelled()).await;
                guard("the second start of `gates`", is_open.cancelled()).await;
                terminate();
                stop.cancelled().await;
                Ok(())
            }))
    });
    assert_eq!(exit.unwrap(), Exit::Done);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let document = runtime.unwrap().block_on(document(registry.get().unwrap().clone()));
    // It asks the state how that is.
    drop(registry);
    assert!(!RunLock::is_held(&host.process.state_file()));
    let tasks = json!({
        "status": "healthy",
        "configuration": "done", "health": "done", "telemetry": "done", "link": "done", "upkeep": "done",
        "gates": "done; restarts: 1", "watch": "done",
    });
    assert_eq!(document["tasks"], tasks);
}

#[test]
fn a_daemon_whose_parts_cannot_be_made_says_why_and_leaves_its_state_unlocked() {
    let host = Host::new("{}");
    let exit = daemon(Arc::clone(&host.process), |_state, _orders| {
        anyhow::bail!("the gates have no names")
    });
    assert_eq!(exit.unwrap_err().to_string(), "the gates have no names");
    assert!(!RunLock::is_held(&host.process.state_file()));
}
