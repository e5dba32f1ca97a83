//! Where agents are and what they bear: what they tell, what operators say over it, and who is meant by it.
use crate::fixture::{Fixture, OFFLINE_AFTER, at, enrollment};
use core_model::{AgentId, LabelMatch, Labels, Site};
use fleet_core::{
    AgentFilter, AgentIdentity, AgentRecord, AgentRef, AgentSelector, AgentStatus, AmendError, Amendment, CommandOrder,
    CommandTarget, Glob, Group, LinkStore, Maintenance, Operator, PageRequest, PutGroupError, SendCommandError, Store,
};
use fleet_wire::{Heartbeat, Profile, link::Priority};
use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};

fn profile(site: &str, labels: &[(&str, &str)]) -> Profile {
    let labels = labels
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Profile {
        site: Some(site.to_owned()),
        labels: labels.collect(),
        os: Some("Debian GNU/Linux 12".to_owned()),
        kernel: Some("6.1.0".to_owned()),
        architecture: Some("x86_64".to_owned()),
        container_engines: vec!["docker".to_owned()],
    }
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs
        .iter()
        .map(|(key, value)| (key.parse().unwrap(), value.parse().unwrap()))
        .collect()
}

fn heartbeat(profile: Option<Profile>) -> Heartbeat {
    Heartbeat {
        status: "healthy".to_owned(),
        version: "0.1.0".to_owned(),
        last_scan_time: None,
        files_processed: 0,
        error_count: 0,
        outbox_records: 0,
        outbox_dropped: 0,
        outbox_damaged: 0,
        reason: None,
        delivered: None,
        profile,
    }
}

struct Place {
    fixture: Fixture,
    admin: Operator,
    agents: BTreeMap<String, AgentIdentity>,
}

impl Place {
    /// Three agents that have told where they are.
    async fn new() -> Self {
        let fixture = Fixture::new();
        let (admin, _) = fixture.admin().await;
        let token = fixture.join_token(&admin, 10).await;
        let mut agents = BTreeMap::new();
        for (name, site, labels) in [
            ("web-1", "fra1", vec![("tier", "web"), ("env", "prod")]),
            ("web-2", "ams2", vec![("tier", "web"), ("env", "test")]),
            ("db-1", "fra1", vec![("tier", "db"), ("env", "prod")]),
        ] {
            let joined = fixture.fleet.enroll(enrollment(&token, name), at(0)).await.unwrap();
            let key = joined.api_key.unwrap();
            let agent = fixture
                .fleet
                .authenticate_agent(key.reveal(), at(0))
                .await
                .unwrap()
                .unwrap();
            let told = heartbeat(Some(profile(site, &labels)));
            fixture.fleet.heartbeat(&agent, told, at(1)).await.unwrap();
            agents.insert(name.to_owned(), agent);
        }
        Self { fixture, admin, agents }
    }

    async fn names(&self, filter: AgentFilter, seconds: i64) -> Vec<String> {
        let page = PageRequest {
            after: None,
            limit: 100,
        };
        let store = self.fixture.fleet.store();
        let agents = store.agents(filter, page, at(seconds), OFFLINE_AFTER).await.unwrap();
        agents.items.into_iter().map(|agent| agent.name).collect()
    }

    async fn selected(&self, selector: AgentSelector) -> Vec<String> {
        let filter = AgentFilter {
            selectors: vec![selector],
            ..AgentFilter::default()
        };
        self.names(filter, 1).await
    }

    async fn record(&self, name: &str) -> AgentRecord {
        let found = self.fixture.fleet.store().agent(AgentRef::from(name)).await.unwrap();
        found.unwrap().agent
    }

    async fn amend(&self, name: &str, amendment: Amendment) -> Result<(), AmendError> {
        self.fixture.fleet.amend_agent(name, amendment).await
    }

    fn order(&self, target: CommandTarget) -> CommandOrder {
        CommandOrder {
            verb: "scan".to_owned(),
            args: Value::Null,
            target,
            priority: Priority::Normal,
            within: Duration::from_secs(60),
            key: None,
        }
    }

    /// Whom a command for `target` is for.
    async fn sent_to(&self, target: CommandTarget) -> Result<Vec<String>, SendCommandError> {
        let order = self.order(target);
        let sent = self.fixture.fleet.send_command(&self.admin, order, at(2)).await?;
        let name = |id: AgentId| self.agents.iter().find(|(_, agent)| agent.id == id).unwrap().0.clone();
        let mut names: Vec<_> = sent.agents.into_iter().map(name).collect();
        names.sort();
        Ok(names)
    }
}

fn matching(text: &str) -> AgentSelector {
    AgentSelector {
        labels: text.split(',').map(|label| label.parse().unwrap()).collect(),
        ..AgentSelector::default()
    }
}

fn site(text: &str) -> Option<Site> {
    Some(text.parse().unwrap())
}

#[tokio::test]
async fn agents_are_found_by_what_they_told() {
    let place = Place::new().await;
    let of_site = |name| AgentSelector {
        site: site(name),
        ..AgentSelector::default()
    };
    assert_eq!(place.selected(of_site("fra1")).await, ["db-1", "web-1"]);
    assert!(
        place.selected(of_site("fra")).await.is_empty(),
        "a site is a whole word"
    );
    assert_eq!(place.selected(matching("tier=web")).await, ["web-1", "web-2"]);
    assert_eq!(place.selected(matching("tier=web,env=prod")).await, ["web-1"]);
    assert_eq!(place.selected(matching("tier")).await.len(), 3);
    let by = |capability: Option<&str>, engine: Option<&str>| AgentSelector {
        capability: capability.map(str::to_owned),
        container_engine: engine.map(str::to_owned),
        ..AgentSelector::default()
    };
    assert_eq!(place.selected(by(Some("scan"), Some("docker"))).await.len(), 3);
    assert!(place.selected(by(Some("dance"), None)).await.is_empty());
    assert!(place.selected(by(None, Some("podman"))).await.is_empty());
    let by_os = |os: &str| AgentFilter {
        os: Some(Glob::new(os)),
        ..AgentFilter::default()
    };
    assert_eq!(place.names(by_os("Debian*"), 1).await.len(), 3);
    assert!(place.names(by_os("Ubuntu*"), 1).await.is_empty());

    // What is not told again stays; what is told replaces all of it.
    let fleet = &place.fixture.fleet;
    fleet
        .heartbeat(&place.agents["web-2"], heartbeat(None), at(2))
        .await
        .unwrap();
    assert_eq!(place.selected(of_site("ams2")).await, ["web-2"]);
    let moved = heartbeat(Some(profile("fra1", &[])));
    fleet.heartbeat(&place.agents["web-2"], moved, at(3)).await.unwrap();
    assert_eq!(place.selected(of_site("fra1")).await, ["db-1", "web-1", "web-2"]);
    assert_eq!(place.selected(matching("tier=web")).await, ["web-1"]);
}

#[tokio::test]
async fn what_operators_say_goes_before_what_the_agent_says() {
    let place = Place::new().await;
    let amendment = Amendment {
        site: Some(site("lon3")),
        labels: vec![
            ("tier".parse().unwrap(), Some("cache".parse().unwrap())),
            ("owner".parse().unwrap(), Some("ops".parse().unwrap())),
        ],
        ..Amendment::default()
    };
    place.amend("web-1", amendment).await.unwrap();
    let web = place.record("web-1").await;
    assert_eq!(web.site().unwrap().as_str(), "lon3");
    assert_eq!(
        web.labels(),
        labels(&[("env", "prod"), ("owner", "ops"), ("tier", "cache")])
    );
    assert_eq!(place.selected(matching("tier=web")).await, ["web-2"]);

    // The agent says what it always says, and the operators' word stays.
    let told = heartbeat(Some(profile("fra1", &[("tier", "web")])));
    place
        .fixture
        .fleet
        .heartbeat(&place.agents["web-1"], told, at(2))
        .await
        .unwrap();
    assert_eq!(
        place.record("web-1").await.labels(),
        labels(&[("owner", "ops"), ("tier", "cache")])
    );

    let back = Amendment {
        site: Some(None),
        labels: vec![("tier".parse().unwrap(), None), ("never".parse().unwrap(), None)],
        ..Amendment::default()
    };
    place.amend("web-1", back).await.unwrap();
    let web = place.record("web-1").await;
    assert_eq!(web.site().unwrap().as_str(), "fra1");
    assert_eq!(web.labels(), labels(&[("owner", "ops"), ("tier", "web")]));
}

#[tokio::test]
async fn an_amendment_is_made_whole_or_not_at_all() {
    let place = Place::new().await;
    let taken = Amendment {
        name: Some("web-2".to_owned()),
        site: Some(site("lon3")),
        ..Amendment::default()
    };
    let refused = place.amend("web-1", taken).await;
    assert!(matches!(refused, Err(AmendError::NameTaken(_))), "{refused:?}");
    assert_eq!(place.record("web-1").await.site().unwrap().as_str(), "fra1");
    let many = (0..=core_model::MOST_LABELS).map(|n| (format!("l{n}").parse().unwrap(), Some("x".parse().unwrap())));
    let many = Amendment {
        labels: many.collect(),
        ..Amendment::default()
    };
    let refused = place.amend("web-1", many).await;
    assert!(matches!(refused, Err(AmendError::Invalid(_))), "{refused:?}");
    let nobody = place.amend("web-9", Amendment::default()).await;
    assert!(matches!(nobody, Err(AmendError::NoAgent(_))), "{nobody:?}");
}

fn maintenance(until: Option<i64>) -> Amendment {
    Amendment {
        maintenance: Some(Some(Maintenance {
            since: at(10),
            until: until.map(at),
            reason: "new disk".to_owned(),
            by: "admin".to_owned(),
        })),
        ..Amendment::default()
    }
}

#[tokio::test]
async fn an_agent_in_maintenance_is_so_until_its_time_is_over() {
    let place = Place::new().await;
    let in_maintenance = AgentFilter {
        status: Some(AgentStatus::Maintenance),
        ..AgentFilter::default()
    };
    place.amend("web-1", maintenance(Some(20))).await.unwrap();
    assert_eq!(place.names(in_maintenance.clone(), 19).await, ["web-1"]);
    let sums = place
        .fixture
        .fleet
        .store()
        .statistics(at(19), OFFLINE_AFTER)
        .await
        .unwrap();
    assert_eq!((sums.online, sums.maintenance), (2, 1));
    assert!(place.names(in_maintenance.clone(), 20).await.is_empty());
    place.amend("web-1", maintenance(None)).await.unwrap();
    assert_eq!(
        place.names(in_maintenance.clone(), i64::from(u32::MAX)).await,
        ["web-1"]
    );
    let over = Amendment {
        maintenance: Some(None),
        ..Amendment::default()
    };
    place.amend("web-1", over).await.unwrap();
    assert!(place.names(in_maintenance, 19).await.is_empty());
    let before = place.amend("web-1", maintenance(Some(9))).await;
    assert!(matches!(before, Err(AmendError::Invalid(_))), "{before:?}");
}

fn group(name: &str, selector: AgentSelector) -> Group {
    Group {
        name: name.to_owned(),
        selector,
        comment: "what it is for".to_owned(),
        changed_at: at(5),
        changed_by: "admin".to_owned(),
    }
}

#[tokio::test]
async fn a_group_is_who_fits_when_it_is_asked_for() {
    let place = Place::new().await;
    let fleet = &place.fixture.fleet;
    assert!(fleet.put_group(group("web", matching("tier=web"))).await.unwrap());
    let to_web = || CommandTarget {
        group: Some("web".to_owned()),
        ..CommandTarget::default()
    };
    assert_eq!(place.sent_to(to_web()).await.unwrap(), ["web-1", "web-2"]);
    let told = heartbeat(Some(profile("fra1", &[("tier", "web")])));
    fleet.heartbeat(&place.agents["db-1"], told, at(2)).await.unwrap();
    assert_eq!(place.sent_to(to_web()).await.unwrap(), ["db-1", "web-1", "web-2"]);

    assert!(
        !fleet
            .put_group(group("web", matching("tier=web,env=prod")))
            .await
            .unwrap(),
        "it was there"
    );
    assert_eq!(place.sent_to(to_web()).await.unwrap(), ["web-1"]);
    let groups = fleet.store().groups().await.unwrap();
    assert_eq!(groups, [group("web", matching("tier=web,env=prod"))]);
    assert!(fleet.store().remove_group("web".to_owned()).await.unwrap());
    assert!(!fleet.store().remove_group("web".to_owned()).await.unwrap());
    let refused = place.sent_to(to_web()).await;
    assert!(matches!(refused, Err(SendCommandError::NoGroup(_))), "{refused:?}");
    let everybody = fleet.put_group(group("all", AgentSelector::default())).await;
    assert!(matches!(everybody, Err(PutGroupError::Invalid(_))), "{everybody:?}");
}

#[tokio::test]
async fn a_command_goes_to_the_named_and_to_all_that_fit() {
    let place = Place::new().await;
    let label = |text: &str| vec![text.parse::<LabelMatch>().unwrap()];
    for (target, expected) in [
        (
            CommandTarget {
                site: site("fra1"),
                ..CommandTarget::default()
            },
            vec!["db-1", "web-1"],
        ),
        (
            CommandTarget {
                site: site("fra1"),
                labels: label("tier=web"),
                ..CommandTarget::default()
            },
            vec!["web-1"],
        ),
        (
            CommandTarget {
                agents: vec!["db-1".to_owned()],
                labels: label("tier=web"),
                ..CommandTarget::default()
            },
            vec!["db-1", "web-1", "web-2"],
        ),
        (
            CommandTarget {
                all: true,
                capability: Some("scan".to_owned()),
                container_engine: Some("docker".to_owned()),
                ..CommandTarget::default()
            },
            vec!["db-1", "web-1", "web-2"],
        ),
    ] {
        assert_eq!(place.sent_to(target.clone()).await.unwrap(), expected, "{target:?}");
    }
    let nobody = place.sent_to(CommandTarget {
        labels: label("tier=none"),
        ..CommandTarget::default()
    });
    assert!(matches!(nobody.await, Err(SendCommandError::Nobody)));
}

#[tokio::test]
async fn silent_agents_are_removed_but_for_those_in_maintenance() {
    let place = Place::new().await;
    let fleet = &place.fixture.fleet;
    place.amend("db-1", maintenance(None)).await.unwrap();
    let alive = heartbeat(None);
    fleet.heartbeat(&place.agents["web-1"], alive, at(50)).await.unwrap();
    assert!(
        fleet
            .remove_silent(Duration::from_secs(100), at(100))
            .await
            .unwrap()
            .is_empty()
    );
    let removed = fleet.remove_silent(Duration::from_secs(60), at(100)).await.unwrap();
    let names: Vec<_> = removed.into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, ["web-2"]);
    let known = fleet.store().agent_by_name("web-2".to_owned()).await.unwrap();
    assert!(known.is_none(), "nobody sees it any more");
    while fleet.purge_removed().await.unwrap() {}
    assert_eq!(place.names(AgentFilter::default(), 100).await, ["db-1", "web-1"]);
}

#[tokio::test]
async fn statistics_tell_where_and_on_what_the_fleet_runs() {
    let place = Place::new().await;
    let sums = place
        .fixture
        .fleet
        .store()
        .statistics(at(1), OFFLINE_AFTER)
        .await
        .unwrap();
    let counts = |pairs: &[(&str, u64)]| {
        pairs
            .iter()
            .map(|(name, n)| ((*name).to_owned(), *n))
            .collect::<BTreeMap<_, _>>()
    };
    assert_eq!(sums.sites, counts(&[("ams2", 1), ("fra1", 2)]));
    assert_eq!(sums.versions, counts(&[("scanner 0.1.0", 3)]));
    assert_eq!(sums.systems, counts(&[("Debian GNU/Linux 12", 3)]));
    assert_eq!(sums.container_engines, counts(&[("docker", 3)]));
}
