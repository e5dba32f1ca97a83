//! Passwords, sessions and join tokens: what opens, and when it no longer does.
use crate::fixture::{Fixture, at, enrollment};
use core_model::Secret;
use fleet_core::{
    ChangePasswordError, CreateJoinTokenError, EnrollError, JoinTokenState, LoginError, PageRequest, Store,
};
use std::time::Duration;
use tokio::task::JoinSet;

#[tokio::test]
async fn the_first_start_makes_one_admin_and_no_later_one_does() {
    let fixture = Fixture::new();
    let mut starts = JoinSet::new();
    for _ in 0..4 {
        let fleet = std::sync::Arc::clone(&fixture.fleet);
        starts.spawn(async move { fleet.ensure_admin(at(0)).await.unwrap() });
    }
    let passwords: Vec<Secret> = starts.join_all().await.into_iter().flatten().collect();
    assert_eq!(passwords.len(), 1);
    fixture.fleet.login("admin", &passwords[0], at(0)).await.unwrap();
    assert!(fixture.fleet.ensure_admin(at(1)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_session_ends_by_time_by_logout_and_by_a_new_password() {
    let fixture = Fixture::new();
    let fleet = &fixture.fleet;
    let (operator, password) = fixture.admin().await;
    let session = fleet.login("admin", &password, at(0)).await.unwrap();
    let valid = async |seconds| {
        fleet
            .authenticate_operator(session.token.reveal(), at(seconds))
            .await
            .unwrap()
    };
    assert!(valid(12 * 3600 - 1).await.is_some());
    assert!(valid(12 * 3600).await.is_none(), "over");
    assert!(
        fleet
            .authenticate_operator("so_nonsense", at(0))
            .await
            .unwrap()
            .is_none()
    );

    let other = fleet.login("admin", &password, at(0)).await.unwrap();
    let other = fleet
        .authenticate_operator(other.token.reveal(), at(0))
        .await
        .unwrap()
        .unwrap();
    fleet.logout(&other, at(1)).await.unwrap();
    assert!(valid(1).await.is_some(), "a logout ends its own session only");

    let new = Secret::new("a new password");
    let wrong = fleet.change_password(&operator, &new, &new, at(1)).await;
    assert!(matches!(wrong, Err(ChangePasswordError::Wrong)), "{wrong:?}");
    let short = fleet
        .change_password(&operator, &password, &Secret::new("short"), at(1))
        .await;
    assert!(matches!(short, Err(ChangePasswordError::Length)), "{short:?}");
    fleet.change_password(&operator, &password, &new, at(1)).await.unwrap();
    assert!(valid(2).await.is_none(), "the other sessions are over");
    assert!(matches!(
        fleet.login("admin", &password, at(2)).await,
        Err(LoginError::Wrong)
    ));
    fleet.login("admin", &new, at(2)).await.unwrap();
}

#[tokio::test]
async fn guessing_is_made_slow_for_known_and_unknown_names_alike() {
    let fixture = Fixture::new();
    let (_, password) = fixture.admin().await;
    let wrong = Secret::new("wrong");
    for name in ["admin", "nobody"] {
        for _ in 0..5 {
            let refused = fixture.fleet.login(name, &wrong, at(0)).await;
            assert!(matches!(refused, Err(LoginError::Wrong)), "{refused:?}");
        }
        let refused = fixture.fleet.login(name, &wrong, at(0)).await;
        assert!(matches!(refused, Err(LoginError::Locked(_))), "{refused:?}");
    }
    let locked = fixture.fleet.login("admin", &password, at(0)).await;
    assert!(
        matches!(locked, Err(LoginError::Locked(_))),
        "the right one has to wait too"
    );
    fixture.fleet.login("admin", &password, at(1)).await.unwrap();
}

#[tokio::test]
async fn a_join_token_opens_until_it_is_used_up_over_or_revoked() {
    let fixture = Fixture::new();
    let fleet = &fixture.fleet;
    let (admin, _) = fixture.admin().await;
    let enroll = async |token: &Secret, name: &str, seconds| fleet.enroll(enrollment(token, name), at(seconds)).await;
    let refused = |outcome: Result<_, EnrollError>| matches!(outcome, Err(EnrollError::Token));

    let twice = fixture.join_token(&admin, 2).await;
    enroll(&twice, "a", 1).await.unwrap();
    let taken = enroll(&twice, "a", 1).await;
    assert!(matches!(taken, Err(EnrollError::NameTaken { .. })), "{taken:?}");
    enroll(&twice, "b", 1)
        .await
        .expect("a name that was taken used nothing up");
    assert!(refused(enroll(&twice, "c", 1).await), "used up");
    assert!(
        refused(enroll(&twice, "a", 1).await),
        "without a valid token nobody learns which names there are"
    );

    let short = fixture.join_token(&admin, 1).await;
    assert!(refused(enroll(&short, "c", 3600).await), "over");
    let created = fleet
        .create_join_token(&admin, "x", Duration::from_secs(60), 1, at(0))
        .await
        .unwrap();
    assert!(fleet.store().revoke_join_token(created.id, at(1)).await.unwrap());
    assert!(refused(enroll(&created.token, "c", 1).await), "revoked");
    assert!(refused(enroll(&Secret::new("sj_nonsense"), "c", 1).await));

    let page = PageRequest { after: None, limit: 10 };
    let tokens = fleet.store().join_tokens(page).await.unwrap().items;
    let mut states: Vec<_> = tokens
        .iter()
        .map(|token| (token.state(at(1)), token.uses_left))
        .collect();
    states.sort_by_key(|(_, left)| *left);
    assert_eq!(states[0], (JoinTokenState::UsedUp, 0));
    assert!(states.contains(&(JoinTokenState::Revoked, 1)) && states.contains(&(JoinTokenState::Valid, 1)));
    for (life, uses) in [(0, 1), (367 * 24 * 3600, 1), (60, 0), (60, 100_001)] {
        let refused = fleet
            .create_join_token(&admin, "", Duration::from_secs(life), uses, at(0))
            .await;
        assert!(
            matches!(refused, Err(CreateJoinTokenError::Invalid(_))),
            "{life} {uses}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_race_for_one_use_or_one_name_exactly_one_wins() {
    let fixture = Fixture::new();
    let (admin, _) = fixture.admin().await;
    for round in 0..10 {
        let one_use = fixture.join_token(&admin, 1).await;
        let race = |names: [String; 2], token: Secret| {
            let mut tasks = JoinSet::new();
            for name in names {
                let (fleet, request) = (std::sync::Arc::clone(&fixture.fleet), enrollment(&token, &name));
                tasks.spawn(async move { fleet.enroll(request, at(1)).await });
            }
            tasks.join_all()
        };
        let outcomes = race([format!("x{round}"), format!("y{round}")], one_use).await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        assert!(
            outcomes
                .iter()
                .any(|outcome| matches!(outcome, Err(EnrollError::Token)))
        );

        let name = format!("z{round}");
        let two_uses = fixture.join_token(&admin, 2).await;
        let outcomes = race([name.clone(), name], two_uses).await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        assert!(
            outcomes
                .iter()
                .any(|outcome| matches!(outcome, Err(EnrollError::NameTaken { .. })))
        );
    }
}
