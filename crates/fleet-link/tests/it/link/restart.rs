//! Commands when the agent dies, or stops, between their receipt and their result.
use super::{
    agent::{Agent, Held, Plan, ack_of, command, ended, order, result_of},
    controller::Controller,
};
use fleet_link::{AfterRestartDecision, CommandError, Verb, Verbs};
use fleet_wire::link::{Cancel, Command, ControllerMessage, JournalState, Outcome};
use serde_json::json;
use state_sqlite::{CommandState, Database, OpenOptions};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// An agent that died while this command ran and another waited for it.
async fn killed(verb: impl Fn(&Held) -> Verb) -> (TempDir, Controller, Held, [Command; 2]) {
    let dir = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    let (held, mut begins) = Held::new();
    let agent = Agent::start(&dir, &controller, Plan::with(Verbs::new().with("scan", verb(&held))));
    let (mut peer, _) = controller.linked().await;
    let commands = [command("scan"), command("scan")];
    for command in &commands {
        peer.say(order(command)).await;
        peer.wait_for(ack_of(command.command)).await;
    }
    begins.recv().await.unwrap();
    agent.kill().await;
    (dir, controller, held, commands)
}

#[tokio::test]
async fn what_ran_is_honestly_unknown_and_what_waited_runs_once() {
    let (dir, mut controller, before, [first, second]) = killed(Held::verb).await;
    let (held, mut begins) = Held::new();
    let agent = Agent::start(&dir, &controller, Plan::with(Verbs::new().with("scan", held.verb())));
    begins.recv().await.unwrap();
    let (mut peer, hello) = controller.linked().await;
    assert_eq!(hello.journal.len(), 2, "{hello:?}");
    let told = peer.wait_for(result_of(first.command)).await;
    assert_eq!(ended(&told), (Outcome::Unknown, "interrupted"));
    assert!(told.started_at.is_some());
    held.go();
    assert_eq!(peer.wait_for(result_of(second.command)).await.outcome, Outcome::Done);
    // The controller had no answer, and so delivers it again.
    peer.say(order(&first)).await;
    assert_eq!(peer.wait_for(result_of(first.command)).await, told);
    agent.stop().await;
    assert_eq!((before.runs(), held.runs()), (1, 1));
}

#[tokio::test]
async fn a_verb_that_knows_decides_what_became_of_it() {
    let (dir, mut controller, _, [first, _]) = killed(Held::verb).await;
    let asked = Arc::<Mutex<Vec<_>>>::default();
    let (held, _begins) = Held::new();
    let asks = Arc::clone(&asked);
    let verb = held.verb().after_restart(move |interrupted| {
        asks.lock().unwrap().push(interrupted);
        std::future::ready(AfterRestartDecision::Done(json!({"restarted": true})))
    });
    let agent = Agent::start(&dir, &controller, Plan::with(Verbs::new().with("scan", verb)));
    let (mut peer, _) = controller.linked().await;
    let told = peer.wait_for(result_of(first.command)).await;
    assert_eq!((told.outcome, told.body), (Outcome::Done, json!({"restarted": true})));
    {
        let asked = asked.lock().unwrap();
        assert_eq!(asked.len(), 1, "for what had begun, and not for what waited");
        assert_eq!(asked[0].command, first);
        assert!(!asked[0].is_same_process);
    }
    agent.stop().await;
    assert!(
        !held.runs.lock().unwrap().contains(&first.command),
        "it is not run again"
    );
}

#[tokio::test]
async fn an_idempotent_verb_runs_again_until_it_comes_to_its_end() {
    let (dir, controller, _, _) = killed(|held| held.verb().idempotent()).await;
    let mut controller = controller;
    // Killed again, at the same place.
    for _ in 0..2 {
        let (held, mut begins) = Held::new();
        let verbs = Verbs::new().with("scan", held.verb().idempotent());
        let agent = Agent::start(&dir, &controller, Plan::with(verbs));
        begins.recv().await.unwrap();
        agent.kill().await;
    }
    let (held, mut begins) = Held::new();
    let verbs = Verbs::new().with("scan", held.verb().idempotent());
    let agent = Agent::start(&dir, &controller, Plan::with(verbs));
    for _ in 0..2 {
        begins.recv().await.unwrap();
        held.go();
    }
    agent.status(|status| status.running == 0 && status.waiting == 0).await;
    loop {
        // Those of the agents before are still in the controller's ears.
        let mut peer = controller.peer().await;
        let Some(fleet_wire::link::AgentMessage::Hello(hello)) = peer.hear().await else {
            continue;
        };
        if hello.journal.iter().all(|entry| entry.state == JournalState::Ended) {
            assert_eq!(hello.journal.len(), 2);
            break;
        }
    }
    agent.stop().await;
    assert_eq!(held.runs(), 2);
}

#[tokio::test]
async fn an_agent_that_stops_leaves_what_it_interrupts_to_its_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    let (held, mut begins) = Held::new();
    let agent = Agent::start(&dir, &controller, Plan::with(Verbs::new().with("restart", held.verb())));
    let (mut peer, _) = controller.linked().await;
    let command = command("restart");
    peer.say(order(&command)).await;
    begins.recv().await.unwrap();
    let journal = agent.journal.clone();
    agent.stop().await;
    let found = journal.get(command.command).unwrap().unwrap();
    assert_eq!((found.state, found.result), (CommandState::Started, None));
}

#[tokio::test]
async fn an_agent_that_stops_tells_the_results_it_still_gets() {
    let dir = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    let patient = Verb::new(async |_, context: fleet_link::CommandContext| {
        context.cancel.cancelled().await;
        Err(CommandError::failed(
            "stopped",
            "the agent stopped, and this is what it had",
        ))
    });
    let agent = Agent::start(&dir, &controller, Plan::with(Verbs::new().with("scan", patient)));
    let (mut peer, _) = controller.linked().await;
    let command = command("scan");
    peer.say(order(&command)).await;
    agent.status(|status| status.running == 1).await;
    agent.begin_to_stop();
    assert_eq!(
        ended(&peer.wait_for(result_of(command.command)).await),
        (Outcome::Failed, "stopped")
    );
    assert_eq!(peer.hear().await, None, "and says farewell");
    agent.stop().await;
}

#[tokio::test]
async fn one_that_was_to_run_again_can_be_cancelled_while_it_is_decided_about() {
    let (dir, mut controller, _, [first, _]) = killed(|held| held.verb().idempotent()).await;
    let (decide, decided) = (
        Arc::new(tokio::sync::Notify::new()),
        Arc::new(tokio::sync::Notify::new()),
    );
    let (held, _begins) = Held::new();
    let (waits, says) = (Arc::clone(&decide), Arc::clone(&decided));
    let verb = held.verb().after_restart(move |_| {
        let (waits, says) = (Arc::clone(&waits), Arc::clone(&says));
        async move {
            says.notify_one();
            waits.notified().await;
            AfterRestartDecision::RunAgain
        }
    });
    let agent = Agent::start(&dir, &controller, Plan::with(Verbs::new().with("scan", verb)));
    let (mut peer, _) = controller.linked().await;
    decided.notified().await;
    let cancel = Cancel { command: first.command };
    peer.say(ControllerMessage::Cancel(cancel)).await;
    // What comes after it was read after it.
    peer.say_text("nonsense".to_owned()).await;
    peer.error().await;
    decide.notify_one();
    assert_eq!(
        peer.wait_for(result_of(first.command)).await.outcome,
        Outcome::Cancelled
    );
    agent.stop().await;
    assert!(!held.runs.lock().unwrap().contains(&first.command));
}

#[tokio::test]
async fn a_command_that_the_disk_damaged_is_unknown_and_not_run() {
    let (dir, mut controller, _, [first, second]) = killed(Held::verb).await;
    {
        let database = Database::open(&dir.path().join("state.db"), OpenOptions::default()).unwrap();
        let damage = "UPDATE command SET body = CAST(replace(CAST(body AS TEXT), 'scan', 'rm  ') AS BLOB)";
        assert_eq!(
            database
                .with_writer(|connection| connection.execute(damage, []))
                .unwrap(),
            2
        );
    }
    let (held, _begins) = Held::new();
    let agent = Agent::start(
        &dir,
        &controller,
        Plan::with(Verbs::new().with("scan", held.verb().idempotent())),
    );
    let (mut peer, _) = controller.linked().await;
    for command in [first, second] {
        let told = peer.wait_for(result_of(command.command)).await;
        assert_eq!(ended(&told), (Outcome::Unknown, "journal_damaged"));
    }
    agent.stop().await;
    assert_eq!(held.runs(), 0);
}

/// Has the disk refuse the journal's changes to this state.
fn refuse(database: &Database, event: &str) {
    let sql = format!("CREATE TRIGGER refuse BEFORE {event} BEGIN SELECT RAISE(ABORT, 'the disk takes nothing'); END");
    database
        .with_writer(|connection| connection.execute_batch(&sql))
        .unwrap();
}

fn relent(database: &Database) {
    let sql = "DROP TRIGGER refuse";
    database
        .with_writer(|connection| connection.execute_batch(sql))
        .unwrap();
}

#[tokio::test]
async fn a_disk_that_takes_nothing_delays_a_command_and_loses_none() {
    let dir = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    let (held, mut begins) = Held::new();
    let agent = Agent::start(&dir, &controller, Plan::with(Verbs::new().with("scan", held.verb())));
    let (mut peer, _) = controller.linked().await;
    let command = command("scan");

    refuse(&agent.database, "INSERT ON command");
    let about = peer.say(order(&command)).await;
    let error = peer.error().await;
    assert_eq!((error.code.as_str(), error.about), ("journal_unavailable", Some(about)));
    relent(&agent.database);

    refuse(&agent.database, "UPDATE ON command WHEN new.state = 1");
    peer.say(order(&command)).await;
    peer.wait_for(ack_of(command.command)).await;
    agent.status(|status| status.waiting == 1).await;
    assert_eq!(held.runs(), 0, "what cannot be noted is not begun");
    relent(&agent.database);
    begins.recv().await.unwrap();

    refuse(&agent.database, "UPDATE ON command WHEN new.state = 2");
    held.go();
    let told = peer.wait_for(result_of(command.command)).await;
    assert_eq!(told.outcome, Outcome::Done, "the controller hears of it all the same");
    relent(&agent.database);
    // It is stored later, and told with the HELLO that comes after.
    let journal = agent.journal.clone();
    let stored = tokio::task::spawn_blocking(move || {
        testkit::eventually("stored result", || {
            let found = journal.get(command.command)?;
            Ok(found.filter(|found| found.state == CommandState::Ended))
        })
    });
    stored.await.unwrap().unwrap();
    drop(peer);
    let (mut peer, _) = controller.linked().await;
    assert_eq!(peer.wait_for(result_of(command.command)).await, told);
    agent.stop().await;
    assert_eq!(held.runs(), 1);
}
