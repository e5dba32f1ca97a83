//! The record of a scan for people, line by line: the agent and the controller show the same.
use crate::{FileCount, LeftOut, MalwareScan, NotJudged, ScanScope};
use chrono::{DateTime, SecondsFormat, Utc};
use core_model::ByteSize;

impl MalwareScan {
    /// What there is to say of it, each under its name, but for the account of the files that were met. Nothing is escaped:
    /// paths and patterns stand as they were told, with what is no UTF-8 replaced.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = vec![
            ("id", self.id.to_string()),
            ("rule", self.rule.clone()),
            ("scope", self.scope_text()),
            ("cause", self.cause.name().to_owned()),
            ("began", second(self.started_at)),
            ("ended", second(self.ended_at)),
            ("status", self.status.name().to_owned()),
        ];
        lines.extend(self.error.iter().map(|error| ("because", error.clone())));
        lines.extend(self.engine.iter().map(|engine| ("engine", engine.clone())));
        lines.push(("detections", self.detections.to_string()));
        lines.push(("met", count(self.met)));
        if self.unaccounted != 0 {
            let text = format!("{} files ended in no way: the agent has a fault", self.unaccounted);
            lines.push(("unaccounted", text));
        }
        self.proof_lines(&mut lines);
        lines
    }

    fn proof_lines(&self, lines: &mut Vec<(&'static str, String)>) {
        let proof = &self.proof;
        if let Some(signatures) = &proof.signatures {
            lines.push(("signatures", format!("{} of {}", signatures.number, signatures.made)));
        }
        if let Some(oldest) = &proof.oldest_verdict {
            let (signatures, last_used) = (&oldest.signatures, second(oldest.last_used));
            lines.push((
                "oldest",
                format!("a file is clean by {signatures}, last in use {last_used}"),
            ));
        }
        if let Some(found) = proof.canary_found_at {
            lines.push(("test file", format!("found by the engine {}", second(found))));
        }
        lines.extend(proof.directories.map(|count| ("directories", count.to_string())));
        lines.extend(proof.paths.iter().map(|path| ("path", path.clone())));
        lines.extend(proof.exclude.iter().map(|pattern| ("exclude", pattern.clone())));
        if let Some(most) = proof.max_file_size {
            lines.push(("limit", format!("files up to {}", ByteSize::new(most).human())));
        }
        lines.extend(proof.left_out.iter().map(|left| ("left out", left_out(left))));
        lines.extend(proof.missing.iter().map(|missing| ("missing", missing.clone())));
        if proof.unreadable_directories > 0 {
            let text = format!("{} directories with all below", proof.unreadable_directories);
            lines.push(("unreadable", text));
        }
        lines.extend(proof.unreadable.iter().map(|file| ("unreadable", not_judged(file))));
        lines.extend(proof.over_limit.iter().map(|file| ("over a limit", not_judged(file))));
        if proof.is_cut {
            lines.push(("and more", "these lists hold the first of what there was".to_owned()));
        }
    }

    /// Its scope, as far as the agent said.
    fn scope_text(&self) -> String {
        match self.proof.scope {
            Some(ScanScope::Whole) => "whole: all of the rule".to_owned(),
            Some(ScanScope::Part) => "part: not all of the rule".to_owned(),
            Some(ScanScope::Other) => "one that this version does not know".to_owned(),
            None if self.is_whole() => "whole, as far as an agent of before tells".to_owned(),
            None => "not told by an agent of before".to_owned(),
        }
    }
}

fn left_out(left: &LeftOut) -> String {
    let files = FileCount {
        files: left.files,
        bytes: left.bytes,
    };
    let directories = match left.directories {
        0 => String::new(),
        directories => format!(", {directories} directories with all below"),
    };
    format!("by {}: {}{directories}", left.by, count(files))
}

fn not_judged(file: &NotJudged) -> String {
    let below = if file.is_directory { " with all below" } else { "" };
    format!("{}{below} ({})", file.path.display(), file.reason)
}

fn count(count: FileCount) -> String {
    format!("{} files ({})", count.files, ByteSize::new(count.bytes).human())
}

fn second(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn all_of_a_proof_is_shown() {
        let scan: MalwareScan = serde_json::from_value(json!({
            "id": "0190a5c1-7e2b-7c11-8a3e-5b1d9f0c2d4e", "rule": "web", "cause": "schedule",
            "started_at": "2026-11-20T00:00:00Z", "ended_at": "2026-11-20T01:00:00Z", "status": "partial",
            "met": {"files": 4, "bytes": 2048}, "account": {}, "unaccounted": 1, "detections": 2,
            "engine": "ClamAV 1.4.6/27815", "error": "because of this", "scope": "whole", "paths": ["/srv"],
            "exclude": ["cache/"], "max_file_size": 1024, "directories": 3,
            "left_out": [{"by": "the pattern `cache/`", "files": 1, "bytes": 2, "directories": 5}],
            "unreadable_directories": 6, "unreadable": [{"path": "/srv/a", "reason": "denied", "is_directory": true}],
            "over_limit": [{"path": "/srv/b", "reason": "too long"}], "missing": ["/opt: gone"], "is_cut": true,
            "oldest_verdict": {"engine": "1.4.6", "signatures": "27801", "last_used": "2026-11-01T00:00:00Z"},
            "signatures": {"number": 27815, "made": "2026-11-18T08:20:00"}, "canary_found_at": "2026-11-20T00:30:00Z",
        }))
        .unwrap();
        let lines = scan.lines();
        for expected in [
            ("scope", "whole: all of the rule"),
            ("because", "because of this"),
            ("unaccounted", "1 files ended in no way: the agent has a fault"),
            ("signatures", "27815 of 2026-11-18T08:20:00"),
            ("oldest", "a file is clean by 27801, last in use 2026-11-01T00:00:00Z"),
            ("test file", "found by the engine 2026-11-20T00:30:00Z"),
            ("directories", "3"),
            ("path", "/srv"),
            ("exclude", "cache/"),
            ("limit", "files up to 1.0 KB"),
            (
                "left out",
                "by the pattern `cache/`: 1 files (2 B), 5 directories with all below",
            ),
            ("missing", "/opt: gone"),
            ("unreadable", "6 directories with all below"),
            ("unreadable", "/srv/a with all below (denied)"),
            ("over a limit", "/srv/b (too long)"),
            ("and more", "these lists hold the first of what there was"),
        ] {
            let shown = lines.iter().any(|(name, text)| (*name, text.as_str()) == expected);
            assert!(shown, "{expected:?} in {lines:#?}");
        }
    }
}
