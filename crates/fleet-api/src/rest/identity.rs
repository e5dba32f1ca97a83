//! Sessions, passwords, join tokens.
use chrono::{DateTime, Utc};
use core_model::{Secret, TokenId};
use fleet_core::{JoinToken, JoinTokenState};
use serde::{Deserialize, Serialize, Serializer};

/// `POST /api/v1/auth/login`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// The user's name.
    pub username: String,
    /// The user's password.
    #[serde(serialize_with = "reveal")]
    pub password: Secret,
}

/// The answer: the token is told this once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoginResponse {
    /// What to send as `Authorization: Bearer`.
    #[serde(serialize_with = "reveal")]
    pub token: Secret,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

/// `POST /api/v1/auth/password`: ends all other sessions of the user.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasswordRequest {
    /// The password so far.
    #[serde(serialize_with = "reveal")]
    pub current_password: Secret,
    /// The password from now on, 12 to 1024 bytes.
    #[serde(serialize_with = "reveal")]
    pub new_password: Secret,
}

/// `POST /api/v1/join-tokens`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinTokenRequest {
    /// What people call it.
    #[serde(default)]
    pub name: String,
    /// How long it opens, in seconds; a day when not said.
    #[serde(default = "a_day")]
    pub ttl_secs: u64,
    /// How many agents may join by it; one when not said.
    #[serde(default = "once")]
    pub max_uses: u32,
}

const fn a_day() -> u64 {
    24 * 3600
}

const fn once() -> u32 {
    1
}

/// The answer: the token is told this once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JoinTokenCreated {
    /// Its id, to revoke it by.
    pub id: TokenId,
    /// What an agent enrols with.
    #[serde(serialize_with = "reveal")]
    pub token: Secret,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

/// A join token in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinTokenView {
    /// Its id.
    pub id: TokenId,
    /// What people call it.
    pub name: String,
    /// Whether it opens, and if not, why.
    pub state: JoinTokenState,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Who made it.
    pub created_by: String,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// How many agents may join by it.
    pub max_uses: u32,
    /// How many still may.
    pub uses_left: u32,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<DateTime<Utc>>,
}

impl JoinTokenView {
    pub(crate) fn new(token: JoinToken, now: DateTime<Utc>) -> Self {
        Self {
            state: token.state(now),
            id: token.id,
            name: token.name,
            created_at: token.created_at,
            created_by: token.created_by,
            expires_at: token.expires_at,
            max_uses: token.max_uses,
            uses_left: token.uses_left,
            revoked_at: token.revoked_at,
        }
    }
}

/// The parameters of a list that has no others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// Where the page before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// At most so many rows, 1 to 1000; 100 when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

// A secret prints as `***` everywhere but in the one message whose purpose is to hand it over.
fn reveal<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.reveal())
}
