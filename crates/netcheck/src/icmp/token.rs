//! What a probe carries, so that its answer is told from everything else that comes.
//!
//! The identifier and number of ICMP are 16 bits each, and a datagram socket rewrites one of them: so an answer is matched by
//! its payload, which has room for billions of probes and for a proof that the probe was ours.
use std::hash::{BuildHasher as _, RandomState};

/// The length of a token, in bytes.
pub(crate) const LENGTH: usize = 20;

/// Which probe it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// The place of its run among those under way.
    pub(crate) slot: u32,
    /// Its number in the run.
    pub(crate) probe: u32,
    /// The run, among all that had the place.
    pub(crate) run: u64,
}

/// Writes tokens, and reads none but its own.
#[derive(Debug)]
pub(crate) struct Tokens {
    /// What they begin with: the kernel lets only that through to the socket.
    magic: [u8; 4],
    /// Keyed at random: nobody who has not seen a probe can answer it.
    key: RandomState,
}

/// The parts of a token that has been read, before it is known whether it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) slot: u32,
    pub(crate) probe: u32,
    proof: u64,
}

impl Tokens {
    pub(crate) const fn new(magic: [u8; 4], key: RandomState) -> Self {
        Self { magic, key }
    }

    pub(crate) fn write(&self, token: Token, to: &mut [u8; LENGTH]) {
        to[..4].copy_from_slice(&self.magic);
        to[4..8].copy_from_slice(&token.slot.to_be_bytes());
        to[8..12].copy_from_slice(&token.probe.to_be_bytes());
        to[12..].copy_from_slice(&self.proof(token).to_be_bytes());
    }

    /// What a payload says that it answers; `None` where it is none of these.
    pub(crate) fn read(&self, payload: &[u8]) -> Option<Claim> {
        let (magic, rest) = payload.split_first_chunk::<4>()?;
        let (slot, rest) = rest.split_first_chunk::<4>()?;
        let (probe, rest) = rest.split_first_chunk::<4>()?;
        let proof = rest.first_chunk::<8>()?;
        (*magic == self.magic).then(|| Claim {
            slot: u32::from_be_bytes(*slot),
            probe: u32::from_be_bytes(*probe),
            proof: u64::from_be_bytes(*proof),
        })
    }

    /// Whether the run at that place sent it.
    pub(crate) fn is_of(&self, claim: Claim, run: u64) -> bool {
        let Claim { slot, probe, proof } = claim;
        self.proof(Token { slot, probe, run }) == proof
    }

    fn proof(&self, token: Token) -> u64 {
        self.key.hash_one((token.slot, token.probe, token.run))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_token_is_read_again_and_any_other_bit_makes_it_nobodys(slot: u32, probe: u32, run: u64, bit in 0..LENGTH * 8, rest in prop::collection::vec(any::<u8>(), 0..20)) {
            let tokens = Tokens::new(*b"shoa", RandomState::new());
            let mut bytes = [0; LENGTH];
            tokens.write(Token { slot, probe, run }, &mut bytes);
            let claim = tokens.read(&[&bytes[..], &rest].concat()).unwrap();
            prop_assert_eq!((claim.slot, claim.probe), (slot, probe));
            prop_assert!(tokens.is_of(claim, run) && !tokens.is_of(claim, run.wrapping_add(1)));
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(tokens.read(&bytes).is_none_or(|claim| !tokens.is_of(claim, run)));
            prop_assert!(tokens.read(&bytes[..LENGTH - 1]).is_none());
        }
    }

    #[test]
    fn who_knows_the_form_but_not_the_key_forges_none() {
        let (ours, theirs) = [RandomState::new(), RandomState::new()]
            .map(|key| Tokens::new(*b"shoa", key))
            .into();
        let mut bytes = [0; LENGTH];
        let token = Token {
            slot: 1,
            probe: 2,
            run: 3,
        };
        theirs.write(token, &mut bytes);
        assert!(!ours.is_of(ours.read(&bytes).unwrap(), 3));
    }
}
