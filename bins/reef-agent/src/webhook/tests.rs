//! What a receiver gets, and what becomes of what it does not take.
use super::*;
use crate::settings::WebhookFormat;
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    routing::post,
};
use core_model::{ByteSize, EventId, Period, Secret};
use fleet_wire::{Outcome, WirePath};
use serde_json::Value;
use std::net::SocketAddr;
use testkit::GUARD;
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;
use transport_http::Server;

const QUICK: Backoff = Backoff {
    first: Duration::from_millis(1),
    longest: Duration::from_millis(20),
};

/// What reached the receiver.
struct Got {
    uri: Uri,
    headers: HeaderMap,
    body: Value,
}

impl Got {
    fn path(&self) -> &str {
        self.body["data"]["detection"]["path"].as_str().unwrap()
    }
}

type Answers = Arc<dyn Fn(&Value) -> (StatusCode, &'static str) + Send + Sync>;

/// A receiver at `address`, which serves as long as the future is polled.
fn receive(
    address: SocketAddr,
    answers: Answers,
) -> (SocketAddr, impl Future<Output = ()>, mpsc::UnboundedReceiver<Got>) {
    let (sender, got) = mpsc::unbounded_channel();
    let take = async |State((sender, answers)): State<(mpsc::UnboundedSender<Got>, Answers)>,
                      uri: Uri,
                      headers: HeaderMap,
                      body: Bytes| {
        let body: Value = serde_json::from_slice(&body).unwrap();
        let answer = answers(&body);
        sender.send(Got { uri, headers, body }).ok();
        answer
    };
    let server = Server::bind(address).unwrap();
    let address = server.local_addr();
    let routes = Router::new()
        .route("/T1/{token}", post(take))
        .with_state((sender, answers));
    let serve = async move {
        let served = server.run(routes, CancellationToken::new(), Duration::ZERO).await;
        served.unwrap();
    };
    (address, serve, got)
}

fn anywhere() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

fn takes_all() -> Answers {
    Arc::new(|_| (StatusCode::NO_CONTENT, ""))
}

fn settings(address: SocketAddr) -> WebhookSettings {
    WebhookSettings {
        url: Some(Secret::new(format!("http://{address}/T1/hunter2?key=hunter3"))),
        headers: [("authorization".to_owned(), Secret::new("Bearer hunter4"))].into(),
        secret: Some(Secret::new("hunter5")),
        ..WebhookSettings::default()
    }
}

fn detection(n: u8, path: &[u8]) -> Detection {
    Detection {
        id: EventId::new(DateTime::from_timestamp(1_700_000_000, 0).unwrap(), [n; 10]),
        path: WirePath::from_bytes(path),
        signatures: vec!["Eicar-Signature".to_owned()],
        sha256: None,
        size: 68,
        uid: Some(0),
        owner: None,
        rule: "web".to_owned(),
        scan: None,
        engine: "ClamAV 1.4.6/27815".to_owned(),
        outcome: Outcome::LeftThere,
        detail: Some("read-only file system".to_owned()),
        quarantine_id: None,
    }
}

struct Site {
    folder: tempfile::TempDir,
    settings: watch::Sender<WebhookSettings>,
}

impl Site {
    fn new(settings: WebhookSettings) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            settings: watch::Sender::new(settings),
        }
    }

    /// As after a start of the agent.
    fn webhook(&self) -> Webhook {
        self.webhook_with(QUICK)
    }

    fn webhook_with(&self, backoff: Backoff) -> Webhook {
        let from = Sender {
            host: "web-1".to_owned(),
            agent_id: None,
        };
        let path = self.folder.path().join("webhook.db");
        Webhook::with_backoff(&path, self.settings.subscribe(), from, backoff)
    }
}

/// Runs `webhook`, and `serve` beside it, while `test` does its work.
async fn running<T>(webhook: &Webhook, serve: impl Future<Output = ()>, test: impl Future<Output = T>) -> T {
    let stop = CancellationToken::new();
    let beside = async {
        tokio::join!(serve, webhook.run(stop.clone()));
    };
    tokio::select! {
        done = timeout(GUARD, test) => done.unwrap(),
        () = beside => panic!("the webhook ended"),
    }
}

async fn until(webhook: &Webhook, is_so: impl FnMut(&WebhookStatus) -> bool) -> WebhookStatus {
    webhook.status().wait_for(is_so).await.unwrap().clone()
}

#[tokio::test]
async fn a_detection_is_posted_whole_and_signed() {
    let (address, serve, mut got) = receive(anywhere(), takes_all());
    let site = Site::new(settings(address));
    let webhook = site.webhook();
    webhook
        .detected(&detection(1, b"/srv/x"), DateTime::UNIX_EPOCH)
        .unwrap();
    running(&webhook, serve, async {
        let got = got.recv().await.unwrap();
        assert_eq!(got.uri, "/T1/hunter2?key=hunter3");
        assert_eq!(got.headers["authorization"], "Bearer hunter4");
        assert_eq!(got.headers["webhook-id"], detection(1, b"").id.to_string());
        assert!(got.headers["webhook-signature"].to_str().unwrap().starts_with("v1,"));
        assert_eq!(got.body["type"], "malware.detected");
        assert_eq!(got.body["timestamp"], "1970-01-01T00:00:00Z");
        assert_eq!(got.body["data"]["host"], "web-1");
        let told: Detection = serde_json::from_value(got.body["data"]["detection"].clone()).unwrap();
        assert_eq!(told, detection(1, b"/srv/x"));
        let status = until(&webhook, |status| status.sent == 1).await;
        assert_eq!(status.error, None);
        let (word, block) = webhook.block().unwrap();
        assert_eq!((word, &block["sent"]), (Status::Healthy, &Value::from(1)));
    })
    .await;
}

#[tokio::test]
async fn what_was_found_while_the_receiver_was_away_arrives_when_it_is_back_even_after_a_crash() {
    let (address, serve, _) = receive(anywhere(), takes_all());
    drop(serve);
    let site = Site::new(settings(address));
    let webhook = site.webhook();
    webhook.detected(&detection(1, b"/srv/1"), Utc::now()).unwrap();
    running(&webhook, std::future::pending(), async {
        let status = until(&webhook, |status| status.failed > 1).await;
        assert!(status.error.unwrap().contains("could not connect"));
        assert_eq!(webhook.block().unwrap().0, Status::Degraded);
        webhook.detected(&detection(2, b"/srv/2"), Utc::now()).unwrap();
    })
    .await;
    // Nothing is said to it any more, as in a crash.
    drop(webhook);
    let webhook = site.webhook();
    let (_, serve, mut got) = receive(address, takes_all());
    running(&webhook, serve, async {
        assert_eq!(got.recv().await.unwrap().path(), "/srv/1");
        assert_eq!(got.recv().await.unwrap().path(), "/srv/2");
        until(&webhook, |status| status.sent == 2).await;
        assert_eq!(webhook.status().borrow().error, None);
    })
    .await;
    assert_eq!(webhook.waiting().unwrap().records, 0);
}

#[tokio::test]
async fn one_that_the_receiver_refuses_is_given_up_after_a_few_times_and_the_next_arrives() {
    let answers: Answers = Arc::new(|body| match body["data"]["detection"]["path"].as_str() {
        Some("/srv/bad") => (StatusCode::UNPROCESSABLE_ENTITY, "no"),
        _ => (StatusCode::OK, ""),
    });
    let (address, serve, mut got) = receive(anywhere(), answers);
    let site = Site::new(settings(address));
    let webhook = site.webhook();
    webhook.detected(&detection(1, b"/srv/bad"), Utc::now()).unwrap();
    webhook.detected(&detection(2, b"/srv/good"), Utc::now()).unwrap();
    running(&webhook, serve, async {
        for _ in 0..5 {
            assert_eq!(got.recv().await.unwrap().path(), "/srv/bad");
        }
        assert_eq!(got.recv().await.unwrap().path(), "/srv/good");
        let status = until(&webhook, |status| status.sent == 1).await;
        assert_eq!((status.given_up, status.failed), (1, 5));
    })
    .await;
}

#[tokio::test]
async fn one_on_which_the_receiver_fails_is_given_up_only_when_another_arrives() {
    let answers: Answers = Arc::new(|body| match body["data"]["detection"]["path"].as_str() {
        Some("/srv/bad") => (StatusCode::INTERNAL_SERVER_ERROR, ""),
        _ => (StatusCode::OK, ""),
    });
    let (address, serve, mut got) = receive(anywhere(), answers);
    let site = Site::new(settings(address));
    let webhook = site.webhook();
    webhook.detected(&detection(1, b"/srv/bad"), Utc::now()).unwrap();
    running(&webhook, serve, async {
        // Alone it stays, however often it fails.
        for _ in 0..8 {
            got.recv().await.unwrap();
        }
        assert_eq!(webhook.status().borrow().given_up, 0);
        webhook.detected(&detection(2, b"/srv/good"), Utc::now()).unwrap();
        until(&webhook, |status| status.sent == 1 && status.given_up == 1).await;
    })
    .await;
}

/// Fails so often, and takes what comes then.
fn fails_first(times: usize) -> Answers {
    let left = std::sync::atomic::AtomicUsize::new(times);
    let one_less = move |left: usize| left.checked_sub(1);
    Arc::new(move |_| {
        use std::sync::atomic::Ordering::Relaxed;
        match left.fetch_update(Relaxed, Relaxed, one_less) {
            Ok(_) => (StatusCode::SERVICE_UNAVAILABLE, ""),
            Err(_) => (StatusCode::OK, ""),
        }
    })
}

#[tokio::test]
async fn however_often_the_receiver_failed_the_next_attempt_is_made() {
    let (address, serve, mut got) = receive(anywhere(), fails_first(25));
    let site = Site::new(settings(address));
    let webhook = site.webhook();
    webhook.detected(&detection(1, b"/srv/x"), Utc::now()).unwrap();
    running(&webhook, serve, async {
        for _ in 0..26 {
            got.recv().await.unwrap();
        }
        let status = until(&webhook, |status| status.sent == 1).await;
        assert_eq!(status.failed, 25);
    })
    .await;
}

#[tokio::test]
async fn a_new_detection_has_a_receiver_that_is_left_alone_tried_again_once() {
    let (address, serve, mut got) = receive(anywhere(), fails_first(1));
    let site = Site::new(settings(address));
    let webhook = site.webhook_with(Backoff {
        first: Duration::from_secs(3600 * 24 * 365),
        longest: Duration::from_secs(3600 * 24 * 365),
    });
    webhook.detected(&detection(1, b"/srv/1"), Utc::now()).unwrap();
    running(&webhook, serve, async {
        until(&webhook, |status| status.failed == 1).await;
        got.recv().await.unwrap();
        webhook.detected(&detection(2, b"/srv/2"), Utc::now()).unwrap();
        assert_eq!(got.recv().await.unwrap().path(), "/srv/1");
        assert_eq!(got.recv().await.unwrap().path(), "/srv/2");
        until(&webhook, |status| status.sent == 2).await;
    })
    .await;
}

#[test]
fn from_one_attempt_to_the_next_it_is_fifteen_seconds_at_most() {
    let site = Site::new(WebhookSettings::default());
    let from = Sender {
        host: "web-1".to_owned(),
        agent_id: None,
    };
    let webhook = Webhook::new(&site.folder.path().join("webhook.db"), site.settings.subscribe(), from);
    let longest = Duration::from_secs(15);
    for failures in 0..100 {
        for asked in [None, Some(Duration::from_secs(300))] {
            let hang = Duration::from_secs(10);
            assert!(webhook.inner.wait(asked, failures, Duration::ZERO) <= longest);
            assert!(webhook.inner.wait(asked, failures, hang) + hang <= longest);
        }
    }
    let patient = webhook.inner.wait(Some(Duration::from_secs(300)), 0, Duration::ZERO);
    assert_eq!(patient, longest, "what the receiver asks for counts up to then");
    assert!(webhook.inner.wait(None, 0, Duration::from_secs(60)) > Duration::ZERO);
}

#[tokio::test]
async fn a_wrong_token_loses_nothing_and_is_put_right_while_it_runs() {
    let (address, serve, mut got) = receive(anywhere(), Arc::new(|_| (StatusCode::FORBIDDEN, "")));
    let site = Site::new(settings(address));
    let webhook = site.webhook();
    webhook.detected(&detection(1, b"/srv/x"), Utc::now()).unwrap();
    let (right, serve_right, mut got_right) = receive(anywhere(), takes_all());
    let both = async {
        tokio::join!(serve, serve_right);
    };
    running(&webhook, both, async {
        for _ in 0..8 {
            got.recv().await.unwrap();
        }
        let status = webhook.status().borrow().clone();
        assert_eq!((status.sent, status.given_up), (0, 0));
        let shown = format!("{status:?} {:?}", webhook.block());
        assert!(shown.contains("403") && !shown.contains("hunter"), "{shown}");
        site.settings.send_modify(|of| of.url = settings(right).url);
        assert_eq!(got_right.recv().await.unwrap().path(), "/srv/x");
        until(&webhook, |status| status.sent == 1).await;
    })
    .await;
}

#[tokio::test]
async fn no_secret_is_logged_whatever_goes_wrong() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(Arc::new(log.reopen().unwrap()))
        .with_ansi(false)
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let (address, serve, mut got) = receive(anywhere(), Arc::new(|_| (StatusCode::BAD_REQUEST, "")));
    let site = Site::new(settings(address));
    let webhook = site.webhook();
    webhook.detected(&detection(1, b"/srv/x"), Utc::now()).unwrap();
    running(&webhook, serve, async {
        for _ in 0..5 {
            got.recv().await.unwrap();
        }
        until(&webhook, |status| status.given_up == 1).await;
        // Nobody is there, and then no address at all.
        site.settings
            .send_modify(|of| of.url = settings(([127, 0, 0, 1], 1).into()).url);
        webhook.detected(&detection(2, b"/srv/y"), Utc::now()).unwrap();
        until(&webhook, |status| status.failed > 6).await;
        site.settings
            .send_modify(|of| of.url = Some(Secret::new("http://10.0.0.1/hunter2")));
        let refused = |status: &WebhookStatus| status.error.as_ref().is_some_and(|error| error.contains("HTTPS"));
        until(&webhook, refused).await;
    })
    .await;
    let log = std::fs::read_to_string(log.path()).unwrap();
    assert!(
        log.contains("does not take a detection") && log.contains("/srv/x"),
        "{log}"
    );
    assert!(!log.contains("hunter"), "{log}");
}

#[tokio::test]
async fn what_waits_has_bounds_in_bytes_and_in_time() {
    let (address, serve, mut got) = receive(anywhere(), takes_all());
    let site = Site::new(WebhookSettings {
        max_bytes: ByteSize::new(64 << 10),
        ..settings(address)
    });
    let webhook = site.webhook();
    // Longer than it would be packed to.
    let mut noise = vec![0; 20 << 10];
    getrandom::fill(&mut noise).unwrap();
    for n in 0..10 {
        webhook.detected(&detection(n, &noise), Utc::now()).unwrap();
    }
    let waiting = webhook.waiting().unwrap();
    assert!(
        waiting.bytes <= 64 << 10 && waiting.records + waiting.dropped == 10,
        "{waiting:?}"
    );
    assert!(waiting.records > 0);
    site.settings
        .send_modify(|of| of.max_age = Period::new(Duration::from_nanos(1)));
    running(&webhook, serve, async {
        while webhook.waiting().unwrap().records > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(got.try_recv().is_err(), "one that is too old was sent");
}

#[tokio::test]
async fn a_chat_gets_a_line_in_which_a_file_s_name_cannot_act() {
    let (address, serve, mut got) = receive(anywhere(), takes_all());
    let site = Site::new(WebhookSettings {
        format: WebhookFormat::Text,
        ..settings(address)
    });
    let webhook = site.webhook();
    webhook
        .detected(&detection(1, b"/srv/<!channel>\n&x"), Utc::now())
        .unwrap();
    running(&webhook, serve, async {
        let got = got.recv().await.unwrap();
        assert_eq!(
            got.body["text"],
            "Malware on web-1: /srv/&lt;!channel&gt;\\n&amp;x (68 B): Eicar-Signature; IT IS STILL THERE (read-only \
             file system). Rule web, ClamAV 1.4.6/27815"
        );
    })
    .await;
}

#[tokio::test]
async fn without_an_address_nothing_is_kept_and_a_damaged_queue_begins_anew() {
    let site = Site::new(WebhookSettings::default());
    let webhook = site.webhook();
    webhook.detected(&detection(1, b"/srv/x"), Utc::now()).unwrap();
    assert_eq!((webhook.waiting(), webhook.block()), (None, None));
    assert_eq!(std::fs::read_dir(site.folder.path()).unwrap().count(), 0);
    let (address, serve, mut got) = receive(anywhere(), takes_all());
    site.settings.send_replace(settings(address));
    webhook.detected(&detection(1, b"/srv/x"), Utc::now()).unwrap();
    drop(webhook);
    let file = site.folder.path().join("webhook.db");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[100..].fill(0xff);
    std::fs::write(&file, bytes).unwrap();
    let webhook = site.webhook();
    webhook.detected(&detection(2, b"/srv/y"), Utc::now()).unwrap();
    running(&webhook, serve, async {
        assert_eq!(got.recv().await.unwrap().path(), "/srv/y");
    })
    .await;
}
