//! A database of a few signatures. The test file of the antivirus industry is put together at run time, so that neither
//! the sources nor the programs are themselves detected.
use anyhow::{Context, Result};
use std::{
    fmt::Write as _,
    fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

/// Whatever holds it is `Shoal.Test.Marker.UNOFFICIAL`.
pub const MARKER: &[u8] = b"SHOAL-INVENTED-MARKER";

/// The test file that every scanner of malware finds: 68 harmless bytes.
pub fn eicar() -> Vec<u8> {
    let parts = [
        r"X5O!P%@AP[4\PZX54(P^)7CC)7}",
        "$EICAR-STANDARD-",
        "ANTIVIRUS-TEST-FILE",
        "!$H+H*",
    ];
    parts.concat().into_bytes()
}

/// The MD5 of [`eicar`], as a database of whole files has it.
const EICAR_MD5: &str = "44d88612fea8a8f36de82e1278abb02f";

/// The one file of the daily database, and its SHA-256.
const DAILY: &[u8] = b"Shoal.Test.Daily:0:*:53484f414c2d4441494c592d424f4459\n";
const DAILY_SHA256: &str = "383328729841fd4eb0eb00f0a652c90f1fc7f068c63c903214d464be029ecc66";
/// The length of what stands before the archive in a database that is one.
const HEADER: usize = 512;

/// Writes the database.
pub(super) fn write(folder: &Path, version: Option<u32>) -> Result<()> {
    let eicar = eicar();
    let hash = format!("{EICAR_MD5}:{}:Shoal.Test.EicarHash\n", eicar.len());
    fs::write(folder.join("whole.hdb"), hash).context("could not write a signature")?;
    add(folder, "Shoal.Test.Eicar", &eicar)?;
    add(folder, "Shoal.Test.Marker", MARKER)?;
    version.map_or(Ok(()), |version| daily(folder, version))
}

/// Adds a signature for whatever holds `body`.
pub(super) fn add(folder: &Path, name: &str, body: &[u8]) -> Result<()> {
    let mut hex = String::with_capacity(2 * body.len());
    for byte in body {
        // Writing to a text cannot fail.
        write!(hex, "{byte:02x}").ok();
    }
    let path = folder.join(format!("{name}.ndb"));
    // clamd must not read half of it.
    let part = folder.join(format!("{name}.part"));
    fs::write(&part, format!("{name}:0:*:{hex}\n")).context("could not write a signature")?;
    fs::rename(part, path).context("could not write a signature")
}

fn daily(folder: &Path, version: u32) -> Result<()> {
    fs::write(folder.join("daily.cud"), daily_database(version)?).context("could not write a database")
}

/// An unsigned daily database of this number, to lie as `daily.cud` among a clamd's signatures. Only with one does clamd
/// tell a number and a date.
///
/// # Errors
/// When the clock is before 1970.
pub fn daily_database(version: u32) -> Result<Vec<u8>> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock is before 1970")?;
    let zeros = "0".repeat(32);
    let header = format!(
        "ClamAV-VDB:21 Nov 2026 15-00 +0000:{version}:1:90:{zeros}:none:shoal:{}",
        now.as_secs()
    );
    let info = format!("{header}\ndaily.ndb:{}:{DAILY_SHA256}\n", DAILY.len());
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in [
        ("COPYING", &b"test data\n"[..]),
        ("daily.info", info.as_bytes()),
        ("daily.ndb", DAILY),
    ] {
        let mut entry = tar::Header::new_ustar();
        entry.set_size(bytes.len() as u64);
        entry.set_mode(0o644);
        archive.append_data(&mut entry, name, bytes)?;
    }
    let mut whole = header.into_bytes();
    whole.resize(HEADER, b' ');
    whole.extend(archive.into_inner()?);
    Ok(whole)
}
