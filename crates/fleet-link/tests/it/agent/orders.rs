//! What a controller can have every agent do.
use crate::link::{
    agent::{Agent, Plan, command, ended, order, result_of},
    controller::{Controller, guard},
};
use fleet_link::{
    Verb, Verbs,
    agent::{AgentOrders, Ended, Reply, reply},
};
use fleet_wire::link::{AgentMessage, Outcome};
use serde_json::{Value, json};
use tokio::sync::mpsc;
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

#[tokio::test]
async fn a_command_is_answered_by_how_the_work_ended_that_it_asked_for_and_tells_meanwhile_how_far_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    let (ask, mut asked) = mpsc::unbounded_channel::<Reply>();
    let sweep = Verb::new(move |_, context| {
        let (reply, awaited) = reply();
        ask.send(reply).unwrap();
        async move {
            let tell = || context.progress.tell(3, Some(7), "gates");
            awaited.end(&context, "sweep_failed", "it goes on tomorrow", tell).await
        }
    });
    let agent = Agent::start(&dir, &controller, Plan::with(Verbs::new().with("sweep", sweep)));
    let (mut peer, _) = controller.linked().await;
    let end = |was_stopped| {
        Some(Ok(Ended {
            was_stopped,
            report: json!({"gates": 7}),
        }))
    };
    for (end, outcome, code, detail, body) in [
        (end(false), Outcome::Done, "", "", json!({"gates": 7})),
        (
            end(true),
            Outcome::Failed,
            "stopped",
            "it goes on tomorrow",
            json!({"gates": 7}),
        ),
        (
            Some(Err("no gate".to_owned())),
            Outcome::Failed,
            "sweep_failed",
            "no gate",
            Value::Null,
        ),
        (None, Outcome::Cancelled, "", "", Value::Null),
    ] {
        let sweep = command("sweep");
        peer.say(order(&sweep)).await;
        let reply = guard("the wish", asked.recv()).await.unwrap();
        let progress = peer.wait_for(|message| match message {
            AgentMessage::Progress(progress) => Some(progress),
            _ => None,
        });
        let progress = progress.await;
        assert_eq!(
            (progress.command, progress.done, progress.total),
            (sweep.command, 3, Some(7))
        );
        match end {
            Some(end) => reply.ended(end),
            None => drop(reply),
        }
        let told = peer.wait_for(result_of(sweep.command)).await;
        assert_eq!(
            (ended(&told), told.detail.as_str(), told.body.clone()),
            ((outcome, code), detail, body)
        );
    }
    agent.stop().await;
}
