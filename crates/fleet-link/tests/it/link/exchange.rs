//! What is said on a connection once it is there: in time, in answer, and of the configuration.
use super::{
    agent::{Agent, Plan, heartbeat},
    controller::{Controller, in_secs, welcome},
};
use fleet_link::LinkHooks;
use fleet_wire::{
    Heartbeat,
    link::{
        AgentMessage, Config, ConfigOutcome, ConfigReport, ConfigVersion, ControllerMessage, ErrorMessage, HostSample,
        Throttle, Welcome,
    },
};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering::Relaxed},
};
use tokio::sync::Notify;

pub(super) fn version(number: u64) -> ConfigVersion {
    ConfigVersion {
        version: number,
        sha256: "ab".repeat(32),
    }
}

fn report_of(message: AgentMessage) -> Option<ConfigReport> {
    match message {
        AgentMessage::ConfigReport(report) => Some(report),
        _ => None,
    }
}

#[tokio::test]
async fn heartbeats_and_samples_come_as_often_as_they_are_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    let sample = || {
        std::future::ready(Some(HostSample {
            at: in_secs(0),
            cpu_percent: Some(12.5),
            load_1m: None,
            memory_used_bytes: None,
            memory_total_bytes: None,
            process_resident_bytes: None,
            process_cpu_secs: None,
            uptime_secs: None,
        }))
    };
    let plan = Plan {
        hooks: LinkHooks::new(async || heartbeat()).with_sample(sample),
        ..Plan::default()
    };
    let agent = Agent::start(&dir, &controller, plan);
    let mut peer = controller.peer().await;
    peer.hello().await;
    let welcome = Welcome {
        heartbeat_secs: 1,
        ..welcome()
    };
    peer.say(ControllerMessage::Welcome(welcome)).await;
    for _ in 0..2 {
        // Of samples none was wanted.
        assert_eq!(peer.hear().await, Some(AgentMessage::Heartbeat(heartbeat())));
    }
    peer.say(ControllerMessage::Throttle(Throttle {
        telemetry_secs: 1,
        heartbeat_secs: None,
    }))
    .await;
    let mut samples = 0;
    while samples < 2 {
        match peer.hear().await.unwrap() {
            AgentMessage::Telemetry(sample) => {
                assert_eq!(sample.cpu_percent, Some(12.5));
                samples += 1;
            }
            AgentMessage::Heartbeat(_) => {}
            other => panic!("{other:?}"),
        }
    }
    agent.stop().await;
}

#[tokio::test]
async fn a_configuration_is_handed_over_and_its_report_told_with_each_connection() {
    let dir = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    let took = Arc::<Mutex<Vec<Config>>>::default();
    let takes = Arc::clone(&took);
    let apply = move |config: Config| {
        let about = config.version.clone();
        takes.lock().unwrap().push(config);
        std::future::ready(ConfigReport {
            running: about.clone(),
            about,
            outcome: ConfigOutcome::Applied,
            problems: vec![],
            needs_restart: vec!["database.path".to_owned()],
            at: in_secs(0),
        })
    };
    let plan = Plan {
        hooks: LinkHooks::new(async || heartbeat()).with_config(|| None, apply),
        ..Plan::default()
    };
    let agent = Agent::start(&dir, &controller, plan);
    let (mut peer, _) = controller.linked().await;
    let config = Config {
        version: Some(version(8)),
        text: "scan:\n  every: 6h\n".to_owned(),
    };
    peer.say(ControllerMessage::Config(config.clone())).await;
    let report = peer.wait_for(report_of).await;
    assert_eq!(
        (&report.running, report.outcome),
        (&Some(version(8)), ConfigOutcome::Applied)
    );
    assert_eq!(*took.lock().unwrap(), [config]);
    drop(peer);
    let (mut peer, _) = controller.linked().await;
    assert_eq!(peer.wait_for(report_of).await, report);
    // One of a file on the agent's machine takes its place.
    let refused = ConfigReport {
        outcome: ConfigOutcome::Refused,
        about: None,
        ..report
    };
    agent.link.report_config(refused.clone());
    assert_eq!(peer.wait_for(report_of).await, refused);
    agent.stop().await;
}

#[tokio::test]
async fn what_is_not_understood_is_answered_and_the_link_stays() {
    let dir = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    let agent = Agent::start(&dir, &controller, Plan::default());
    let (mut peer, _) = controller.linked().await;
    let id = "019c0000-0000-7000-8000-000000000001";
    for (text, code, is_about) in [
        ("no JSON at all", "invalid_envelope", false),
        (r#"{"type":"COMMAND"}"#, "invalid_envelope", false),
        (
            &format!(r#"{{"type":"DANCE","v":1,"id":"{id}","payload":{{}}}}"#),
            "unknown_type",
            true,
        ),
        (
            &format!(r#"{{"type":"HELLO","v":1,"id":"{id}","payload":{{}}}}"#),
            "unknown_type",
            true,
        ),
        (
            &format!(r#"{{"type":"CANCEL","v":2,"id":"{id}","payload":{{}}}}"#),
            "unknown_version",
            true,
        ),
        (
            &format!(r#"{{"type":"CANCEL","v":1,"id":"{id}","payload":[]}}"#),
            "invalid_payload",
            true,
        ),
        (
            &format!(r#"{{"type":"CONFIG","v":1,"id":"{id}","payload":{{}},"x":1}}"#),
            "not_configurable",
            true,
        ),
    ] {
        peer.say_text(text.to_owned()).await;
        let error = peer.error().await;
        assert_eq!(
            (error.code.as_str(), error.about.is_some()),
            (code, is_about),
            "{text}: {error:?}"
        );
    }
    // An ERROR is not answered by another.
    let error = ErrorMessage {
        code: "unknown_type".to_owned(),
        detail: String::new(),
        about: None,
    };
    peer.say(ControllerMessage::Error(error)).await;
    peer.say_text("the end".to_owned()).await;
    assert_eq!(peer.error().await.code, "invalid_envelope");
    agent.stop().await;
}

#[tokio::test]
async fn a_product_that_takes_its_time_holds_up_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    let calls = Arc::new(AtomicU32::new(0));
    let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (called, asks, goes) = (Arc::clone(&calls), Arc::clone(&asked), Arc::clone(&go));
    // HELLO is answered at once, and the heartbeat after it when the test says so.
    let slow = move || {
        let (number, asks, goes) = (called.fetch_add(1, Relaxed), Arc::clone(&asks), Arc::clone(&goes));
        async move {
            if number == 1 {
                asks.notify_one();
                goes.notified().await;
            }
            Heartbeat {
                files_processed: number.into(),
                ..heartbeat()
            }
        }
    };
    let plan = Plan {
        hooks: LinkHooks::new(slow),
        ..Plan::default()
    };
    let agent = Agent::start(&dir, &controller, plan);
    let mut peer = controller.peer().await;
    peer.hello().await;
    let welcome = Welcome {
        heartbeat_secs: 1,
        ..welcome()
    };
    peer.say(ControllerMessage::Welcome(welcome)).await;
    asked.notified().await;
    peer.say_text("nonsense".to_owned()).await;
    assert_eq!(peer.error().await.code, "invalid_envelope");
    go.notify_one();
    let first = |message| match message {
        AgentMessage::Heartbeat(heartbeat) => Some(heartbeat.files_processed),
        _ => None,
    };
    assert_eq!(peer.wait_for(first).await, 1, "it was waited for, and is not left out");
    agent.stop().await;
}
