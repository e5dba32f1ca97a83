//! Runs freshclam, and reads what became of it.
use crate::settings::{self, SignatureSettings};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Serialize;
use std::{
    env, io,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    time,
};
use tokio_util::sync::CancellationToken;

/// So much of what freshclam says is kept: its end, where the reason of a failure stands.
const KEPT: usize = 16 * 1024;
/// How long it may take to end by itself once it is told to.
const GRACE: Duration = Duration::from_secs(5);
/// Variables that freshclam goes by. The others are the agent's, and may hold secrets.
const PASSED: [&str; 13] = [
    "PATH",
    "TMPDIR",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "CURL_CA_BUNDLE",
    "FRESHCLAM_CLIENT_CERT",
    "FRESHCLAM_CLIENT_KEY",
    "FRESHCLAM_CLIENT_KEY_PASSWD",
];

/// A freshclam that may be run.
#[derive(Clone, Debug)]
pub(super) struct Freshclam {
    program: PathBuf,
    config: Option<PathBuf>,
}

/// What freshclam did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FreshclamEnd {
    /// There was nothing new.
    UpToDate,
    /// It brought new signatures.
    Updated,
}

/// What freshclam said at its good end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) end: FreshclamEnd,
    /// The number of the daily database that it has now, where it named one.
    pub(crate) daily: Option<u32>,
    /// The end of its words.
    pub(crate) text: String,
}

/// Why freshclam has brought nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FreshclamError {
    /// It is not there, or may not be run.
    #[error(
        "could not start `{}`: install it (Debian: clamav-freshclam), or name it in `signatures.freshclam`",
        program.display()
    )]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It could not be waited for.
    #[error("lost sight of `{}`", program.display())]
    Wait {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It was still at work when the time was over.
    #[error("freshclam was ended after {} s (`signatures.timeout`){}", after.as_secs(), tail(said))]
    TimedOut {
        /// The time allowed.
        after: Duration,
        /// The end of its words.
        said: String,
    },
    /// Somebody wanted it ended.
    #[error("freshclam was ended, since the agent stops")]
    Stopped,
    /// It said that it failed.
    #[error("freshclam failed: {why}{}", tail(said))]
    Failed {
        /// What its exit code means.
        why: &'static str,
        /// The end of its words.
        said: String,
    },
}

impl Freshclam {
    /// `None` where none may be run.
    pub(super) fn of(settings: &SignatureSettings) -> Option<Self> {
        let program = match &settings.freshclam {
            settings::Freshclam::Off => return None,
            settings::Freshclam::Found => PathBuf::from("freshclam"),
            settings::Freshclam::At(path) => path.clone(),
        };
        Some(Self {
            program,
            config: settings.config.clone(),
        })
    }

    /// Runs it to its end, or for as long as `within`.
    pub(super) async fn run(&self, within: Duration, stop: &CancellationToken) -> Result<Said, FreshclamError> {
        let mut command = Command::new(&self.program);
        if let Some(config) = &self.config {
            let mut argument = std::ffi::OsString::from("--config-file=");
            argument.push(config);
            command.arg(argument);
        }
        command
            .arg("--stdout")
            .env_clear()
            .env("LC_ALL", "C")
            .envs(PASSED.iter().filter_map(|name| Some((name, env::var_os(name)?))))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // It tests new databases in a process of its own, which is to end with it.
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|source| FreshclamError::Start {
            program: self.program.clone(),
            source,
        })?;
        let group = Group::of(&child);
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (mut said, mut complaints) = (Tail::default(), Tail::default());
        let work = async {
            let (status, ..) = tokio::join!(child.wait(), said.read(stdout), complaints.read(stderr));
            status
        };
        let ended = tokio::select! {
            status = time::timeout(within, work) => status.ok(),
            () = stop.cancelled() => {
                group.end(&mut child).await;
                return Err(FreshclamError::Stopped);
            }
        };
        let Some(status) = ended else {
            group.end(&mut child).await;
            return Err(FreshclamError::TimedOut {
                after: within,
                said: text(&said, &complaints),
            });
        };
        group.forget();
        let status = status.map_err(|source| FreshclamError::Wait {
            program: self.program.clone(),
            source,
        })?;
        read(status, text(&said, &complaints))
    }
}

/// A process group of freshclam's own, which is killed as a whole should the future be dropped.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let pid = child.id().and_then(|id| i32::try_from(id).ok());
        Self(pid.and_then(Pid::from_raw))
    }

    /// It is gone, and its number may soon be another's.
    fn forget(mut self) {
        self.0 = None;
    }

    /// Has it end: by itself, so that it takes away what it has half written, or else by force.
    async fn end(mut self, child: &mut Child) {
        if let Some(group) = self.0 {
            // Where it is gone already, there is nothing to end.
            kill_process_group(group, Signal::TERM).ok();
            if time::timeout(GRACE, child.wait()).await.is_err() {
                kill_process_group(group, Signal::KILL).ok();
                child.wait().await.ok();
            }
        }
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            kill_process_group(group, Signal::KILL).ok();
        }
    }
}

/// The end of a stream.
#[derive(Default)]
struct Tail(Vec<u8>);

impl Tail {
    async fn read(&mut self, stream: Option<impl AsyncRead + Unpin>) {
        let Some(mut stream) = stream else { return };
        let mut block = [0; 4096];
        // A stream that fails has ended.
        while let Ok(read @ 1..) = stream.read(&mut block).await {
            self.0.extend_from_slice(&block[..read]);
            if self.0.len() > 2 * KEPT {
                self.0.drain(..self.0.len() - KEPT);
            }
        }
    }
}

fn text(said: &Tail, complaints: &Tail) -> String {
    let whole = [&said.0[..], &complaints.0[..]].concat();
    let last = &whole[whole.len().saturating_sub(KEPT)..];
    // The progress of downloads goes by on one line.
    let text = String::from_utf8_lossy(last).replace('\r', "\n");
    text.trim().to_owned()
}

/// The last lines, for an error.
fn tail(said: &str) -> String {
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    match &lines[lines.len().saturating_sub(3)..] {
        [] => String::new(),
        last => format!("; its last words: {}", last.join(" / ")),
    }
}

/// What it did, by its exit code and its words. The codes are those of freshclam 0.103 to 1.5 (libfreshclam's `fc_error_t`).
fn read(status: ExitStatus, text: String) -> Result<Said, FreshclamError> {
    match status.code() {
        // 1 is what older ones say where nothing is new.
        Some(0 | 1) => {
            let is_new = text.lines().any(|line| line.contains(" updated (version: "));
            Ok(Said {
                end: if is_new {
                    FreshclamEnd::Updated
                } else {
                    FreshclamEnd::UpToDate
                },
                daily: text.lines().filter_map(daily).max(),
                text,
            })
        }
        code => Err(FreshclamError::Failed {
            why: meaning(code, &text),
            said: text,
        }),
    }
}

/// Of `daily.cld database is up-to-date (version: 27815, …)` and `daily.cld updated (version: 27816, …)`.
fn daily(line: &str) -> Option<u32> {
    let (_, rest) = line.split_once("daily.c")?;
    let (_, version) = rest.split_once("(version: ")?;
    version.split(',').next()?.parse().ok()
}

fn meaning(code: Option<i32>, text: &str) -> &'static str {
    if text.contains("lock the log file") || text.contains("is locked by another process") {
        return "another freshclam is at work, most likely its service: leave updates to that, and `signatures.schedule` out";
    }
    match code {
        Some(2 | 13) => "it could not begin; may it write its log and its database directory?",
        Some(3 | 4 | 10) => "it may not read or write its database directory: run the agent as root or as clamav",
        Some(5) => "no connection to the mirror: does a proxy or a firewall stand between?",
        Some(6 | 7) => "what the mirror gave is no database",
        Some(8) => "the new database is broken and was not taken; the old one stays",
        Some(9) => "its configuration cannot be used",
        Some(11 | 14) => "the mirror did not give the database: is it reached, and allowed?",
        Some(12) => "the mirror is not up to date itself; it will be later",
        Some(15) => "it ran out of memory",
        Some(17) => "the mirror has forbidden this address: update less often, or by a mirror of one's own",
        Some(18) => "the mirror asks to be left alone for a while",
        None => "it was ended by a signal",
        Some(_) => "its exit code says nothing more",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt as _;

    fn ended(code: i32, text: &str) -> Result<Said, FreshclamError> {
        read(ExitStatus::from_raw(code << 8), text.to_owned())
    }

    #[test]
    fn what_freshclam_did_is_read_from_its_code_and_its_words() {
        let current = "daily.cld database is up-to-date (version: 27815, sigs: 2071235, f-level: 90, builder: raynman)\n\
                       main.cvd database is up-to-date (version: 62, sigs: 6647427, f-level: 90, builder: sigmgr)";
        let said = ended(0, current).unwrap();
        assert_eq!((said.end, said.daily), (FreshclamEnd::UpToDate, Some(27815)));
        assert_eq!(ended(1, current).unwrap().end, FreshclamEnd::UpToDate);
        let new = "Testing database: 'tmp-daily.cld' ...\nDatabase test passed.\n\
                   daily.cld updated (version: 27816, sigs: 2071240, f-level: 90, builder: raynman)";
        let said = ended(0, new).unwrap();
        assert_eq!((said.end, said.daily), (FreshclamEnd::Updated, Some(27816)));
        let own = "own.ndb updated (version: custom database, sigs: 1)";
        let said = ended(0, own).unwrap();
        assert_eq!((said.end, said.daily), (FreshclamEnd::Updated, None));
    }

    #[test]
    fn a_failure_says_what_its_code_means_and_its_last_words() {
        for (code, text, expected) in [
            (11, "ERROR: Update failed.", "the mirror did not give the database"),
            (
                2,
                "ERROR: Failed to lock the log file /var/log/f.log",
                "another freshclam",
            ),
            (17, "", "forbidden"),
            (99, "", "says nothing more"),
        ] {
            let error = ended(code, text).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains(text), "{error}");
        }
        assert!(
            read(ExitStatus::from_raw(9), String::new())
                .unwrap_err()
                .to_string()
                .contains("signal")
        );
    }

    #[tokio::test]
    async fn of_much_that_is_said_the_end_is_kept() {
        let much = [vec![b'a'; 10 * KEPT], b"the end".to_vec()].concat();
        let mut tail = Tail::default();
        tail.read(Some(&much[..])).await;
        assert!(tail.0.len() <= 2 * KEPT + 4096);
        let kept = text(&tail, &Tail::default());
        assert!(kept.len() <= KEPT && kept.ends_with("the end"));
    }
}
