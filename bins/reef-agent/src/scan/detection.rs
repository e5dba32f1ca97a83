//! Malware that was found.
use chrono::{DateTime, Utc};
use core_model::EventId;
use fleet_wire::{Outcome, WirePath};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::{fs::File, io, os::unix::fs::FileExt as _};

/// Malware that was found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Detection {
    /// Its id.
    pub(crate) id: EventId,
    /// The scan in which it was found; none where it was found in a watched file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scan: Option<EventId>,
    /// The file.
    #[serde(flatten)]
    pub(crate) path: WirePath,
    /// What clamd calls it.
    pub(crate) signatures: Vec<String>,
    /// SHA-256 of its content, in hex; none where it could not be read again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sha256: Option<String>,
    /// Its length in bytes.
    pub(crate) size: u64,
    /// Its numeric owner.
    pub(crate) uid: u32,
    /// Its owner's name, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) owner: Option<String>,
    /// What became of it at once.
    pub(crate) outcome: Outcome,
    /// Why it is still there, where it was to be taken away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
    /// The id under which it lies in quarantine, where it was taken there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) quarantined: Option<String>,
    /// The rule by which it was scanned.
    pub(crate) rule: String,
    /// When.
    pub(crate) time: DateTime<Utc>,
    /// Malware by what clamd and which signatures.
    pub(crate) judged_by: String,
}

impl From<&Detection> for fleet_wire::Detection {
    fn from(found: &Detection) -> Self {
        Self {
            id: found.id,
            path: found.path.clone(),
            signatures: found.signatures.clone(),
            sha256: found.sha256.clone(),
            size: found.size,
            uid: Some(found.uid),
            owner: found.owner.clone(),
            rule: found.rule.clone(),
            scan: found.scan,
            engine: found.judged_by.clone(),
            outcome: found.outcome,
            detail: found.detail.clone(),
            quarantine_id: found.quarantined.clone(),
        }
    }
}

/// An id for what happened at `at`.
///
/// # Errors
/// When the system has no random bits.
pub(crate) fn event_id(at: DateTime<Utc>) -> Result<EventId, getrandom::Error> {
    let mut random = [0; 10];
    getrandom::fill(&mut random)?;
    Ok(EventId::new(at, random))
}

/// The name of a user of this machine. Blocks, where users are kept by a server.
pub(super) fn owner(uid: u32) -> Option<String> {
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid));
    user.ok().flatten().map(|user| user.name)
}

/// Read at a time.
const BLOCK: usize = 64 * 1024;

/// SHA-256 of what is in the file, from its first byte, in hex.
pub(crate) fn sha256(file: &File) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut block = vec![0; BLOCK];
    let mut at = 0;
    loop {
        match file.read_at(&mut block, at) {
            Ok(0) => break,
            Ok(read) => {
                hash.update(&block[..read]);
                at += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek as _, SeekFrom, Write as _};

    #[test]
    fn the_whole_content_counts_wherever_it_was_read_last() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"abc").unwrap();
        file.seek(SeekFrom::Start(2)).unwrap();
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(&file).unwrap(), known);
    }

    #[test]
    fn root_has_a_name_and_a_number_that_nobody_has_does_not() {
        assert_eq!(owner(0).as_deref(), Some("root"));
        assert_eq!(owner(4_111_222_333), None);
    }
}
