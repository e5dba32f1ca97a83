//! Who may ask: passwords, sessions, join tokens.
use super::Fleet;
use crate::{
    Store, StoreError,
    identity::{CreatedJoinToken, NewJoinToken, NewSession, Operator, Role, StoredUser},
    lockout::Locked,
    password,
    store::{ChangePasswordRefusal, NewPassword},
    token::{RandomError, TokenHash, TokenKind, random},
};
use chrono::{DateTime, TimeDelta, Utc};
use core_model::{Secret, TokenId, UserId};
use std::{sync::Arc, time::Duration};
use tokio::task;

/// The shortest password that is taken.
const SHORTEST_PASSWORD: usize = 12;
/// The longest: more would only be a burden.
const LONGEST_PASSWORD: usize = 1024;
/// A join token opens for so long at most.
const LONGEST_JOIN: Duration = Duration::from_secs(366 * 24 * 3600);

/// A password could not be made or checked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PasswordError {
    /// Hashing failed.
    #[error("the password could not be hashed")]
    Hash(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// There were no random bytes.
    #[error("a secret could not be made")]
    Random(#[from] RandomError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Nobody was logged in.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LoginError {
    /// No such user, or not his password: nobody learns which.
    #[error("the user name or the password is wrong")]
    Wrong,
    /// Too many failures with this name.
    #[error("too many failed attempts; try again in {} s", .0.retry_after.as_secs() + 1)]
    Locked(Locked),
    /// It could not be found out.
    #[error(transparent)]
    Password(#[from] PasswordError),
}

/// The password stays what it was.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ChangePasswordError {
    /// The current one was not right.
    #[error("the current password is wrong")]
    Wrong,
    /// Too many failures with this name.
    #[error("too many failed attempts; try again in {} s", .0.retry_after.as_secs() + 1)]
    Locked(Locked),
    /// The new one is too short or too long.
    #[error("a password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} bytes")]
    Length,
    /// It could not be done.
    #[error(transparent)]
    Password(#[from] PasswordError),
}

/// No join token was made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CreateJoinTokenError {
    /// What was asked cannot be.
    #[error("{0}")]
    Invalid(&'static str),
    /// There were no random bytes.
    #[error("a secret could not be made")]
    Random(#[from] RandomError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A session just opened: its token is told this once.
#[derive(Clone, Debug)]
pub struct OpenedSession {
    /// What to send as `Authorization: Bearer`.
    pub token: Secret,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

impl<S: Store> Fleet<S> {
    /// At the first start makes the user `admin`; his random password is returned this once. Later starts do nothing.
    ///
    /// # Errors
    /// When hashing or the store fails.
    pub async fn ensure_admin(&self, now: DateTime<Utc>) -> Result<Option<Secret>, PasswordError> {
        if self.store.has_users().await? {
            return Ok(None);
        }
        let password = password::generate()?;
        let user = StoredUser {
            id: UserId::new(now, random()?),
            name: "admin".to_owned(),
            password_hash: self.hash(password.clone()).await?,
            role: Role::Admin,
        };
        let added = self.store.add_first_user(user, now).await?;
        Ok(added.then_some(password))
    }

    /// Opens a session for whoever knows the password.
    ///
    /// # Errors
    /// When user or password is wrong, after too many failures, or when the store fails.
    pub async fn login(&self, user: &str, password: &Secret, now: DateTime<Utc>) -> Result<OpenedSession, LoginError> {
        // Names that long do not exist, and the guard must not remember megabytes.
        if user.len() > 255 || password.reveal().len() > LONGEST_PASSWORD {
            return Err(LoginError::Wrong);
        }
        self.logins.begin(user, now).map_err(LoginError::Locked)?;
        let stored = self.store.user(user.to_owned()).await.map_err(PasswordError::from)?;
        let hash = stored.as_ref().map(|stored| stored.password_hash.clone());
        if !self.verify(password.clone(), hash).await? {
            return Err(LoginError::Wrong);
        }
        let Some(stored) = stored else {
            return Err(LoginError::Wrong);
        };
        self.logins.succeeded(user);
        let token = TokenKind::Session.generate().map_err(PasswordError::from)?;
        let life = TimeDelta::from_std(self.settings().session_life).unwrap_or(TimeDelta::days(1));
        let session = NewSession {
            id: TokenId::new(now, random().map_err(PasswordError::from)?),
            user: stored.id,
            token: TokenHash::of(token.reveal()),
            expires_at: now + life,
        };
        let expires_at = session.expires_at;
        self.store
            .open_session(session, now)
            .await
            .map_err(PasswordError::from)?;
        Ok(OpenedSession { token, expires_at })
    }

    /// Whose session the token is; none for a wrong, ended or expired one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn authenticate_operator(&self, token: &str, now: DateTime<Utc>) -> Result<Option<Operator>, StoreError> {
        self.store.operator(TokenHash::of(token), now).await
    }

    /// Ends the operator's session.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn logout(&self, operator: &Operator, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.store.end_session(operator.session, now).await
    }

    /// Changes the operator's password and ends his other sessions.
    ///
    /// # Errors
    /// When the current password is wrong, the new one cannot be, or the store fails.
    pub async fn change_password(
        &self,
        operator: &Operator,
        current: &Secret,
        new: &Secret,
        now: DateTime<Utc>,
    ) -> Result<(), ChangePasswordError> {
        if !(SHORTEST_PASSWORD..=LONGEST_PASSWORD).contains(&new.reveal().len()) {
            return Err(ChangePasswordError::Length);
        }
        self.logins
            .begin(&operator.name, now)
            .map_err(ChangePasswordError::Locked)?;
        let stored = self
            .store
            .user(operator.name.clone())
            .await
            .map_err(PasswordError::from)?;
        let old_hash = stored.map(|stored| stored.password_hash);
        if !self.verify(current.clone(), old_hash.clone()).await? {
            return Err(ChangePasswordError::Wrong);
        }
        self.logins.succeeded(&operator.name);
        let change = NewPassword {
            user: operator.user,
            old_hash: old_hash.unwrap_or_default(),
            new_hash: self.hash(new.clone()).await?,
            keep: operator.session,
        };
        match self
            .store
            .change_password(change, now)
            .await
            .map_err(PasswordError::from)?
        {
            Ok(()) => Ok(()),
            Err(ChangePasswordRefusal::Changed) => Err(ChangePasswordError::Wrong),
        }
    }

    /// Makes a token by which `max_uses` agents may join within `life`.
    ///
    /// # Errors
    /// When the name, the life or the number of uses cannot be, or the store fails.
    pub async fn create_join_token(
        &self,
        operator: &Operator,
        name: &str,
        life: Duration,
        max_uses: u32,
        now: DateTime<Utc>,
    ) -> Result<CreatedJoinToken, CreateJoinTokenError> {
        let invalid = |detail| Err(CreateJoinTokenError::Invalid(detail));
        if name.len() > 255 || name.chars().any(char::is_control) {
            return invalid("a join token's name has up to 255 bytes and no control characters");
        }
        if life.is_zero() || life > LONGEST_JOIN {
            return invalid("a join token lives for more than zero and at most 366 days");
        }
        if max_uses == 0 || max_uses > 100_000 {
            return invalid("a join token has 1 to 100000 uses");
        }
        let token = TokenKind::Join.generate()?;
        let id = TokenId::new(now, random()?);
        let expires_at = now + TimeDelta::from_std(life).unwrap_or(TimeDelta::days(1));
        let stored = NewJoinToken {
            id,
            name: name.to_owned(),
            token: TokenHash::of(token.reveal()),
            expires_at,
            max_uses,
            created_by: operator.user,
        };
        self.store.add_join_token(stored, now).await?;
        Ok(CreatedJoinToken { id, token, expires_at })
    }

    async fn hash(&self, password: Secret) -> Result<String, PasswordError> {
        self.blocking(move || password::hash(&password))
            .await?
            .map_err(|error| PasswordError::Hash(Arc::new(error)))
    }

    async fn verify(&self, password: Secret, hash: Option<String>) -> Result<bool, PasswordError> {
        self.blocking(move || password::verify(&password, hash.as_deref()))
            .await
    }

    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, PasswordError> {
        let _turn = self.hashing.acquire().await;
        task::spawn_blocking(work)
            .await
            .map_err(|error| PasswordError::Hash(Arc::new(error)))
    }
}
