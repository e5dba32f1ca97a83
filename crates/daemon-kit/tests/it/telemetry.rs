//! Telemetry from its recording to a strict receiver: what arrives, what waits, and what is counted as lost.
use chrono::{TimeDelta, Utc};
use core_model::{ByteSize, Period, Queue as _, Secret};
use daemon_kit::telemetry::{
    OtlpCompression, OtlpExport, OtlpProtocol, OtlpQueueSettings, OtlpSettings, Sent, TelemetrySettings, open_queue,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use state_sqlite::{Bounds, Outbox, WhenFull};
use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc, time::Duration};
use telemetry_otel::{Exporter, FileSettings, Format, LogSettings, Metrics, Telemetry, subscriber};
use tempfile::TempDir;
use testkit::{
    CertificateAuthority, Fault, FaultyProxy, OtlpAnswer, OtlpOptions, OtlpReceived, OtlpReceiver, Validity,
};
use tokio_util::sync::CancellationToken;
use tracing::subscriber::DefaultGuard;
use transport_http::{HealthRegistry, Status};

/// A product with its log, metrics and queue, on this thread.
struct Product {
    dir: TempDir,
    settings: OtlpSettings,
    exporter: Exporter,
    metrics: Metrics,
    queue: Arc<Outbox>,
    export: OtlpExport<Outbox>,
    _log: DefaultGuard,
    _telemetry: Telemetry,
}

fn settings(receiver: &OtlpReceiver) -> OtlpSettings {
    OtlpSettings {
        endpoint: Some(receiver.url()),
        resource_attributes: BTreeMap::from([("deployment.environment.name".to_owned(), "test".to_owned())]),
        ..OtlpSettings::default()
    }
}

impl Product {
    fn start(settings: OtlpSettings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (subscriber, telemetry) = subscriber(LogSettings {
            level: "debug".to_owned(),
            format: Format::Json,
            file: Some(FileSettings::new(dir.path().join("a.log"))),
            ..LogSettings::new("scanner")
        })
        .unwrap();
        let log = tracing::subscriber::set_default(subscriber);
        let exporter = Exporter::new(settings.export_settings("scanner", "1.2.3", Some("web-1")));
        telemetry.export(&exporter);
        let metrics = Metrics::with_export(&[("agent_id", "web-1")], &exporter).unwrap();
        let queue = Arc::new(open_queue(&dir.path().join("telemetry.db"), &settings.queue).unwrap());
        let export = OtlpExport::new(&settings, exporter.clone(), Arc::clone(&queue))
            .unwrap()
            .unwrap();
        Self {
            dir,
            settings,
            exporter,
            metrics,
            queue,
            export,
            _log: log,
            _telemetry: telemetry,
        }
    }

    /// One run with a line in it, and a counter.
    fn work(&self, number: u64) {
        let _run = tracing::info_span!(target: "run", "scan", number).entered();
        tracing::info!(number, "scanned");
        self.metrics
            .counter("scanner_scans_total", "Scans.")
            .add(1, &[("kind", "full")]);
    }

    async fn send(&self) -> Sent {
        self.export.send_once(&CancellationToken::new()).await.unwrap()
    }

    fn flush(&self) {
        self.exporter.flush(&*self.queue, Utc::now()).unwrap();
    }

    fn log_file(&self) -> PathBuf {
        self.dir.path().join("a.log")
    }
}

/// The numbers of the lines that arrived.
fn numbers(received: &OtlpReceived) -> Vec<u64> {
    let scanned = received.lines.iter().filter(|line| line.body == "scanned");
    scanned.map(|line| line.attributes["number"].parse().unwrap()).collect()
}

async fn everything_arrives(options: OtlpOptions, change: impl FnOnce(&mut OtlpSettings)) -> OtlpReceived {
    let receiver = OtlpReceiver::start_with(options).unwrap();
    let mut settings = settings(&receiver);
    change(&mut settings);
    let product = Product::start(settings);
    product.export.observe(&product.metrics, "scanner");
    (0..3).for_each(|number| product.work(number));
    // Long enough to be worth packing.
    tracing::info!(text = "x".repeat(10_000), "much");
    assert_eq!(product.send().await, Sent::All);
    let received = receiver.received();
    assert_eq!(received.complaints, [""; 0]);
    assert_eq!(numbers(&received), [0, 1, 2]);
    for (line, span) in received
        .lines
        .iter()
        .filter(|line| line.body == "scanned")
        .zip(&received.spans)
    {
        assert_eq!((&line.trace_id, &line.span_id), (&span.trace_id, &span.span_id));
        assert_eq!(line.attributes["number"], span.attributes["number"]);
    }
    assert_eq!(received.spans.len(), 3);
    let rendered = product.metrics.render();
    for ((name, labels), value) in received.series() {
        let labels: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{value}\""))
            .collect();
        // What counts the sending itself has moved on.
        if !name.contains("_telemetry_") {
            let line = rendered.lines().find(|line| line.starts_with(&format!("{name}{{")));
            let line = line.unwrap_or_else(|| panic!("{name} is not in {rendered}"));
            assert!(line.ends_with(&format!(" {value}")), "{line}");
            assert!(labels.iter().all(|label| line.contains(label)), "{line}");
        }
    }
    assert_eq!(received.value("scanner_scans_total"), Some(3.0));
    assert_eq!(received.value("scanner_telemetry_queued_records"), Some(0.0));
    assert_eq!(received.resource["service.name"], "scanner");
    assert_eq!(received.resource["service.version"], "1.2.3");
    assert_eq!(received.resource["service.instance.id"], "web-1");
    assert_eq!(received.resource["deployment.environment.name"], "test");
    assert!(!received.resource["host.name"].is_empty());
    let status = product.export.status();
    assert_eq!(
        (status.sent, status.queued, status.dropped, status.error),
        ([1, 1, 1], 0, 0, None)
    );
    assert!(status.last_success.is_some());
    received
}

fn with_tls_and_a_key(authority: &CertificateAuthority) -> OtlpOptions {
    OtlpOptions {
        tls: Some(authority.server(&["localhost"], Validity::Now).unwrap()),
        headers: vec![("x-key".to_owned(), "k1".to_owned())],
    }
}

fn trusts(settings: &mut OtlpSettings, authority: &CertificateAuthority) {
    settings.ca_file = Some(authority.file().to_owned());
    settings.headers = BTreeMap::from([("X-Key".to_owned(), Secret::new("k1"))]);
}

#[tokio::test]
async fn everything_arrives_by_http() {
    let received = everything_arrives(OtlpOptions::default(), |_| ()).await;
    assert_eq!((received.by_grpc, received.requests), (0, 3));
    assert!(received.compressed > 0, "what is long enough is packed");
    let plain = everything_arrives(OtlpOptions::default(), |settings| {
        settings.compression = OtlpCompression::None;
    });
    assert_eq!(plain.await.compressed, 0);
}

#[tokio::test]
async fn everything_arrives_by_http_over_tls_with_headers() {
    let authority = CertificateAuthority::new().unwrap();
    everything_arrives(with_tls_and_a_key(&authority), |settings| trusts(settings, &authority)).await;
}

#[cfg(feature = "otlp-grpc")]
#[tokio::test]
async fn everything_arrives_by_grpc() {
    let by_grpc = |settings: &mut OtlpSettings| settings.protocol = OtlpProtocol::Grpc;
    let received = everything_arrives(OtlpOptions::default(), by_grpc).await;
    assert_eq!(received.by_grpc, 3);
    assert!(received.compressed > 0);
    let authority = CertificateAuthority::new().unwrap();
    let received = everything_arrives(with_tls_and_a_key(&authority), |settings| {
        by_grpc(settings);
        trusts(settings, &authority);
        settings.compression = OtlpCompression::None;
    });
    assert_eq!(received.await.compressed, 0);
}

async fn away_and_back(protocol: OtlpProtocol) {
    let receiver = OtlpReceiver::start().unwrap();
    let product = Product::start(OtlpSettings {
        protocol,
        ..settings(&receiver)
    });
    let mut next = 0;
    let mut some = || {
        (next..next + 5).for_each(|number| product.work(number));
        next += 5;
    };
    some();
    assert_eq!(product.send().await, Sent::All);
    receiver.go_away().unwrap();
    for _ in 0..3 {
        some();
        assert!(matches!(product.send().await, Sent::Failed(_)));
    }
    let status = product.export.status();
    assert!(
        status.queued >= 30 && status.error.is_some() && status.dropped == 0,
        "{status:?}"
    );
    receiver.come_back().unwrap();
    receiver.answer(OtlpAnswer::status(503));
    some();
    assert!(matches!(product.send().await, Sent::Failed(_)));
    receiver.answer(OtlpAnswer::Take);
    assert_eq!(product.send().await, Sent::All);
    let received = receiver.received();
    assert_eq!(received.complaints, [""; 0]);
    assert_eq!(numbers(&received), (0..25).collect::<Vec<_>>(), "each once, in order");
    assert_eq!(received.spans.len(), 25);
    assert_eq!(received.value("scanner_scans_total"), Some(25.0));
    let status = product.export.status();
    assert_eq!((status.queued, status.dropped, status.error), (0, 0, None));
}

#[tokio::test]
async fn what_a_receiver_missed_is_sent_when_it_is_back() {
    away_and_back(OtlpProtocol::Http).await;
    #[cfg(feature = "otlp-grpc")]
    away_and_back(OtlpProtocol::Grpc).await;
}

#[tokio::test]
async fn what_waits_outlives_the_process() {
    let receiver = OtlpReceiver::start().unwrap();
    let before = Product::start(settings(&receiver));
    before.work(7);
    before.flush();
    let Product { dir, settings, .. } = before;

    let queue = Arc::new(open_queue(&dir.path().join("telemetry.db"), &settings.queue).unwrap());
    let exporter = Exporter::new(settings.export_settings("scanner", "1.2.3", None));
    let export = OtlpExport::new(&settings, exporter, queue).unwrap().unwrap();
    assert_eq!(export.send_once(&CancellationToken::new()).await.unwrap(), Sent::All);
    assert_eq!(numbers(&receiver.received()), [7]);
}

#[tokio::test]
async fn the_queue_keeps_its_bounds_and_counts_what_gives_way() {
    let receiver = OtlpReceiver::start().unwrap();
    let product = Product::start(settings(&receiver));
    product.queue.set_bounds(Bounds {
        max_bytes: 20_000,
        max_age: Duration::MAX,
        when_full: WhenFull::DropOldest,
    });
    for number in 0..100 {
        product.work(number);
        product.flush();
    }
    let waiting = product.queue.stats().unwrap();
    assert!(waiting.bytes <= 20_000 && waiting.dropped > 0, "{waiting:?}");
    assert_eq!(product.send().await, Sent::All);
    let status = product.export.status();
    let received = receiver.received();
    let numbers = numbers(&received);
    assert_eq!(*numbers.last().unwrap(), 99, "the oldest gives way");
    assert!(numbers.is_sorted());
    // Each work is a line and a span; nothing else was logged on this thread.
    let arrived = numbers.len() + received.spans.len();
    assert_eq!(status.dropped, 200 - arrived as u64);
    let rendered = {
        product.export.observe(&product.metrics, "scanner");
        product.metrics.render()
    };
    let counted = format!(
        "scanner_telemetry_dropped_records_total{{agent_id=\"web-1\"}} {}",
        status.dropped
    );
    assert!(rendered.contains(&counted), "{rendered}");
}

#[tokio::test]
async fn what_waited_too_long_is_dropped_and_counted() {
    let receiver = OtlpReceiver::start().unwrap();
    let mut settings = settings(&receiver);
    settings.queue.max_age = Period::from_secs(3600);
    let product = Product::start(settings);
    product.work(1);
    let long_ago = Utc::now() - TimeDelta::hours(2);
    product.exporter.flush(&*product.queue, long_ago).unwrap();
    product.work(2);
    assert_eq!(product.send().await, Sent::All);
    let status = product.export.status();
    assert_eq!((status.expired, status.dropped, status.queued), (2, 2, 0));
    assert_eq!(numbers(&receiver.received()), [2]);
}

#[tokio::test]
async fn what_a_receiver_never_takes_is_dropped_and_the_rest_goes_on() {
    let receiver = OtlpReceiver::start().unwrap();
    let product = Product::start(settings(&receiver));
    product.work(1);
    receiver.answer(OtlpAnswer::status(400));
    assert_eq!(product.send().await, Sent::All);
    let refused = product.export.status().refused;
    assert!(refused >= 3, "a line, a span, a metric: {refused}");
    product.work(2);
    receiver.answer(OtlpAnswer::Partial {
        rejected: 1,
        message: "too old".to_owned(),
    });
    assert_eq!(product.send().await, Sent::All);
    receiver.answer(OtlpAnswer::Take);
    let status = product.export.status();
    assert_eq!(
        (status.rejected, status.refused),
        (3, refused),
        "one of each of three requests"
    );
    assert_eq!(status.dropped, refused + 3);
    assert_eq!(numbers(&receiver.received()), [2]);
}

#[tokio::test]
async fn a_batch_on_which_the_receiver_always_fails_does_not_stop_the_rest() {
    let receiver = OtlpReceiver::start().unwrap();
    let proxy = FaultyProxy::start(Some(receiver.address())).unwrap();
    let product = Product::start(OtlpSettings {
        endpoint: Some(proxy.url()),
        ..settings(&receiver)
    });
    product.work(1);
    product.flush();
    proxy.script([(5, Fault::status(500))]).unwrap();
    for _ in 0..4 {
        assert!(matches!(product.send().await, Sent::Failed(_)));
        assert_eq!(product.export.status().dropped, 0);
    }
    product.work(2);
    assert_eq!(product.send().await, Sent::All);
    let status = product.export.status();
    assert_eq!(
        (status.refused, status.dropped, status.queued),
        (1, 1, 0),
        "the line alone"
    );
    let received = receiver.received();
    assert_eq!(numbers(&received), [2]);
    assert_eq!(received.spans.len(), 2);
}

#[tokio::test]
async fn a_receiver_that_fails_on_everything_costs_nothing() {
    let receiver = OtlpReceiver::start().unwrap();
    let product = Product::start(settings(&receiver));
    receiver.answer(OtlpAnswer::status(500));
    for number in 0..9 {
        product.work(number);
        assert!(matches!(product.send().await, Sent::Failed(_)));
    }
    let status = product.export.status();
    assert_eq!((status.dropped, status.sent), (0, [0; 3]));
    assert!(
        status.error.unwrap().contains("500"),
        "not that the receiver is left alone meanwhile"
    );
}

#[tokio::test]
async fn headers_appear_nowhere_even_if_the_receiver_says_them_aloud() {
    const KEY: &str = "hunter2-hunter2";
    let receiver = OtlpReceiver::start().unwrap();
    let mut settings = settings(&receiver);
    settings.headers = BTreeMap::from([("authorization".to_owned(), Secret::new(format!("Bearer {KEY}")))]);
    let product = Product::start(settings);
    let health = HealthRegistry::new("1", None);
    product.export.report(&health);
    product.export.observe(&product.metrics, "scanner");
    for answer in [
        OtlpAnswer::Partial {
            rejected: 1,
            message: format!("I know {KEY}"),
        },
        OtlpAnswer::Status {
            code: 401,
            retry_after: None,
            message: format!("no such key: {KEY}"),
        },
    ] {
        receiver.answer(answer);
        product.work(1);
        product.send().await;
    }
    assert_eq!(health.status(), Status::Degraded, "the work goes on");
    receiver.answer(OtlpAnswer::Take);
    product.send().await;
    assert_eq!(health.status(), Status::Healthy);
    let mut said = format!(
        "{:?} {:?} {:?}",
        product.export,
        product.settings,
        product.export.status()
    );
    said.push_str(&product.metrics.render());
    said.push_str(&serde_json::to_string(&product.settings).unwrap());
    let path = product.log_file();
    let dir = product.dir;
    // The last lines are written when these go.
    drop((product._log, product._telemetry, product.export));
    let log = fs::read_to_string(&path).unwrap();
    assert!(log.contains("I know ***") && log.contains("cannot be sent"), "{log}");
    said.push_str(&log);
    for entry in fs::read_dir(dir.path()).unwrap() {
        said.push_str(&String::from_utf8_lossy(&fs::read(entry.unwrap().path()).unwrap()));
    }
    assert!(!said.contains(KEY), "{said}");
}

#[tokio::test]
async fn it_runs_until_it_is_stopped_and_sends_the_last() {
    let receiver = OtlpReceiver::start().unwrap();
    let product = Product::start(settings(&receiver));
    product.work(1);
    product.flush();
    receiver.answer(OtlpAnswer::status(503));
    let stop = CancellationToken::new();
    let export = product.export.clone();
    let receiver = Arc::new(receiver);
    let driving = async {
        let until = |what: &'static str, is_so: fn(&OtlpReceived) -> bool| {
            let receiver = Arc::clone(&receiver);
            tokio::task::spawn_blocking(move || receiver.wait_for(what, is_so).map(drop))
        };
        until("attempt", |received| received.requests >= 1)
            .await
            .unwrap()
            .unwrap();
        receiver.answer(OtlpAnswer::Take);
        until("line after a failure", |received| !received.lines.is_empty())
            .await
            .unwrap()
            .unwrap();
        // That it arrived is known here before it is known there.
        while product.export.status().queued > 0 {
            tokio::task::yield_now().await;
        }
        product.work(2);
        stop.cancel();
    };
    let (ran, ()) = tokio::join!(export.run(stop.clone()), driving);
    ran.unwrap();
    let received = receiver.received();
    assert_eq!(numbers(&received), [1, 2]);
    assert_eq!(
        received.value("scanner_scans_total"),
        Some(2.0),
        "metrics as they stood at the end"
    );
    assert_eq!(received.complaints, [""; 0]);
    let status = product.export.status();
    assert_eq!((status.queued, status.error), (0, None));
}

#[test]
fn a_damaged_queue_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("telemetry.db");
    let settings = OtlpQueueSettings::default();
    let run = core_model::Run {
        records: 1,
        body: vec![b'l'; 100_000],
    };
    open_queue(&path, &settings)
        .unwrap()
        .enqueue(&[run], Utc::now())
        .unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes.truncate(middle);
    bytes[100..2000].fill(0x55);
    fs::write(&path, bytes).unwrap();
    fs::remove_file(dir.path().join("telemetry.db-wal")).ok();
    let queue = open_queue(&path, &settings).unwrap();
    assert_eq!(queue.stats().unwrap().records, 0);
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct Section {
    telemetry: TelemetrySettings,
}

impl conf::Settings for Section {
    fn check(&self, check: &mut conf::Check<'_>) {
        self.telemetry.check("telemetry", check);
    }
}

fn keys(text: &str) -> Vec<String> {
    let layers = conf::Layers::new().file("c.yaml", text, conf::Format::Yaml);
    match layers.load::<Section>() {
        Ok(_) => Vec::new(),
        Err(problems) => problems
            .iter()
            .filter_map(|problem| problem.key().map(str::to_owned))
            .collect(),
    }
}

#[test]
fn settings_are_read_and_each_mistake_is_named_by_its_key() {
    let fine = "telemetry: {otlp: {endpoint: 'https://otel.example.com:4318', protocol: http, \
        headers: {authorization: 'Bearer x'}, signals: [metrics, logs], interval: 30s, timeout: 5s, \
        compression: none, resource_attributes: {deployment.environment.name: prod}, \
        queue: {max_bytes: 100MB, max_age: 1d}}}";
    assert_eq!(keys(fine), [""; 0]);
    assert_eq!(keys(""), [""; 0]);
    for (text, key) in [
        ("endpoint: collector", "endpoint"),
        ("endpoint: 'ftp://collector'", "endpoint"),
        ("endpoint: 'http://otel.example.com:4318'", "endpoint"),
        ("endpoint: 'https://me:pw@otel.example.com'", "endpoint"),
        ("endpoint: 'https://otel.example.com/?a=b'", "endpoint"),
        ("headers: {'a b': x}", "headers"),
        ("headers: {a: \"x\\ny\"}", "headers"),
        ("headers: {content-type: text/plain}", "headers"),
        ("signals: []", "signals"),
        ("interval: 10ms", "interval"),
        ("timeout: 0s", "timeout"),
        ("queue: {max_bytes: 1MB}", "queue.max_bytes"),
        ("queue: {max_age: 0s}", "queue.max_age"),
    ] {
        assert_eq!(
            keys(&format!("telemetry: {{otlp: {{{text}}}}}")),
            [format!("telemetry.otlp.{key}")],
            "{text}"
        );
    }
    let grpc = keys("telemetry: {otlp: {protocol: grpc}}");
    assert_eq!(grpc.is_empty(), cfg!(feature = "otlp-grpc"), "{grpc:?}");
    assert_eq!(OtlpSettings::default().queue.max_bytes, ByteSize::new(64 << 20));
}
