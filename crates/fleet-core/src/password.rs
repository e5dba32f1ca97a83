//! Passwords: hashed by argon2id with its recommended cost, and checked in equal time whether the user exists or not.
use crate::token::{RandomError, random};
use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use core_model::Secret;
use std::sync::LazyLock;

/// A password could not be hashed.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum HashError {
    #[error("a salt could not be made")]
    Salt(#[from] RandomError),
    #[error("argon2id refused the password: {0}")]
    Argon2(argon2::password_hash::Error),
}

/// The PHC string of a password with a fresh salt.
pub(crate) fn hash(password: &Secret) -> Result<String, HashError> {
    let salt = random::<16>()?;
    let hashed: PasswordHash = argon2id()
        .hash_password_with_salt(password.reveal().as_bytes(), &salt)
        .map_err(HashError::Argon2)?;
    Ok(hashed.to_string())
}

/// Whether `password` is the one that was hashed. Without a hash (no such user) one of a password that nobody knows is
/// checked, so that the time taken tells nothing; the answer is `false`.
pub(crate) fn verify(password: &Secret, stored: Option<&str>) -> bool {
    let real = stored.and_then(|text| PasswordHash::new(text).ok());
    let matches = |hash: &PasswordHash| argon2id().verify_password(password.reveal().as_bytes(), hash).is_ok();
    match (&real, &*NOBODY) {
        (Some(hash), _) => matches(hash),
        (None, Some(hash)) => {
            matches(hash);
            false
        }
        (None, None) => false,
    }
}

/// A password for people to copy once: 24 characters, 144 random bits.
pub(crate) fn generate() -> Result<Secret, RandomError> {
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(random::<18>()?)))
}

static NOBODY: LazyLock<Option<PasswordHash>> = LazyLock::new(|| {
    let text = hash(&generate().ok()?).ok()?;
    PasswordHash::new(&text).ok()
});

fn argon2id() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_itself_opens_its_hash() {
        let password = Secret::new("correct horse battery staple");
        let stored = hash(&password).unwrap();
        assert!(stored.starts_with("$argon2id$v=19$"), "{stored}");
        assert!(verify(&password, Some(&stored)));
        assert!(!verify(&Secret::new("correct horse"), Some(&stored)));
        assert!(!verify(&password, None));
        assert!(!verify(&password, Some("nonsense")));
        assert_ne!(stored, hash(&password).unwrap(), "each hash has its own salt");
    }
}
