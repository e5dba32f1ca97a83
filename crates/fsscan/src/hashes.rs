//! Content hashes, and how those of a directory are packed beside its entries.
use crate::varint;
use std::fmt;

/// What contents are hashed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// SHA-256.
    Sha256,
    /// BLAKE3, several times faster.
    Blake3,
}

/// The hash of a file's content. Shown in lower-case hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash {
    /// What it was made with.
    pub algorithm: Algorithm,
    /// The hash.
    pub bytes: [u8; 32],
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

const LENGTH: usize = 33;

impl ContentHash {
    /// As it stands in [`Undecided::hash`](core_model::Undecided).
    pub(crate) fn pack(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(LENGTH);
        out.push(match self.algorithm {
            Algorithm::Sha256 => 1,
            Algorithm::Blake3 => 2,
        });
        out.extend_from_slice(&self.bytes);
        out
    }

    /// Reads what `pack` made; `None` for anything else.
    pub(crate) fn unpack(packed: &[u8]) -> Option<Self> {
        let (kind, bytes) = packed.split_first()?;
        let algorithm = match kind {
            1 => Algorithm::Sha256,
            2 => Algorithm::Blake3,
            _ => return None,
        };
        let bytes = bytes.try_into().ok()?;
        Some(Self { algorithm, bytes })
    }
}

/// What is known of an entry's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownContent {
    /// Its hash, if it could be read.
    pub hash: ContentHash,
    /// It may have changed after it was hashed without its times showing it: it is hashed again by the next scan.
    pub racy: bool,
}

/// Appends what is known of the entry at `index`; calls come by rising index.
pub(crate) fn push(out: &mut Vec<u8>, index: usize, content: &KnownContent) {
    varint::put(out, index as u64);
    out.push(u8::from(content.racy));
    out.extend_from_slice(&content.hash.pack());
}

/// Reads [`StoredDir::hashes`](core_model::StoredDir): the index of an entry in [`decode_entries`] order, and what is
/// known of its content. Ends at damage, since a hash that is not known is only computed again.
///
/// [`decode_entries`]: crate::decode_entries
pub fn decode_hashes(packed: &[u8]) -> impl Iterator<Item = (u64, KnownContent)> {
    let mut rest = packed;
    std::iter::from_fn(move || {
        let index = varint::take(&mut rest)?;
        let racy = varint::take_bytes(&mut rest, 1)? != [0];
        let hash = ContentHash::unpack(varint::take_bytes(&mut rest, LENGTH as u64)?)?;
        Some((index, KnownContent { hash, racy }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_read_back_up_to_damage() {
        let known = |byte, racy| KnownContent {
            hash: ContentHash {
                algorithm: Algorithm::Blake3,
                bytes: [byte; 32],
            },
            racy,
        };
        let mut packed = Vec::new();
        push(&mut packed, 3, &known(1, false));
        push(&mut packed, 300, &known(2, true));
        assert_eq!(
            decode_hashes(&packed).collect::<Vec<_>>(),
            [(3, known(1, false)), (300, known(2, true))]
        );
        packed.pop();
        assert_eq!(decode_hashes(&packed).collect::<Vec<_>>(), [(3, known(1, false))]);
    }
}
