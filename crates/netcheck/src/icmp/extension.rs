//! What routers add to their errors (RFC 4884): the MPLS labels that a packet carried (RFC 4950).
use super::packet::checksum;

/// The quotation that extensions follow has at least this length, in bytes (RFC 4884, section 5).
const QUOTATION: usize = 128;
const VERSION: u8 = 2;
/// The class and type of a stack of MPLS labels.
const MPLS: (u8, u8) = (1, 1);
/// So many labels are kept: nobody stacks as many.
const LABELS_MOST: usize = 16;

/// A label of MPLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct MplsLabel {
    /// Its number, of 20 bits.
    pub label: u32,
    /// Its traffic class, of 3 bits.
    pub class: u8,
    /// Its time to live.
    pub ttl: u8,
}

/// What a router said besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Extensions {
    /// The labels that the packet came with, the outermost first.
    pub mpls: Vec<MplsLabel>,
}

impl Extensions {
    /// What is quoted, and what follows. `length` is what the message says of the quotation, in bytes; old routers say nothing
    /// and put extensions behind 128 bytes all the same: there they count only with a right checksum.
    pub(super) fn split(rest: &[u8], length: usize, may_follow: bool) -> (&[u8], Self) {
        let is_said = length >= QUOTATION && length <= rest.len();
        let at = if is_said { length } else { QUOTATION };
        if !may_follow || rest.len() < at {
            return (rest, Self::default());
        }
        match Self::parse(&rest[at..], !is_said) {
            Some(extensions) => (&rest[..at], extensions),
            None => (if is_said { &rest[..at] } else { rest }, Self::default()),
        }
    }

    fn parse(structure: &[u8], is_guess: bool) -> Option<Self> {
        let (header, mut objects) = structure.split_at_checked(4)?;
        let has_sum = header[2..4] != [0, 0];
        if header[0] >> 4 != VERSION || (is_guess && !has_sum) || (has_sum && checksum(structure) != 0) {
            return None;
        }
        let mut found = Self::default();
        while let Some((header, _)) = objects.split_first_chunk::<4>() {
            let length = usize::from(u16::from_be_bytes([header[0], header[1]]));
            let Some(object) = objects.get(4..length) else { break };
            if (header[2], header[3]) == MPLS {
                let entries = object.as_chunks::<4>().0.iter();
                let room = LABELS_MOST - found.mpls.len();
                found
                    .mpls
                    .extend(entries.take(room).map(|entry| MplsLabel::new(*entry)));
            }
            objects = &objects[length..];
        }
        Some(found)
    }
}

impl MplsLabel {
    /// An entry of a stack (RFC 3032).
    const fn new(entry: [u8; 4]) -> Self {
        let word = u32::from_be_bytes(entry);
        Self {
            label: word >> 12,
            class: (word >> 9 & 7) as u8,
            ttl: entry[3],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A structure with one stack of two labels, 16 and 1048575.
    fn labels() -> Vec<u8> {
        let mut structure = vec![0x20, 0, 0, 0, 0, 12, 1, 1, 0, 1, 0x0a, 7, 0xff, 0xff, 0xf1, 9];
        let sum = checksum(&structure);
        structure[2..4].copy_from_slice(&sum.to_be_bytes());
        structure
    }

    fn expected() -> Vec<MplsLabel> {
        let label = |label, class, ttl| MplsLabel { label, class, ttl };
        vec![label(16, 5, 7), label(0xf_ffff, 0, 9)]
    }

    #[test]
    fn labels_follow_a_quotation_of_the_length_that_is_said() {
        let rest = [&[7; 132][..], &labels()].concat();
        let (quotation, found) = Extensions::split(&rest, 132, true);
        assert_eq!((quotation.len(), found.mpls), (132, expected()));
    }

    #[test]
    fn an_old_router_puts_them_behind_128_bytes_and_is_believed_with_a_right_checksum() {
        let mut rest = [&[7; 128][..], &labels()].concat();
        let (quotation, found) = Extensions::split(&rest, 0, true);
        assert_eq!((quotation.len(), found.mpls), (128, expected()));
        rest[128 + 8] ^= 1;
        let (quotation, found) = Extensions::split(&rest, 0, true);
        assert_eq!((quotation.len(), found.mpls.len()), (rest.len(), 0));
    }

    #[test]
    fn what_cannot_be_right_is_part_of_nothing() {
        let short = [7; 40];
        assert_eq!(Extensions::split(&short, 0, true).0.len(), 40);
        // Too short a length, one beyond the end, and a message of a type that has none.
        let rest = [&[7; 128][..], &labels()].concat();
        assert_eq!(Extensions::split(&rest, 4000, true).1.mpls, expected());
        assert_eq!(Extensions::split(&rest, 128, false).1.mpls, []);
        // An object that says it has no length, or more than there is.
        for length in [0, 3, 200] {
            let structure = [0x20, 0, 0, 0, 0, length, 1, 1, 0, 1, 0, 1];
            let rest = [&[7; 128][..], &structure].concat();
            assert_eq!(Extensions::split(&rest, 128, true).1.mpls, []);
        }
    }

    proptest! {
        #[test]
        fn whatever_follows_ends(length in 0_usize..300, rest in prop::collection::vec(any::<u8>(), 0..300)) {
            let (quotation, found) = Extensions::split(&rest, length, true);
            prop_assert!(quotation.len() <= rest.len() && found.mpls.len() <= LABELS_MOST);
        }
    }
}
