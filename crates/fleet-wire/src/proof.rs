//! What makes the record of a scan a proof: what it was to look at, what it left out and why, and by what it judged. An
//! agent of before says nothing of it, so every part may be missing.
use crate::{MalwareScan, ScanCause, ScanStatus, WirePath};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// How much of its rule a scan was to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScanScope {
    /// All of the rule's paths.
    Whole,
    /// Some of them, or something below them, or what no rule says anything of.
    Part,
    /// A scope that this version does not know.
    #[serde(other)]
    Other,
}

impl ScanScope {
    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Part => "part",
            Self::Other => "other",
        }
    }
}

/// What was left out for one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The reason, for people: a pattern, another file system.
    pub by: String,
    /// Files met and left out.
    #[serde(default)]
    pub files: u64,
    /// Their bytes.
    #[serde(default)]
    pub bytes: u64,
    /// Directories left out; nobody knows what is below them.
    #[serde(default)]
    pub directories: u64,
}

/// A file or directory that was not judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotJudged {
    /// It.
    #[serde(flatten)]
    pub path: WirePath,
    /// Why.
    pub reason: String,
    /// Whether it is a directory: nobody knows what is below it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_directory: bool,
}

/// Signatures that are not in use any more, and by which a file was still taken for clean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OlderSignatures {
    /// The engine.
    pub engine: String,
    /// The version of the signatures, and what tells one's own apart.
    pub signatures: String,
    /// When they were last seen in use.
    pub last_used: DateTime<Utc>,
}

/// The version of the daily signatures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureVersion {
    /// Its number, one more with each.
    pub number: u32,
    /// When it was made, such as `2026-11-18T08:20:00`, by the clock of the engine's host.
    pub made: String,
}

/// What makes the record of a scan a proof. Lists hold the first of what there was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanProof {
    /// How much of its rule it was to look at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<ScanScope>,
    /// What it was to look at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// The patterns that left things out, as in `.gitignore`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Longer files, in bytes, were over the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_file_size: Option<u64>,
    /// Directories that were looked into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directories: Option<u64>,
    /// What was left out, by reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// Directories that could not be looked into: nobody knows what is below them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unreadable_directories: u64,
    /// The first directories and files that could not be read or got no verdict.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<NotJudged>,
    /// The first files that were over a limit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub over_limit: Vec<NotJudged>,
    /// Paths that could not be scanned at all, each with why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// Paths, patterns, reasons or missing paths are more than are listed here.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_cut: bool,
    /// The oldest signatures that a file was clean by; none where all were clean by those in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_verdict: Option<OlderSignatures>,
    /// The signatures in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signatures: Option<SignatureVersion>,
    /// When the engine was last seen to find the test file of the antivirus industry, before the scan ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary_found_at: Option<DateTime<Utc>>,
    /// All rules that the agent had when the scan ended, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Vec<String>>,
}

impl MalwareScan {
    /// Whether it was of all of its rule. An agent of before did not say; what it did by itself was.
    pub fn is_whole(&self) -> bool {
        match self.proof.scope {
            Some(scope) => scope == ScanScope::Whole,
            None => matches!(
                self.cause,
                ScanCause::Schedule | ScanCause::CatchUp | ScanCause::Resume | ScanCause::Local
            ),
        }
    }

    /// Whether it looked at every file of all of its rule, but for what the rule leaves out and what is over a limit.
    pub fn is_complete(&self) -> bool {
        self.is_whole() && self.status == ScanStatus::Completed
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_false(is: &bool) -> bool {
    !*is
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn record() -> Value {
        json!({
            "id": "0190a5c1-7e2b-7c11-8a3e-5b1d9f0c2d4e", "rule": "web", "cause": "schedule",
            "started_at": "2026-11-20T00:00:00Z", "ended_at": "2026-11-20T01:00:00Z", "status": "completed",
            "met": {"files": 1, "bytes": 2}, "account": {"clean": {"files": 1, "bytes": 2}}, "unaccounted": 0,
            "detections": 0,
        })
    }

    #[test]
    fn a_record_of_before_reads_and_is_written_as_it_was() {
        let scan: MalwareScan = serde_json::from_value(record()).unwrap();
        assert_eq!(*scan.proof, ScanProof::default());
        assert_eq!(serde_json::to_value(&scan).unwrap(), record());
        // What was asked for may have been a part: nobody knows.
        let of = |cause: &str| {
            let mut record = record();
            record["cause"] = json!(cause);
            serde_json::from_value::<MalwareScan>(record).unwrap().is_whole()
        };
        let whole = ["schedule", "resume", "local", "command", "watch", "of_tomorrow"].map(of);
        assert_eq!(whole, [true, true, true, false, false, false]);
    }

    #[test]
    fn a_proof_stands_beside_the_account_and_comes_back_as_it_was() {
        let mut told = record();
        for (field, value) in [
            ("scope", json!("part")),
            ("paths", json!(["/srv"])),
            ("exclude", json!(["cache/"])),
            ("max_file_size", json!(1_000)),
            ("directories", json!(3)),
            (
                "left_out",
                json!([{"by": "x", "files": 1, "bytes": 2, "directories": 3}]),
            ),
            ("unreadable_directories", json!(1)),
            (
                "unreadable",
                json!([{"path": "/srv/a", "reason": "denied", "is_directory": true}]),
            ),
            ("over_limit", json!([{"path": "/srv/b", "reason": "too long"}])),
            ("missing", json!(["/srv/c: it is not there"])),
            ("is_cut", json!(true)),
            (
                "oldest_verdict",
                json!({"engine": "1.4.6", "signatures": "1", "last_used": "2026-11-01T00:00:00Z"}),
            ),
            ("signatures", json!({"number": 27_815, "made": "2026-11-18T08:20:00"})),
            ("canary_found_at", json!("2026-11-20T00:30:00Z")),
            ("rules", json!(["home", "web"])),
        ] {
            told[field] = value;
        }
        let scan: MalwareScan = serde_json::from_value(told.clone()).unwrap();
        assert_eq!(serde_json::to_value(&scan).unwrap(), told);
        assert!(!scan.is_whole() && !scan.is_complete());
        for (scope, status, is_complete) in [
            ("whole", "completed", true),
            ("whole", "partial", false),
            ("part", "completed", false),
            ("of_tomorrow", "completed", false),
        ] {
            let mut record = record();
            record["scope"] = json!(scope);
            record["status"] = json!(status);
            let scan: MalwareScan = serde_json::from_value(record).unwrap();
            assert_eq!(scan.is_complete(), is_complete, "{scope} {status}");
        }
    }

    #[test]
    fn every_scope_has_its_name_on_the_wire() {
        for scope in [ScanScope::Whole, ScanScope::Part, ScanScope::Other] {
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.name());
        }
    }
}
