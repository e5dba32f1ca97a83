//! Commands listed for an agent of the file-scanner document that takes up the link later.
use crate::fixture::{Fixture, at, enrollment};
use core_model::{CommandId, InstanceId};
use fleet_core::{
    AgentIdentity, CommandOrder, CommandTarget, DeliveryState, FilesV1AskError, HelloOutcome, LinkStore, Operator,
    SessionKey, Transport,
};
use fleet_wire::link::{CommandReport, Hello, Outcome, Priority};
use serde_json::Value;
use std::time::Duration;

struct Asking {
    fixture: Fixture,
    admin: Operator,
    agent: AgentIdentity,
}

impl Asking {
    async fn new() -> Self {
        let fixture = Fixture::new();
        let (admin, _) = fixture.admin().await;
        let token = fixture.join_token(&admin, 1).await;
        let joined = fixture.fleet.enroll(enrollment(&token, "host-scanner"), at(0)).await;
        let key = joined.unwrap().api_key.unwrap();
        let known = fixture.fleet.authenticate_agent(key.reveal(), at(0)).await;
        let agent = known.unwrap().unwrap();
        Self { fixture, admin, agent }
    }

    async fn send(&self, seconds: i64) -> CommandId {
        let order = CommandOrder {
            verb: "scan".to_owned(),
            args: Value::Null,
            target: CommandTarget {
                agents: vec!["host-scanner".to_owned()],
                ..CommandTarget::default()
            },
            priority: Priority::Normal,
            within: Duration::from_secs(100),
            key: None,
        };
        let sent = self.fixture.fleet.send_command(&self.admin, order, at(seconds)).await;
        sent.unwrap().id
    }

    async fn listed(&self, seconds: i64) -> Vec<String> {
        let fleet = &self.fixture.fleet;
        let listed = fleet.commands_v1(&self.agent, "host-scanner", at(seconds)).await;
        listed.unwrap().commands.into_iter().map(|command| command.id).collect()
    }

    async fn state(&self, command: CommandId) -> DeliveryState {
        let detail = self.fixture.fleet.store().command(command).await.unwrap().unwrap();
        detail.deliveries[0].state
    }

    async fn session(&self, seconds: i64) -> SessionKey {
        let hello = Hello {
            kind: "scanner".to_owned(),
            version: "0.2.0".to_owned(),
            hostname: "host".to_owned(),
            machine: None,
            instance: InstanceId::new(at(0), [1; 10]),
            capabilities: vec![],
            verbs: vec!["scan".to_owned()],
            journal: vec![],
            config: None,
            delivered: None,
            profile: None,
        };
        let (fleet, remote) = (&self.fixture.fleet, "192.0.2.1".to_owned());
        let outcome = fleet
            .hello(self.agent.id, hello, Transport::Polling, remote, at(seconds))
            .await;
        let HelloOutcome::Welcome { epoch, .. } = outcome.unwrap() else {
            panic!("not let in")
        };
        SessionKey {
            agent: self.agent.id,
            epoch,
        }
    }
}

#[tokio::test]
async fn what_was_listed_goes_by_the_link_once_the_agent_has_one_and_its_word_holds() {
    let asking = Asking::new().await;
    let (first, second) = (asking.send(0).await, asking.send(0).await);
    assert_eq!(asking.listed(1).await, [first.to_string(), second.to_string()]);
    let session = asking.session(2).await;
    let fleet = &asking.fixture.fleet;
    let outgoing = fleet.outgoing(session, at(3), at(-57)).await.unwrap();
    let sent: Vec<_> = outgoing.commands.iter().map(|command| command.command).collect();
    assert_eq!(sent, [first, second], "the agent says whether it has them");
    let report = CommandReport {
        command: first,
        outcome: Outcome::Done,
        code: None,
        detail: String::new(),
        body: Value::Null,
        started_at: Some(at(2)),
        ended_at: at(3),
    };
    fleet.command_ended(session, report, at(4)).await.unwrap();
    fleet.expire_commands(at(101)).await.unwrap();
    assert_eq!(asking.state(first).await, DeliveryState::Done);
    assert_eq!(
        asking.state(second).await,
        DeliveryState::Expired,
        "what the link gave and nobody took was not begun"
    );
}

#[tokio::test]
async fn a_command_that_a_link_has_taken_is_listed_no_more() {
    let asking = Asking::new().await;
    let taken = asking.send(0).await;
    let session = asking.session(1).await;
    let fleet = &asking.fixture.fleet;
    fleet.outgoing(session, at(2), at(-58)).await.unwrap();
    assert_eq!(asking.listed(2).await, [taken.to_string()], "given, and not taken");
    let ack = fleet_wire::link::Ack { command: taken };
    fleet.command_acked(session, ack, at(3)).await.unwrap();
    assert_eq!(asking.listed(4).await, Vec::<String>::new());
}

#[tokio::test]
async fn nobody_asks_for_another_agent() {
    let asking = Asking::new().await;
    let fleet = &asking.fixture.fleet;
    let config = fleet.config_v1(&asking.agent, "other", |_| None).await;
    assert!(matches!(config, Err(FilesV1AskError::OtherAgent)), "{config:?}");
    let commands = fleet.commands_v1(&asking.agent, "other", at(0)).await;
    assert!(matches!(commands, Err(FilesV1AskError::OtherAgent)), "{commands:?}");
}
