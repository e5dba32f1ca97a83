//! What travels between agents and the controller.
use crate::text::text;
use fleet_wire::link::{AgentMessage, ControllerMessage, Envelope, PollRequest, PollResponse};
use fleet_wire::{
    ClaimPending, ClaimRequest, ClaimResponse, EnrollRequest, EnrollResponse, FileChange, Heartbeat, IngestRequest,
    IngestResponse, Problem, SnapshotBegin, SnapshotEnd, SnapshotReason, WirePath, files_v1 as v1,
    join_records as join, kind,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

/// The body of `POST /api/v1/ingest`, and the records in it.
///
/// # Panics
/// When what was read is not read again after it was written.
pub fn ingest_request(data: &[u8]) {
    let Some(request) = settles::<IngestRequest>(data) else {
        return;
    };
    for record in &request.records {
        record_body(&record.kind, &record.body);
    }
}

/// The body of a record, read as each kind of it.
///
/// # Panics
/// When what was read is not read again after it was written, or is of another kind.
pub fn file_record(data: &[u8]) {
    let Some(body) = text(data).and_then(|text| RawValue::from_string(text.to_owned()).ok()) else {
        return;
    };
    for kind in [
        kind::FILE_PRESENT,
        kind::FILE_CREATED,
        kind::FILE_UPDATED,
        kind::FILE_MOVED,
        kind::FILE_DELETED,
    ] {
        record_body(kind, &body);
    }
    assert!(FileChange::from_record("no.such.kind", &body).is_err());
}

fn record_body(kind: &str, body: &RawValue) {
    let Ok(change) = FileChange::from_record(kind, body) else {
        return;
    };
    assert_eq!(change.kind(), kind);
    let again = serde_json::value::to_raw_value(&change).ok();
    let again = again.and_then(|body| FileChange::from_record(kind, &body).ok());
    assert_eq!(again.as_ref(), Some(&change), "{kind}: {body}");
}

/// A path as JSON, as raw bytes and as its two parts.
///
/// # Panics
/// When bytes do not travel unchanged.
pub fn wire_path(data: &[u8]) {
    settles_equal::<WirePath>(data);
    let path = WirePath::from_bytes(data);
    let raw = path.raw();
    assert_eq!(
        raw.is_none(),
        text(data).is_some(),
        "only what text would lose is sent twice"
    );
    assert_eq!(
        WirePath::from_parts(&path.display(), raw.as_deref()).as_ref(),
        Some(&path)
    );
    let json = serde_json::to_vec(&path).unwrap_or_default();
    assert_eq!(serde_json::from_slice::<WirePath>(&json).ok(), Some(path));
}

/// The documents of the file-scanner's own endpoints.
///
/// # Panics
/// When what was read is not read again after it was written.
pub fn files_v1(data: &[u8]) {
    settles_equal::<v1::Ingest>(data);
    settles_equal::<v1::Register>(data);
    settles_equal::<v1::Heartbeat>(data);
    settles_equal::<v1::Config>(data);
    settles_equal::<v1::Commands>(data);
}

/// Every other message: enrolment, heartbeat, answers, problems, the ends of a snapshot.
///
/// # Panics
/// When what was read is not read again after it was written.
pub fn messages(data: &[u8]) {
    settles::<EnrollRequest>(data);
    settles::<EnrollResponse>(data);
    settles_equal::<ClaimRequest>(data);
    settles_equal::<ClaimResponse>(data);
    settles_equal::<ClaimPending>(data);
    settles_equal::<Heartbeat>(data);
    settles_equal::<IngestResponse>(data);
    settles_equal::<Problem>(data);
    settles_equal::<SnapshotEnd>(data);
    if let Some(begin) = settles_equal::<SnapshotBegin>(data) {
        assert_eq!(SnapshotReason::of_name(begin.reason.name()), begin.reason);
    }
}

/// What travels on the link: a frame of the socket, or a poll, read as of either side.
///
/// # Panics
/// When a message is not read again, equal, after it was written, or is of a type that is not on the list.
pub fn link(data: &[u8]) {
    if let Some(envelope) = settles::<Envelope>(data) {
        frame(&envelope);
    }
    if let Some(request) = settles::<PollRequest>(data) {
        request.messages.iter().for_each(frame);
    }
    if let Some(response) = settles::<PollResponse>(data) {
        response.messages.iter().for_each(frame);
    }
}

fn frame(envelope: &Envelope) {
    let is_of = |types: &[(&str, u32)]| types.iter().any(|(kind, v)| *kind == envelope.kind && envelope.v <= *v);
    if let Ok(message) = AgentMessage::of_envelope(envelope) {
        assert!(is_of(AgentMessage::TYPES));
        let again = message.to_envelope(envelope.id).ok();
        let again = again.and_then(|again| AgentMessage::of_envelope(&again).ok());
        assert_eq!(again, Some(message));
    }
    if let Ok(message) = ControllerMessage::of_envelope(envelope) {
        assert!(is_of(ControllerMessage::TYPES));
        let again = message.to_envelope(envelope.id).ok();
        let again = again.and_then(|again| ControllerMessage::of_envelope(&again).ok());
        assert_eq!(again, Some(message));
    }
}

/// Lines of an outbox, made into a request.
///
/// # Panics
/// When lines that are records each do not arrive as they lay there, numbered without gaps.
pub fn join_records(data: &[u8]) {
    #[derive(serde::Deserialize)]
    struct Line<'a> {
        kind: String,
        #[serde(borrow)]
        body: &'a RawValue,
    }
    let batch = core_model::BatchId::from_uuid(core_model::StreamId::new(Default::default(), [7; 10]).as_uuid());
    let stream = core_model::StreamId::new(Default::default(), [8; 10]);
    let json = join(batch, stream, &[(41, data)]);
    assert!(
        json.len() <= 256 + data.len() * 32,
        "{} bytes out of {}",
        json.len(),
        data.len()
    );
    // Whoever fills an outbox writes one object a line, `kind` first, without a number.
    let lines: Vec<&[u8]> = data
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .collect();
    let read: Option<Vec<Line<'_>>> = lines
        .iter()
        .map(|line| {
            let fits = line.starts_with(b"{\"kind\":") && !line.windows(5).any(|word| word == b"\"seq\"");
            serde_json::from_slice(line).ok().filter(|_| fits)
        })
        .collect();
    let (Some(read), Ok(request)) = (read, serde_json::from_slice::<IngestRequest>(&json)) else {
        return;
    };
    assert_eq!((request.batch_id, request.stream), (batch, stream));
    assert_eq!(request.records.len(), read.len());
    for ((seq, record), line) in (41..).zip(&request.records).zip(&read) {
        assert_eq!(
            (record.seq, record.kind.as_str(), record.body.get()),
            (seq, line.kind.as_str(), line.body.get())
        );
    }
}

/// What was read settles: written, read and written again, it is the same text.
fn settles<T: DeserializeOwned + Serialize>(data: &[u8]) -> Option<T> {
    let value: T = serde_json::from_slice(data).ok()?;
    let written = serde_json::to_string(&value).unwrap_or_default();
    let again = serde_json::from_str::<T>(&written);
    let again = again.ok().and_then(|again| serde_json::to_string(&again).ok());
    assert_eq!(again.as_deref(), Some(written.as_str()));
    Some(value)
}

/// What was read is read again, equal, after it was written.
fn settles_equal<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(data: &[u8]) -> Option<T> {
    let value = settles::<T>(data)?;
    let written = serde_json::to_string(&value).unwrap_or_default();
    assert_eq!(
        serde_json::from_str::<T>(&written).ok().as_ref(),
        Some(&value),
        "{written}"
    );
    Some(value)
}
