//! Entry points for fuzzers: what agents send, up to what would be stored. None may panic, whatever the bytes.
use crate::{Batch, FilesV1Batch, Glob, MAX_BATCH_RECORDS};
use chrono::DateTime;
use fleet_wire::{IngestRequest, files_v1};

/// The body of `POST /api/v1/ingest`, the bodies of its records with it.
pub fn ingest_request(data: &[u8]) {
    let Ok(request) = serde_json::from_slice::<IngestRequest>(data) else {
        return;
    };
    let Ok(batch) = Batch::check(&request) else { return };
    assert!(
        request.records.len() <= MAX_BATCH_RECORDS,
        "too many records were taken"
    );
    let said = batch.entries.len() + batch.rejected.len();
    assert_eq!(said, request.records.len(), "each record is taken or refused");
    assert_eq!(
        Batch::check(&request),
        Ok(batch),
        "a repeat is answered as the first was"
    );
}

/// The body of `POST /api/files/ingest`.
pub fn files_v1_request(data: &[u8]) {
    let Ok(request) = serde_json::from_slice::<files_v1::Ingest>(data) else {
        return;
    };
    let entries = request.files.len() + request.deleted.len() + request.moved.len();
    if let Ok(batch) = FilesV1Batch::check(request, DateTime::UNIX_EPOCH) {
        assert_eq!(batch.effects.len(), entries, "each entry has its effect");
    }
}

/// A pattern of names, and a name, parted by a line break.
pub fn glob(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let (pattern, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let fits = Glob::new(pattern).matches(name);
    let is_plain = !pattern.iter().any(|byte| b"*?".contains(byte));
    assert!(
        !is_plain || fits == (pattern == name),
        "a plain pattern fits itself alone"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_panic(data: Vec<u8>) {
            ingest_request(&data);
            files_v1_request(&data);
            glob(&data);
        }

        #[test]
        fn no_body_of_a_record_panics(
            kind in prop::sample::select(vec![
                "file.created", "file.present", "file.moved", "file.deleted", "snapshot.begin", "snapshot.end", "x",
            ]),
            body in "[{}\\[\\]\",:a-z0-9]{0,40}|\\{\"unseen\":\\[\"[^\"\\\\]*\"\\]\\}|\\{\"path\":\"[^\"\\\\]*\"\\}",
        ) {
            let id = "0190a5c1-7e2b-7c11-8a3e-5b1d9f0c2d4e";
            let record = format!(r#"{{"seq":1,"kind":"{kind}","time":"2026-01-02T03:04:05Z","body":{body}}}"#);
            ingest_request(format!(r#"{{"batch_id":"{id}","stream":"{id}","records":[{record}]}}"#).as_bytes());
        }
    }
}
