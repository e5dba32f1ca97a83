//! Contents as they lie in the store: encrypted, so that nothing runs, serves, indexes or recognises them.
//!
//! A file is a header of 24 bytes, the magic and the item's id, and then pieces of 64 KiB, each sealed by
//! ChaCha20-Poly1305 with the header as associated data. The last piece is shorter than the others, maybe empty, and its
//! nonce says that it is the last: what is cut off, swapped or altered does not open. The key of an item comes from that
//! of the store by HKDF with the item's id, so that a nonce need only count pieces.
use super::ItemId;
use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Salt},
};
use sha2::{Digest as _, Sha256};
use std::io::{self, Read, Write};

const MAGIC: &[u8; 8] = b"\x9eREEFQ\x01\n";
const HEADER: usize = MAGIC.len() + 16;
const PIECE: usize = 64 << 10;
const TAG: usize = 16;
/// Another use of the store's key would take other words.
const PURPOSE: &[u8] = b"reef-agent quarantine content";

/// How long the key of a store is, in bytes.
pub(super) const KEY_LENGTH: usize = 32;

/// What went through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Passed {
    pub(super) length: u64,
    /// SHA-256 of the content in the clear, hexadecimal.
    pub(super) sha256: String,
}

/// Why a content did not go through.
#[derive(Debug, thiserror::Error)]
pub(super) enum PassError {
    #[error("reading failed")]
    Read(#[source] io::Error),
    #[error("writing failed")]
    Write(#[source] io::Error),
    /// It is not what was sealed, or not by this key.
    #[error("the content is damaged, or the key is another")]
    Damaged,
}

/// The length that a content of `length` has in the store.
pub(super) const fn sealed_length(length: u64) -> u64 {
    let pieces = length / PIECE as u64 + 1;
    HEADER as u64 + length + pieces * TAG as u64
}

/// Seals all that `source` gives.
pub(super) fn seal(
    key: &[u8; KEY_LENGTH],
    id: &ItemId,
    source: &mut dyn Read,
    out: &mut dyn Write,
) -> Result<Passed, PassError> {
    let (key, header) = (key_of(key, id)?, header(id));
    out.write_all(&header).map_err(PassError::Write)?;
    let mut digest = Sha256::new();
    let mut length = 0;
    let mut piece = vec![0; PIECE];
    for index in 0.. {
        let filled = fill(source, &mut piece).map_err(PassError::Read)?;
        let is_last = filled < PIECE;
        let content = &mut piece[..filled];
        digest.update(&*content);
        length += filled as u64;
        let tag = key
            .seal_in_place_separate_tag(nonce(index, is_last), Aad::from(&header), content)
            .map_err(|_| PassError::Damaged)?;
        out.write_all(content).map_err(PassError::Write)?;
        out.write_all(tag.as_ref()).map_err(PassError::Write)?;
        if is_last {
            break;
        }
    }
    Ok(Passed {
        length,
        sha256: hex(&digest.finalize()),
    })
}

/// Opens what [`seal`] made. Each piece is checked before it is written, the whole before this returns.
pub(super) fn open(
    key: &[u8; KEY_LENGTH],
    id: &ItemId,
    source: &mut dyn Read,
    out: &mut dyn Write,
) -> Result<Passed, PassError> {
    let (key, expected) = (key_of(key, id)?, header(id));
    let mut header = [0; HEADER];
    let filled = fill(source, &mut header).map_err(PassError::Read)?;
    if filled < HEADER || header != expected {
        return Err(PassError::Damaged);
    }
    let mut digest = Sha256::new();
    let mut length = 0;
    let mut piece = vec![0; PIECE + TAG];
    for index in 0.. {
        let filled = fill(source, &mut piece).map_err(PassError::Read)?;
        let is_last = filled < piece.len();
        let content = key
            .open_in_place(nonce(index, is_last), Aad::from(&header), &mut piece[..filled])
            .map_err(|_| PassError::Damaged)?;
        digest.update(&*content);
        length += content.len() as u64;
        out.write_all(content).map_err(PassError::Write)?;
        if is_last {
            break;
        }
    }
    Ok(Passed {
        length,
        sha256: hex(&digest.finalize()),
    })
}

/// SHA-256 of all that `source` gives, hexadecimal.
pub(super) fn sha256(source: &mut dyn Read) -> io::Result<String> {
    let mut digest = Sha256::new();
    let mut piece = vec![0; PIECE];
    loop {
        let filled = fill(source, &mut piece)?;
        digest.update(&piece[..filled]);
        if filled < PIECE {
            return Ok(hex(&digest.finalize()));
        }
    }
}

fn key_of(key: &[u8; KEY_LENGTH], id: &ItemId) -> Result<LessSafeKey, PassError> {
    let secret = Salt::new(HKDF_SHA256, id.bytes()).extract(key);
    // The length is that of one hash: it cannot be too long for HKDF.
    let derived = secret
        .expand(&[PURPOSE], &CHACHA20_POLY1305)
        .map_err(|_| PassError::Damaged)?;
    Ok(LessSafeKey::new(UnboundKey::from(derived)))
}

fn header(id: &ItemId) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..MAGIC.len()].copy_from_slice(MAGIC);
    header[MAGIC.len()..].copy_from_slice(id.bytes());
    header
}

fn nonce(index: u64, is_last: bool) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[..8].copy_from_slice(&index.to_be_bytes());
    bytes[NONCE_LEN - 1] = u8::from(is_last);
    Nonce::assume_unique_for_key(bytes)
}

/// Fills as much as there is.
fn fill(source: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::Utc;
    use proptest::prelude::*;

    const KEY: [u8; KEY_LENGTH] = [7; KEY_LENGTH];

    fn sealed(id: &ItemId, content: &[u8]) -> (Vec<u8>, Passed) {
        let mut out = Vec::new();
        let passed = seal(&KEY, id, &mut &*content, &mut out).unwrap();
        (out, passed)
    }

    fn opened(id: &ItemId, sealed: &[u8]) -> Result<Vec<u8>, PassError> {
        let mut out = Vec::new();
        open(&KEY, id, &mut &*sealed, &mut out).map(|_| out)
    }

    #[test]
    fn a_content_comes_back_at_every_length_around_a_piece() {
        let id = ItemId::new(Utc::now()).unwrap();
        for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + 17] {
            let content: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            let (bytes, passed) = sealed(&id, &content);
            assert_eq!(bytes.len() as u64, sealed_length(length as u64));
            assert_eq!(passed.length, length as u64);
            assert_eq!(passed.sha256, sha256(&mut &*content).unwrap());
            assert_eq!(opened(&id, &bytes).unwrap(), content, "{length}");
        }
    }

    #[test]
    fn no_run_of_the_content_is_left_in_the_store() {
        let id = ItemId::new(Utc::now()).unwrap();
        let content = b"#!/bin/sh\nexec evil\n".repeat(100);
        let (bytes, _) = sealed(&id, &content);
        assert!(
            !bytes
                .windows(6)
                .any(|window| content[..20].windows(6).any(|w| w == window))
        );
        let other = ItemId::new(Utc::now()).unwrap();
        let (again, _) = sealed(&other, &content);
        assert_ne!(bytes[HEADER..], again[HEADER..], "each item has a key of its own");
    }

    #[test]
    fn a_content_of_another_item_does_not_open() {
        let [id, other] = [(); 2].map(|()| ItemId::new(Utc::now()).unwrap());
        let (mut bytes, _) = sealed(&id, b"content");
        assert!(matches!(opened(&other, &bytes), Err(PassError::Damaged)));
        bytes[MAGIC.len()..HEADER].copy_from_slice(other.bytes());
        assert!(matches!(opened(&other, &bytes), Err(PassError::Damaged)));
    }

    #[test]
    fn swapped_pieces_do_not_open() {
        let id = ItemId::new(Utc::now()).unwrap();
        let content: Vec<u8> = (0..3 * PIECE).map(|n| (n / PIECE) as u8).collect();
        let (mut bytes, _) = sealed(&id, &content);
        let (first, rest) = bytes[HEADER..].split_at_mut(PIECE + TAG);
        first.swap_with_slice(&mut rest[..PIECE + TAG]);
        assert!(matches!(opened(&id, &bytes), Err(PassError::Damaged)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn whatever_is_altered_or_cut_does_not_open(
            length in 0..2 * PIECE + 10,
            at in any::<prop::sample::Index>(),
            bit in 0..8_u8,
            cut in any::<prop::sample::Index>(),
        ) {
            let id = ItemId::new(Utc::now()).unwrap();
            let (bytes, _) = sealed(&id, &vec![0x5a; length]);
            let mut altered = bytes.clone();
            altered[at.index(bytes.len())] ^= 1 << bit;
            prop_assert!(matches!(opened(&id, &altered), Err(PassError::Damaged)));
            prop_assert!(matches!(opened(&id, &bytes[..cut.index(bytes.len())]), Err(PassError::Damaged)));
            let longer = [&bytes[..], b"x"].concat();
            prop_assert!(matches!(opened(&id, &longer), Err(PassError::Damaged)));
        }
    }
}
