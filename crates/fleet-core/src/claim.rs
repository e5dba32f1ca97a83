//! Claims: an agent without credentials asks to be taken in, and an operator who reads its code lets it.
use crate::{
    agent::Registration,
    token::{RandomError, TokenHash, random},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use core_model::{AgentId, ClaimId, Secret, UserId};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::fmt;

/// Digits and letters without I, L, O and U (Crockford's base32): nothing in a code looks like anything else.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Characters of a code: 40 bits, which only operators may guess at.
const LENGTH: usize = 8;

/// What an operator types to let an agent in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClaimCode(String);

impl ClaimCode {
    /// A random one.
    ///
    /// # Errors
    /// When the system has no random bytes to give.
    pub fn generate() -> Result<Self, RandomError> {
        let letter = |byte: u8| char::from(ALPHABET[usize::from(byte & 31)]);
        Ok(Self(random::<LENGTH>()?.into_iter().map(letter).collect()))
    }

    /// Reads what somebody typed: in any case, with or without the hyphen, and with the letters that look like digits
    /// taken for those. `None` where it can be no code.
    pub fn parse(text: &str) -> Option<Self> {
        let typed = text.chars().filter(|c| !matches!(c, '-' | ' '));
        let letters = typed.map(|c| match c.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        });
        let code: String = letters.take(LENGTH + 1).collect();
        let fits = code.len() == LENGTH && code.bytes().all(|byte| ALPHABET.contains(&byte));
        fits.then_some(Self(code))
    }

    /// The eight characters, as the store keeps them.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClaimCode {
    /// In two halves: `7K3M-X9QD`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (left, right) = self.0.split_at_checked(LENGTH / 2).unwrap_or((&self.0, ""));
        write!(f, "{left}-{right}")
    }
}

/// Half of an agent's key: the other half is the claim token, which the agent alone has. So the key can be handed out
/// again after an answer was lost, and the store never holds what opens anything.
#[derive(Clone, PartialEq, Eq)]
pub struct ClaimSecret([u8; 32]);

impl ClaimSecret {
    /// A random one.
    ///
    /// # Errors
    /// When the system has no random bytes to give.
    pub fn generate() -> Result<Self, RandomError> {
        random().map(Self)
    }

    /// One that was stored.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The agent's key: the same each time for the same token.
    pub fn key(&self, token: &str) -> Secret {
        // A key shorter than SHA-256's block is padded with zeros (RFC 2104, section 2).
        let mut block = [0; 64];
        block[..self.0.len()].copy_from_slice(&self.0);
        let mut mac = <Hmac<Sha256> as KeyInit>::new(&block.into());
        mac.update(token.as_bytes());
        let text = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
        Secret::new(format!("sk_{text}"))
    }
}

impl fmt::Debug for ClaimSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClaimSecret(***)")
    }
}

/// A claim about to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewClaim {
    /// Its id.
    pub id: ClaimId,
    /// Its code.
    pub code: ClaimCode,
    /// The hash of the claim token.
    pub token: TokenHash,
    /// The network it came from.
    pub network: String,
    /// The agent's name.
    pub name: String,
    /// The product.
    pub kind: String,
    /// The rest of what it told.
    pub registration: Registration,
    /// When it ends unless it is accepted.
    pub expires_at: DateTime<Utc>,
}

/// How many claims may be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimLimits {
    /// In all.
    pub open: u32,
    /// From one network.
    pub of_network: u32,
}

/// A claim as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its id.
    pub id: ClaimId,
    /// Its code.
    pub code: ClaimCode,
    /// The agent's name.
    pub name: String,
    /// The product.
    pub kind: String,
    /// The machine's name, as the agent told it.
    pub hostname: String,
    /// The product's version.
    pub version: String,
    /// The network it came from.
    pub network: String,
    /// When it was opened.
    pub created_at: DateTime<Utc>,
    /// When it ends unless it is accepted.
    pub expires_at: DateTime<Utc>,
    /// When an operator accepted it.
    pub accepted_at: Option<DateTime<Utc>>,
    /// The name of that operator.
    pub accepted_by: Option<String>,
    /// The agent that came of it.
    pub agent: Option<AgentId>,
    /// When that agent first used its key.
    pub used_at: Option<DateTime<Utc>>,
}

/// Where a claim stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimState {
    /// It waits for an operator.
    Open,
    /// It was accepted; the agent has not used its key yet.
    Accepted,
    /// The agent is in.
    Used,
    /// Nobody accepted it in time.
    Expired,
}

impl Claim {
    /// Its state at `now`.
    pub fn state(&self, now: DateTime<Utc>) -> ClaimState {
        match () {
            () if self.used_at.is_some() => ClaimState::Used,
            () if self.accepted_at.is_some() => ClaimState::Accepted,
            () if self.expires_at <= now => ClaimState::Expired,
            () => ClaimState::Open,
        }
    }

    /// After how many seconds the agent should ask again: at first often, since somebody may be sitting before it.
    pub fn poll_after_secs(&self, now: DateTime<Utc>) -> u32 {
        poll_after_secs(now - self.created_at)
    }
}

/// The wait before the next poll, for a claim of this age: 5 s more with each poll, up to 30 s. The number of polls
/// follows from the age, so that none has to be written down.
fn poll_after_secs(age: TimeDelta) -> u32 {
    let age = age.num_seconds();
    (0_u32..)
        .take(6)
        .find(|polls| age < i64::from(5 * (polls + 1) * (polls + 2) / 2))
        .map_or(30, |polls| 5 + 5 * polls)
        .min(30)
}

/// Why no claim was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimRefusal {
    /// So many are open that another is refused.
    TooMany,
    /// Another claim has the code: make another.
    CodeTaken,
    /// This token's claim was accepted and its key used: the agent is in already.
    Used,
}

/// What came of asking after a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimPoll {
    /// No such claim, or not this token: nobody learns which.
    Unknown,
    /// Nobody accepted it in time.
    Expired,
    /// Its key was handed out and used.
    Used,
    /// It waits for an operator.
    Open(Box<Claim>),
    /// It was accepted: the key can be handed out.
    Accepted,
}

/// A claim about to be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptClaim {
    /// Its code.
    pub code: ClaimCode,
    /// The name that the agent gets instead of the one it asked for.
    pub name: Option<String>,
    /// The id that the agent gets.
    pub agent: AgentId,
    /// A hash that nobody knows the key of: the key is made when the agent asks.
    pub no_key: TokenHash,
    /// The controller's half of the key.
    pub secret: ClaimSecret,
    /// Who accepts it.
    pub by: UserId,
}

/// Why a claim was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AcceptRefusal {
    /// There is no such code.
    Unknown,
    /// Nobody accepted it in time.
    Expired,
    /// Somebody has accepted it already.
    Accepted,
    /// Another agent has the name.
    NameTaken(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_survive_being_read_aloud_and_typed() {
        let code = ClaimCode::generate().unwrap();
        assert_eq!(ClaimCode::parse(&code.to_string()), Some(code.clone()));
        assert_eq!(ClaimCode::parse(&code.as_str().to_lowercase()), Some(code));
        let typed = ClaimCode::parse(" 1o0L-iXyz ").unwrap();
        assert_eq!(typed.to_string(), "1001-1XYZ");
        for wrong in ["", "1234567", "123456789", "1234567u", "1234-567é"] {
            assert_eq!(ClaimCode::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_key_is_hmac_of_the_token() {
        // RFC 4231, test case 2, with its key padded by zeros, which HMAC does itself.
        let mut secret = [0; 32];
        secret[..4].copy_from_slice(b"Jefe");
        let key = ClaimSecret::from_bytes(secret).key("what do ya want for nothing?");
        let expected = [
            0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e, 0x6a, 0x04, 0x24, 0x26, 0x08, 0x95, 0x75, 0xc7, 0x5a, 0x00,
            0x3f, 0x08, 0x9d, 0x27, 0x39, 0x83, 0x9d, 0xec, 0x58, 0xb9, 0x64, 0xec, 0x38, 0x43,
        ];
        assert_eq!(key.reveal(), format!("sk_{}", URL_SAFE_NO_PAD.encode(expected)));
    }

    #[test]
    fn polls_grow_rarer_up_to_half_a_minute() {
        let mut age = 0;
        let waits: Vec<u32> = (0..8)
            .map(|_| {
                let wait = poll_after_secs(TimeDelta::seconds(age));
                age += i64::from(wait);
                wait
            })
            .collect();
        assert_eq!(waits, [5, 10, 15, 20, 25, 30, 30, 30]);
        assert_eq!(
            poll_after_secs(TimeDelta::seconds(-100)),
            5,
            "a clock that was set back"
        );
        assert_eq!(poll_after_secs(TimeDelta::days(1)), 30);
    }
}
