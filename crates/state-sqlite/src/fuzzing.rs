//! Arbitrary bytes for whatever reads what lies on disk. For fuzzers only.
use crate::{mark::Position, outbox::Stored, verdicts};

/// A row of the outbox or of the journal: five numbers of eight bytes (first number, records, time, codec, checksum), and
/// the body.
pub fn stored_row(data: &[u8]) {
    if let Some(stored) = Stored::of_bytes(data) {
        let end = |first: i64| Ok(first.saturating_add(7));
        if let Ok(run) = stored.open(end) {
            assert!(
                run.seqs.first <= run.seqs.last || run.body.is_err(),
                "a sound run ends after it begins: {run:?}"
            );
        }
    }
}

/// The mark beside a state.
pub fn mark(data: &[u8]) {
    if let Some(position) = Position::unpack(data) {
        assert!(!position.is_ahead_of(&position), "nothing is ahead of itself");
    }
}

/// The verdicts of a row.
///
/// # Panics
/// When what was read does not come again after it was packed.
pub fn verdicts(data: &[u8]) {
    verdicts::read_any(data);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(data in prop::collection::vec(any::<u8>(), 0..200)) {
            super::stored_row(&data);
            super::mark(&data);
            super::verdicts(&data);
        }
    }
}
