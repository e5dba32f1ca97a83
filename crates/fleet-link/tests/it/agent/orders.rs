//! What a controller can have every agent do.
use crate::link::{
    agent::{Agent, Plan, command, ended, order, result_of},
    controller::{Controller, guard},
};
use fleet_link::agent::AgentOrders;
use fleet_wire::link::Outcome;
use serde_json::json;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn stop_ends_all_work_in_hand_and_says_whether_there_was_any() {
    let dir = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    let orders = AgentOrders::new("1.2.3", CancellationToken::new());
    let agent = Agent::start(&dir, &controller, Plan::with(orders.verbs()));
    let (mut peer, _) = controller.linked().await;
    let (one, other) = (orders.begin(), orders.begin());
    let stop = command("stop");
    peer.say(order(&stop)).await;
    guard("the end of the work", async {
        tokio::join!(one.stopped(), other.stopped())
    })
    .await;
    let told = peer.wait_for(result_of(stop.command)).await;
    assert_eq!((told.outcome, told.body), (Outcome::Done, json!({"stopped": true})));
    drop(one);
    assert!(orders.is_working());
    drop(other);
    assert!(!orders.is_working());
    let stop = command("stop");
    peer.say(order(&stop)).await;
    let told = peer.wait_for(result_of(stop.command)).await;
    assert_eq!(told.body, json!({"stopped": false}));
    agent.stop().await;
}

#[tokio::test]
async fn restart_ends_the_agent_and_is_answered_by_the_version_that_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    let stop_agent = CancellationToken::new();
    let orders = AgentOrders::new("1.2.3", stop_agent.clone());
    let agent = Agent::start(&dir, &controller, Plan::with(orders.verbs()));
    let (mut peer, _) = controller.linked().await;
    assert!(!orders.wants_restart());
    let restart = command("restart");
    peer.say(order(&restart)).await;
    guard("the agent's end", stop_agent.cancelled()).await;
    assert!(orders.wants_restart());
    agent.stop().await;
    let orders = AgentOrders::new("1.2.4", CancellationToken::new());
    let agent = Agent::start(&dir, &controller, Plan::with(orders.verbs()));
    let (mut peer, _) = controller.linked().await;
    let told = peer.wait_for(result_of(restart.command)).await;
    assert_eq!(ended(&told), (Outcome::Done, ""));
    assert_eq!(told.body, json!({"version": "1.2.4"}));
    agent.stop().await;
}
