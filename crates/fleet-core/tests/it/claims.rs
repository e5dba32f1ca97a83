//! Claims: one operator wins, one agent gets its key, and a lost answer strands nobody.
use crate::fixture::{Fixture, at};
use core_model::Secret;
use fleet_core::{
    AcceptClaimError, ClaimAnswer, ClaimState, FleetSettings, LinkStore, OpenClaimError, PageRequest, PollClaimError,
    StoreSettings, TokenHash,
};
use fleet_wire::ClaimRequest;
use std::fmt::Write;

fn token(n: u8) -> Secret {
    Secret::new(format!("st_{n}"))
}

fn request(token: &Secret, name: &str) -> ClaimRequest {
    let hex = TokenHash::of(token.reveal())
        .as_bytes()
        .iter()
        .fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        });
    ClaimRequest {
        token_sha256: hex,
        name: name.to_owned(),
        kind: "scanner".to_owned(),
        hostname: "host".to_owned(),
        version: "0.1.0".to_owned(),
        capabilities: vec!["scan".to_owned()],
    }
}

#[tokio::test]
async fn a_claim_is_accepted_and_its_key_is_the_same_until_it_is_used_and_then_gone() {
    let fixture = Fixture::new();
    let fleet = &fixture.fleet;
    let (admin, _) = fixture.admin().await;
    let opened = fleet
        .open_claim(request(&token(1), "web-1"), "192.0.2.1", at(0))
        .await
        .unwrap();
    let again = fleet
        .open_claim(request(&token(1), "web-1"), "192.0.2.1", at(9))
        .await
        .unwrap();
    assert_eq!(again, opened, "the same token has the same claim");
    assert_eq!(opened.expires_at, at(24 * 3600));
    let poll = async |token: &Secret, seconds| fleet.poll_claim(opened.id, token, at(seconds)).await;
    assert!(matches!(poll(&token(1), 10).await, Ok(ClaimAnswer::Pending(_))));
    assert!(matches!(poll(&token(2), 10).await, Err(PollClaimError::Unknown)));

    let typed = opened.code.to_string().to_lowercase();
    let accepted = fleet
        .accept_claim(&admin, &typed, Some("web-one".to_owned()), at(20))
        .await
        .unwrap();
    assert_eq!(
        (accepted.name.as_str(), accepted.state(at(20))),
        ("web-one", ClaimState::Accepted)
    );
    assert!(
        matches!(poll(&token(2), 21).await, Err(PollClaimError::Unknown)),
        "the token still counts"
    );
    let mut keys = Vec::new();
    for seconds in [21, 22, 200_000] {
        let Ok(ClaimAnswer::Accepted(answer)) = poll(&token(1), seconds).await else {
            panic!("the key is handed out until it is used")
        };
        assert_eq!(Some(answer.agent_id), accepted.agent);
        keys.push(answer.api_key.as_ref().unwrap().reveal().to_owned());
    }
    assert!(
        keys[0].starts_with("sk_") && keys.iter().all(|key| *key == keys[0]),
        "lost answers change nothing"
    );
    let file = std::fs::read(fixture.dir.path().join("fleet.db-wal")).unwrap();
    assert!(
        !file.windows(keys[0].len()).any(|bytes| bytes == keys[0].as_bytes()),
        "no key is at rest"
    );

    let known = fleet.authenticate_agent(&keys[0], at(30)).await.unwrap().unwrap();
    assert_eq!(Some(known.id), accepted.agent);
    assert!(known.is_key_new && !known.revoked);
    assert!(matches!(poll(&token(1), 31).await, Err(PollClaimError::Used)));
    assert!(
        !fleet
            .authenticate_agent(&keys[0], at(32))
            .await
            .unwrap()
            .unwrap()
            .is_key_new
    );
    let renewed = fleet.open_claim(request(&token(1), "web-1"), "192.0.2.1", at(33)).await;
    assert!(matches!(renewed, Err(OpenClaimError::Used)));
    let listed = fleet
        .store()
        .claims(PageRequest { after: None, limit: 10 })
        .await
        .unwrap();
    assert_eq!(listed.items[0].state(at(33)), ClaimState::Used);
    assert_eq!(listed.items[0].accepted_by.as_deref(), Some("admin"));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_operators_at_the_same_time_one_wins() {
    let fixture = Fixture::new();
    let (admin, _) = fixture.admin().await;
    let claim = fixture
        .fleet
        .open_claim(request(&token(1), "web-1"), "n", at(0))
        .await
        .unwrap();
    let mut operators = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (fleet, admin, code) = (fixture.fleet.clone(), admin.clone(), claim.code.to_string());
        operators.spawn(async move { fleet.accept_claim(&admin, &code, None, at(1)).await });
    }
    let answers = operators.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    let late = |answer: &&Result<_, _>| matches!(answer, Err(AcceptClaimError::Accepted));
    assert_eq!(answers.iter().filter(late).count(), 7);
}

#[tokio::test]
async fn claims_end_and_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let store = fleet_core::SqliteStore::open(&dir.path().join("fleet.db"), StoreSettings::default()).unwrap();
    let settings = FleetSettings {
        open_claims: 3,
        open_claims_of_network: 2,
        ..FleetSettings::default()
    };
    let fleet = fleet_core::Fleet::new(store, settings);
    let password = fleet.ensure_admin(at(0)).await.unwrap().unwrap();
    let session = fleet.login("admin", &password, at(0)).await.unwrap();
    let admin = fleet
        .authenticate_operator(session.token.reveal(), at(0))
        .await
        .unwrap()
        .unwrap();
    let open = async |n: u8, network: &str, seconds| {
        fleet
            .open_claim(request(&token(n), &format!("web-{n}")), network, at(seconds))
            .await
    };
    let first = open(1, "a", 0).await.unwrap();
    open(2, "a", 0).await.unwrap();
    assert!(
        matches!(open(3, "a", 0).await, Err(OpenClaimError::TooMany)),
        "of one network"
    );
    open(3, "b", 0).await.unwrap();
    assert!(matches!(open(4, "c", 0).await, Err(OpenClaimError::TooMany)), "in all");
    assert_eq!(
        open(1, "a", 1).await.unwrap().id,
        first.id,
        "one that is open already is found all the same"
    );

    let day = 24 * 3600;
    let polled = fleet.poll_claim(first.id, &token(1), at(day)).await;
    assert!(matches!(polled, Err(PollClaimError::Expired)), "{polled:?}");
    let accept = async |code: &str, seconds| fleet.accept_claim(&admin, code, None, at(seconds)).await;
    assert!(matches!(
        accept(&first.code.to_string(), day).await,
        Err(AcceptClaimError::Expired)
    ));
    assert!(matches!(
        accept("0000-0000", 1).await,
        Err(AcceptClaimError::Unknown(_))
    ));
    assert!(matches!(
        accept("nonsense!", 1).await,
        Err(AcceptClaimError::Unknown(_))
    ));
    let anew = open(1, "a", day).await.unwrap();
    assert_ne!(anew.id, first.id, "what has ended makes room");
    accept(&anew.code.to_string(), day + 1).await.unwrap();
    let other = open(5, "d", day + 1).await.unwrap();
    let taken = fleet
        .accept_claim(&admin, &other.code.to_string(), Some("web-1".to_owned()), at(day + 1))
        .await;
    assert!(matches!(taken, Err(AcceptClaimError::NameTaken(name)) if name == "web-1"));
    fleet.sweep(at(4 * day)).await.unwrap();
    let left = fleet
        .store()
        .claims(PageRequest { after: None, limit: 10 })
        .await
        .unwrap()
        .items;
    let states: Vec<_> = left.iter().map(|claim| claim.state(at(4 * day))).collect();
    assert_eq!(
        states,
        [ClaimState::Accepted],
        "the agent of an accepted claim may still come for its key"
    );
}
