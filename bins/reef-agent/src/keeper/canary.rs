//! The canary: a harmless file that every scanner of malware finds. Where clamd calls it clean, all that it calls clean is
//! worth nothing.
use super::{KeeperSettings, TIMEOUTS};
use chrono::{DateTime, Utc};
use clamd_proto::{ClamError, Content, Daemon, Endpoint, Request, SessionOptions, Verdict};
use core_model::chain;
use rustix::fs::{MemfdFlags, memfd_create};
use std::{
    fs::File,
    io::{self, Write as _},
    sync::Arc,
    time::Duration,
};

/// How long a verdict may take: the canary waits in clamd's queue behind whatever is scanned.
const REPLY: Duration = Duration::from_secs(300);

/// What came of a canary.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Canary {
    /// When it was sent.
    pub(crate) at: DateTime<Utc>,
    /// What clamd said.
    pub(crate) outcome: CanaryOutcome,
    /// When clamd last found it.
    pub(crate) last_found: Option<DateTime<Utc>>,
}

/// What clamd said of a canary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CanaryOutcome {
    /// It was found, by each way in which files reach clamd.
    Found,
    /// It was called clean: clamd answers and does not detect.
    Missed {
        /// How it was sent.
        by: &'static str,
    },
    /// There was no verdict.
    NoVerdict {
        /// Why, for people.
        why: String,
    },
}

impl Canary {
    /// Whether clamd answers and does not detect.
    pub(crate) const fn is_blind(&self) -> bool {
        matches!(self.outcome, CanaryOutcome::Missed { .. })
    }

    /// Whether it was found.
    pub(crate) const fn is_found(&self) -> bool {
        matches!(self.outcome, CanaryOutcome::Found)
    }
}

/// Sends one by a passed descriptor, where that can be, and one as a stream.
pub(super) async fn send(settings: &KeeperSettings) -> CanaryOutcome {
    let daemon = settings.daemon();
    if settings.endpoint.passes_descriptors() {
        let file = match in_memory(0) {
            Ok(file) => file,
            Err(error) => {
                let why = format!("the test file could not be made in memory: {error}");
                return CanaryOutcome::NoVerdict { why };
            }
        };
        match ask(&daemon, Request::File(file)).await {
            Ok(true) => {}
            Ok(false) => {
                return CanaryOutcome::Missed {
                    by: "a passed descriptor",
                };
            }
            Err(error) => return CanaryOutcome::NoVerdict { why: chain(&error) },
        }
    }
    match ask(&daemon, Request::Stream(Content::Bytes(eicar().into()))).await {
        Ok(true) => CanaryOutcome::Found,
        Ok(false) => CanaryOutcome::Missed { by: "a stream" },
        Err(error) => CanaryOutcome::NoVerdict { why: chain(&error) },
    }
}

/// Sends one the way files are sent: by a passed descriptor where that can be, else as a stream. Whether it was found.
///
/// # Errors
/// When clamd gives no verdict.
pub(crate) async fn is_found(endpoint: &Endpoint) -> Result<bool, ClamError> {
    let daemon = Daemon::new(endpoint.clone()).timeouts(TIMEOUTS);
    let request = if endpoint.passes_descriptors() {
        Request::File(in_memory(0).map_err(|error| ClamError::Input(Arc::new(error)))?)
    } else {
        Request::Stream(Content::Bytes(eicar().into()))
    };
    ask(&daemon, request).await
}

/// Whether clamd finds malware in it.
async fn ask(daemon: &Daemon, request: Request) -> Result<bool, ClamError> {
    Ok(verdict(daemon, request).await?.is_infected())
}

pub(super) async fn verdict(daemon: &Daemon, request: Request) -> Result<Verdict, ClamError> {
    let options = SessionOptions {
        reply: REPLY,
        ..SessionOptions::default()
    };
    daemon.scan(request, options).await
}

/// The test file, in memory and without a name, followed by nothing up to `length` bytes. It is never on a disk, where
/// another scanner would find it.
pub(super) fn in_memory(length: u64) -> io::Result<Arc<File>> {
    let mut file = File::from(memfd_create("reef-canary", MemfdFlags::CLOEXEC)?);
    let eicar = eicar();
    file.write_all(&eicar)?;
    if length > eicar.len() as u64 {
        // What is not written takes no memory.
        file.set_len(length)?;
    }
    Ok(Arc::new(file))
}

/// The test file of the antivirus industry: 68 harmless bytes, put together here so that neither this program nor its
/// sources are themselves found.
fn eicar() -> Vec<u8> {
    let parts = [
        r"X5O!P%@AP[4\PZX54(P^)7CC)7}",
        "$EICAR-STANDARD-",
        "ANTIVIRUS-TEST-FILE",
        "!$H+H*",
    ];
    parts.concat().into_bytes()
}
