//! What only a crate itself can call: the functions of its `fuzzing` module.
pub use clamd_proto::fuzzing::{replies as clamd_replies, stats as clamd_stats, version as clamd_version};
pub use conf::fuzzing::key_path;
pub use fleet_api::fuzzing::cursors as cursor;
pub use fleet_link::fuzzing::{
    credentials, document_answer, ingest_answer, outbox_run, problem as http_problem, retry_after,
};
pub use fsscan::fuzzing::{content_hashes, entries as dir_entries, ignore_file, ignore_rules};
pub use netcheck::fuzzing::{
    certificate, dns_answer, icmp_message, probe as net_probe, redirect as http_redirect, replies as udp_reply,
    resolv_conf, start_tls, status as http_status, target as net_target,
};
pub use state_sqlite::fuzzing::{mark as state_mark, stored_row, verdicts as stored_verdicts};

/// An `env` file.
pub fn env_file(data: &[u8]) {
    daemon_kit::fuzzing::env_file(&String::from_utf8_lossy(data));
}

/// The value of the option `--set`.
pub fn set_option(data: &[u8]) {
    daemon_kit::fuzzing::set_option(&String::from_utf8_lossy(data));
}

/// A log on its way into a support bundle.
pub fn redaction(data: &[u8]) {
    daemon_kit::fuzzing::redaction(&String::from_utf8_lossy(data));
}
