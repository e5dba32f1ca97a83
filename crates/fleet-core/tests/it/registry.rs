//! Agents join, call, are listed in pages, and are revoked.
use crate::fixture::{Fixture, OFFLINE_AFTER, at, created, enrollment, request, stream};
use fleet_core::{
    AgentFilter, AgentRef, AgentSelector, AgentStatus, EnrollError, Glob, HeartbeatError, PageRequest, RegisterError,
    Store,
};
use fleet_wire::{Delivered, Heartbeat, files_v1};

fn heartbeat(status: &str) -> Heartbeat {
    Heartbeat {
        status: status.to_owned(),
        version: "0.2.0".to_owned(),
        last_scan_time: Some(at(5)),
        files_processed: 10,
        error_count: 1,
        outbox_records: 7,
        outbox_dropped: 0,
        outbox_damaged: 0,
        delivered: None,
        reason: None,
        profile: None,
    }
}

#[tokio::test]
async fn an_agent_is_as_it_last_said_until_it_falls_silent() {
    let fixture = Fixture::new();
    let agent = fixture.agent().await;
    let fleet = &fixture.fleet;
    let status = async |seconds| {
        let found = fleet.store().agent(AgentRef::Id(agent.id)).await.unwrap().unwrap();
        fleet.status(&found.agent, at(seconds))
    };
    assert_eq!(status(180).await, AgentStatus::Online);
    assert_eq!(status(181).await, AgentStatus::Offline);
    fleet.heartbeat(&agent, heartbeat("degraded"), at(200)).await.unwrap();
    assert_eq!(status(210).await, AgentStatus::Degraded);
    fleet.heartbeat(&agent, heartbeat("healthy"), at(220)).await.unwrap();
    assert_eq!(status(230).await, AgentStatus::Online);
    let found = fleet
        .store()
        .agent(AgentRef::Name(agent.name.clone()))
        .await
        .unwrap()
        .unwrap()
        .agent;
    assert_eq!(found.registration.version, "0.2.0");
    assert_eq!(found.health.unwrap().outbox_records, Some(7));
    let sums = fleet.store().statistics(at(230), OFFLINE_AFTER).await.unwrap();
    assert_eq!((sums.online, sums.offline, sums.outbox_records), (1, 0, 7));
    assert_eq!(sums.kinds.into_iter().collect::<Vec<_>>(), [("scanner".to_owned(), 1)]);
}

#[tokio::test]
async fn an_agent_that_holds_more_for_delivered_than_is_here_is_asked_for_a_snapshot() {
    let fixture = Fixture::new();
    let agent = fixture.agent().await;
    let fleet = &fixture.fleet;
    let is_wanted = async |name, through| {
        let mut told = heartbeat("healthy");
        told.delivered = Some(Delivered {
            stream: stream(name),
            through,
        });
        fleet.heartbeat(&agent, told, at(10)).await.unwrap().snapshot_wanted
    };
    let ingest = async |first: u64, paths: &[&str]| {
        let changes: Vec<_> = paths.iter().map(|path| created(path.as_bytes(), 1)).collect();
        fleet
            .ingest(&agent, request(stream(1), first, &changes), at(1))
            .await
            .unwrap();
    };
    // A stream that was opened a moment ago, and one of which records are gone.
    assert!(!is_wanted(1, 0).await);
    assert!(is_wanted(1, 1).await);
    ingest(1, &["/a", "/b"]).await;
    // The third is on its way.
    ingest(4, &["/d"]).await;
    assert!(!is_wanted(1, 2).await);
    assert!(is_wanted(1, 3).await);
    ingest(3, &["/c"]).await;
    assert!(!is_wanted(1, 4).await);
    assert!(is_wanted(1, 5).await);
    assert!(
        !fleet
            .heartbeat(&agent, heartbeat("healthy"), at(10))
            .await
            .unwrap()
            .snapshot_wanted
    );
}

#[tokio::test]
async fn an_agent_of_the_document_speaks_for_itself_only() {
    let fixture = Fixture::new();
    let agent = fixture.agent().await;
    let fleet = &fixture.fleet;
    let register = |name: &str| files_v1::Register {
        agent_id: name.to_owned(),
        hostname: "other".to_owned(),
        version: "9".to_owned(),
        scan_paths: vec!["/srv".to_owned()],
        capabilities: vec![],
    };
    let refused = fleet.register(&agent, register("somebody"), at(1)).await;
    assert!(matches!(refused, Err(RegisterError::OtherAgent)), "{refused:?}");
    fleet.register(&agent, register(&agent.name), at(1)).await.unwrap();
    fleet
        .register(&agent, register(&agent.id.to_string()), at(1))
        .await
        .unwrap();
    let beat = |name: Option<&str>, last: &str| files_v1::Heartbeat {
        agent_id: name.map(str::to_owned),
        status: "error".to_owned(),
        last_scan_time: Some(last.to_owned()),
        files_processed: 1,
        error_count: 0,
        memory_usage: 1024,
    };
    let good = "2024-01-15T10:30:00Z";
    let other = fleet
        .heartbeat_v1(&agent, Some("somebody"), beat(None, good), at(2))
        .await;
    assert!(matches!(other, Err(HeartbeatError::OtherAgent)), "{other:?}");
    let nobody = fleet.heartbeat_v1(&agent, None, beat(None, good), at(2)).await;
    assert!(matches!(nobody, Err(HeartbeatError::Invalid(_))), "{nobody:?}");
    let no_time = fleet
        .heartbeat_v1(&agent, None, beat(Some(&agent.name), "yesterday"), at(2))
        .await;
    assert!(matches!(no_time, Err(HeartbeatError::Invalid(_))), "{no_time:?}");
    fleet
        .heartbeat_v1(&agent, Some(&agent.name), beat(None, good), at(2))
        .await
        .unwrap();
    let found = fleet
        .store()
        .agent(AgentRef::Id(agent.id))
        .await
        .unwrap()
        .unwrap()
        .agent;
    assert_eq!(fleet.status(&found, at(2)), AgentStatus::Degraded);
    assert_eq!(found.registration.scan_paths, ["/srv"]);
    assert_eq!(found.health.unwrap().memory_bytes, Some(1024));
}

#[tokio::test]
async fn a_list_is_read_in_pages_that_do_not_shift() {
    let fixture = Fixture::new();
    let fleet = &fixture.fleet;
    let (admin, _) = fixture.admin().await;
    let token = fixture.join_token(&admin, 100).await;
    for n in 0..25 {
        fleet
            .enroll(enrollment(&token, &format!("web-{n:02}")), at(1))
            .await
            .unwrap();
    }
    let list = async |filter: AgentFilter, after| {
        let page = PageRequest { after, limit: 10 };
        fleet.store().agents(filter, page, at(1), OFFLINE_AFTER).await.unwrap()
    };
    let first = list(AgentFilter::default(), None).await;
    // One before the end of the first page comes, one leaves: the second page starts where the first ended.
    fleet.enroll(enrollment(&token, "web-00a"), at(1)).await.unwrap();
    assert!(fleet.revoke_agent("web-09", at(1)).await.unwrap());
    let second = list(AgentFilter::default(), first.next).await;
    let third = list(AgentFilter::default(), second.next.clone()).await;
    let names: Vec<_> = second
        .items
        .iter()
        .chain(&third.items)
        .map(|agent| agent.name.clone())
        .collect();
    assert_eq!(names, (10..25).map(|n| format!("web-{n:02}")).collect::<Vec<_>>());
    assert_eq!(third.next, None);

    let filter = |status, name: &str, kind: Option<&str>| AgentFilter {
        status,
        name: Some(Glob::new(name)),
        selectors: vec![AgentSelector {
            kind: kind.map(str::to_owned),
            ..AgentSelector::default()
        }],
        ..AgentFilter::default()
    };
    let count = async |filter| list(filter, None).await.items.len();
    assert_eq!(count(filter(Some(AgentStatus::Revoked), "*", None)).await, 1);
    assert_eq!(count(filter(Some(AgentStatus::Offline), "*", None)).await, 0);
    assert_eq!(count(filter(None, "web-0?", Some("scanner"))).await, 9);
    assert_eq!(count(filter(None, "*", Some("reef-agent"))).await, 0);
}

#[tokio::test]
async fn a_revoked_agent_keeps_its_records_and_frees_its_name() {
    let fixture = Fixture::new();
    let fleet = &fixture.fleet;
    let (admin, _) = fixture.admin().await;
    let token = fixture.join_token(&admin, 3).await;
    let old = fleet.enroll(enrollment(&token, "host"), at(1)).await.unwrap();
    assert!(fleet.revoke_agent("host", at(2)).await.unwrap());
    assert!(
        fleet.revoke_agent("host", at(9)).await.unwrap(),
        "it is found by its name, and stays what it is"
    );
    assert!(
        fleet
            .authenticate_agent(old.api_key.as_ref().unwrap().reveal(), at(0))
            .await
            .unwrap()
            .unwrap()
            .revoked
    );
    let new = fleet.enroll(enrollment(&token, "host"), at(3)).await.unwrap();
    let by_name = fleet.store().agent("host".into()).await.unwrap().unwrap().agent;
    assert_eq!(by_name.id, new.agent_id);
    let by_id = fleet
        .store()
        .agent(AgentRef::Id(old.agent_id))
        .await
        .unwrap()
        .unwrap()
        .agent;
    assert_eq!(by_id.revoked_at, Some(at(2)));
}

#[tokio::test]
async fn names_that_would_confuse_are_refused() {
    let fixture = Fixture::new();
    let (admin, _) = fixture.admin().await;
    let token = fixture.join_token(&admin, 1).await;
    let long = "x".repeat(256);
    for name in ["", "  ", "a\nb", "0190a5c1-7e2b-7c11-8a3e-5b1d9f0c2d4e", &long] {
        let refused = fixture.fleet.enroll(enrollment(&token, name), at(1)).await;
        assert!(matches!(refused, Err(EnrollError::Invalid(_))), "{name:?}: {refused:?}");
    }
}

#[tokio::test]
async fn a_revoked_agent_is_removed_by_its_name() {
    let fixture = Fixture::new();
    let agent = fixture.agent().await;
    let fleet = &fixture.fleet;
    assert!(fleet.revoke_agent(&agent.name, at(2)).await.unwrap());
    let known = |name: &str| fleet.store().agent(AgentRef::from(name));
    assert!(known(&agent.id.to_string()).await.unwrap().is_some());
    assert!(fleet.remove_agent(&agent.name, at(3)).await.unwrap());
    assert!(known(&agent.id.to_string()).await.unwrap().is_none());
    assert!(
        !fleet.remove_agent(&agent.name, at(4)).await.unwrap(),
        "there is none left"
    );
}
