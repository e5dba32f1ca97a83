//! The same conversation where no WebSocket passes.
use super::{
    agent::{Agent, Plan, ack_of, command, order, result_of},
    controller::{Controller, Poll, welcome},
};
use core_model::Secret;
use fleet_link::{Transport, TransportChoice, Verb, Verbs};
use fleet_wire::link::{AgentMessage, CommandReport, Confirm, ControllerMessage, Hello, Outcome};
use serde_json::json;
use std::time::Duration;

fn hello_of(poll: &Poll) -> Option<Hello> {
    match poll.said().into_iter().next() {
        Some(AgentMessage::Hello(hello)) => Some(hello),
        _ => None,
    }
}

/// Answers the first poll of a conversation.
async fn welcomed(controller: &mut Controller) -> Hello {
    let poll = controller.poll().await;
    let hello = hello_of(&poll).unwrap();
    poll.answer([ControllerMessage::Welcome(welcome())]);
    hello
}

fn echo() -> Verbs {
    Verbs::new().with("echo", Verb::new(async |args, _| Ok(args)))
}

#[tokio::test]
async fn a_proxy_that_takes_no_upgrade_is_gone_around() {
    for status in [400, 403, 404, 426, 502] {
        let dir = tempfile::tempdir().unwrap();
        let mut controller = Controller::start().await;
        controller.refuse(1, status, "");
        let agent = Agent::start(&dir, &controller, Plan::with(echo()));
        welcomed(&mut controller).await;
        let connected = agent
            .status(|status| status.connected.is_some())
            .await
            .connected
            .unwrap();
        assert_eq!(connected.transport, Transport::Polling, "{status}");
        agent.stop().await;
    }
}

#[tokio::test]
async fn a_proxy_that_lets_no_socket_live_is_gone_around() {
    let dir = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    let agent = Agent::start(&dir, &controller, Plan::with(echo()));
    for _ in 0..3 {
        drop(controller.peer().await);
    }
    welcomed(&mut controller).await;
    assert_eq!(controller.upgrades(), 3);
    agent.stop().await;
}

#[tokio::test]
async fn a_command_goes_both_ways_by_polls() {
    let dir = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    let mut plan = Plan::with(echo());
    plan.settings.transport = TransportChoice::Polling;
    let agent = Agent::start(&dir, &controller, plan);
    let command = command("echo");
    let poll = controller.poll().await;
    assert_eq!(hello_of(&poll).unwrap().verbs, ["echo"]);
    // An hour until the next poll; what there is to say does not wait for it.
    poll.answer_after([ControllerMessage::Welcome(welcome()), order(&command)], 3600);
    let mut said = Vec::new();
    let told = loop {
        let poll = controller.poll().await;
        said.extend(poll.said());
        poll.answer_after([], 3600);
        if let Some(told) = said.iter().cloned().find_map(result_of(command.command)) {
            break told;
        }
    };
    assert!(
        said.into_iter()
            .any(|message| ack_of(command.command)(message).is_some())
    );
    assert_eq!((told.outcome, told.body), (Outcome::Done, json!({"n": 1})));
    assert_eq!(controller.upgrades(), 0);
    agent.stop().await;
}

#[tokio::test]
async fn a_poll_that_fails_is_followed_by_hello_and_every_result_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    let mut plan = Plan::with(echo());
    plan.settings.transport = TransportChoice::Polling;
    let agent = Agent::start(&dir, &controller, plan);
    let command = command("echo");
    controller
        .poll()
        .await
        .answer([ControllerMessage::Welcome(welcome()), order(&command)]);
    let found = |poll: &Poll| -> Option<CommandReport> { poll.said().into_iter().find_map(result_of(command.command)) };
    // Whether it heard the result before it failed, the agent cannot know.
    let told = loop {
        let poll = controller.poll().await;
        match found(&poll) {
            Some(told) => {
                poll.fail(502);
                break told;
            }
            None => poll.answer([]),
        }
    };
    let poll = controller.poll().await;
    assert_eq!(hello_of(&poll).unwrap().journal.len(), 1);
    assert_eq!(found(&poll), Some(told));
    let confirm = Confirm {
        command: command.command,
    };
    poll.answer([
        ControllerMessage::Welcome(welcome()),
        ControllerMessage::Confirm(confirm),
    ]);
    controller.poll().await.fail(502);
    assert!(welcomed(&mut controller).await.journal.is_empty());
    agent.stop().await;
}

#[tokio::test]
async fn a_socket_is_tried_again_after_a_while_of_polling() {
    let dir = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    controller.refuse(1, 404, "");
    let mut plan = Plan::with(echo());
    plan.settings.socket_again_after = Duration::ZERO;
    let agent = Agent::start(&dir, &controller, plan);
    let (_peer, _) = controller.linked().await;
    let is_by_socket = |status: &fleet_link::LinkStatus| {
        let transport = status.connected.as_ref().map(|connected| connected.transport);
        transport == Some(Transport::WebSocket)
    };
    agent.status(is_by_socket).await;
    assert_eq!(controller.upgrades(), 2);
    agent.stop().await;
}

#[tokio::test]
async fn where_neither_passes_the_socket_comes_first_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    controller.refuse(2, 502, "");
    let agent = Agent::start(&dir, &controller, Plan::with(echo()));
    controller.poll().await.fail(502);
    controller.poll().await.fail(502);
    let (_peer, _) = controller.linked().await;
    agent.stop().await;
}

#[tokio::test]
async fn a_key_that_is_refused_to_a_poll_is_not_hurried_either() {
    let dir = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    let mut plan = Plan::with(echo());
    plan.settings.transport = TransportChoice::Polling;
    let agent = Agent::start(&dir, &controller, plan);
    controller.poll().await.fail(401);
    let told = agent.status(|status| status.unauthorized).await;
    assert!((told.next_try.unwrap() - chrono::Utc::now()).num_seconds() > 100);
    agent.stop().await;
}

#[tokio::test]
async fn what_answers_polls_and_is_no_controller_is_no_link() {
    let dir = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    let mut plan = Plan::with(echo());
    plan.settings.transport = TransportChoice::Polling;
    let agent = Agent::start(&dir, &controller, plan);
    controller.poll().await.answer([]);
    let told = agent.status(|status| status.error.is_some()).await;
    assert!(told.error.unwrap().contains("without WELCOME"));
    agent.stop().await;
}

#[tokio::test]
async fn another_key_begins_another_session_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    let mut plan = Plan::with(echo());
    plan.settings.transport = TransportChoice::Polling;
    let agent = Agent::start(&dir, &controller, plan);
    let poll = controller.poll().await;
    assert!(hello_of(&poll).is_some());
    // Nothing else would make it ask again before this test is over.
    poll.answer_after([ControllerMessage::Welcome(welcome())], 300);
    agent.status(|status| status.connected.is_some()).await;
    agent.key.replace(Secret::new("another-key")).unwrap();
    welcomed(&mut controller).await;
    agent.stop().await;
}
