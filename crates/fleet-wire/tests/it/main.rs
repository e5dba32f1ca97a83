//! What was said in version 0.1 is understood for good: one file for each message, read and written back word for word.
//!
//! A change of a message's shape fails here. Where it is meant, it is an additional field with a default, or a new
//! version of the type, and then a new folder of fixtures beside this one, never another text in an old file.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod next_minor;

use fleet_wire::{
    ClaimPending, ClaimRequest, ClaimResponse, EnrollRequest, EnrollResponse, Heartbeat, HeartbeatResponse,
    IngestResponse, KeyResponse, Problem,
    link::{AgentMessage, ControllerMessage, Envelope, PollRequest, PollResponse, ReadError},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, path::PathBuf};

/// The fixtures of one folder: name and text.
fn fixtures(folder: &str) -> Vec<(String, String)> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/0.1")
        .join(folder);
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(path).unwrap())
    };
    fs::read_dir(path).unwrap().map(read).collect()
}

/// The same JSON with a field more in every object of it, as a later version may have.
fn with_more(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            // The names of labels are data, not fields.
            let later = |(name, value): (&String, &Value)| match name.as_str() {
                "labels" => (name.clone(), value.clone()),
                _ => (name.clone(), with_more(value)),
            };
            let fields = fields.iter().map(later);
            let more = ("of_a_later_version".to_owned(), json!({"deep": [1, null]}));
            Value::Object(fields.chain([more]).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(with_more).collect()),
        other => other.clone(),
    }
}

/// The payload of an envelope with a field more in every object but the free-form ones, which belong to a verb.
fn envelope_with_more(text: &str) -> String {
    let mut value = with_more(&serde_json::from_str(text).unwrap());
    let original: Value = serde_json::from_str(text).unwrap();
    for free in ["args", "body"] {
        if let Some(kept) = original["payload"].get(free) {
            value["payload"][free] = kept.clone();
        }
    }
    value.to_string()
}

/// `write` gives the pretty JSON of what is read from a text; it must be the very text of the fixture.
#[track_caller]
fn settles(name: &str, text: &str, write: impl Fn(&str) -> Value) {
    assert_eq!(
        pretty(&write(text)),
        text,
        "{name} is written otherwise than it was read"
    );
}

// A value of serde_json sorts the fields of objects, so they are compared as values, and the text by its form.
fn pretty(value: &Value) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap();
    text.push('\n');
    text
}

fn sorted(text: &str) -> String {
    pretty(&serde_json::from_str(text).unwrap())
}

type Types = &'static [(&'static str, u32)];

fn check_messages<M: PartialEq + std::fmt::Debug>(
    folder: &str,
    types: Types,
    read: impl Fn(&Envelope) -> Result<M, ReadError>,
    write: impl Fn(&M, &Envelope) -> Envelope,
) {
    let mut seen = BTreeSet::new();
    for (name, text) in fixtures(folder) {
        let envelope: Envelope = serde_json::from_str(&text).unwrap();
        let message = read(&envelope).unwrap_or_else(|error| panic!("{name}: {error}"));
        let back = |_: &str| serde_json::to_value(write(&message, &envelope)).unwrap();
        settles(&name, &sorted(&text), back);
        // The order of the fields is part of what is frozen: whoever compares texts is not to be surprised.
        let compact: String = serde_json::to_string(&write(&message, &envelope)).unwrap();
        let fixture: Envelope = serde_json::from_str(&text).unwrap();
        assert_eq!(squeezed(&compact), squeezed(&text), "{name}: {}", fixture.kind);

        let later: Envelope = serde_json::from_str(&envelope_with_more(&text)).unwrap();
        assert_eq!(read(&later).unwrap(), message, "{name} with more fields");
        let of_later_version = Envelope {
            v: envelope.v + 1,
            ..envelope.clone()
        };
        assert!(
            matches!(read(&of_later_version), Err(ReadError::TooNew { .. })),
            "{name}"
        );
        let of_later_type = Envelope {
            kind: "DANCE".to_owned(),
            ..envelope.clone()
        };
        assert!(
            matches!(read(&of_later_type), Err(ReadError::UnknownType { .. })),
            "{name}"
        );
        seen.insert((envelope.kind, envelope.v));
    }
    let all: BTreeSet<_> = types.iter().map(|(kind, v)| ((*kind).to_owned(), *v)).collect();
    assert_eq!(seen, all, "each type and version has a fixture");
}

/// JSON without the white space between its parts.
fn squeezed(text: &str) -> String {
    let mut is_in_string = false;
    let mut is_escaped = false;
    text.chars()
        .filter(|letter| {
            let is_kept = is_in_string || !letter.is_whitespace();
            if *letter == '"' && !is_escaped {
                is_in_string = !is_in_string;
            }
            is_escaped = is_in_string && *letter == '\\' && !is_escaped;
            is_kept
        })
        .collect()
}

#[test]
fn every_message_of_an_agent_is_as_it_was() {
    check_messages(
        "agent",
        AgentMessage::TYPES,
        AgentMessage::of_envelope,
        |message, envelope| message.to_envelope(envelope.id).unwrap(),
    );
}

#[test]
fn every_message_of_the_controller_is_as_it_was() {
    check_messages(
        "controller",
        ControllerMessage::TYPES,
        ControllerMessage::of_envelope,
        |message, envelope| message.to_envelope(envelope.id).unwrap(),
    );
}

#[test]
fn neither_side_takes_the_other_s_messages_for_its_own() {
    let of = |types: Types| types.iter().map(|(kind, _)| *kind).collect::<BTreeSet<_>>();
    let common: Vec<_> = of(AgentMessage::TYPES)
        .intersection(&of(ControllerMessage::TYPES))
        .copied()
        .collect();
    assert_eq!(common, ["ERROR"]);
}

fn check<T: DeserializeOwned + Serialize>(name: &str, text: &str) {
    let value: T = serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(
        squeezed(&serde_json::to_string(&value).unwrap()),
        squeezed(text),
        "{name}"
    );
    let later = with_more(&serde_json::from_str(text).unwrap()).to_string();
    let value: T = serde_json::from_str(&later).unwrap_or_else(|error| panic!("{name} with more fields: {error}"));
    let written = serde_json::to_string(&value).unwrap();
    // A payload that is carried on unread keeps what it had.
    if !later.contains("payload") {
        assert_eq!(squeezed(&written), squeezed(text), "{name} with more fields");
    }
}

#[test]
fn every_body_of_a_request_is_as_it_was() {
    for (name, text) in fixtures("http") {
        let check: fn(&str, &str) = match name.as_str() {
            "poll-request" => check::<PollRequest>,
            "poll-response" => check::<PollResponse>,
            "claim-request" => check::<ClaimRequest>,
            "claim-response" => check::<ClaimResponse>,
            "claim-pending" => check::<ClaimPending>,
            "enroll-request" | "enroll-request-by-certificate" => check::<EnrollRequest>,
            "enroll-response" | "enroll-response-by-certificate" => check::<EnrollResponse>,
            "heartbeat" | "heartbeat-profile" => check::<Heartbeat>,
            "heartbeat-response" | "heartbeat-response-new-key" | "heartbeat-response-seen" => {
                check::<HeartbeatResponse>
            }
            "key-response" => check::<KeyResponse>,
            "ingest-response" => check::<IngestResponse>,
            "problem" => check::<Problem>,
            other => panic!("{other}.json is of no known kind"),
        };
        check(&name, &text);
    }
    assert_eq!(fixtures("http").len(), 17);
}
