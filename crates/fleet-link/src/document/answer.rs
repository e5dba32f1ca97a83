//! What a server of the document answers, read with bounds: it may be anybody's server.
use chrono::{DateTime, TimeDelta, Utc};
use core_model::CommandId;
use fleet_wire::{
    files_v1,
    link::{Command, Priority},
};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, value::RawValue};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// The longest answer that is read, in bytes.
const LONGEST: usize = 1 << 20;

/// Bytes of an id and of a type.
const LONGEST_ID: usize = 255;
const LONGEST_VERB: usize = 64;

/// The document has no deadline, and its server may list a command for as long as it likes: so long it is remembered.
const REMEMBERED: TimeDelta = TimeDelta::days(365);

/// An answer could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswerError {
    /// It is longer than any that is meant.
    #[error("the answer has {bytes} bytes; one of up to {LONGEST} is read")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It is not JSON of the document's form.
    #[error("the answer is not what the file-scanner document says")]
    Form(#[from] serde_json::Error),
    /// It is an object, and has nothing of a configuration.
    #[error("the answer has none of {}", FIELDS.join(", "))]
    Foreign,
}

/// What was listed.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    pub(crate) commands: Vec<Command>,
    /// Entries that are no commands: without an id or a type, or with ones that are too long.
    pub(crate) unusable: usize,
}

/// The fields of a configuration.
const FIELDS: [&str; 4] = ["scanPaths", "ignorePatterns", "scanInterval", "batchSize"];

/// How the agent is to scan. An object without any field says that nothing is set; one with others only is of something
/// that answers everything, and must not undo what was set.
pub(crate) fn config(body: &[u8]) -> Result<files_v1::Config, AnswerError> {
    let body = within(body)?;
    let object: BTreeMap<String, IgnoredAny> = serde_json::from_slice(body)?;
    if !object.is_empty() && !FIELDS.iter().any(|field| object.contains_key(*field)) {
        return Err(AnswerError::Foreign);
    }
    Ok(serde_json::from_slice(body)?)
}

/// What the agent is to do. An entry that cannot be used takes no other with it.
pub(crate) fn commands(server: &str, body: &[u8], now: DateTime<Utc>) -> Result<Listed, AnswerError> {
    #[derive(Deserialize)]
    struct List<'a> {
        #[serde(borrow, default)]
        commands: Option<Vec<&'a RawValue>>,
    }
    let list: List<'_> = serde_json::from_slice(within(body)?)?;
    let mut listed = Listed::default();
    for entry in list.commands.unwrap_or_default() {
        match serde_json::from_str::<files_v1::Command>(entry.get()) {
            Ok(command) if is_usable(&command) => listed.commands.push(taken(server, command, now)),
            _ => listed.unusable += 1,
        }
    }
    Ok(listed)
}

fn within(body: &[u8]) -> Result<&[u8], AnswerError> {
    if body.len() > LONGEST {
        return Err(AnswerError::TooLong { bytes: body.len() });
    }
    Ok(body)
}

fn is_usable(command: &files_v1::Command) -> bool {
    (1..=LONGEST_ID).contains(&command.id.len()) && (1..=LONGEST_VERB).contains(&command.verb.len())
}

fn taken(server: &str, command: files_v1::Command, now: DateTime<Utc>) -> Command {
    Command {
        command: id(server, &command.id),
        verb: command.verb,
        args: Value::Object(command.parameters),
        priority: match command.priority {
            files_v1::Priority::Low => Priority::Low,
            files_v1::Priority::Normal => Priority::Normal,
            files_v1::Priority::High => Priority::High,
        },
        deadline: now.checked_add_signed(REMEMBERED).unwrap_or(now),
        issued_at: now,
    }
}

/// The command's id in the journal: its own where it is a UUID, else one that is always the same for this text of this
/// server.
fn id(server: &str, text: &str) -> CommandId {
    text.parse().unwrap_or_else(|_| {
        let mut hash = Sha256::new();
        // With its length, so that no two pairs are one text.
        hash.update((server.len() as u64).to_be_bytes());
        hash.update(server);
        hash.update(text);
        let hash: [u8; 32] = hash.finalize().into();
        let (millis, rest) = hash.split_at(5);
        let millis = millis.iter().fold(0, |number, byte| number << 8 | i64::from(*byte));
        let mut random = [0; 10];
        random.copy_from_slice(&rest[..10]);
        CommandId::new(DateTime::from_timestamp_millis(millis).unwrap_or_default(), random)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: &str = "https://files.example.com";

    fn read(body: &str) -> Result<Listed, AnswerError> {
        commands(SERVER, body.as_bytes(), DateTime::UNIX_EPOCH)
    }

    #[test]
    fn a_command_that_cannot_be_used_takes_no_other_with_it() {
        let long = "x".repeat(256);
        let body = format!(
            r#"{{"commands":[{{"id":"1","type":"scan","parameters":{{}},"priority":"high"}}, 7, {{"type":"scan"}},
                {{"id":"{long}","type":"scan"}}, {{"id":"2","type":""}}, {{"id":"3","type":"stop","parameters":[]}},
                {{"id":"4","type":"stop"}}]}}"#
        );
        let listed = read(&body).unwrap();
        let verbs: Vec<_> = listed.commands.iter().map(|command| command.verb.as_str()).collect();
        assert_eq!((verbs, listed.unusable), (vec!["scan", "stop"], 5));
        assert_eq!(listed.commands[0].priority, Priority::High);
    }

    #[test]
    fn an_id_is_the_same_each_time_and_another_for_another_server_or_text() {
        let uuid = "0190a5c1-7e2b-7c11-8a3e-5b1d9f0c2d4e";
        assert_eq!(id(SERVER, uuid).to_string(), uuid);
        assert_eq!(id(SERVER, "cmd-1"), id(SERVER, "cmd-1"));
        assert_ne!(id(SERVER, "cmd-1"), id(SERVER, "cmd-2"));
        assert_ne!(id(SERVER, "cmd-1"), id("https://other.example.com", "cmd-1"));
        assert_ne!(id("ab", "c"), id("a", "bc"));
    }

    #[test]
    fn what_is_too_long_or_no_document_is_an_error() {
        let long = format!(r#"{{"commands":[],"more":"{}"}}"#, "x".repeat(LONGEST));
        assert!(matches!(read(&long), Err(AnswerError::TooLong { .. })));
        assert!(matches!(config(long.as_bytes()), Err(AnswerError::TooLong { .. })));
        for wrong in ["", "<html>", "[]x", r#"{"commands":7}"#] {
            assert!(matches!(read(wrong), Err(AnswerError::Form(_))), "{wrong}");
        }
        assert!(read("{}").unwrap().commands.is_empty());
        for wrong in ["[]", "null", "7", "", r#"{"batchSize":-1}"#] {
            assert!(matches!(config(wrong.as_bytes()), Err(AnswerError::Form(_))), "{wrong}");
        }
        let foreign = config(br#"{"status":"ok"}"#);
        assert!(matches!(foreign, Err(AnswerError::Foreign)), "{foreign:?}");
        for nothing in ["{}", r#"{"scanPaths":null}"#, r#"{"batchSize":0,"status":"ok"}"#] {
            assert_eq!(
                config(nothing.as_bytes()).unwrap(),
                files_v1::Config::default(),
                "{nothing}"
            );
        }
    }
}
