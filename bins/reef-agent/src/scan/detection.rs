//! Malware that was found.
use chrono::{DateTime, Utc};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::{fs::File, io, os::unix::fs::FileExt as _};

/// Malware that was found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Detection {
    /// The file; bytes that are no UTF-8 are replaced.
    pub(crate) path: String,
    /// Its path in base64, where that is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path_raw: Option<String>,
    /// What clamd calls it.
    pub(crate) signatures: Vec<String>,
    /// SHA-256 of its content, in hex; none where it could not be read again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sha256: Option<String>,
    /// Its length in bytes.
    pub(crate) size: u64,
    /// Its numeric owner.
    pub(crate) uid: u32,
    /// The id under which it lies in quarantine, where it was taken away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) quarantined: Option<String>,
    /// Why it was not taken away, where it was to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) not_quarantined: Option<String>,
    /// The rule by which it was scanned.
    pub(crate) rule: String,
    /// When.
    pub(crate) time: DateTime<Utc>,
    /// Malware by what clamd and which signatures.
    pub(crate) judged_by: String,
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
}
