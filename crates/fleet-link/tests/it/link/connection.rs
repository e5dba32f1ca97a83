//! The connection: what begins it, what ends it, and how it comes back.
use super::{
    agent::{Agent, Held, Plan, command, ended, heartbeat, order, result_of},
    controller::{Controller, guard, welcome},
    exchange::version,
};
use core_model::{ByteSize, Secret, StreamId};
use fleet_link::{LinkHooks, Transport, TransportChoice, Verb, Verbs};
use fleet_wire::{
    Delivered, Heartbeat, Profile,
    link::{AgentMessage, ControllerMessage, ErrorMessage, GoAway, Outcome, Welcome},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use transport_http::SocketSettings;
use uuid::Uuid;

#[tokio::test]
async fn hello_says_who_is_there_and_the_status_who_answered() {
    let dir = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    let delivered = Delivered {
        stream: StreamId::from_uuid(Uuid::from_u128(1)),
        through: 5,
    };
    let alive = move || {
        let delivered = Some(delivered);
        std::future::ready(Heartbeat {
            delivered,
            ..heartbeat()
        })
    };
    let wanted = Arc::new(Notify::new());
    let wants = Arc::clone(&wanted);
    let hooks = LinkHooks::new(alive)
        .with_config(|| Some(version(3)), |_| std::future::pending())
        .on_snapshot_wanted(move || wants.notify_one());
    let verbs = Verbs::new().with("scan", Verb::new(async |_, _| Ok(().into())));
    let plan = Plan {
        hooks,
        ..Plan::with(verbs)
    };
    let agent = Agent::start(&dir, &controller, plan);
    let mut peer = controller.peer().await;
    let hello = peer.hello().await;
    assert_eq!(
        (
            hello.kind.as_str(),
            hello.version.as_str(),
            hello.hostname.as_str(),
            hello.machine.as_deref()
        ),
        ("scanner", "0.1.0", "web-1", Some("m"))
    );
    assert_eq!(
        (hello.capabilities, hello.verbs),
        (vec!["scan".to_owned()], vec!["scan".to_owned()])
    );
    assert_eq!((hello.config, hello.delivered), (Some(version(3)), Some(delivered)));
    assert!(agent.link.status().borrow().connected.is_none(), "not before WELCOME");
    let welcome = Welcome {
        snapshot_wanted: true,
        ..welcome()
    };
    peer.say(ControllerMessage::Welcome(welcome)).await;
    wanted.notified().await;
    let status = agent.status(|status| status.connected.is_some()).await;
    let connected = status.connected.unwrap();
    assert_eq!(
        (connected.transport, connected.epoch, connected.name.as_str()),
        (Transport::WebSocket, 4, "web-1")
    );
    assert_eq!((status.error, status.failures), (None, 0));
    agent.stop().await;
}

#[tokio::test]
async fn a_controller_that_falls_silent_is_left_for_a_new_connection() {
    let dir = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    let plan = Plan {
        socket: SocketSettings {
            ping_every: Duration::from_millis(30),
            answer_within: Duration::from_millis(60),
            ..SocketSettings::default()
        },
        ..Plan::default()
    };
    let agent = Agent::start(&dir, &controller, plan);
    // Held, and never read from again.
    let (_silent, _) = controller.linked().await;
    let (_peer, _) = controller.linked().await;
    agent.kill().await;
}

#[tokio::test]
async fn a_message_that_is_too_long_costs_the_connection_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    let plan = Plan {
        socket: SocketSettings {
            max_message: ByteSize::new(1000),
            ..SocketSettings::default()
        },
        ..Plan::default()
    };
    let agent = Agent::start(&dir, &controller, plan);
    let (mut peer, _) = controller.linked().await;
    agent.status(|status| status.connected.is_some()).await;
    peer.say_text("x".repeat(1001)).await;
    let status = agent.status(|status| status.error.is_some()).await;
    assert!(status.error.unwrap().contains("more than 1000 bytes"));
    let (_peer, _) = controller.linked().await;
    agent
        .status(|status| status.connected.is_some() && status.error.is_none())
        .await;
    agent.kill().await;
}

#[tokio::test]
async fn an_agent_that_is_sent_away_says_why_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    let agent = Agent::start(&dir, &controller, Plan::default());
    let (mut peer, _) = controller.linked().await;
    let goaway = GoAway {
        within_secs: 0,
        reason: "shutdown".to_owned(),
        detail: "the controller is being updated".to_owned(),
    };
    agent.status(|status| status.connected.is_some()).await;
    peer.say(ControllerMessage::GoAway(goaway)).await;
    assert_eq!(peer.hear().await, None, "it says farewell itself");
    let status = agent.status(|status| status.connected.is_none()).await;
    assert!(
        status
            .error
            .unwrap()
            .contains("the controller is being updated (shutdown)")
    );
    assert_eq!((status.failures, status.unauthorized), (0, false));
    let (_peer, _) = controller.linked().await;
    agent.stop().await;
}

#[tokio::test]
async fn a_copy_of_a_host_is_sure_of_it_when_it_is_refused_for_long() {
    let (dir, mut controller) = (tempfile::tempdir().unwrap(), Controller::start().await);
    let agent = Agent::start(&dir, &controller, Plan::default());
    let cloned = || {
        ControllerMessage::GoAway(GoAway {
            within_secs: 1,
            reason: "cloned".to_owned(),
            detail: "the agent is on the host `web-1`".to_owned(),
        })
    };
    let begun = Instant::now();
    for (is_sure, after) in [(false, 0), (true, 1)] {
        let mut peer = controller.peer().await;
        peer.hello().await;
        assert!(begun.elapsed() >= Duration::from_secs(after), "{:?}", begun.elapsed());
        peer.say(cloned()).await;
        let status = agent
            .status(|status| status.unauthorized && status.is_clone == is_sure)
            .await;
        assert!(status.connected.is_none());
    }
    let (_peer, _) = controller.linked().await;
    let status = agent.status(|status| status.connected.is_some()).await;
    assert!(!status.is_clone && !status.unauthorized);
    agent.stop().await;
}

#[tokio::test]
async fn an_agent_whose_key_is_refused_says_so_and_does_not_hurry() {
    let dir = tempfile::tempdir().unwrap();
    for (status, code) in [(401, "invalid_key"), (403, "revoked")] {
        let controller = Controller::start().await;
        controller.refuse(1000, status, code);
        let agent = Agent::start(&dir, &controller, Plan::default());
        let told = agent.status(|status| status.error.is_some()).await;
        assert!(told.unauthorized, "{told:?}");
        assert!(told.error.unwrap().contains("revoked or removed"));
        let wait = told.next_try.unwrap() - chrono::Utc::now();
        assert!(wait.num_seconds() > 100, "{wait}");
        assert_eq!(controller.upgrades(), 1);
        agent.stop().await;
    }
}

#[tokio::test]
async fn a_revoked_agent_is_told_on_the_open_link_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    let agent = Agent::start(&dir, &controller, Plan::default());
    let (mut peer, _) = controller.linked().await;
    let goaway = GoAway {
        within_secs: 0,
        reason: "revoked".to_owned(),
        detail: String::new(),
    };
    peer.say(ControllerMessage::GoAway(goaway)).await;
    let told = agent.status(|status| status.unauthorized).await;
    assert!((told.next_try.unwrap() - chrono::Utc::now()).num_seconds() > 100);
    agent.stop().await;
}

#[tokio::test]
async fn a_controller_that_is_away_is_found_when_it_comes() {
    let dir = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    // A busy controller says so itself: that is no reason for another transport.
    controller.refuse(4, 503, "starting");
    let agent = Agent::start(&dir, &controller, Plan::default());
    let told = agent.status(|status| status.failures >= 2).await;
    assert!(told.error.unwrap().contains("503"));
    let (_peer, _) = controller.linked().await;
    assert_eq!(controller.upgrades(), 5);
    agent.stop().await;
}

#[tokio::test]
async fn a_socket_that_is_opened_and_never_welcomed_is_not_enough() {
    let dir = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    let mut plan = Plan::default();
    plan.settings.welcome_within = Duration::from_millis(20);
    plan.settings.transport = TransportChoice::WebSocket;
    let agent = Agent::start(&dir, &controller, plan);
    let mut mute = Vec::new();
    for _ in 0..5 {
        mute.push(controller.peer().await);
    }
    let told = agent.status(|status| status.failures >= 4).await;
    assert!(told.error.unwrap().contains("did not answer HELLO"));
    agent.stop().await;
}

#[tokio::test]
async fn hello_is_said_again_where_the_controller_forgot_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    let agent = Agent::start(&dir, &controller, Plan::default());
    let (mut peer, _) = controller.linked().await;
    let error = ErrorMessage {
        code: "hello_wanted".to_owned(),
        detail: String::new(),
        about: None,
    };
    peer.say(ControllerMessage::Error(error)).await;
    let (_peer, _) = controller.linked().await;
    agent.stop().await;
}

#[tokio::test]
async fn a_socket_of_the_key_before_gives_way_to_one_of_the_new_key_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    let (held, mut begins) = Held::new();
    let agent = Agent::start(&dir, &controller, Plan::with(Verbs::new().with("scan", held.verb())));
    let (mut peer, _) = controller.linked().await;
    assert_eq!(peer.key, "agent-key");
    let wanted = command("scan");
    peer.say(order(&wanted)).await;
    begins.recv().await.unwrap();
    agent.key.replace(Secret::new("another-key")).unwrap();
    let (mut next, hello) = controller.linked().await;
    assert_eq!(next.key, "another-key");
    assert_eq!(hello.journal.len(), 1, "the command goes on");
    held.go();
    let report = next.wait_for(result_of(wanted.command)).await;
    assert_eq!(ended(&report).0, Outcome::Done);
    assert_eq!(controller.upgrades(), 2);
    agent.stop().await;
}

#[tokio::test]
async fn where_an_agent_runs_is_said_at_the_beginning_and_when_it_changes() {
    let (dir, mut controller) = (tempfile::tempdir().unwrap(), Controller::start().await);
    let at = |site: &str| Profile {
        site: Some(site.to_owned()),
        ..Profile::default()
    };
    let profile = watch::Sender::new(at("fra1"));
    let plan = Plan {
        hooks: LinkHooks::new(async || heartbeat()).with_profile(profile.subscribe()),
        ..Plan::default()
    };
    let agent = Agent::start(&dir, &controller, plan);
    let (mut peer, hello) = controller.linked().await;
    assert_eq!(hello.profile, Some(at("fra1")));
    profile.send_replace(at("ams2"));
    let told = peer.wait_for(|message| match message {
        AgentMessage::Heartbeat(heartbeat) => Some(heartbeat.profile),
        _ => None,
    });
    assert_eq!(
        told.await,
        Some(at("ams2")),
        "at once, not with the next heartbeat in half a minute"
    );
    drop(peer);
    let (_peer, hello) = controller.linked().await;
    assert_eq!(hello.profile, Some(at("ams2")));
    agent.stop().await;
}

#[tokio::test]
async fn the_product_hears_that_another_key_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    let wanted = Arc::new(Notify::new());
    let wants = Arc::clone(&wanted);
    let hooks = LinkHooks::new(async || heartbeat()).on_new_key_wanted(move || wants.notify_one());
    let plan = Plan {
        hooks,
        ..Plan::default()
    };
    let agent = Agent::start(&dir, &controller, plan);
    let mut peer = controller.peer().await;
    peer.hello().await;
    let welcome = Welcome {
        new_key_wanted: true,
        ..welcome()
    };
    peer.say(ControllerMessage::Welcome(welcome)).await;
    guard("the wish", wanted.notified()).await;
    agent.stop().await;
}
