//! What a recorder notices.
use crate::wire::{created, ingest, path_of, post};
use std::{collections::BTreeSet, io::Write as _};
use testkit::{Recorder, http_get};

const FIRST: &str = "01990000-0000-7000-8000-000000000001";
const SECOND: &str = "01990000-0000-7000-8000-000000000002";

fn send(recorder: &Recorder, body: &[u8]) -> u16 {
    let reply = post(recorder.address(), "/api/v1/ingest", "web-1", "", body).unwrap();
    reply.status().unwrap_or_else(|| panic!("{}", reply.text()))
}

fn live(recorder: &Recorder) -> Vec<String> {
    let text = |path: &Vec<u8>| String::from_utf8_lossy(path).into_owned();
    recorder.live("web-1").iter().map(text).collect()
}

#[test]
fn repeats_and_gaps_are_counted_and_change_nothing() {
    let recorder = Recorder::start().unwrap();
    let one = ingest(FIRST, 1, &created(&["/a", "/b"]));
    assert_eq!((send(&recorder, &one), send(&recorder, &one)), (200, 200));
    assert_eq!(send(&recorder, &ingest(FIRST, 5, &created(&["/c"]))), 200);
    let facts = recorder.newest_stream("web-1").unwrap();
    assert_eq!((facts.records, facts.last_seq, facts.repeats), (3, 5, 2));
    assert_eq!(facts.gaps, [(3, 4)]);
    assert_eq!(live(&recorder), ["/a", "/b", "/c"]);
    assert_eq!(recorder.doubled(), Vec::<String>::new());
    let totals = recorder.totals();
    assert_eq!((totals.requests, totals.records, totals.repeats), (3, 3, 2));
}

#[test]
fn what_is_there_follows_every_kind_of_record_in_the_order_of_numbers() {
    let recorder = Recorder::start().unwrap();
    let moved = r#"{"from":{"path":"/b"},"file":{"path":"/c"}}"#.to_owned();
    let raw = r#"{"path":"/d/�","path_raw":"L2Qv/w=="}"#.to_owned();
    // The later records come first.
    assert_eq!(send(&recorder, &ingest(FIRST, 1, &created(&["/a"]))), 200);
    let late = [
        ("file.moved", moved),
        ("file.deleted", path_of("/a")),
        ("file.updated", raw),
    ];
    assert_eq!(send(&recorder, &ingest(FIRST, 3, &late)), 200);
    assert_eq!(send(&recorder, &ingest(FIRST, 2, &created(&["/b"]))), 200);
    assert_eq!(
        recorder.live("web-1"),
        BTreeSet::from([b"/c".to_vec(), b"/d/\xff".to_vec()])
    );
    assert_eq!(recorder.live("web-2"), BTreeSet::new());
}

#[test]
fn a_complete_snapshot_drops_what_it_does_not_name_and_an_incomplete_one_does_not() {
    let recorder = Recorder::start().unwrap();
    send(
        &recorder,
        &ingest(FIRST, 1, &created(&["/a", "/b", "/u", "/u/x", "/ux"])),
    );
    let begin = ("snapshot.begin", r#"{"reason":"restored"}"#.to_owned());
    let end = ("snapshot.end", r#"{"unseen":[{"path":"/u"}]}"#.to_owned());
    send(&recorder, &ingest(SECOND, 1, &[begin]));
    send(&recorder, &ingest(SECOND, 3, &[end]));
    assert_eq!(
        live(&recorder),
        ["/a", "/b", "/u", "/u/x", "/ux"],
        "record 2 is missing"
    );
    send(&recorder, &ingest(SECOND, 2, &[("file.present", path_of("/b"))]));
    assert_eq!(live(&recorder), ["/b", "/u", "/u/x"]);
    assert_eq!(recorder.newest_stream("web-1").unwrap().stream, SECOND);
}

#[test]
fn doubled_records_are_named() {
    let recorder = Recorder::start().unwrap();
    let deleted = ("file.deleted", path_of("/a"));
    let created_again = [created(&["/a"]), vec![deleted], created(&["/a", "/b", "/b"])].concat();
    send(&recorder, &ingest(FIRST, 1, &created_again));
    send(&recorder, &ingest(FIRST, 1, &created(&["/other"])));
    let doubled = recorder.doubled();
    assert_eq!(doubled.len(), 2, "{doubled:?}");
    assert!(doubled[0].contains("1 came again with other contents"), "{doubled:?}");
    assert!(doubled[1].contains("/b was created twice"), "{doubled:?}");
}

#[test]
fn an_unknown_stream_has_to_begin_with_its_first_record_also_after_a_reset() {
    let recorder = Recorder::start().unwrap();
    let refused = ingest(FIRST, 2, &created(&["/b"]));
    assert_eq!(send(&recorder, &refused), 409);
    assert_eq!(send(&recorder, &ingest(FIRST, 1, &created(&["/a"]))), 200);
    assert_eq!(send(&recorder, &refused), 200);
    recorder.reset();
    assert_eq!(recorder.totals().records, 0);
    assert_eq!(send(&recorder, &refused), 409);
}

#[test]
fn nonsense_is_refused_as_a_whole() {
    let recorder = Recorder::start().unwrap();
    let hole = br#"{"stream":"s","records":[{"seq":1,"kind":"x","time":"t","body":{}},{"seq":3,"kind":"x","time":"t","body":{}}]}"#;
    let pathless = ingest(FIRST, 1, &[("file.created", "{}".to_owned())]);
    let beyond = ingest(FIRST, 1 << 40, &created(&["/a"]));
    for body in [&b"{"[..], hole, &pathless, &beyond, &ingest(FIRST, 1, &[])] {
        assert_eq!(send(&recorder, body), 400, "{}", String::from_utf8_lossy(body));
    }
    assert_eq!(recorder.streams(), []);
}

#[test]
fn agents_are_called_by_the_name_they_enrolled_with() {
    let recorder = Recorder::start().unwrap();
    let reply = post(
        recorder.address(),
        "/api/v1/agents/enroll",
        "",
        "",
        br#"{"name":"db-7"}"#,
    )
    .unwrap();
    assert_eq!(reply.status(), Some(201));
    let body = reply.text().split_once("\r\n\r\n").unwrap().1.to_owned();
    let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(answer["agent_id"].as_str().unwrap().as_bytes()[14], b'7', "{answer}");
    let key = answer["api_key"].as_str().unwrap();
    let address = recorder.address();
    assert_eq!(
        post(address, "/api/v1/agents/me/heartbeat", key, "", b"{}")
            .unwrap()
            .status(),
        Some(204)
    );
    post(address, "/api/v1/ingest", key, "", &ingest(FIRST, 1, &created(&["/a"]))).unwrap();
    assert_eq!(recorder.live("db-7").len(), 1);
    recorder
        .wait_for("a heartbeat", |totals| totals.heartbeats == 1)
        .unwrap();
    assert_eq!(http_get(address, "/health").unwrap().status, 200);
}

#[test]
fn packed_bodies_are_read() {
    let recorder = Recorder::start().unwrap();
    let body = ingest(FIRST, 1, &created(&["/a"]));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&body).unwrap();
    for (encoding, packed) in [
        ("gzip", gzip.finish().unwrap()),
        ("zstd", zstd::encode_all(&body[..], 3).unwrap()),
    ] {
        let headers = format!("content-encoding: {encoding}\r\n");
        let reply = post(recorder.address(), "/api/v1/ingest", "web-1", &headers, &packed).unwrap();
        assert_eq!(reply.status(), Some(200), "{encoding}");
    }
    assert_eq!(recorder.totals().repeats, 1);
}

#[test]
fn a_hundred_thousand_records_are_no_burden() {
    let recorder = Recorder::start().unwrap();
    for start in (0..100_000_u64).step_by(10_000) {
        let names: Vec<String> = (start..start + 10_000).map(|n| format!("/data/{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(send(&recorder, &ingest(FIRST, start + 1, &created(&names))), 200);
    }
    assert_eq!(recorder.totals().records, 100_000);
    assert_eq!(recorder.live("web-1").len(), 100_000);
    assert_eq!(recorder.newest_stream("web-1").unwrap().gaps, []);
}
