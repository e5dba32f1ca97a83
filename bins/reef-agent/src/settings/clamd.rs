//! The `clamd` section.
use crate::keeper::MOST_PROVED;
use clamd_proto::Endpoint;
use conf::Check;
use core_model::{ByteSize, Period};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// ClamAV's daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct ClamdSettings {
    /// Where it answers: `unix:/run/clamav/clamd.ctl`, a path alone, or `tcp:HOST:PORT`.
    pub(crate) endpoint: String,
    /// The longest file that it looks at whole (its `MaxFileSize`): for longer ones it says `OK` unread, and here they
    /// are `over-limit`.
    pub(crate) max_file_size: ByteSize,
    /// The longest stream that it takes (its `StreamMaxLength`); for a daemon that is reached by TCP.
    pub(crate) stream_max_length: ByteSize,
    /// How many files are under way at a time [default: eight for each of its threads, up to 32; with more than eight
    /// threads, four for each].
    pub(crate) window: Option<u16>,
    /// How long one file may take.
    pub(crate) scan_timeout: Period,
    /// How long a scan waits for a daemon that went away, before it is given up.
    pub(crate) outage: Period,
    /// Its database directory, where this machine can read it: a change of the signatures that the version does not show
    /// is noticed by it.
    pub(crate) database_directory: Option<PathBuf>,
}

impl Default for ClamdSettings {
    fn default() -> Self {
        Self {
            endpoint: "unix:/run/clamav/clamd.ctl".to_owned(),
            max_file_size: ByteSize::new(100 << 20),
            stream_max_length: ByteSize::new(100 << 20),
            window: None,
            scan_timeout: Period::from_secs(120),
            outage: Period::from_secs(60),
            database_directory: None,
        }
    }
}

impl ClamdSettings {
    pub(super) fn check(&self, check: &mut Check<'_>) {
        if let Err(error) = self.endpoint.parse::<Endpoint>() {
            let help = Some("write `unix:/run/clamav/clamd.ctl` or `tcp:HOST:PORT`");
            check.problem("clamd.endpoint", error.to_string(), help);
        }
        if self.max_file_size.bytes() == 0 {
            check.problem("clamd.max_file_size", "must be more than nothing", None);
        }
        if self.max_file_size.bytes() > MOST_PROVED {
            let most = ByteSize::new(MOST_PROVED).human();
            let text = format!("cannot be tried beyond {most}: that clamd looks at longer files is taken on trust");
            let help = Some("see that MaxFileSize and MaxScanSize in clamd.conf say as much");
            check.warning("clamd.max_file_size", text, help);
        }
        if self.stream_max_length.bytes() == 0 {
            check.problem("clamd.stream_max_length", "must be more than nothing", None);
        }
        if self.window == Some(0) {
            check.problem("clamd.window", "must be at least 1", None);
        }
        if self.scan_timeout.get().is_zero() {
            check.problem("clamd.scan_timeout", "must be longer than zero", None);
        }
    }
}
