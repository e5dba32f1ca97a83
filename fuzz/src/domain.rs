//! The controller's checks of what agents and people send.
use fleet_core::{Batch, FilesV1Batch, Glob, MAX_BATCH_RECORDS};
use fleet_wire::{IngestRequest, files_v1};

/// An ingest request, up to what would be stored.
///
/// # Panics
/// When a record is neither taken nor refused but once, or the same request gives another batch.
pub fn ingest_batch(data: &[u8]) {
    let Ok(request) = serde_json::from_slice::<IngestRequest>(data) else {
        return;
    };
    let batch = match Batch::check(&request) {
        Ok(batch) => batch,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert_eq!(Batch::check(&request).as_ref(), Ok(&batch));
    assert!(request.records.len() <= MAX_BATCH_RECORDS);
    assert_eq!(batch.seqs.last - batch.seqs.first + 1, request.records.len() as u64);
    let taken = batch.entries.iter().map(|entry| entry.seq);
    assert!(taken.clone().is_sorted_by(|one, other| one < other));
    let refused: Vec<u64> = batch.rejected.iter().map(|rejected| rejected.seq).collect();
    assert!(refused.is_sorted_by(|one, other| one < other));
    assert!(taken.clone().all(|seq| !refused.contains(&seq)));
    let is_asked = |seq: u64| (batch.seqs.first..=batch.seqs.last).contains(&seq);
    assert!(taken.chain(refused).all(is_asked));
}

/// A request of the file-scanner document, up to what would be stored.
///
/// # Panics
/// When more comes out than went in.
pub fn files_v1_batch(data: &[u8]) {
    let Ok(request) = serde_json::from_slice::<files_v1::Ingest>(data) else {
        return;
    };
    let entries = request.files.len() + request.deleted.len() + request.moved.len();
    match FilesV1Batch::check(request, Default::default()) {
        Ok(batch) => assert_eq!(batch.effects.len(), entries),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A pattern and a name, parted by a line break.
///
/// # Panics
/// When a name without any sign in it does not fit itself, or all names do not fit `*`.
pub fn glob(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (pattern, name) = (&data[..at], data.get(at + 1..).unwrap_or_default());
    let fits = Glob::new(pattern).matches(name);
    assert!(Glob::new("*").matches(name));
    assert!(!fits || Glob::new([pattern, b"*"].concat()).matches(name));
    // Doubled stars say what one says.
    let doubled: Vec<u8> = pattern
        .iter()
        .flat_map(|byte| std::iter::repeat_n(*byte, if *byte == b'*' { 2 } else { 1 }))
        .collect();
    assert_eq!(Glob::new(doubled).matches(name), fits);
    let most = pattern.iter().filter(|byte| **byte != b'*').count();
    assert!(!fits || name.len() >= most, "a name too short for the pattern fits it");
    if !pattern.iter().any(|byte| b"*?".contains(byte)) {
        assert_eq!(fits, pattern == name);
    }
}
