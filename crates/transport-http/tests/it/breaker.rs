//! The breaker as a client's callers meet it.
use crate::peer::{Peer, Turn, answer};
use core_model::{BreakerSettings, BreakerState};
use std::time::Duration;
use tokio::time;
use transport_http::{Client, ClientSettings, SendError};

const RECOVERY: Duration = Duration::from_secs(120);

fn client(peer: &Peer, window: usize) -> Client {
    let settings = ClientSettings {
        retry_attempts: 0,
        breaker: BreakerSettings {
            window,
            threshold: 0.5,
            recovery: RECOVERY,
        },
        ..peer.settings()
    };
    Client::new(settings).unwrap()
}

/// Lets the recovery time pass. The clock stands only here, where no socket is waited for.
async fn recover() {
    time::pause();
    time::advance(RECOVERY).await;
    time::resume();
}

#[tokio::test]
async fn it_opens_refuses_probes_and_closes() {
    let turns = [
        Turn::Close,
        answer("500 Internal Server Error", "", ""),
        Turn::Close,
        answer("200 OK", "", "1"),
    ];
    let peer = Peer::new(turns).await;
    let client = client(&peer, 2);
    for _ in 0..2 {
        client.delete("/x").await.unwrap_err();
    }
    assert_eq!(client.stats().breaker, BreakerState::Open);
    let error = client.delete("/x").await.unwrap_err();
    assert!(
        matches!(&error, SendError::BreakerOpen { retry_in, .. } if *retry_in <= RECOVERY),
        "{error:?}"
    );
    assert!(
        error
            .to_string()
            .starts_with(&format!("http://{} failed too often", peer.address)),
        "{error}"
    );
    assert_eq!(peer.seen().len(), 2, "nothing is sent");
    recover().await;
    client.delete("/x").await.unwrap_err();
    assert!(
        matches!(client.delete("/x").await, Err(SendError::BreakerOpen { .. })),
        "the probe failed"
    );
    recover().await;
    client.delete("/x").await.unwrap();
    client.delete("/x").await.unwrap();
    assert_eq!((client.stats().breaker, peer.seen().len()), (BreakerState::Closed, 5));
}

#[tokio::test]
async fn a_server_that_refuses_is_a_server_that_works() {
    let peer = Peer::new([answer("429 Too Many Requests", "", ""), answer("404 Not Found", "", "")]).await;
    let client = client(&peer, 2);
    for _ in 0..5 {
        client.delete("/x").await.unwrap_err();
    }
    assert_eq!((client.stats().breaker, peer.seen().len()), (BreakerState::Closed, 5));
}

#[tokio::test]
async fn retries_end_where_the_breaker_opens_and_tell_the_cause() {
    let peer = Peer::new([Turn::Close]).await;
    let settings = ClientSettings {
        breaker: BreakerSettings {
            window: 3,
            ..BreakerSettings::default()
        },
        ..peer.settings()
    };
    let client = Client::new(settings).unwrap();
    let error = client.delete("/x").await.unwrap_err();
    assert!(matches!(error, SendError::Interrupted { .. }), "{error:?}");
    assert_eq!(peer.seen().len(), 3);
}

#[tokio::test]
async fn with_the_figures_of_the_document_five_failures_of_ten_open_it_for_two_minutes() {
    let fine = answer("200 OK", "", "1");
    let failing = answer("503 Service Unavailable", "", "");
    let turns = std::iter::repeat_n(fine, 5).chain([failing]);
    let peer = Peer::new(turns).await;
    let settings = ClientSettings {
        retry_attempts: 0,
        ..peer.settings()
    };
    assert_eq!(settings.breaker.recovery, RECOVERY);
    let client = Client::new(settings).unwrap();
    for request in 1..=10 {
        assert_eq!(client.stats().breaker, BreakerState::Closed, "before request {request}");
        client.delete("/x").await.ok();
    }
    assert_eq!((client.stats().breaker, peer.seen().len()), (BreakerState::Open, 10));
    let error = client.delete("/x").await.unwrap_err();
    let wait = error.retry_after().unwrap();
    assert!(
        matches!(error, SendError::BreakerOpen { .. }) && wait <= RECOVERY,
        "{error:?}"
    );
    assert_eq!(peer.seen().len(), 10);
}

#[tokio::test]
async fn of_many_that_wait_one_probes() {
    let peer = Peer::new([Turn::Close, Turn::Close, Turn::Hang]).await;
    let client = client(&peer, 2);
    client.delete("/x").await.unwrap_err();
    client.delete("/x").await.unwrap_err();
    recover().await;
    let mut probe = Box::pin(client.delete("/x"));
    // Polled once, it has the breaker's leave; the server will not answer it.
    assert!(at_once(&mut probe).await.is_none());
    assert_eq!(client.stats().breaker, BreakerState::HalfOpen);
    for _ in 0..3 {
        let error = client.delete("/x").await.unwrap_err();
        assert!(matches!(error, SendError::BreakerOpen { .. }), "{error:?}");
    }
}

/// What the future gives if it is ready at once.
async fn at_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = std::future::ready(()) => None,
    }
}
