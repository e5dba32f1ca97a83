//! Each fault as a client meets it, and what the server behind it heard.
use crate::wire::{Reply, created, ingest, post};
use std::{
    io::ErrorKind,
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};
use testkit::{Fault, FaultyProxy, Program, Recorder};

const STREAM: &str = "01990000-0000-7000-8000-000000000001";

struct Stand {
    recorder: Recorder,
    proxy: FaultyProxy,
}

impl Stand {
    fn new() -> Self {
        let recorder = Recorder::start().unwrap();
        let proxy = FaultyProxy::start(Some(recorder.address())).unwrap();
        Self { recorder, proxy }
    }

    fn send(&self, paths: &[&str]) -> Reply {
        let body = ingest(STREAM, 1, &created(paths));
        post(self.proxy.address(), "/api/v1/ingest", "web-1", "", &body).unwrap()
    }

    fn heard(&self) -> u64 {
        self.recorder.totals().records
    }
}

#[test]
fn everything_passes_until_something_else_is_said() {
    let stand = Stand::new();
    let reply = stand.send(&["/a"]);
    assert_eq!(reply.status(), Some(200));
    assert!(reply.text().ends_with(r#"{"accepted_through":1}"#), "{}", reply.text());
    assert_eq!(
        (stand.heard(), stand.proxy.count("pass"), stand.proxy.connections()),
        (1, 1, 1)
    );
}

#[test]
fn a_closed_port_refuses_and_opens_again_at_the_same_address() {
    let stand = Stand::new();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        // What is open here is open in each of these too, until it runs its program.
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                Program::at("true").run().unwrap();
            }
        });
        let refusals = (0..300).map(|_| {
            stand.proxy.set(Fault::Refuse).unwrap();
            let refused = TcpStream::connect(stand.proxy.address()).map_err(|error| error.kind());
            stand.proxy.set(Fault::Pass).unwrap();
            refused
        });
        let passed: Vec<_> = refusals
            .filter(|tried| !matches!(tried, Err(ErrorKind::ConnectionRefused)))
            .collect();
        is_over.store(true, Relaxed);
        assert!(passed.is_empty(), "{passed:?}");
    });
    assert_eq!(stand.send(&["/a"]).status(), Some(200));
}

#[test]
fn a_reset_gives_no_answer() {
    let stand = Stand::new();
    stand.proxy.set(Fault::Reset).unwrap();
    let reply = stand.send(&["/a"]);
    assert!(reply.bytes.is_empty());
    assert_eq!((stand.heard(), stand.proxy.count("reset")), (0, 1));
}

#[test]
fn a_hanging_server_reads_and_never_answers() {
    let stand = Stand::new();
    stand.proxy.set(Fault::Hang).unwrap();
    let address = stand.proxy.address();
    let client = thread::spawn(move || {
        post(
            address,
            "/api/v1/ingest",
            "web-1",
            "",
            &ingest(STREAM, 1, &created(&["/a"])),
        )
    });
    stand.proxy.wait_for("hang", 1).unwrap();
    assert_eq!(stand.heard(), 0);
    // What hangs ends with the proxy.
    drop(stand.proxy);
    assert_eq!(client.join().unwrap().unwrap().status(), None);
}

#[test]
fn a_request_cut_in_its_body_reaches_the_server_as_half_a_request() {
    let stand = Stand::new();
    stand.proxy.set(Fault::CutRequest(40)).unwrap();
    assert_eq!(stand.send(&["/a"]).status(), None);
    assert_eq!((stand.heard(), stand.proxy.count("cut_request")), (0, 1));
}

#[test]
fn an_answer_cut_away_leaves_the_records_with_the_server() {
    for bytes in [0, 5, 60] {
        let stand = Stand::new();
        stand.proxy.set(Fault::CutResponse(bytes)).unwrap();
        let reply = stand.send(&["/a"]);
        assert_eq!(reply.bytes.len(), bytes);
        assert_eq!(stand.heard(), 1, "the server took it");
    }
}

#[test]
fn answers_are_made_up_and_the_server_hears_nothing() {
    let stand = Stand::new();
    let too_many = Fault::Status {
        code: 429,
        retry_after: Some("7".to_owned()),
        body: String::new(),
    };
    for (fault, status, said) in [
        (Fault::status(500), 500, "content-length: 0"),
        (too_many, 429, "retry-after: 7"),
        (Fault::problem(403, "unknown_key"), 403, r#""code":"unknown_key""#),
        (Fault::Html, 200, "<!doctype html>"),
        (
            Fault::Redirect("http://127.0.0.1:1/x".to_owned()),
            307,
            "location: http://127.0.0.1:1/x",
        ),
    ] {
        stand.proxy.set(fault).unwrap();
        let reply = stand.send(&["/a"]);
        assert_eq!(reply.status(), Some(status));
        assert!(reply.text().contains(said), "{}", reply.text());
    }
    stand.proxy.set(Fault::NotHttp).unwrap();
    let reply = stand.send(&["/a"]);
    assert!(reply.text().starts_with("220 "), "{}", reply.text());
    assert_eq!(stand.heard(), 0);
}

#[test]
fn one_record_spoils_its_request_and_no_other() {
    let stand = Stand::new();
    let is_bad: Arc<dyn Fn(&str) -> bool + Send + Sync> = Arc::new(|path| path == "/bad");
    stand.proxy.set(Fault::RejectRecord(is_bad)).unwrap();
    assert_eq!(stand.send(&["/a", "/bad"]).status(), Some(400));
    assert_eq!(stand.heard(), 0);
    assert_eq!(stand.send(&["/a", "/badly"]).status(), Some(200));
    let packed = zstd::encode_all(&ingest(STREAM, 1, &created(&["/bad"]))[..], 3).unwrap();
    let headers = "content-encoding: zstd\r\n";
    let reply = post(stand.proxy.address(), "/api/v1/ingest", "web-1", headers, &packed).unwrap();
    assert_eq!(reply.status(), Some(400), "packed too");
}

#[test]
fn too_many_records_are_too_large() {
    let stand = Stand::new();
    stand.proxy.set(Fault::TooLarge(2)).unwrap();
    assert_eq!(stand.send(&["/a", "/b", "/c"]).status(), Some(413));
    assert_eq!(stand.send(&["/a", "/b"]).status(), Some(200));
    let document = br#"{"files":[{"path":"/a"},{"path":"/b"}],"deleted":[{"path":"/c"}]}"#;
    let reply = post(stand.proxy.address(), "/api/files/ingest", "web-1", "", document).unwrap();
    assert_eq!(reply.status(), Some(413), "the other dialect is counted too");
}

#[test]
fn a_script_is_played_once() {
    let stand = Stand::new();
    let steps = [
        (2, Fault::status(503)),
        (1, Fault::Refuse),
        (1, Fault::Delay(Duration::ZERO)),
    ];
    stand.proxy.script(steps).unwrap();
    let met: Vec<Option<u16>> = (0..5).map(|_| stand.send(&["/a"]).status()).collect();
    assert_eq!(met, [Some(503), Some(503), None, Some(200), Some(200)]);
    assert_eq!((stand.proxy.count("status"), stand.proxy.count("delay")), (2, 1));
}

#[test]
fn in_place_of_a_server_it_says_that_there_is_none() {
    let proxy = FaultyProxy::start(None).unwrap();
    let reply = post(proxy.address(), "/", "k", "", b"").unwrap();
    assert_eq!((reply.status(), reply.error.is_none()), (Some(502), true));
}
