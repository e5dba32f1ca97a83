//! Entry points for fuzzers: what a server answers, and what lies on the agent's disk. None may panic, whatever the
//! bytes.
use crate::CredentialFile;
use chrono::DateTime;
use std::path::Path;
use url::Url;

pub use crate::delivery::{answer as ingest_answer, run as outbox_run};
pub use transport_http::fuzzing::{problem, retry_after};

/// The file of credentials.
pub fn credentials(data: &[u8]) {
    let wanted = "https://fleet.example.com".to_owned();
    let file = CredentialFile::in_dir(Path::new("fuzzed"));
    let text = String::from_utf8_lossy(data);
    if let Ok(found) = file.parse(&text, wanted.clone()) {
        let server = serde_json::from_str::<serde_json::Value>(&text).ok().and_then(|file| {
            let server = Url::parse(file["server"].as_str()?).ok()?;
            Some((server.host_str()?.to_owned(), server.scheme().to_owned()))
        });
        let (host, scheme) = server.unwrap_or_default();
        assert_eq!(host, "fleet.example.com", "a key is for its own host only");
        assert!(matches!(scheme.as_str(), "http" | "https"), "{scheme}");
        assert_eq!(found.server, wanted);
    }
}

/// What a server of the file-scanner document answers to an agent that asks for its configuration and its commands.
pub fn document_answer(data: &[u8]) {
    if let Ok(config) = crate::document::config(data) {
        let written = serde_json::to_vec(&config).unwrap_or_default();
        let again = crate::document::config(&written).ok();
        assert_eq!(again, Some(config), "what is set stays set");
    }
    let read = || crate::document::commands("https://files.example.com", data, DateTime::UNIX_EPOCH);
    if let (Ok(listed), Ok(again)) = (read(), read()) {
        assert_eq!(listed.commands, again.commands, "the ids are the same each time");
        for command in &listed.commands {
            assert!((1..=64).contains(&command.verb.len()), "{}", command.verb);
            assert!(command.args.is_object(), "{}", command.args);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_panic(data: Vec<u8>) {
            ingest_answer(&data);
            outbox_run(&data);
            credentials(&data);
            document_answer(&data);
        }

        #[test]
        fn lists_of_any_commands_are_taken_or_left_out(ids in prop::collection::vec(".{0,300}", 0..5), verb in "[a-z]{0,70}", priority in "[a-z]{0,8}") {
            let commands: Vec<_> = ids.iter().map(|id| serde_json::json!({"id": id, "type": verb, "priority": priority})).collect();
            let whole = serde_json::json!({"commands": commands, "scanPaths": ids, "batchSize": verb.len()}).to_string();
            document_answer(whole.as_bytes());
            let listed = crate::document::commands("s", whole.as_bytes(), DateTime::UNIX_EPOCH).unwrap();
            prop_assert_eq!(listed.commands.len() + listed.unusable, ids.len());
        }

        #[test]
        fn no_answer_claims_more_than_was_sent(through: u64, seqs: Vec<u64>) {
            let rejected = seqs.iter().map(|seq| format!(r#"{{"seq":{seq},"code":"c","detail":"d"}}"#));
            let rejected = rejected.collect::<Vec<_>>().join(",");
            ingest_answer(format!(r#"{{"accepted_through":{through},"rejected":[{rejected}]}}"#).as_bytes());
        }

        #[test]
        fn lines_of_any_json_are_sent_or_left_out(lines in prop::collection::vec(r#"\{("(kind|time|body|path)":("[a-z./0-9T:Z-]*"|\{\}|[0-9]+),?)*\}"#, 0..5)) {
            outbox_run(lines.join("\n").as_bytes());
        }
    }
}
