//! Everything that can go wrong between the scanner that stays up and its server, and nothing missing afterwards.
use e2e::{AGENT, Signal, Site, end, health_address, wait_health};
use serde_json::Value;
use std::{fs, sync::Arc, thread, time::Duration};
use testkit::{CertificateAuthority, Fault, FaultyProxy, Recorder, Validity, eventually, self_signed};

/// More than goes into one request, and into all that go out at one time.
const FILES: usize = 200;
const SMALL: &str = "scanner.batch_size=20";

/// A scanner that is up meets the fault with changes to tell; then the fault is over. `settings` are its own: the round
/// before, which nothing troubles, has all the time it needs.
fn survives(site: &Site, fault: Fault, times: u64, settings: &[&str]) {
    site.touch((0..FILES).map(|n| format!("file-{n}"))).unwrap();
    site.round(0).unwrap();
    let name = fault.name();
    site.proxy.set(fault).unwrap();
    fs::remove_file(site.tree().join("file-3")).unwrap();
    fs::rename(site.tree().join("file-4"), site.tree().join("moved-4")).unwrap();
    site.touch((0..FILES).map(|n| format!("late-{n}"))).unwrap();
    let settings = settings.iter().flat_map(|&setting| ["--set", setting]);
    let args: Vec<&str> = ["run"].into_iter().chain(settings).collect();
    let daemon = site.program(&args).unwrap().start().unwrap();
    if name == "refuse" {
        daemon.wait_for_text("records could not be delivered").unwrap();
    } else {
        site.proxy.wait_for(name, times).unwrap();
    }
    site.proxy.set(Fault::Pass).unwrap();
    site.wait_told().unwrap();
    end(daemon, Signal::TERM).unwrap();
    site.check_told().unwrap();
    // Nothing was given up and told anew.
    assert_eq!(site.recorder.streams().len(), 1, "{:?}", site.recorder.streams());
    assert_eq!(
        site.json(&["status"]).unwrap()["refused"],
        0,
        "a fault was taken for a refusal"
    );
}

fn busy() -> Fault {
    Fault::Status {
        code: 429,
        retry_after: Some("1".to_owned()),
        body: String::new(),
    }
}

#[test]
fn after_any_fault_of_the_network_or_the_server_everything_arrives_once() {
    let faults = [
        (Fault::Refuse, 1),
        (Fault::Reset, 2),
        (Fault::Delay(Duration::from_millis(200)), 3),
        (Fault::Hang, 2),
        (Fault::CutRequest(100), 2),
        (Fault::CutResponse(20), 2),
        (Fault::status(500), 2),
        (busy(), 2),
        (Fault::TooLarge(7), 3),
        (Fault::NotHttp, 2),
        (Fault::Html, 2),
        (Fault::Redirect("http://127.0.0.1:1/elsewhere".to_owned()), 2),
    ];
    thread::scope(|scope| {
        for (fault, times) in faults {
            let work = move || survives(&Site::new(&[SMALL]).unwrap(), fault, times, &["server.timeout=1s"]);
            scope.spawn(work);
        }
    });
}

#[test]
fn a_wrong_certificate_is_told_nothing_until_it_is_put_right() {
    let authority = CertificateAuthority::new().unwrap();
    let right = authority.server(&["localhost"], Validity::Now).unwrap();
    let wrong = [
        self_signed(&["localhost"]).unwrap(),
        authority.server(&["localhost"], Validity::Ended).unwrap(),
        authority.server(&["elsewhere.example"], Validity::Now).unwrap(),
    ];
    let trusted = format!("server.ca_file={}", authority.file().display());
    thread::scope(|scope| {
        for wrong in wrong {
            let (right, trusted) = (right.clone(), &trusted);
            scope.spawn(move || {
                let recorder = Recorder::start().unwrap();
                let proxy = FaultyProxy::start_tls(Some(recorder.address()), right).unwrap();
                let site = Site::with(recorder, proxy, &[SMALL, trusted]).unwrap();
                survives(&site, Fault::Certificate(wrong), 2, &[]);
            });
        }
    });
}

#[test]
fn a_failing_server_is_left_alone_and_asked_again() {
    let site = Site::new(&["health.enabled=true", "health.port=0"]).unwrap();
    site.touch(["before"]).unwrap();
    site.round(0).unwrap();
    site.proxy.set(Fault::status(500)).unwrap();
    site.touch(["after"]).unwrap();
    let daemon = site
        .program(&["run", "--set", "server.circuit_breaker.window=2"])
        .unwrap()
        .start()
        .unwrap();
    let health = health_address(&daemon).unwrap();
    let breaker = |health: &Value| health["api"]["circuit_breaker"].as_str().map(str::to_owned);
    let open = wait_health(health, "open breaker", |health| {
        let is_open = matches!(breaker(health).as_deref(), Some("open" | "half_open"));
        is_open.then(|| health["api"].clone())
    })
    .unwrap();
    assert_eq!(open["status"], "degraded", "{open}");
    site.proxy.set(Fault::Pass).unwrap();
    let closed = wait_health(health, "closed breaker", |health| {
        let is_well = breaker(health).as_deref() == Some("closed") && health["api"]["status"] == "healthy";
        is_well.then(|| health["api"].clone())
    })
    .unwrap();
    assert_eq!(closed["records_refused"], 0, "{closed}");
    site.wait_told().unwrap();
    end(daemon, Signal::TERM).unwrap();
    site.check_told().unwrap();
}

#[test]
fn a_record_that_is_refused_holds_up_no_other() {
    let site = Site::new(&[]).unwrap();
    site.touch(["known"]).unwrap();
    site.round(0).unwrap();
    let is_it = Arc::new(|path: &str| path.ends_with("/file-7"));
    site.proxy.set(Fault::RejectRecord(is_it)).unwrap();
    site.touch((0..100).map(|n| format!("file-{n}"))).unwrap();
    let daemon = site.start().unwrap();
    eventually("a refusal in the status", || {
        Ok((site.json(&["status"])?["refused"] == 1).then_some(()))
    })
    .unwrap();
    eventually("every other file", || {
        Ok((site.recorder.live(AGENT).len() == 100).then_some(()))
    })
    .unwrap();
    let refused = site.tree().join("file-7").display().to_string();
    let explained = site.command(&["explain", &refused]).unwrap().success().unwrap();
    assert!(explained.stdout().contains("refused by the server"), "{explained}");
    assert!(explained.stdout().contains("invalid_request"), "{explained}");
    let status = site.json(&["status"]).unwrap();
    assert_eq!(status["refusals"][0]["path"], refused.as_str(), "{status}");
    assert_eq!(status["outbox"]["records"], 0, "{status}");
    end(daemon, Signal::TERM).unwrap();
    assert_eq!(site.recorder.doubled(), Vec::<String>::new());
}

#[test]
fn a_server_that_forgot_everything_is_told_everything_at_once() {
    // The next scan is far away: the server's wish is the only reason for one.
    let site = Site::new(&["scanner.scan_interval=6h"]).unwrap();
    site.touch((0..FILES).map(|n| format!("file-{n}"))).unwrap();
    site.round(0).unwrap();
    site.proxy.set(Fault::Refuse).unwrap();
    site.touch(["waits"]).unwrap();
    site.round(5).unwrap();
    site.recorder.reset();
    site.proxy.set(Fault::Pass).unwrap();
    let daemon = site.start().unwrap();
    site.wait_told().unwrap();
    end(daemon, Signal::TERM).unwrap();
    site.check_told().unwrap();
}

#[test]
fn after_a_server_forgot_everything_the_second_round_tells_it_at_the_latest() {
    let site = Site::new(&[]).unwrap();
    site.touch((0..FILES).map(|n| format!("file-{n}"))).unwrap();
    site.round(0).unwrap();
    site.recorder.reset();
    site.touch(["new"]).unwrap();
    site.command(&["run", "--once"]).unwrap().one_of(&[0, 5]).unwrap();
    site.round(0).unwrap();
    site.check_told().unwrap();
}
