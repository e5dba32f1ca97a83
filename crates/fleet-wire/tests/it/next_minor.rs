//! A next minor version, made here as one is made: a field more with a default, and a message type more. It and this
//! version understand each other in both directions, and what either does not know does no harm.
use crate::fixtures;
use core_model::MessageId;
use fleet_wire::link::{AgentMessage, ControllerMessage, Envelope, Hello, ReadError, Welcome};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// HELLO of the next minor version.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct NextHello {
    #[serde(flatten)]
    hello: Hello,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    zone: Option<Zone>,
}

/// WELCOME of the next minor version.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct NextWelcome {
    #[serde(flatten)]
    welcome: Welcome,
    #[serde(default)]
    shards: Vec<Zone>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Zone {
    name: String,
}

/// A type that only the next minor version has; either side may say it there.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Inventory {
    packages: Vec<String>,
}

/// What the next minor version makes of a message.
#[derive(Debug, PartialEq)]
enum Next<M, First> {
    /// The message that has a field more.
    First(First),
    /// The type that is new.
    Inventory(Inventory),
    /// All others are as they were.
    AsBefore(M),
}

fn read_next<M, First: DeserializeOwned>(
    envelope: &Envelope,
    first: &str,
    read: impl Fn(&Envelope) -> Result<M, ReadError>,
) -> Result<Next<M, First>, ReadError> {
    let payload = envelope.payload.get();
    match envelope.kind.as_str() {
        kind if kind == first => Ok(Next::First(serde_json::from_str(payload).unwrap())),
        "INVENTORY" => Ok(Next::Inventory(serde_json::from_str(payload).unwrap())),
        _ => read(envelope).map(Next::AsBefore),
    }
}

fn write_next(kind: &str, payload: &impl Serialize) -> Envelope {
    let id: MessageId = serde_json::from_value(json!("01900000-0000-7000-8000-000000000001")).unwrap();
    let envelope = json!({"type": kind, "v": 1, "id": id, "payload": payload, "sent_by": "a later version"});
    // As it comes: from a text.
    serde_json::from_str(&envelope.to_string()).unwrap()
}

fn zone() -> Zone {
    Zone {
        name: "north".to_owned(),
    }
}

/// The fixture of this name.
fn fixture(folder: &str, name: &str) -> Envelope {
    let (_, text) = fixtures(folder).into_iter().find(|(found, _)| found == name).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn the_next_version_reads_all_that_this_one_says() {
    for (name, text) in fixtures("agent") {
        let envelope: Envelope = serde_json::from_str(&text).unwrap();
        match read_next::<_, NextHello>(&envelope, "HELLO", AgentMessage::of_envelope).unwrap() {
            Next::First(next) => {
                let now = AgentMessage::of_envelope(&envelope).unwrap();
                assert_eq!(AgentMessage::Hello(next.hello), now, "{name}");
                assert_eq!(next.zone, None, "{name}: what this version never says has its default");
            }
            Next::AsBefore(message) => assert_ne!(message.kind(), "HELLO", "{name}"),
            Next::Inventory(wrong) => panic!("{name} was read as {wrong:?}"),
        }
    }
    for (name, text) in fixtures("controller") {
        let envelope: Envelope = serde_json::from_str(&text).unwrap();
        match read_next::<_, NextWelcome>(&envelope, "WELCOME", ControllerMessage::of_envelope).unwrap() {
            Next::First(next) => {
                let now = ControllerMessage::of_envelope(&envelope).unwrap();
                assert_eq!(ControllerMessage::Welcome(next.welcome), now, "{name}");
                assert_eq!(next.shards, [], "{name}: what this version never says has its default");
            }
            Next::AsBefore(message) => assert_ne!(message.kind(), "WELCOME", "{name}"),
            Next::Inventory(wrong) => panic!("{name} was read as {wrong:?}"),
        }
    }
}

#[test]
fn this_version_reads_what_the_next_one_says_with_a_field_more() {
    let Ok(AgentMessage::Hello(hello)) = AgentMessage::of_envelope(&fixture("agent", "hello")) else {
        panic!("the fixture is a HELLO");
    };
    let next = NextHello {
        hello: hello.clone(),
        zone: Some(zone()),
    };
    let said = write_next("HELLO", &next);
    assert!(
        said.payload.get().contains("north"),
        "the field is said: {}",
        said.payload
    );
    assert_eq!(AgentMessage::of_envelope(&said).unwrap(), AgentMessage::Hello(hello));

    let welcome = ControllerMessage::of_envelope(&fixture("controller", "welcome"));
    let Ok(ControllerMessage::Welcome(welcome)) = welcome else {
        panic!("the fixture is a WELCOME");
    };
    let next = NextWelcome {
        welcome: welcome.clone(),
        shards: vec![zone()],
    };
    let said = write_next("WELCOME", &next);
    assert!(
        said.payload.get().contains("north"),
        "the field is said: {}",
        said.payload
    );
    let understood = ControllerMessage::of_envelope(&said).unwrap();
    assert_eq!(understood, ControllerMessage::Welcome(welcome));
}

#[test]
fn a_type_of_the_next_version_is_named_in_the_complaint_and_the_next_message_is_read() {
    let inventory = Inventory {
        packages: vec!["a".to_owned()],
    };
    let said = write_next("INVENTORY", &inventory);
    let known = read_next::<_, NextHello>(&said, "HELLO", AgentMessage::of_envelope).unwrap();
    assert_eq!(known, Next::Inventory(inventory), "whoever has the type reads it");
    let of_agent = AgentMessage::of_envelope(&said).unwrap_err();
    let of_controller = ControllerMessage::of_envelope(&said).unwrap_err();
    for error in [of_agent, of_controller] {
        assert_eq!(error.code(), "unknown_type");
        assert!(error.to_string().contains("INVENTORY"), "{error}");
    }
    // The complaint of this version is one that the next one reads, and so is what follows.
    let complaint: Value = json!({"code": "unknown_type", "detail": "`INVENTORY` is not known here", "about": said.id});
    for kind in [
        complaint,
        json!({"code": "unknown_type", "detail": "", "hint": {"since": "0.2"}}),
    ] {
        let envelope = write_next("ERROR", &kind);
        assert!(AgentMessage::of_envelope(&envelope).is_ok() && ControllerMessage::of_envelope(&envelope).is_ok());
    }
}
