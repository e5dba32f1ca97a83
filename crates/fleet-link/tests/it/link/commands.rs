//! Commands while the agent lives: taken once, run once, told until confirmed.
use super::{
    agent::{Agent, Held, Plan, ack_of, command, command_by, ended, order, result_of},
    controller::{Controller, Peer, guard, in_secs},
};
use core_model::{ByteSize, CommandId};
use fleet_link::{CommandError, LinkSettings, Verb, Verbs};
use fleet_wire::link::{
    AgentMessage, Cancel, Command, CommandReport, Confirm, ControllerMessage, JournalState, Outcome, Priority,
};
use serde_json::{Value, json};
use tempfile::TempDir;

struct Rig {
    _dir: TempDir,
    agent: Agent,
    controller: Controller,
    peer: Peer,
}

impl Rig {
    async fn new(plan: Plan) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut controller = Controller::start().await;
        let agent = Agent::start(&dir, &controller, plan);
        let (peer, _) = controller.linked().await;
        Self {
            _dir: dir,
            agent,
            controller,
            peer,
        }
    }

    async fn order(&mut self, command: &Command) {
        self.peer.say(order(command)).await;
    }

    async fn cancel(&mut self, id: CommandId) {
        self.peer.say(ControllerMessage::Cancel(Cancel { command: id })).await;
    }

    async fn result(&mut self, command: &Command) -> CommandReport {
        self.peer.wait_for(result_of(command.command)).await
    }
}

fn echo() -> Verb {
    Verb::new(async |args: Value, _| Ok(json!({ "said": args })))
}

#[tokio::test]
async fn a_command_is_acknowledged_and_its_result_told_until_it_is_confirmed() {
    let mut rig = Rig::new(Plan::with(Verbs::new().with("echo", echo()))).await;
    let command = command("echo");
    rig.order(&command).await;
    rig.peer.wait_for(ack_of(command.command)).await;
    let told = rig.result(&command).await;
    assert_eq!((told.outcome, &told.body), (Outcome::Done, &json!({"said": {"n": 1}})));
    assert!(told.started_at.is_some_and(|started| started <= told.ended_at));
    for _ in 0..2 {
        drop(rig.peer);
        let hello;
        (rig.peer, hello) = rig.controller.linked().await;
        assert_eq!(hello.verbs, ["echo"]);
        let stand = hello.journal.iter().map(|entry| (entry.command, entry.state));
        assert!(stand.eq([(command.command, JournalState::Ended)]));
        assert_eq!(rig.result(&command).await, told, "word for word");
    }
    let confirm = Confirm {
        command: command.command,
    };
    rig.peer.say(ControllerMessage::Confirm(confirm)).await;
    // A repeat of what is confirmed is known all the same, and shows that CONFIRM was worked off.
    rig.order(&command).await;
    assert_eq!(rig.result(&command).await, told);
    drop(rig.peer);
    let (_peer, hello) = rig.controller.linked().await;
    assert!(hello.journal.is_empty(), "{hello:?}");
    rig.agent.stop().await;
}

#[tokio::test]
async fn delivered_again_at_any_stage_it_runs_once() {
    let (held, mut begins) = Held::new();
    let mut rig = Rig::new(Plan::with(Verbs::new().with("scan", held.verb()))).await;
    let (first, second) = (command("scan"), command("scan"));
    for _ in 0..3 {
        // The second waits for the first, so it comes again while it waits, and the first while it runs.
        rig.order(&first).await;
        rig.order(&second).await;
        rig.peer.wait_for(ack_of(first.command)).await;
        rig.peer.wait_for(ack_of(second.command)).await;
    }
    begins.recv().await.unwrap();
    held.go();
    let told = rig.result(&first).await;
    begins.recv().await.unwrap();
    held.go();
    rig.result(&second).await;
    rig.order(&first).await;
    rig.peer.wait_for(ack_of(first.command)).await;
    assert_eq!(rig.result(&first).await, told);
    assert_eq!(*held.runs.lock().unwrap(), [first.command, second.command]);
    rig.agent.stop().await;
}

#[tokio::test]
async fn one_that_waits_is_cancelled_without_having_begun() {
    let (held, mut begins) = Held::new();
    let mut rig = Rig::new(Plan::with(Verbs::new().with("scan", held.verb()))).await;
    let (first, second) = (command("scan"), command("scan"));
    rig.order(&first).await;
    rig.order(&second).await;
    rig.peer.wait_for(ack_of(second.command)).await;
    begins.recv().await.unwrap();
    rig.cancel(second.command).await;
    let told = rig.result(&second).await;
    assert_eq!(
        (ended(&told), told.started_at),
        ((Outcome::Cancelled, "not_begun"), None)
    );
    // Not even if it is delivered again.
    rig.order(&second).await;
    assert_eq!(rig.result(&second).await, told);
    held.go();
    rig.result(&first).await;
    rig.agent.stop().await;
    assert_eq!(held.runs(), 1);
}

#[tokio::test]
async fn one_that_runs_is_cancelled_halfway() {
    let (held, mut begins) = Held::new();
    let mut rig = Rig::new(Plan::with(Verbs::new().with("scan", held.verb()))).await;
    let command = command("scan");
    rig.order(&command).await;
    let (_, context) = begins.recv().await.unwrap();
    context.progress.tell(3, Some(10), "3 of 10");
    let progress = |message| match message {
        AgentMessage::Progress(progress) => Some(progress),
        _ => None,
    };
    let progress = rig.peer.wait_for(progress).await;
    assert_eq!(
        (progress.command, progress.done, progress.total),
        (command.command, 3, Some(10))
    );
    rig.cancel(command.command).await;
    let told = rig.result(&command).await;
    assert_eq!(
        (told.outcome, &told.body),
        (Outcome::Cancelled, &json!({"n": 1})),
        "with what it had done"
    );
    // Late: the first end counts.
    rig.cancel(command.command).await;
    assert_eq!(rig.result(&command).await, told);
    rig.agent.stop().await;
}

#[tokio::test]
async fn one_that_nobody_knows_cannot_be_cancelled() {
    let mut rig = Rig::new(Plan::default()).await;
    let unknown = Cancel {
        command: command("scan").command,
    };
    let about = rig.peer.say(ControllerMessage::Cancel(unknown)).await;
    let error = rig.peer.error().await;
    assert_eq!((error.code.as_str(), error.about), ("unknown_command", Some(about)));
    rig.agent.stop().await;
}

#[tokio::test]
async fn what_is_too_late_is_not_begun() {
    let (held, mut begins) = Held::new();
    let mut rig = Rig::new(Plan::with(Verbs::new().with("scan", held.verb()))).await;
    let late = command_by("scan", in_secs(-1));
    rig.order(&late).await;
    let told = rig.result(&late).await;
    assert_eq!(ended(&told), (Outcome::Expired, "deadline_passed"));
    // One that waits becomes too late while another runs, and says so then.
    let (long, short) = (command("scan"), command_by("scan", in_secs(1)));
    rig.order(&long).await;
    begins.recv().await.unwrap();
    rig.order(&short).await;
    assert_eq!(ended(&rig.result(&short).await), (Outcome::Expired, "deadline_passed"));
    held.go();
    rig.result(&long).await;
    rig.agent.stop().await;
    assert_eq!(held.runs(), 1);
}

#[tokio::test]
async fn one_that_runs_past_its_deadline_is_stopped_and_told_for_failed() {
    let (held, mut begins) = Held::new();
    let mut rig = Rig::new(Plan::with(Verbs::new().with("scan", held.verb()))).await;
    let short = command_by("scan", in_secs(1));
    rig.order(&short).await;
    begins.recv().await.unwrap();
    let told = rig.result(&short).await;
    assert_eq!(ended(&told), (Outcome::Failed, "deadline_passed"));
    assert_eq!(told.body, json!({"n": 1}), "with what it had done");
    rig.agent.stop().await;
}

#[tokio::test]
async fn a_deadline_is_of_the_controllers_clock() {
    let dir = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    let agent = Agent::start(&dir, &controller, Plan::with(Verbs::new().with("echo", echo())));
    let mut peer = controller.peer().await;
    peer.hello().await;
    let hours_ahead = fleet_wire::link::Welcome {
        time: in_secs(7200),
        ..super::controller::welcome()
    };
    peer.say(ControllerMessage::Welcome(hours_ahead)).await;
    let (early, late) = (
        command_by("echo", in_secs(7200 + 3600)),
        command_by("echo", in_secs(3600)),
    );
    peer.say(order(&early)).await;
    assert_eq!(peer.wait_for(result_of(early.command)).await.outcome, Outcome::Done);
    peer.say(order(&late)).await;
    assert_eq!(peer.wait_for(result_of(late.command)).await.outcome, Outcome::Expired);
    let skew = agent
        .status(|status| status.connected.is_some())
        .await
        .connected
        .unwrap()
        .clock_skew;
    assert!((7190..=7200).contains(&skew.num_seconds()), "{skew}");
    agent.stop().await;
}

#[tokio::test]
async fn the_urgent_go_first_and_the_immediate_wait_for_nobody() {
    let (held, mut begins) = Held::new();
    let verbs = Verbs::new().with("scan", held.verb()).with("ping", echo().immediate());
    let mut rig = Rig::new(Plan::with(verbs)).await;
    let of = |priority| Command {
        priority,
        ..command("scan")
    };
    let first = of(Priority::Low);
    rig.order(&first).await;
    begins.recv().await.unwrap();
    let waiting = [
        Priority::Low,
        Priority::Normal,
        Priority::High,
        Priority::Normal,
        Priority::Critical,
    ]
    .map(of);
    for command in &waiting {
        rig.order(command).await;
        rig.peer.wait_for(ack_of(command.command)).await;
    }
    let ping = command("ping");
    rig.order(&ping).await;
    assert_eq!(rig.result(&ping).await.outcome, Outcome::Done, "while another runs");
    let status = rig.agent.status(|status| status.waiting == 5).await;
    assert_eq!(status.running, 1);
    for _ in 0..5 {
        held.go();
        begins.recv().await.unwrap();
    }
    held.go();
    rig.result(&waiting[0]).await;
    let wanted = [4, 2, 1, 3, 0].map(|index: usize| waiting[index].command);
    assert_eq!(held.runs.lock().unwrap()[1..], wanted);
    rig.agent.stop().await;
}

#[tokio::test]
async fn what_cannot_be_done_fails_with_a_reason() {
    let verbs = Verbs::new()
        .with(
            "refuse",
            Verb::new(async |_, _| Err(CommandError::invalid_args("no path"))),
        )
        .with("panic", Verb::new(async |_, _| panic!("a fault of the verb")))
        .with("echo", echo());
    let mut rig = Rig::new(Plan::with(verbs)).await;
    for (verb, code) in [
        ("refuse", "invalid_args"),
        ("panic", "panicked"),
        ("format-disk", "unknown_verb"),
    ] {
        let command = command(verb);
        rig.order(&command).await;
        let told = rig.result(&command).await;
        assert_eq!(ended(&told), (Outcome::Failed, code), "{told:?}");
        assert!(!told.detail.is_empty());
    }
    let command = command("echo");
    rig.order(&command).await;
    assert_eq!(
        rig.result(&command).await.outcome,
        Outcome::Done,
        "the link outlives a verb that panics"
    );
    rig.agent.stop().await;
}

#[tokio::test]
async fn a_result_that_is_too_long_is_left_out_and_its_outcome_told() {
    let long = Verb::new(async |_, _| Ok(Value::String("x".repeat(2000))));
    let mut plan = Plan::with(Verbs::new().with("long", long));
    plan.settings.max_result = ByteSize::new(1000);
    let mut rig = Rig::new(plan).await;
    let command = command("long");
    rig.order(&command).await;
    let told = rig.result(&command).await;
    assert_eq!((told.outcome, &told.body), (Outcome::Done, &Value::Null));
    assert!(told.detail.contains("2002 bytes"), "{}", told.detail);
    rig.agent.stop().await;
}

#[tokio::test]
async fn no_more_are_taken_than_are_allowed_until_some_are_confirmed() {
    let mut plan = Plan::with(Verbs::new().with("echo", echo()));
    plan.settings = LinkSettings {
        max_open_commands: 2,
        ..plan.settings
    };
    let mut rig = Rig::new(plan).await;
    let commands = [command("echo"), command("echo"), command("echo")];
    for command in &commands[..2] {
        rig.order(command).await;
        rig.result(command).await;
    }
    let about = rig.peer.say(order(&commands[2])).await;
    let error = rig.peer.error().await;
    assert_eq!((error.code.as_str(), error.about), ("too_many_commands", Some(about)));
    let confirm = Confirm {
        command: commands[0].command,
    };
    rig.peer.say(ControllerMessage::Confirm(confirm)).await;
    rig.order(&commands[2]).await;
    assert_eq!(rig.result(&commands[2]).await.outcome, Outcome::Done);
    rig.agent.stop().await;
}

#[tokio::test]
async fn commands_run_on_while_nobody_is_connected() {
    let (held, mut begins) = Held::new();
    let mut rig = Rig::new(Plan::with(Verbs::new().with("scan", held.verb()))).await;
    let (first, second) = (command("scan"), command("scan"));
    rig.order(&first).await;
    rig.order(&second).await;
    rig.peer.wait_for(ack_of(second.command)).await;
    begins.recv().await.unwrap();
    drop(rig.peer);
    // The next connection is not answered: the agent is as good as alone.
    let mut peer = rig.controller.peer().await;
    held.go();
    guard("the second", begins.recv()).await.unwrap();
    held.go();
    rig.agent
        .status(|status| status.running == 0 && status.waiting == 0)
        .await;
    peer.hello().await;
    drop(peer);
    (rig.peer, _) = rig.controller.linked().await;
    assert_eq!(rig.result(&first).await.outcome, Outcome::Done);
    assert_eq!(rig.result(&second).await.outcome, Outcome::Done);
    rig.agent.stop().await;
}
