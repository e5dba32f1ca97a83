//! What proves that a claim is this agent's: random, kept on disk until the key is, and told to the server by its hash.
use super::{ClaimError, hidden};
use crate::{
    CredentialFile,
    private_file::{self, Content},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use core_model::Secret;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{io, path::PathBuf};
use tracing::warn;
use transport_http::HeaderValue;

/// So that one that turns up somewhere is known for what it is.
const PREFIX: &str = "ct_";

pub(super) struct ClaimToken(Secret);

#[derive(Serialize, Deserialize)]
struct OnDisk {
    token: String,
    /// It is never shown to another.
    server: String,
}

impl ClaimToken {
    /// The token that is kept for this server, else a new one, which then is.
    pub(super) fn load_or_make(file: &CredentialFile, server: &str) -> Result<Self, ClaimError> {
        let path = path(file);
        let failed = |doing| {
            let path = path.clone();
            move |source| ClaimError::Token { doing, path, source }
        };
        match private_file::read(&path).map_err(failed("read"))? {
            Content::Text(text) => {
                if let Some(token) = parse(&text, server) {
                    return Ok(token);
                }
            }
            Content::Exposed { mode } => {
                let mode = format!("{mode:04o}");
                warn!(path = %path.display(), mode, "others could read the claim token; a new claim is made");
            }
            Content::Missing => {}
        }
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(ClaimError::Random)?;
        let on_disk = OnDisk {
            token: format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random)),
            server: server.to_owned(),
        };
        let written = serde_json::to_vec_pretty(&on_disk).map_err(io::Error::from);
        let written = written.and_then(|text| private_file::write(&path, &text));
        written.map_err(failed("store"))?;
        Ok(Self(Secret::new(on_disk.token)))
    }

    pub(super) fn forget(file: &CredentialFile) -> Result<(), ClaimError> {
        let path = path(file);
        private_file::remove(&path).map_err(|source| ClaimError::Token {
            doing: "remove",
            path,
            source,
        })
    }

    /// SHA-256 of the token's text, in hex.
    pub(super) fn sha256(&self) -> String {
        let hash = Sha256::digest(self.0.reveal());
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(super) fn header(&self) -> HeaderValue {
        hidden(&self.0)
    }
}

fn path(file: &CredentialFile) -> PathBuf {
    file.path().with_file_name("claim.json")
}

/// A token of this server's; anything else in the file is replaced.
fn parse(text: &str, server: &str) -> Option<ClaimToken> {
    let found: OnDisk = serde_json::from_str(text).ok()?;
    let random = found.token.strip_prefix(PREFIX)?;
    let is_whole = URL_SAFE_NO_PAD.decode(random).is_ok_and(|random| random.len() == 32);
    (is_whole && found.server == server).then(|| ClaimToken(Secret::new(found.token)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_file_is_a_token_or_replaced(text in any::<String>(), token in "(ct_)?[A-Za-z0-9_=-]{0,50}") {
            prop_assert!(parse(&text, "https://a").is_none());
            let json = serde_json::json!({"token": token, "server": "https://a"}).to_string();
            let is_token = token.len() == 46 && token.starts_with("ct_");
            let read = parse(&json, "https://a");
            prop_assert!(read.is_none() || is_token, "{token}");
            prop_assert!(parse(&json, "https://b").is_none());
        }
    }

    #[test]
    fn a_token_is_kept_told_by_its_hash_and_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let file = CredentialFile::in_dir(dir.path());
        let token = ClaimToken::load_or_make(&file, "https://a").unwrap();
        let text = token.0.reveal().to_owned();
        assert!(text.starts_with("ct_") && text.len() == 46, "{text}");
        assert_eq!(ClaimToken::load_or_make(&file, "https://a").unwrap().0.reveal(), text);
        assert_eq!(token.sha256().len(), 64);
        ClaimToken::forget(&file).unwrap();
        ClaimToken::forget(&file).unwrap();
        assert_ne!(ClaimToken::load_or_make(&file, "https://a").unwrap().0.reveal(), text);
    }
}
