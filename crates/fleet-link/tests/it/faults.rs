//! A proxy that fails in every way there is, before a server that keeps account: the right thing happens, and after
//! recovery the server has every record once.
use crate::rig::{Rig, client_settings, impatient, paths};
use core_model::{BreakerSettings, BreakerState, Queue};
use daemon_kit::Dialect;
use fleet_link::{DeliveryError, DeliveryReport, DeliverySettings};
use serde_json::{Map, Value, json};
use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};
use testkit::{CertificateAuthority, Fault, FaultyProxy, Recorder, Validity, self_signed};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use transport_http::{Client, ClientSettings, HealthOptions, HealthRegistry, SendError, Server, Status, health_routes};

/// The key that the rig's client sends; the recorder calls the agent by it.
pub(crate) const AGENT: &str = "agent-key";

pub(crate) struct Stand {
    pub(crate) recorder: Recorder,
    pub(crate) proxy: FaultyProxy,
    pub(crate) rig: Rig,
}

impl Stand {
    /// With files 1 to 100 waiting, ten in a run and in a request.
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut ClientSettings)) -> Self {
        let recorder = Recorder::start().unwrap();
        let proxy = FaultyProxy::start(Some(recorder.address())).unwrap();
        Self::of(recorder, proxy, change)
    }

    fn of(recorder: Recorder, proxy: FaultyProxy, change: impl FnOnce(&mut ClientSettings)) -> Self {
        let mut settings = client_settings(&proxy.url());
        change(&mut settings);
        let delivery = DeliverySettings {
            batch_size: 10,
            ..impatient()
        };
        let rig = Rig::by(Client::new(settings).unwrap(), Dialect::Shoal, delivery);
        rig.create(&paths(1, 100), 10);
        Self { recorder, proxy, rig }
    }

    /// One round under this fault, which nothing gets through.
    async fn fail(&self, fault: Fault) -> DeliveryError {
        self.proxy.set(fault).unwrap();
        let report = self.rig.deliver().await;
        assert_eq!(
            (report.sent, report.rejected, report.remaining),
            (0, 0, 100),
            "{report:?}"
        );
        assert_eq!(
            self.rig.delivery.status().borrow().error,
            report.error.as_ref().map(chain)
        );
        report.error.unwrap()
    }

    /// The fault is over: the server gets everything, and has it once.
    async fn recover(&self) -> DeliveryReport {
        self.proxy.set(Fault::Pass).unwrap();
        let mut report = self.rig.deliver().await;
        // On a machine that is busy with much else, a short time-out may strike once more.
        for _ in 0..20 {
            if matches!(
                report.error,
                Some(DeliveryError::Unavailable(SendError::Timeout { .. }))
            ) {
                report = self.rig.deliver().await;
            }
        }
        assert!(report.error.is_none(), "{report:?}");
        self.every_record_is_there_once(&paths(1, 100));
        report
    }

    fn every_record_is_there_once(&self, expected: &[String]) {
        assert_eq!(self.rig.queue.stats().unwrap().records, 0);
        let stream = self.recorder.newest_stream(AGENT).unwrap();
        assert_eq!(stream.stream, self.rig.queue.stream().to_string());
        assert_eq!((stream.gaps, stream.last_seq), (vec![], stream.records));
        assert_eq!(self.recorder.doubled(), Vec::<String>::new());
        assert_eq!(self.recorder.live(AGENT), bytes(expected));
    }
}

pub(crate) fn bytes(paths: &[String]) -> BTreeSet<Vec<u8>> {
    paths.iter().map(|path| path.as_bytes().to_vec()).collect()
}

fn chain(error: &DeliveryError) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn is_unavailable(error: &DeliveryError) -> bool {
    matches!(error, DeliveryError::Unavailable(_)) && error.is_temporary()
}

#[tokio::test]
async fn a_server_that_refuses_connections_is_waited_for() {
    let stand = Stand::new();
    let error = stand.fail(Fault::Refuse).await;
    assert!(is_unavailable(&error), "{error:?}");
    assert!(chain(&error).contains("could not connect"), "{error}");
    stand.recover().await;
}

#[tokio::test]
async fn connections_that_break_are_waited_out() {
    for fault in [Fault::Reset, Fault::CutRequest(0), Fault::CutRequest(200)] {
        let stand = Stand::new();
        let error = stand.fail(fault.clone()).await;
        assert!(is_unavailable(&error), "{fault:?}: {error:?}");
        assert_eq!(stand.recorder.totals().records, 0, "{fault:?}");
        stand.recover().await;
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_off_after_the_records_were_taken_doubles_nothing() {
    for bytes in [0, 20, 120] {
        let stand = Stand::new();
        let error = stand.fail(Fault::CutResponse(bytes)).await;
        assert!(is_unavailable(&error), "{bytes}: {error:?}");
        let taken = stand.recorder.totals().records;
        assert!(taken >= 10, "the server has some: {taken}");
        stand.recover().await;
        assert!(stand.recorder.totals().repeats >= taken);
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_in_time() {
    let stand = Stand::with(|settings| {
        settings.timeout = Duration::from_millis(300);
        settings.retry_attempts = 0;
    });
    let error = stand.fail(Fault::Hang).await;
    assert!(
        matches!(&error, DeliveryError::Unavailable(SendError::Timeout { .. })),
        "{error:?}"
    );
    stand.recover().await;
}

#[tokio::test]
async fn a_slow_server_is_no_failure() {
    let stand = Stand::new();
    stand.proxy.set(Fault::Delay(Duration::from_millis(1))).unwrap();
    let report = stand.rig.deliver().await;
    assert_eq!((report.sent, report.remaining, report.error.is_none()), (100, 0, true));
    stand.every_record_is_there_once(&paths(1, 100));
}

#[tokio::test]
async fn a_server_that_fails_is_asked_again_later() {
    for code in [500, 502, 503, 504] {
        let stand = Stand::new();
        let error = stand.fail(Fault::status(code)).await;
        assert!(is_unavailable(&error), "{code}: {error:?}");
        stand.recover().await;
    }
}

#[tokio::test]
async fn a_server_that_asks_for_patience_gets_as_much_as_is_allowed() {
    for wait in ["7", "Sat, 21 Nov 2099 12:00:00 GMT"] {
        let allowed = Duration::from_secs(5);
        let stand = Stand::with(|settings| {
            settings.retry_attempts = 0;
            settings.retry_after_max = allowed;
        });
        let patience = Fault::Status {
            code: 429,
            retry_after: Some(wait.to_owned()),
            body: String::new(),
        };
        let error = stand.fail(patience).await;
        assert!(is_unavailable(&error), "{error:?}");
        assert_eq!(error.retry_after(), Some(allowed), "{wait}");
        stand.recover().await;
    }
}

#[tokio::test]
async fn one_refused_record_holds_up_no_other() {
    let stand = Stand::new();
    let is_bad = Arc::new(|path: &str| path == "/data/37");
    stand.proxy.set(Fault::RejectRecord(is_bad)).unwrap();
    let report = stand.rig.deliver().await;
    assert_eq!(
        (report.sent, report.rejected, report.remaining),
        (99, 1, 0),
        "{report:?}"
    );
    let refusals = stand.rig.refusals();
    assert_eq!((refusals.len(), refusals[0].rejected.seq), (1, 37));
    let mut expected = paths(1, 100);
    expected.remove(36);
    assert_eq!(stand.recorder.live(AGENT), bytes(&expected));
    assert_eq!(stand.recorder.newest_stream(AGENT).unwrap().gaps, [(37, 37)]);
}

#[tokio::test]
async fn requests_that_are_too_large_become_smaller() {
    let stand = Stand::new();
    stand.proxy.set(Fault::TooLarge(3)).unwrap();
    let report = stand.rig.deliver().await;
    assert_eq!(
        (report.sent, report.rejected, report.remaining),
        (100, 0, 0),
        "{report:?}"
    );
    stand.every_record_is_there_once(&paths(1, 100));
}

#[tokio::test]
async fn what_is_not_the_server_is_not_taken_for_it() {
    let elsewhere = Recorder::start().unwrap();
    for (fault, said) in [
        (Fault::Html, "`server.base_url`"),
        (Fault::NotHttp, "did not answer in HTTP"),
        (Fault::Redirect(elsewhere.url()), "redirects are not followed"),
        (Fault::status(404), "`server.base_url`"),
        (Fault::status(400), "`server.base_url`"),
    ] {
        let stand = Stand::new();
        let error = stand.fail(fault.clone()).await;
        assert!(!error.is_temporary(), "{fault:?}: {error:?}");
        assert!(chain(&error).contains(said), "{fault:?}: {}", chain(&error));
        stand.recover().await;
    }
    assert_eq!(elsewhere.totals().requests, 0);
}

fn trusting(ca_file: &Path) -> impl FnOnce(&mut ClientSettings) {
    |settings| settings.ca_file = Some(ca_file.to_owned())
}

#[tokio::test]
async fn a_server_with_a_wrong_certificate_gets_nothing_and_the_error_says_what_to_do() {
    let authority = CertificateAuthority::new().unwrap();
    let good = authority.server(&["localhost"], Validity::Now).unwrap();
    for (wrong, said) in [
        (
            authority.server(&["other.example.org"], Validity::Now),
            "other.example.org",
        ),
        (authority.server(&["localhost"], Validity::Ended), "renew it"),
        (self_signed(&["localhost"]), "`ca_file`"),
    ] {
        let recorder = Recorder::start().unwrap();
        let proxy = FaultyProxy::start_tls(Some(recorder.address()), good.clone()).unwrap();
        let stand = Stand::of(recorder, proxy, trusting(authority.file()));
        let error = stand.fail(Fault::Certificate(wrong.unwrap())).await;
        assert!(matches!(error, DeliveryError::Untrusted(_)) && !error.is_temporary());
        assert!(chain(&error).contains(said), "{said}: {}", chain(&error));
        assert_eq!(stand.recorder.totals().requests, 0);
        stand.recover().await;
    }
}

#[tokio::test]
async fn a_refused_key_shows_in_the_status_until_it_is_accepted_again() {
    let stand = Stand::new();
    stand.proxy.set(Fault::problem(401, "unknown_key")).unwrap();
    stand
        .rig
        .settings
        .send_modify(|settings| settings.interval = Duration::from_millis(1));
    let (delivery, stop) = (stand.rig.delivery.clone(), CancellationToken::new());
    let mut status = delivery.status();
    let mut tasks = JoinSet::new();
    let told = stop.clone();
    tasks.spawn(async move { delivery.run(told).await });
    let seen = status
        .wait_for(|status| status.next_try.is_some())
        .await
        .unwrap()
        .clone();
    assert!(seen.unauthorized && seen.error.unwrap().contains("enrol again"));
    assert_eq!((seen.last_success, seen.failures), (None, 1));
    // A failure of another kind does not mean that the key is accepted.
    stand.proxy.set(Fault::status(503)).unwrap();
    let is_other = |status: &fleet_link::DeliveryStatus| status.error.as_ref().is_some_and(|text| text.contains("503"));
    assert!(status.wait_for(is_other).await.unwrap().unauthorized);

    stand.proxy.set(Fault::Pass).unwrap();
    let seen = status.wait_for(|status| status.sent == 100).await.unwrap().clone();
    assert_eq!(
        (seen.unauthorized, seen.error, seen.failures, seen.next_try),
        (false, None, 0, None)
    );
    assert!(seen.last_success.is_some());
    stop.cancel();
    tasks.join_next().await.unwrap().unwrap();
    stand.every_record_is_there_once(&paths(1, 100));
}

async fn health(client: &Client) -> Value {
    client.get_json("/health").await.unwrap()
}

#[tokio::test]
async fn the_breaker_leaves_a_failing_server_alone_and_health_says_so() {
    let recorder = Recorder::start().unwrap();
    let proxy = FaultyProxy::start(Some(recorder.address())).unwrap();
    let client = Client::new(ClientSettings {
        breaker: BreakerSettings {
            window: 4,
            threshold: 0.5,
            recovery: Duration::from_millis(200),
        },
        ..client_settings(&proxy.url())
    })
    .unwrap();
    let rig = Rig::by(client.clone(), Dialect::Shoal, impatient());
    rig.create(&paths(1, 10), 10);

    let registry = HealthRegistry::new("1", None);
    let asked = client.clone();
    registry.ask("api", move || {
        let breaker = asked.stats().breaker;
        let details = Map::from_iter([("circuit_breaker".to_owned(), json!(breaker.name()))]);
        (
            if breaker == BreakerState::Closed {
                Status::Healthy
            } else {
                Status::Degraded
            },
            details,
        )
    });
    let server = Server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let watcher = Client::new(client_settings(&format!("http://{}", server.local_addr()))).unwrap();
    let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
    tasks.spawn(server.run(
        health_routes(registry, &HealthOptions::default()),
        stop.clone(),
        Duration::ZERO,
    ));
    assert_eq!(health(&watcher).await["api"]["circuit_breaker"], "closed");

    proxy.set(Fault::status(500)).unwrap();
    while client.stats().breaker == BreakerState::Closed {
        rig.deliver().await;
    }
    let document = health(&watcher).await;
    assert_eq!(
        (&document["api"]["circuit_breaker"], &document["status"]),
        (&json!("open"), &json!("degraded"))
    );
    let asked = proxy.connections();
    assert_eq!(asked, 4, "it opened with the fourth failure");

    proxy.set(Fault::Pass).unwrap();
    // The wait that an open breaker asks for is the wait of the next round.
    let delivery = rig.delivery.clone();
    let mut status = delivery.status();
    let told = stop.clone();
    tasks.spawn(async move {
        delivery.run(told).await;
        Ok(())
    });
    rig.settings
        .send_modify(|settings| settings.interval = Duration::from_millis(1));
    status.wait_for(|status| status.sent == 10).await.unwrap();
    assert_eq!(health(&watcher).await["api"]["circuit_breaker"], "closed");
    assert_eq!(recorder.live(AGENT), bytes(&paths(1, 10)));
    stop.cancel();
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap().unwrap();
    }
}

#[tokio::test]
async fn told_to_stop_in_the_middle_of_an_outage_it_ends_within_its_grace() {
    let stand = Stand::new();
    stand.proxy.set(Fault::Hang).unwrap();
    let (delivery, stop) = (stand.rig.delivery.clone(), CancellationToken::new());
    let mut tasks = JoinSet::new();
    let told = stop.clone();
    tasks.spawn(async move { delivery.run(told).await });
    let proxy = stand.proxy;
    let proxy = tokio::task::spawn_blocking(move || proxy.wait_for("hang", 1).map(|()| proxy));
    let proxy = proxy.await.unwrap().unwrap();
    stop.cancel();
    // The client would wait thirty seconds for the answer; the grace is a millisecond.
    tasks.join_next().await.unwrap().unwrap();
    assert_eq!(
        stand.rig.queue.stats().unwrap().records,
        100,
        "everything is still there"
    );
    Stand { proxy, ..stand }.recover().await;
}
