//! Operators, their sessions, and the tokens by which agents join.
use crate::token::TokenHash;
use chrono::{DateTime, Utc};
use core_model::{Secret, TokenId, UserId};
use serde::{Deserialize, Serialize};

/// What an operator may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Admin,
}

impl Role {
    /// `admin`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
        }
    }
}

/// A user as the store keeps him.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredUser {
    /// The id.
    pub id: UserId,
    /// The name to log in with.
    pub name: String,
    /// argon2id, as a PHC string.
    pub password_hash: String,
    /// What he may do.
    pub role: Role,
}

/// Who is asking, and by which session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// The user's id.
    pub user: UserId,
    /// The user's name.
    pub name: String,
    /// What he may do.
    pub role: Role,
    /// The session.
    pub session: TokenId,
}

/// A session about to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSession {
    /// Its id.
    pub id: TokenId,
    /// Whose it is.
    pub user: UserId,
    /// The hash of its token.
    pub token: TokenHash,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

/// A join token about to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJoinToken {
    /// Its id.
    pub id: TokenId,
    /// What people call it.
    pub name: String,
    /// The hash of its text.
    pub token: TokenHash,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// How many agents may join by it.
    pub max_uses: u32,
    /// Who made it.
    pub created_by: UserId,
}

/// A join token just made: its text is told this once.
#[derive(Clone, Debug)]
pub struct CreatedJoinToken {
    /// Its id.
    pub id: TokenId,
    /// Its text.
    pub token: Secret,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

/// A join token in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinToken {
    /// Its id.
    pub id: TokenId,
    /// What people call it.
    pub name: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// The name of the user who made it.
    pub created_by: String,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// How many agents may join by it.
    pub max_uses: u32,
    /// How many still may.
    pub uses_left: u32,
    /// When it was taken back.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// Whether agents may join by a token, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinTokenState {
    /// They may.
    Valid,
    /// It was taken back.
    Revoked,
    /// Its time is over.
    Expired,
    /// Enough have.
    UsedUp,
}

impl JoinToken {
    /// Its state at `now`.
    pub fn state(&self, now: DateTime<Utc>) -> JoinTokenState {
        match () {
            () if self.revoked_at.is_some() => JoinTokenState::Revoked,
            () if self.expires_at <= now => JoinTokenState::Expired,
            () if self.uses_left == 0 => JoinTokenState::UsedUp,
            () => JoinTokenState::Valid,
        }
    }
}
