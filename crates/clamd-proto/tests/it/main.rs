//! A real clamd, which each test starts for itself, and everything that is said to it.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
mod client;
mod commands;
mod failures;
mod mock;
mod names;
mod session;
mod streams;

use clamd_proto::{Endpoint, Request, Session, SessionOptions, Verdict};
use std::{fs::File, io::Write, path::Path, sync::Arc, time::Duration};
use testkit::{Clamd, ClamdOptions, GUARD};

const EICAR_NAMES: [&str; 2] = ["Shoal.Test.EicarHash.UNOFFICIAL", "Shoal.Test.Eicar.UNOFFICIAL"];

fn clamd() -> Clamd {
    Clamd::start(ClamdOptions::default()).unwrap()
}

fn unix(clamd: &Clamd) -> Endpoint {
    Endpoint::Unix(clamd.socket())
}

fn tcp(clamd: &Clamd) -> Endpoint {
    format!("tcp:{}", clamd.tcp()).parse().unwrap()
}

/// Times that only ever turn a hang into a failure.
fn patient() -> SessionOptions {
    SessionOptions {
        connect: GUARD,
        reply: GUARD,
        ..SessionOptions::default()
    }
}

/// A file without a name that holds `bytes`.
fn file(bytes: &[u8]) -> Arc<File> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Arc::new(file)
}

/// A folder that every user may look into, below which any user's clamd finds files.
fn folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn put(folder: &Path, name: impl AsRef<Path>, bytes: &[u8]) -> std::path::PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[track_caller]
fn assert_eicar(verdict: &Verdict) {
    let [signature] = verdict.signatures() else {
        panic!("{verdict:?}")
    };
    assert!(EICAR_NAMES.contains(&signature.as_str()), "{signature}");
}

/// Submits one request, and returns what becomes of it.
async fn one(session: &mut Session<u32>, request: Request) -> Result<Verdict, clamd_proto::ClamError> {
    session.submit(7, request).unwrap();
    let (tag, outcome) = guarded(session.next()).await.unwrap();
    assert_eq!(tag, 7);
    outcome
}

async fn guarded<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(GUARD + Duration::from_secs(10), future)
        .await
        .expect("it hangs")
}
