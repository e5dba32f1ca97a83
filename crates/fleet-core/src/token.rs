//! Opaque tokens: made from 32 random bytes, told once, kept as SHA-256 only.
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use core_model::{MessageId, Secret};
use sha2::{Digest, Sha256};

/// The system's source of randomness failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the system gave no random bytes")]
pub struct RandomError(#[from] getrandom::Error);

/// What a token opens. The prefix lets people and secret scanners see what they hold; it proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// An agent's key, `sk_…`.
    AgentKey,
    /// An operator's session, `so_…`.
    Session,
    /// A token by which agents join, `sj_…`.
    Join,
}

impl TokenKind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::AgentKey => "sk_",
            Self::Session => "so_",
            Self::Join => "sj_",
        }
    }

    /// Makes a token of this kind.
    ///
    /// # Errors
    /// When the system has no random bytes to give.
    pub fn generate(self) -> Result<Secret, RandomError> {
        let text = URL_SAFE_NO_PAD.encode(random::<32>()?);
        Ok(Secret::new(format!("{}{text}", self.prefix())))
    }
}

/// The SHA-256 of a token: what the store keeps and looks up. A plain hash is enough, because the token holds 256 random
/// bits that nobody can guess their way through.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The hash of a token's text.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Reads the hash itself, 64 digits of hex, of whoever keeps the token to himself.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        let mut bytes = [0; 32];
        if digits.len() != 2 * bytes.len() {
            return None;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(bytes))
    }

    /// One that no token is known of.
    ///
    /// # Errors
    /// When the system has no random bytes to give.
    pub(crate) fn of_nothing() -> Result<Self, RandomError> {
        random().map(Self)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenHash(***)")
    }
}

/// `N` bytes from the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], RandomError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// The id of a message that begins its way now.
///
/// # Errors
/// When the system has no random bytes to give.
pub fn message_id(now: DateTime<Utc>) -> Result<MessageId, RandomError> {
    Ok(MessageId::new(now, random()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_say_what_they_are() {
        let (one, two) = (
            TokenKind::AgentKey.generate().unwrap(),
            TokenKind::AgentKey.generate().unwrap(),
        );
        assert_ne!(one, two);
        assert_eq!(one.reveal().len(), 3 + 43, "32 bytes in base64 without padding");
        assert!(one.reveal().starts_with("sk_"));
        assert_eq!(TokenHash::of(one.reveal()), TokenHash::of(one.reveal()));
        assert!(!format!("{:?}", TokenHash::of("x")).contains("45"));
    }

    #[test]
    fn a_hash_is_read_from_hex_and_from_nothing_else() {
        // `printf x | sha256sum`
        let hex = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
        assert_eq!(TokenHash::from_hex(hex), Some(TokenHash::of("x")));
        assert_eq!(TokenHash::from_hex(&hex.to_uppercase()), Some(TokenHash::of("x")));
        for wrong in [
            "",
            &hex[1..],
            &format!("{hex}0"),
            &hex.replace('d', "g"),
            &hex.replace("2d", "é"),
        ] {
            assert_eq!(TokenHash::from_hex(wrong), None, "{wrong}");
        }
    }
}
