//! Arbitrary bytes for whatever reads what clamd sends. For fuzzers only.
use crate::{
    decoder::Decoder,
    reply::{Reply, Subject, split_id},
    stats::Stats,
    verdict::Finding,
    version::Version,
};
use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

/// A path up to the first line break, then replies.
///
/// # Panics
/// When cutting the bytes elsewhere gives other replies, or a reply is read as being about a path that does not stand in
/// it.
pub fn replies(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (path, rest) = data.split_at(at);
    let path = [b"/", path].concat();
    let path = Path::new(OsStr::from_bytes(&path));
    let whole = cut(rest, rest.len().max(1));
    assert_eq!(whole, cut(rest, 1), "cut at each byte");
    assert_eq!(whole, cut(rest, 7), "cut at each seventh");
    for reply in &whole {
        let said = split_id(reply).map_or(reply.as_slice(), |(_, said)| said);
        for subject in [Subject::Path(path), Subject::Descriptor, Subject::Stream] {
            let Ok(read) = Reply::parse(said, subject) else {
                continue;
            };
            assert!(read.below.is_none_or(|below| said.starts_with(below)));
            match &read.finding {
                Finding::Clean => assert!(said.ends_with(b": OK")),
                Finding::Found(name) => assert!(!name.is_empty() && said.ends_with(b" FOUND")),
                Finding::Refused(refusal) => assert!(!refusal.to_string().is_empty()),
            }
        }
    }
}

/// The replies in bytes that come in pieces, and the last words where they are sound.
fn cut(bytes: &[u8], size: usize) -> Vec<Vec<u8>> {
    let mut decoder = Decoder::default();
    let mut replies = Vec::new();
    for piece in bytes.chunks(size) {
        decoder.feed(piece);
        while let Ok(Some(reply)) = decoder.next_reply() {
            replies.push(reply.to_vec());
        }
    }
    replies.extend(decoder.finish().ok().flatten().map(<[u8]>::to_vec));
    replies
}

/// A reply to STATS.
///
/// # Panics
/// When a file is named that does not stand in it, or more jobs than lines.
pub fn stats(data: &[u8]) {
    let Ok(stats) = Stats::parse(data) else { return };
    let lines = data.iter().filter(|byte| **byte == b'\n').count();
    let jobs: Vec<_> = stats.pools.iter().flat_map(|pool| &pool.jobs).collect();
    assert!(jobs.len() <= lines, "{} jobs in {lines} lines", jobs.len());
    for job in jobs {
        let about = job.about.as_slice();
        assert!(about.is_empty() || data.windows(about.len()).any(|window| window == about));
    }
    assert!(stats.waiting() <= stats.pools.len() as u64 * u64::from(u32::MAX));
}

/// A reply to VERSION or VERSIONCOMMANDS.
///
/// # Panics
/// When both readers take it, or its parts are out of range.
pub fn version(data: &[u8]) {
    let plain = Version::parse(data);
    let long = Version::parse_with_commands(data);
    assert!(plain.is_err() || long.is_err());
    for version in plain.into_iter().chain(long.map(|(version, _)| version)) {
        assert!(!version.engine.is_empty());
        if let Some(database) = version.database {
            assert!((1..=12).contains(&database.made.month) && database.made.to_string().len() >= 19);
        }
    }
}
