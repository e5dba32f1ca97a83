//! Sessions and commands: what an agent hears, what its word changes, and how time ends what nobody does.
use crate::fixture::{Fixture, at, enrollment};
use core_model::{CommandId, InstanceId};
use fleet_core::{
    AgentIdentity, AgentRef, Amendment, CommandFilter, CommandOrder, CommandTarget, Delivery, DeliveryState,
    HelloOutcome, LinkStore, NewConfig, Operator, Outgoing, PageRequest, ResultTaken, SendCommandError, SessionKey,
    SetConfigError, Standing, Store, Transport,
};
use fleet_wire::link::{
    Ack, CommandReport, ConfigOutcome, ConfigReport, ConfigVersion, Hello, JournalEntry, JournalState, Outcome,
    Priority, Progress,
};
use serde_json::{Value, json};
use std::time::Duration;

struct Link {
    fixture: Fixture,
    admin: Operator,
    agent: AgentIdentity,
}

fn hello(instance: u8) -> Hello {
    Hello {
        kind: "scanner".to_owned(),
        version: "0.2.0".to_owned(),
        hostname: "host".to_owned(),
        machine: Some("m1".to_owned()),
        instance: InstanceId::new(at(0), [instance; 10]),
        capabilities: vec![],
        verbs: vec!["scan".to_owned(), "stop".to_owned()],
        journal: vec![],
        config: None,
        delivered: None,
        profile: None,
    }
}

fn journal(command: CommandId, state: JournalState) -> Vec<JournalEntry> {
    vec![JournalEntry { command, state }]
}

fn report(command: CommandId, outcome: Outcome, body: Value) -> CommandReport {
    CommandReport {
        command,
        outcome,
        code: None,
        detail: "7 files".to_owned(),
        body,
        started_at: Some(at(5)),
        ended_at: at(6),
    }
}

impl Link {
    async fn new() -> Self {
        let fixture = Fixture::new();
        let (admin, _) = fixture.admin().await;
        let token = fixture.join_token(&admin, 1).await;
        let joined = fixture.fleet.enroll(enrollment(&token, "a"), at(0)).await.unwrap();
        let agent = fixture
            .fleet
            .authenticate_agent(joined.api_key.as_ref().unwrap().reveal(), at(0))
            .await;
        let agent = agent.unwrap().unwrap();
        Self { fixture, admin, agent }
    }

    async fn say(&self, hello: Hello, seconds: i64) -> HelloOutcome {
        let (fleet, remote) = (&self.fixture.fleet, "192.0.2.1".to_owned());
        fleet
            .hello(self.agent.id, hello, Transport::Websocket, remote, at(seconds))
            .await
            .unwrap()
    }

    async fn session(&self, hello: Hello, seconds: i64) -> SessionKey {
        let HelloOutcome::Welcome { epoch, .. } = self.say(hello, seconds).await else {
            panic!("not let in")
        };
        let agent = self.agent.id;
        SessionKey { agent, epoch }
    }

    async fn try_send(&self, order: CommandOrder, seconds: i64) -> Result<CommandId, SendCommandError> {
        let sent = self.fixture.fleet.send_command(&self.admin, order, at(seconds)).await?;
        Ok(sent.id)
    }

    async fn send(&self, verb: &str, priority: Priority, seconds: i64) -> CommandId {
        let order = CommandOrder {
            priority,
            ..order(verb, &["a"])
        };
        self.try_send(order, seconds).await.unwrap()
    }

    async fn outgoing(&self, session: SessionKey, seconds: i64) -> Outgoing {
        let (now, before) = (at(seconds), at(seconds - 60));
        self.fixture.fleet.outgoing(session, now, before).await.unwrap()
    }

    async fn commands(&self, session: SessionKey, seconds: i64) -> Vec<CommandId> {
        let outgoing = self.outgoing(session, seconds).await;
        outgoing.commands.iter().map(|command| command.command).collect()
    }

    async fn ack(&self, session: SessionKey, command: CommandId, seconds: i64) -> Standing {
        let ack = Ack { command };
        self.fixture
            .fleet
            .command_acked(session, ack, at(seconds))
            .await
            .unwrap()
    }

    async fn end(&self, session: SessionKey, report: CommandReport, seconds: i64) -> ResultTaken {
        self.fixture
            .fleet
            .command_ended(session, report, at(seconds))
            .await
            .unwrap()
    }

    async fn delivery(&self, command: CommandId) -> Delivery {
        let found = self.fixture.fleet.store().command(command).await.unwrap().unwrap();
        found.deliveries.into_iter().next().unwrap()
    }

    async fn state(&self, command: CommandId) -> DeliveryState {
        self.delivery(command).await.state
    }
}

fn order(verb: &str, agents: &[&str]) -> CommandOrder {
    CommandOrder {
        verb: verb.to_owned(),
        args: Value::Null,
        target: CommandTarget {
            agents: agents.iter().map(ToString::to_string).collect(),
            ..CommandTarget::default()
        },
        priority: Priority::Normal,
        within: Duration::from_secs(100),
        key: None,
    }
}

#[tokio::test]
async fn the_most_urgent_goes_first_and_each_once() {
    let link = Link::new().await;
    let low = link.send("scan", Priority::Low, 0).await;
    let first = link.send("scan", Priority::Normal, 0).await;
    let second = link.send("scan", Priority::Normal, 0).await;
    let critical = link.send("stop", Priority::Critical, 0).await;
    let session = link.session(hello(1), 1).await;
    assert_eq!(link.commands(session, 1).await, [critical, first, second, low]);
    assert_eq!(
        link.commands(session, 2).await,
        [],
        "nothing goes twice while the session stands"
    );
    link.ack(session, first, 3).await;
    assert_eq!(
        link.commands(session, 61).await,
        [critical, second, low],
        "what was not answered goes again after a while"
    );
    assert_eq!(link.delivery(low).await.attempt, 2);
}

#[tokio::test]
async fn a_command_is_acked_runs_and_ends_and_a_repeat_of_its_result_changes_nothing() {
    let link = Link::new().await;
    let session = link.session(hello(1), 0).await;
    let command = link.send("scan", Priority::Normal, 1).await;
    link.outgoing(session, 1).await;
    assert_eq!(link.state(command).await, DeliveryState::Sent);
    link.ack(session, command, 2).await;
    assert_eq!(link.state(command).await, DeliveryState::Acked);
    let progress = |done| Progress {
        command,
        done,
        total: Some(9),
        text: String::new(),
        at: at(3),
    };
    for done in [3, 5] {
        let standing = link
            .fixture
            .fleet
            .command_progressed(session, progress(done), at(3))
            .await;
        assert_eq!(standing.unwrap(), Standing::Current);
    }
    let delivery = link.delivery(command).await;
    assert_eq!(
        (delivery.state, delivery.progress.map(|p| p.done)),
        (DeliveryState::Running, Some(5))
    );
    assert_eq!(
        link.end(session, report(command, Outcome::Done, json!({"files": 7})), 6)
            .await,
        ResultTaken::Stored
    );
    let ended = link.delivery(command).await;
    assert_eq!(
        (ended.state, &ended.result),
        (DeliveryState::Done, &Some(json!({"files": 7})))
    );
    assert_eq!(
        (ended.acked_at, ended.started_at, ended.ended_at),
        (Some(at(2)), Some(at(5)), Some(at(6)))
    );
    let other = report(command, Outcome::Failed, json!(null));
    assert_eq!(
        link.end(session, other, 9).await,
        ResultTaken::Stored,
        "a repeat is confirmed"
    );
    link.ack(session, command, 9).await;
    link.fixture
        .fleet
        .command_progressed(session, progress(1), at(9))
        .await
        .unwrap();
    assert_eq!(
        link.delivery(command).await,
        ended,
        "and changes nothing, nor does what comes late"
    );
    let stranger = report(CommandId::new(at(0), [9; 10]), Outcome::Done, json!(null));
    assert_eq!(
        link.end(session, stranger, 9).await,
        ResultTaken::Stored,
        "the agent must not bring it for ever"
    );
}

#[tokio::test]
async fn what_an_older_session_says_counts_no_more() {
    let link = Link::new().await;
    let old = link.session(hello(1), 0).await;
    let command = link.send("scan", Priority::Normal, 1).await;
    link.outgoing(old, 1).await;
    let new = link.session(hello(2), 2).await;
    assert_eq!((old.epoch, new.epoch), (1, 2));
    assert_eq!(link.outgoing(old, 3).await.standing, Standing::Superseded);
    assert_eq!(link.ack(old, command, 3).await, Standing::Superseded);
    let result = link.end(old, report(command, Outcome::Done, json!(null)), 3).await;
    assert_eq!(result, ResultTaken::Fenced(Standing::Superseded));
    assert_eq!(
        link.state(command).await,
        DeliveryState::Queued,
        "the newer one's journal did not know it"
    );
    assert_eq!(link.commands(new, 3).await, [command]);
    link.fixture.fleet.revoke_agent("a", at(4)).await.unwrap();
    assert_eq!(link.outgoing(new, 5).await.standing, Standing::Revoked);
    assert_eq!(link.say(hello(2), 5).await, HelloOutcome::Gone);
}

#[tokio::test]
async fn the_journal_says_what_became_of_what_was_under_way() {
    let link = Link::new().await;
    let session = link.session(hello(1), 0).await;
    let mut commands = Vec::new();
    for _ in 0..4 {
        commands.push(link.send("scan", Priority::Normal, 1).await);
    }
    let [unheard, unacked, running, lost] = commands[..] else {
        panic!()
    };
    link.outgoing(session, 1).await;
    for acked in [running, lost] {
        link.ack(session, acked, 2).await;
    }
    let again = Hello {
        journal: [
            journal(unacked, JournalState::Accepted),
            journal(running, JournalState::Started),
        ]
        .concat(),
        ..hello(1)
    };
    let session = link.session(again, 3).await;
    let mut states = Vec::new();
    for command in [unheard, unacked, running, lost] {
        states.push(link.state(command).await);
    }
    use DeliveryState::{Acked, Queued, Running, Unknown};
    assert_eq!(states, [Queued, Acked, Running, Unknown]);
    assert_eq!(link.delivery(lost).await.code.as_deref(), Some("journal_lost"));
    assert_eq!(
        link.commands(session, 3).await,
        [unheard],
        "only what the agent never had goes again"
    );
    let late = report(lost, Outcome::Done, json!(null));
    link.end(session, late, 9).await;
    assert_eq!(
        link.state(lost).await,
        DeliveryState::Done,
        "the agent's own word holds over ours"
    );
}

#[tokio::test]
async fn every_command_ends_in_time() {
    let link = Link::new().await;
    let session = link.session(hello(1), 0).await;
    let sent = link.send("scan", Priority::Normal, 1).await;
    let taken = link.send("scan", Priority::Normal, 1).await;
    link.outgoing(session, 1).await;
    link.ack(session, taken, 2).await;
    let queued = link.send("scan", Priority::Normal, 2).await;
    let fleet = &link.fixture.fleet;
    assert_eq!(fleet.expire_commands(at(100)).await.unwrap(), 0);
    assert_eq!(fleet.expire_commands(at(102)).await.unwrap(), 2);
    assert_eq!(
        (link.state(sent).await, link.state(queued).await),
        (DeliveryState::Expired, DeliveryState::Expired)
    );
    assert_eq!(
        link.state(taken).await,
        DeliveryState::Acked,
        "the agent has it and may be at it"
    );
    assert_eq!(link.commands(session, 103).await, [], "what has expired is not sent");
    // Ten minutes of grace after the deadline, and the agent was silent for more than three.
    let alive = fleet.store().alive(session, at(650)).await.unwrap();
    assert_eq!(alive, Standing::Current);
    assert_eq!(
        fleet.expire_commands(at(702)).await.unwrap(),
        0,
        "an agent that is there will tell"
    );
    let alive = fleet.store().alive(session, at(1301)).await.unwrap();
    assert_eq!(alive, Standing::Current);
    let stuck = fleet.expire_commands(at(1302)).await.unwrap();
    assert_eq!(
        stuck, 1,
        "after twenty minutes nobody waits for an agent that tells nothing"
    );
    assert_eq!(link.delivery(taken).await.code.as_deref(), Some("not_heard_of"));
    link.ack(session, sent, 900).await;
    assert_eq!(
        link.state(sent).await,
        DeliveryState::Acked,
        "it was on its way: the agent has it after all"
    );
    link.end(session, report(sent, Outcome::Expired, json!(null)), 901)
        .await;
    let old = fleet.settings().kept_commands.as_secs().cast_signed() + 10;
    fleet.expire_commands(at(old)).await.unwrap();
    let left = fleet
        .store()
        .commands(CommandFilter::default(), PageRequest { after: None, limit: 9 })
        .await;
    assert_eq!(left.unwrap().items, [], "and is forgotten at last");
}

#[tokio::test]
async fn a_command_is_taken_back_wherever_it_is() {
    let link = Link::new().await;
    let session = link.session(hello(1), 0).await;
    let taken = link.send("scan", Priority::Normal, 1).await;
    link.outgoing(session, 1).await;
    link.ack(session, taken, 2).await;
    let queued = link.send("scan", Priority::Normal, 2).await;
    let fleet = &link.fixture.fleet;
    for command in [taken, queued] {
        assert!(fleet.cancel_command(command, at(3)).await.unwrap());
    }
    assert!(
        !fleet
            .cancel_command(CommandId::new(at(0), [9; 10]), at(3))
            .await
            .unwrap()
    );
    assert_eq!(link.state(queued).await, DeliveryState::Cancelled);
    let outgoing = link.outgoing(session, 4).await;
    assert_eq!((outgoing.commands.len(), outgoing.cancels), (0, vec![taken]));
    assert_eq!(link.outgoing(session, 5).await.cancels, []);
    assert_eq!(link.state(taken).await, DeliveryState::Acked, "until the agent says so");
    let again = Hello {
        journal: journal(taken, JournalState::Started),
        ..hello(1)
    };
    let session = link.session(again, 6).await;
    assert_eq!(
        link.outgoing(session, 6).await.cancels,
        [taken],
        "a new session hears it anew"
    );
    link.end(session, report(taken, Outcome::Cancelled, json!(null)), 7)
        .await;
    assert_eq!(link.state(taken).await, DeliveryState::Cancelled);
}

#[tokio::test]
async fn only_what_agents_take_is_sent() {
    let link = Link::new().await;
    let refusal = async |order: CommandOrder| link.try_send(order, 1).await.unwrap_err().to_string();
    assert_eq!(refusal(order("scan", &["b"])).await, "there is no agent `b`");
    assert!(refusal(order("exec", &["a"])).await.contains(
        "no such command (known of any kind: quarantine-restore, reload, restart, scan, stop, update-signatures)"
    ));
    let wrong = CommandOrder {
        args: json!({"paths": ["/srv"]}),
        ..order("scan", &["a"])
    };
    let said = refusal(wrong.clone()).await;
    assert!(said.contains("`paths`") && said.contains("takes none"), "{said}");
    assert!(refusal(order("scan", &[])).await.contains("no agent takes"));
    let far = CommandOrder {
        within: Duration::from_secs(31 * 86_400),
        ..order("scan", &["a"])
    };
    assert!(refusal(far).await.contains("2592000 s"));
    link.send("restart", Priority::Normal, 1).await;
    link.session(hello(1), 2).await;
    assert_eq!(
        refusal(order("restart", &["a"])).await,
        "`a` does not take `restart`: it takes scan, stop"
    );
    let all = |verb: &str| CommandOrder {
        target: CommandTarget {
            all: true,
            ..CommandTarget::default()
        },
        ..order(verb, &[])
    };
    assert!(refusal(all("restart")).await.contains("no agent takes"));
    assert!(
        refusal(CommandOrder {
            args: wrong.args,
            ..all("scan")
        })
        .await
        .contains("takes none")
    );
    link.try_send(all("scan"), 3).await.unwrap();
    let keyed = |verb: &str, body: u8| CommandOrder {
        key: Some(("k".to_owned(), [body; 32])),
        ..order(verb, &["a"])
    };
    let first = link.try_send(keyed("scan", 1), 4).await.unwrap();
    assert_eq!(link.try_send(keyed("scan", 1), 5).await.unwrap(), first);
    assert!(refusal(keyed("scan", 2)).await.contains("with another body"));
}

#[tokio::test]
async fn a_clone_is_refused_and_shown_and_a_host_that_moved_is_not() {
    let link = Link::new().await;
    let other = |instance| Hello {
        machine: Some("m2".to_owned()),
        hostname: "copy".to_owned(),
        ..hello(instance)
    };
    let first = link.session(hello(1), 0).await;
    let refused = HelloOutcome::Cloned {
        hostname: "host".to_owned(),
        kind: "scanner".to_owned(),
    };
    assert_eq!(link.say(other(2), 100).await, refused);
    assert_eq!(link.say(other(3), 110).await, refused);
    assert_eq!(
        link.outgoing(first, 111).await.standing,
        Standing::Current,
        "the first goes on"
    );
    let shown = link
        .fixture
        .fleet
        .store()
        .agent(AgentRef::from("a"))
        .await
        .unwrap()
        .unwrap();
    let clone = shown.link.clone.unwrap();
    assert_eq!(
        (clone.hostname.as_str(), clone.refusals, clone.first_at),
        ("copy", 2, at(100))
    );
    assert_eq!(shown.agent.cloned_at, Some(at(110)));
    assert_eq!(
        shown.agent.registration.hostname, "host",
        "the copy did not speak for the agent"
    );
    // The first was silent for longer than three minutes: its disk may stand in another machine by now.
    let moved = link.session(other(4), 200).await;
    assert_eq!(link.outgoing(first, 201).await.standing, Standing::Superseded);
    assert_eq!(
        link.say(hello(1), 202).await,
        HelloOutcome::Cloned {
            hostname: "copy".to_owned(),
            kind: "scanner".to_owned(),
        }
    );
    assert_eq!(link.outgoing(moved, 203).await.standing, Standing::Current);
}

#[tokio::test]
async fn two_processes_with_one_machine_id_are_told_apart_by_their_return() {
    let link = Link::new().await;
    link.session(hello(1), 0).await;
    let second = link.session(hello(2), 10).await;
    assert_eq!(
        link.say(hello(1), 20).await,
        HelloOutcome::Cloned {
            hostname: "host".to_owned(),
            kind: "scanner".to_owned(),
        }
    );
    assert_eq!(link.outgoing(second, 21).await.standing, Standing::Current);
    let again = link.session(hello(2), 30).await;
    assert_eq!(again.epoch, 3, "it comes and goes as it likes");
    link.session(hello(3), 40).await;
}

#[tokio::test]
async fn a_configuration_goes_down_until_the_agent_knows_of_it() {
    let link = Link::new().await;
    let fleet = &link.fixture.fleet;
    let set = async |config: NewConfig, follows, seconds| {
        let comment = "why".to_owned();
        fleet
            .set_config(&link.admin, "a", config, comment, follows, at(seconds))
            .await
    };
    let text = |text: &str| NewConfig::Text(text.to_owned());
    let one = set(text("a: 1\n"), Some(0), 1).await.unwrap();
    let raced = set(text("a: 9\n"), Some(0), 1).await;
    assert!(matches!(raced, Err(SetConfigError::Changed { latest: 1 })));
    let session = link.session(hello(1), 2).await;
    let sent = link.outgoing(session, 2).await.config.unwrap();
    let version = ConfigVersion {
        version: 1,
        sha256: one.sha256.clone(),
    };
    assert_eq!(
        (sent.version.clone(), sent.text.as_str()),
        (Some(version.clone()), "a: 1\n")
    );
    assert_eq!(link.outgoing(session, 3).await.config, None);
    assert_eq!(
        link.outgoing(session, 62).await.config,
        Some(sent),
        "an answer is still owed"
    );
    let refused = ConfigReport {
        running: None,
        about: Some(version.clone()),
        outcome: ConfigOutcome::Refused,
        problems: vec![],
        needs_restart: vec![],
        at: at(63),
    };
    fleet.config_reported(session, refused.clone(), at(63)).await.unwrap();
    assert_eq!(
        link.outgoing(session, 200).await.config,
        None,
        "it knows, and has refused it"
    );
    let state = fleet.store().config(AgentRef::from("a")).await.unwrap().unwrap();
    assert_eq!(
        (state.latest.unwrap().version, state.report),
        (1, Some((refused, at(63))))
    );

    set(text("a: 2\n"), Some(1), 201).await.unwrap();
    set(NewConfig::Version(1), None, 202).await.unwrap();
    let sent = link.outgoing(session, 203).await.config.unwrap();
    assert_eq!((sent.version.unwrap().version, sent.text.as_str()), (3, "a: 1\n"));
    let runs = |version: u64, sha256: &str| Hello {
        config: Some(ConfigVersion {
            version,
            sha256: sha256.to_owned(),
        }),
        ..hello(1)
    };
    let session = link.session(runs(3, &one.sha256), 204).await;
    assert_eq!(link.outgoing(session, 204).await.config, None, "it runs with it");
    let session = link.session(runs(3, "of another store"), 205).await;
    assert!(
        link.outgoing(session, 205).await.config.is_some(),
        "the number alone proves nothing"
    );
    let session = link.session(runs(3, &one.sha256), 206).await;
    set(NewConfig::Withdrawn, None, 207).await.unwrap();
    let withdrawn = link.outgoing(session, 208).await.config.unwrap();
    assert_eq!((withdrawn.version, withdrawn.text.as_str()), (None, ""));
    assert!(matches!(
        set(NewConfig::Version(4), None, 209).await,
        Err(SetConfigError::NoVersion(4))
    ));
    let page = PageRequest { after: None, limit: 3 };
    let history = fleet
        .store()
        .config_history(AgentRef::from("a"), page)
        .await
        .unwrap()
        .unwrap();
    let texts: Vec<_> = history
        .items
        .iter()
        .map(|config| (config.version, config.text.as_deref()))
        .collect();
    assert_eq!(texts, [(4, None), (3, Some("a: 1\n")), (2, Some("a: 2\n"))]);
    assert_eq!(history.next, Some(2));
}

#[tokio::test]
async fn a_removed_agent_is_gone_at_once_and_its_rows_a_step_at_a_time() {
    let link = Link::new().await;
    let fleet = &link.fixture.fleet;
    let session = link.session(hello(1), 0).await;
    let changes: Vec<_> = (0..4_000)
        .map(|n| crate::fixture::created(format!("/f{n}").as_bytes(), 1))
        .collect();
    for first in [1, 4_001] {
        let request = crate::fixture::request(crate::fixture::stream(1), first, &changes);
        fleet.ingest(&link.agent, request, at(1)).await.unwrap();
    }
    let command = link.send("scan", Priority::Normal, 1).await;
    let renamed = Amendment {
        name: Some("b".to_owned()),
        ..Amendment::default()
    };
    fleet.amend_agent("a", renamed).await.unwrap();
    assert!(fleet.remove_agent("b", at(2)).await.unwrap());
    assert!(!fleet.remove_agent("b", at(2)).await.unwrap());
    assert_eq!(link.outgoing(session, 3).await.standing, Standing::Revoked);
    assert_eq!(link.state(command).await, DeliveryState::Cancelled);
    assert!(
        fleet
            .store()
            .agent(AgentRef::Id(link.agent.id))
            .await
            .unwrap()
            .is_none()
    );
    fleet.until_more_to_purge().await;
    let mut steps = 0;
    while fleet.purge_removed().await.unwrap() {
        steps += 1;
    }
    assert!(steps > 1, "{steps}");
    assert_eq!(
        fleet
            .store()
            .statistics(at(3), Duration::from_secs(1))
            .await
            .unwrap()
            .files
            .present,
        0
    );
    let database = rusqlite::Connection::open(link.fixture.dir.path().join("fleet.db")).unwrap();
    let left = |sql: &str| database.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let tables = "SELECT m.name FROM sqlite_schema AS m, pragma_table_info(m.name) AS c
                  WHERE m.type = 'table' AND c.name IN ('agent', 'stream')";
    let mut statement = database.prepare(tables).unwrap();
    let tables = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let tables: Vec<_> = tables.map(Result::unwrap).collect();
    assert!(tables.len() >= 12, "{tables:?}");
    for table in tables.iter().map(String::as_str).chain(["agent"]) {
        assert_eq!(left(&format!("SELECT COUNT(*) FROM {table}")), 0, "{table}");
    }
    assert_eq!(left("SELECT COUNT(*) FROM pragma_foreign_key_check"), 0);
}
