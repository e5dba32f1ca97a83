//! Which machine this is.
use sha2::{Digest, Sha256};

/// The machine's own lasting id (`/etc/machine-id`), hashed: it tells hosts apart and says nothing of them. `None` where
/// there is none, as in most containers. Blocks on the disk.
pub fn machine_id() -> Option<String> {
    let id = std::fs::read_to_string("/etc/machine-id").ok()?;
    let id = id.trim();
    (!id.is_empty()).then(|| hashed(id))
}

fn hashed(id: &str) -> String {
    let hash = Sha256::new()
        .chain_update("shoal agent machine\n")
        .chain_update(id)
        .finalize();
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::hashed;

    #[test]
    fn machines_are_told_apart_by_what_does_not_name_them() {
        let (one, other) = (hashed("0a1b"), hashed("0a1c"));
        assert_eq!((one.len(), hashed("0a1b")), (64, one.clone()));
        assert!(one != other && !one.contains("0a1b"));
    }
}
