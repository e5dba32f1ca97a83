//! Entry points for fuzzers: what operators hand back. None may panic, whatever the bytes.
use crate::paging::{Cursor, cursor, page};
use core_model::{AgentId, ClaimId, TokenId};

/// The text of a `cursor`, as each list reads it.
pub fn cursors(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    comes_back::<Vec<u8>>(&text);
    comes_back::<u64>(&text);
    comes_back::<TokenId>(&text);
    comes_back::<ClaimId>(&text);
    comes_back::<(String, AgentId)>(&text);
}

/// Whatever text is taken names the same row when it is handed out again.
fn comes_back<K: Cursor + PartialEq>(text: &str) {
    let read = |text: &str| page::<K>(Some(text), None).ok().and_then(|page| page.after);
    if let Some(key) = read(text) {
        assert!(read(&cursor(&key)) == Some(key), "a cursor does not come back: {text}");
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

    #[test]
    fn no_length_of_key_panics() {
        for length in 0..70_u8 {
            let bytes: Vec<u8> = (0..length).map(|n| n.wrapping_mul(37)).collect();
            super::cursors(&bytes);
            super::cursors(URL_SAFE_NO_PAD.encode(&bytes).as_bytes());
        }
    }
}
