//! One function for every parser of outside input: arbitrary bytes in, a panic where a property does not hold.
//!
//! The programs of `fuzz_targets` hand them to libFuzzer; the tests run them over the corpus and its mutations with the
//! stable compiler. It is *not* a place for parsers, and nothing but fuzzers and tests uses it.
//!
//! ```
//! let (_, units) = fuzz::TARGETS.iter().find(|(name, _)| *name == "units").unwrap();
//! units(b"1h30m");
//! ```
mod crates;
mod domain;
mod model;
mod settings;
mod text;
mod times;
mod wire;

pub use crates::{
    certificate, clamd_replies, clamd_stats, clamd_version, content_hashes, credentials, cursor, dir_entries,
    dns_answer, document_answer, env_file, http_problem, http_redirect, http_status, icmp_message, ignore_file,
    ignore_rules, ingest_answer, key_path, net_probe, net_target, outbox_run, redaction, resolv_conf, retry_after,
    set_option, start_tls, state_mark, stored_row, stored_verdicts, udp_reply,
};
pub use domain::{files_v1_batch, glob, ingest_batch};
pub use model::{ids, units};
pub use settings::conf_load;
pub use text::{conf_json, conf_toml, conf_yaml};
pub use times::schedule;
pub use wire::{file_record, files_v1, ingest_request, join_records, link, messages, wire_path};

/// What a fuzzer calls.
pub type Target = fn(&[u8]);

/// Every target, by the name of its program and of its corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("certificate", certificate),
    ("clamd_replies", clamd_replies),
    ("clamd_stats", clamd_stats),
    ("clamd_version", clamd_version),
    ("conf_json", conf_json),
    ("conf_load", conf_load),
    ("conf_toml", conf_toml),
    ("conf_yaml", conf_yaml),
    ("content_hashes", content_hashes),
    ("credentials", credentials),
    ("cursor", cursor),
    ("dir_entries", dir_entries),
    ("dns_answer", dns_answer),
    ("document_answer", document_answer),
    ("env_file", env_file),
    ("file_record", file_record),
    ("files_v1", files_v1),
    ("files_v1_batch", files_v1_batch),
    ("glob", glob),
    ("http_problem", http_problem),
    ("http_redirect", http_redirect),
    ("http_status", http_status),
    ("icmp_message", icmp_message),
    ("ids", ids),
    ("ignore_file", ignore_file),
    ("ignore_rules", ignore_rules),
    ("ingest_answer", ingest_answer),
    ("ingest_batch", ingest_batch),
    ("ingest_request", ingest_request),
    ("join_records", join_records),
    ("key_path", key_path),
    ("link", link),
    ("messages", messages),
    ("net_probe", net_probe),
    ("net_target", net_target),
    ("outbox_run", outbox_run),
    ("redaction", redaction),
    ("resolv_conf", resolv_conf),
    ("retry_after", retry_after),
    ("schedule", schedule),
    ("set_option", set_option),
    ("start_tls", start_tls),
    ("state_mark", state_mark),
    ("stored_row", stored_row),
    ("stored_verdicts", stored_verdicts),
    ("udp_reply", udp_reply),
    ("units", units),
    ("wire_path", wire_path),
];
