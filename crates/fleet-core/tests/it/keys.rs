//! Keys that take the place of others, and agents that their certificates prove.
use crate::fixture::{Fixture, at, enrollment};
use core_model::{AgentId, InstanceId, Secret};
use fleet_core::{
    AgentIdentity, AgentRef, EnrollCertifiedError, Fleet, FleetSettings, HelloOutcome, LinkStore as _, RenewKeyError,
    RotateKeyError, SessionKey, SqliteStore, Standing, Store as _, StoreSettings, Transport,
};
use fleet_wire::{EnrollRequest, Heartbeat, link::Hello};
use std::{sync::Arc, time::Duration};

/// One agent with a key.
struct Keyed {
    fixture: Fixture,
    id: AgentId,
    key: Secret,
}

impl Keyed {
    async fn new() -> Self {
        Self::over(Fixture::new()).await
    }

    async fn over(fixture: Fixture) -> Self {
        let (admin, _) = fixture.admin().await;
        let token = fixture.join_token(&admin, 1).await;
        let joined = fixture.fleet.enroll(enrollment(&token, "a"), at(0)).await.unwrap();
        Self {
            fixture,
            id: joined.agent_id,
            key: joined.api_key.unwrap(),
        }
    }

    /// Whom a key belongs to, as a request with it finds out.
    async fn known(&self, key: &Secret, seconds: i64) -> Option<AgentIdentity> {
        self.fixture
            .fleet
            .authenticate_agent(key.reveal(), at(seconds))
            .await
            .unwrap()
    }

    /// Another key, asked for with this one.
    async fn renew(&self, key: &Secret, seconds: i64) -> Secret {
        let agent = self.known(key, seconds).await.unwrap();
        self.fixture.fleet.renew_key(&agent).await.unwrap()
    }

    /// Whether a heartbeat and a new session are told to renew; both always say the same.
    async fn is_wanted(&self, key: &Secret, seconds: i64) -> bool {
        let agent = self.known(key, seconds).await.unwrap();
        let fleet = &self.fixture.fleet;
        let answer = fleet.heartbeat(&agent, heartbeat(), at(seconds)).await.unwrap();
        let remote = "192.0.2.1".to_owned();
        let hello = fleet.hello(agent.id, hello(), Transport::Polling, remote, at(seconds));
        let HelloOutcome::Welcome { new_key_wanted, .. } = hello.await.unwrap() else {
            panic!("not let in")
        };
        assert_eq!(new_key_wanted, answer.new_key_wanted);
        new_key_wanted
    }
}

fn heartbeat() -> Heartbeat {
    serde_json::from_str(r#"{"status": "healthy", "version": "0.1.0"}"#).unwrap()
}

fn hello() -> Hello {
    let text = r#"{"kind": "scanner", "version": "0.1.0", "hostname": "host", "verbs": [], "journal": [],
                   "instance": "019c2f6a-8d40-7c11-8a3e-000000000007"}"#;
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn the_first_use_of_a_new_key_is_the_end_of_the_one_before() {
    let keyed = Keyed::new().await;
    let new = keyed.renew(&keyed.key, 1).await;
    for seconds in 2..5 {
        assert_eq!(
            keyed.known(&keyed.key, seconds).await.unwrap().id,
            keyed.id,
            "it opens until then"
        );
    }
    assert_eq!(keyed.known(&new, 6).await.unwrap().id, keyed.id);
    assert_eq!(keyed.known(&keyed.key, 6).await, None);
    let again = keyed.known(&new, 7).await.unwrap();
    assert!(!again.is_key_pending);
    let detail = keyed.fixture.fleet.store().agent(AgentRef::Id(keyed.id)).await.unwrap();
    let status = detail.unwrap().key.unwrap();
    assert_eq!((status.made_at, status.is_renewal_pending), (at(6), false));
    let keyed = Keyed {
        fixture: keyed.fixture.restart(),
        ..keyed
    };
    assert!(keyed.known(&new, 8).await.is_some());
    assert_eq!(keyed.known(&keyed.key, 8).await, None);
}

#[tokio::test]
async fn a_key_that_was_lost_on_its_way_is_replaced_by_the_next_and_never_opens() {
    let keyed = Keyed::new().await;
    let lost = keyed.renew(&keyed.key, 1).await;
    let new = keyed.renew(&keyed.key, 2).await;
    assert_eq!(keyed.known(&lost, 3).await, None);
    assert!(keyed.known(&keyed.key, 3).await.is_some(), "and it ended nothing");
    assert!(keyed.known(&new, 4).await.is_some());
    assert_eq!(keyed.known(&keyed.key, 4).await, None);
    assert_eq!(keyed.known(&lost, 4).await, None);
}

#[tokio::test]
async fn a_key_that_was_replaced_meanwhile_renews_nothing() {
    let keyed = Keyed::new().await;
    let slow = keyed.known(&keyed.key, 1).await.unwrap();
    let new = keyed.renew(&keyed.key, 1).await;
    keyed.known(&new, 2).await.unwrap();
    let refused = keyed.fixture.fleet.renew_key(&slow).await;
    assert!(matches!(refused, Err(RenewKeyError::Replaced)), "{refused:?}");
    assert!(keyed.known(&new, 3).await.is_some());
}

#[tokio::test]
async fn many_first_uses_at_once_are_all_let_in() {
    let keyed = Arc::new(Keyed::new().await);
    let new = keyed.renew(&keyed.key, 1).await;
    let mut uses = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let (keyed, new) = (Arc::clone(&keyed), new.clone());
        uses.spawn(async move { keyed.known(&new, 2).await.is_some() });
    }
    assert!(uses.join_all().await.into_iter().all(|is_known| is_known));
    assert_eq!(keyed.known(&keyed.key, 3).await, None);
}

#[tokio::test]
async fn the_session_of_a_stolen_key_ends_with_it_and_does_not_keep_the_agent_out() {
    let keyed = Keyed::new().await;
    let fleet = &keyed.fixture.fleet;
    let say = async |machine: &str, instance: u8, seconds: i64| {
        let hello = Hello {
            machine: Some(machine.to_owned()),
            instance: InstanceId::new(at(0), [instance; 10]),
            ..hello()
        };
        let remote = "192.0.2.1".to_owned();
        fleet
            .hello(keyed.id, hello, Transport::Websocket, remote, at(seconds))
            .await
            .unwrap()
    };
    let HelloOutcome::Welcome { epoch, .. } = say("thief", 1, 1).await else {
        panic!("not let in")
    };
    assert!(
        matches!(say("own", 2, 2).await, HelloOutcome::Cloned { .. }),
        "the thief is taken for the agent"
    );
    let thief = SessionKey { agent: keyed.id, epoch };
    assert_eq!(fleet.store().alive(thief, at(3)).await.unwrap(), Standing::Current);
    let socket = fleet.waker(keyed.id);
    let new = keyed.renew(&keyed.key, 4).await;
    keyed.known(&new, 5).await.unwrap();
    tokio::time::timeout(Duration::from_secs(30), socket.woken())
        .await
        .expect("the thief's socket is woken");
    assert_eq!(fleet.store().alive(thief, at(6)).await.unwrap(), Standing::Superseded);
    assert!(matches!(say("own", 2, 7).await, HelloOutcome::Welcome { .. }));
    assert_eq!(fleet.store().alive(thief, at(8)).await.unwrap(), Standing::Superseded);
    assert!(
        matches!(say("thief", 1, 9).await, HelloOutcome::Cloned { .. }),
        "a session of the new key is guarded as any other"
    );
}

#[tokio::test]
async fn revocation_ends_both_keys() {
    let keyed = Keyed::new().await;
    let new = keyed.renew(&keyed.key, 1).await;
    assert!(keyed.fixture.fleet.revoke_agent("a", at(2)).await.unwrap());
    for key in [&keyed.key, &new, &keyed.key] {
        assert!(keyed.known(key, 3).await.unwrap().revoked);
    }
    let asked = keyed.fixture.fleet.rotate_key(&keyed.id.to_string(), at(4)).await;
    assert!(matches!(asked, Err(RotateKeyError::Revoked(_))), "{asked:?}");
}

#[tokio::test]
async fn an_agent_hears_that_it_should_renew_until_it_has() {
    let keyed = Keyed::new().await;
    assert!(!keyed.is_wanted(&keyed.key, 1).await);
    keyed.fixture.fleet.rotate_key("a", at(2)).await.unwrap();
    let keyed = Keyed {
        fixture: keyed.fixture.restart(),
        ..keyed
    };
    assert!(keyed.is_wanted(&keyed.key, 3).await);
    let new = keyed.renew(&keyed.key, 4).await;
    assert!(keyed.is_wanted(&keyed.key, 5).await, "it may have been lost");
    assert!(!keyed.is_wanted(&new, 6).await);
    let nobody = keyed.fixture.fleet.rotate_key("b", at(7)).await;
    assert!(matches!(nobody, Err(RotateKeyError::NoAgent(_))), "{nobody:?}");
}

#[tokio::test]
async fn a_key_that_is_too_old_is_to_be_renewed_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&dir.path().join("fleet.db"), StoreSettings::default()).unwrap();
    let settings = FleetSettings {
        rotate_keys_after: Some(Duration::from_secs(100)),
        ..FleetSettings::default()
    };
    let fleet = Arc::new(Fleet::new(store, settings));
    let keyed = Keyed::over(Fixture { fleet, dir }).await;
    assert!(!keyed.is_wanted(&keyed.key, 100).await);
    assert!(keyed.is_wanted(&keyed.key, 101).await);
    let new = keyed.renew(&keyed.key, 102).await;
    assert!(!keyed.is_wanted(&new, 103).await);
    assert!(!keyed.is_wanted(&new, 203).await, "it counts from its first use");
    assert!(keyed.is_wanted(&new, 204).await);
}

fn certified(name: &str) -> EnrollRequest {
    EnrollRequest {
        join_token: None,
        ..enrollment(&Secret::new("none"), name)
    }
}

#[tokio::test]
async fn a_certificate_enrols_the_agent_that_it_names_and_finds_it_again() {
    let fixture = Fixture::new();
    let fleet = &fixture.fleet;
    let (first, is_new) = fleet
        .enroll_certified("web-1", certified("web-1"), at(1))
        .await
        .unwrap();
    assert!(is_new && first.api_key.is_none());
    let (again, is_new) = fleet
        .enroll_certified("web-1", certified("web-1"), at(2))
        .await
        .unwrap();
    assert!(!is_new);
    assert_eq!(again.agent_id, first.agent_id);
    let agent = fleet.agent_certified("web-1").await.unwrap().unwrap();
    assert_eq!((agent.id, agent.revoked, agent.key), (first.agent_id, false, None));
    assert_eq!(fleet.agent_certified("web-2").await.unwrap(), None);

    let other = fleet
        .enroll_certified("web-1", certified("web-2"), at(3))
        .await
        .unwrap_err();
    assert!(matches!(other, EnrollCertifiedError::OtherName { .. }), "{other:?}");
    let of_other_kind = EnrollRequest {
        kind: "reef-agent".to_owned(),
        ..certified("web-1")
    };
    let other = fleet.enroll_certified("web-1", of_other_kind, at(3)).await.unwrap_err();
    assert!(matches!(other, EnrollCertifiedError::NameTaken { .. }), "{other:?}");
}

#[tokio::test]
async fn an_agent_of_a_certificate_has_no_key_to_renew() {
    let fixture = Fixture::new();
    let fleet = &fixture.fleet;
    fleet
        .enroll_certified("web-1", certified("web-1"), at(1))
        .await
        .unwrap();
    let agent = fleet.agent_certified("web-1").await.unwrap().unwrap();
    let renewed = fleet.renew_key(&agent).await;
    assert!(matches!(renewed, Err(RenewKeyError::NoKey)), "{renewed:?}");
    let asked = fleet.rotate_key("web-1", at(2)).await;
    assert!(matches!(asked, Err(RotateKeyError::NoKey(_))), "{asked:?}");
    assert_eq!(fleet.store().agent("web-1".into()).await.unwrap().unwrap().key, None);
}

#[tokio::test]
async fn a_revoked_agent_does_not_come_back_by_its_certificate_until_it_is_removed() {
    let fixture = Fixture::new();
    let fleet = &fixture.fleet;
    let (first, _) = fleet
        .enroll_certified("web-1", certified("web-1"), at(1))
        .await
        .unwrap();
    assert!(fleet.revoke_agent("web-1", at(2)).await.unwrap());
    assert!(fleet.agent_certified("web-1").await.unwrap().unwrap().revoked);
    let refused = fleet.enroll_certified("web-1", certified("web-1"), at(3)).await;
    assert!(matches!(refused, Err(EnrollCertifiedError::Revoked)), "{refused:?}");
    assert!(fleet.remove_agent(&first.agent_id.to_string(), at(4)).await.unwrap());
    assert_eq!(fleet.agent_certified("web-1").await.unwrap(), None);
    let (second, is_new) = fleet
        .enroll_certified("web-1", certified("web-1"), at(5))
        .await
        .unwrap();
    assert!(is_new && second.agent_id != first.agent_id);
}
