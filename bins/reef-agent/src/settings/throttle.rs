//! The `throttle` section, and that of each rule: how much of the machine a scan may take.
use conf::Check;
use core_model::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much of the machine a scan may take. A change is followed at once, by scans under way too. What a rule leaves out
/// is as the section at the top says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct ThrottleSettings {
    /// Whether it goes unnoticed rather than fast: one file at a time, with rests between, at the lowest priority
    /// [default: false].
    pub(crate) background: Option<bool>,
    /// In the background: how much of one processor clamd may take for it, in percent [default: 25].
    pub(crate) cpu_share: Option<u8>,
    /// Files that are judged a second, at most [default: as many as can be].
    pub(crate) max_files_per_second: Option<u32>,
    /// Bytes that are judged a second, at most [default: as many as can be].
    pub(crate) max_bytes_per_second: Option<ByteSize>,
    /// From which share of the time, in percent, in which tasks wait for a processor (`some avg10` of
    /// `/proc/pressure/cpu`) it does less; 100: never [default: 100, since clamd at work is such a pressure itself].
    pub(crate) max_cpu_pressure: Option<u8>,
    /// The same for storage (`/proc/pressure/io`) [default: 100].
    pub(crate) max_io_pressure: Option<u8>,
    /// The same for memory (`/proc/pressure/memory`) [default: 20].
    pub(crate) max_memory_pressure: Option<u8>,
}

/// What holds for one scan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Throttle {
    /// One file at a time, with rests between.
    pub(crate) background: bool,
    /// In percent of one processor.
    pub(crate) cpu_share: u8,
    /// Files a second.
    pub(crate) files: Option<u32>,
    /// Bytes a second.
    pub(crate) bytes: Option<u64>,
    /// In percent.
    pub(crate) cpu_pressure: u8,
    /// In percent.
    pub(crate) io_pressure: u8,
    /// In percent.
    pub(crate) memory_pressure: u8,
}

impl ThrottleSettings {
    /// What holds where `general` says what this leaves out.
    pub(crate) fn over(&self, general: &Self) -> Throttle {
        let bytes = self.max_bytes_per_second.or(general.max_bytes_per_second);
        Throttle {
            background: self.background.or(general.background).unwrap_or(false),
            cpu_share: self.cpu_share.or(general.cpu_share).unwrap_or(25),
            files: self.max_files_per_second.or(general.max_files_per_second),
            bytes: bytes.map(ByteSize::bytes),
            cpu_pressure: self.max_cpu_pressure.or(general.max_cpu_pressure).unwrap_or(100),
            io_pressure: self.max_io_pressure.or(general.max_io_pressure).unwrap_or(100),
            memory_pressure: self.max_memory_pressure.or(general.max_memory_pressure).unwrap_or(20),
        }
    }

    /// Reports what types alone cannot say. `at` is the section's key.
    pub(super) fn check(&self, at: &str, check: &mut Check<'_>) {
        let shares = [
            ("cpu_share", self.cpu_share),
            ("max_cpu_pressure", self.max_cpu_pressure),
            ("max_io_pressure", self.max_io_pressure),
            ("max_memory_pressure", self.max_memory_pressure),
        ];
        for (key, share) in shares {
            if share.is_some_and(|share| !(1..=100).contains(&share)) {
                check.problem(&format!("{at}.{key}"), "must be between 1 and 100 percent", None);
            }
        }
        let nothing = Some("leave it out for as many as can be");
        if self.max_files_per_second == Some(0) {
            check.problem(&format!("{at}.max_files_per_second"), "must be at least 1", nothing);
        }
        if self.max_bytes_per_second.is_some_and(|most| most.bytes() == 0) {
            check.problem(
                &format!("{at}.max_bytes_per_second"),
                "must be more than nothing",
                nothing,
            );
        }
        if self.cpu_share.is_some() && self.background == Some(false) {
            let help = Some("set `background = true`, or leave it out");
            check.warning(
                &format!("{at}.cpu_share"),
                "has no effect: it holds in the background only",
                help,
            );
        }
    }
}
