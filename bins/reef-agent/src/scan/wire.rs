//! A report as it is told to a controller.
use super::{
    account::End,
    failures::Failure,
    report::{Count, Report},
    wanted::Wanted,
};
use daemon_kit::Exit;
use fleet_wire::{
    FileCount, MalwareScan, NotJudged, OlderSignatures, ScanCause, ScanProof, ScanStatus, SignatureVersion, WirePath,
};
use std::path::PathBuf;

/// So many paths, patterns and reasons are in the record.
const LISTED: usize = 100;
/// So many files and directories are named in it, of each kind.
const NAMED: usize = 20;
/// So many bytes of each name.
const LONGEST: usize = 4_096;

/// The proof of a scan that could not be made.
pub(crate) fn not_begun(wanted: &Wanted) -> ScanProof {
    ScanProof {
        scope: Some(wanted.scope),
        paths: first(&in_words(&wanted.paths)),
        exclude: first(&wanted.exclude),
        is_cut: wanted.paths.len().max(wanted.exclude.len()) > LISTED,
        ..ScanProof::default()
    }
}

fn in_words(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| path.display().to_string()).collect()
}

impl From<Count> for FileCount {
    fn from(Count { files, bytes }: Count) -> Self {
        Self { files, bytes }
    }
}

impl Report {
    /// How it ended, in a word.
    pub(crate) fn status(&self) -> ScanStatus {
        if self.gave_up.is_none() && self.stopped {
            return ScanStatus::Stopped;
        }
        match self.exit() {
            Exit::Environment => ScanStatus::Failed,
            _ if self.is_partial() => ScanStatus::Partial,
            _ => ScanStatus::Completed,
        }
    }

    /// The record of this scan.
    pub(crate) fn to_wire(&self, cause: ScanCause) -> MalwareScan {
        let account = self.account.iter().filter(|(_, count)| count.files > 0);
        let error = self.blind.map(ToOwned::to_owned).or_else(|| {
            let gave_up = self.gave_up.as_ref();
            gave_up.map(|reason| format!("clamd was given up: {reason}"))
        });
        MalwareScan {
            id: self.id,
            rule: self.rule.clone(),
            cause,
            started_at: self.started_at,
            ended_at: self.ended_at,
            status: self.status(),
            met: self.met.into(),
            account: account
                .map(|(key, count)| ((*key).to_owned(), (*count).into()))
                .collect(),
            unaccounted: self.unaccounted,
            detections: self.detections.len() as u64 + self.detections_unlisted,
            engine: self.clamd.as_ref().map(ToString::to_string),
            error: error
                .or_else(|| {
                    self.quarantine_error
                        .as_ref()
                        .map(|error| format!("quarantine: {error}"))
                })
                .or_else(|| self.missing.first().cloned()),
            proof: Box::new(self.proof()),
        }
    }

    fn proof(&self) -> ScanProof {
        let paths = in_words(&self.asked.paths);
        let lengths = [
            paths.len(),
            self.asked.exclude.len(),
            self.left_out.len(),
            self.missing.len(),
        ];
        let is_unread = |failure: &Failure| matches!(failure.end, End::Unreadable | End::Failed);
        let mut unreadable = self.named(|failure| is_unread(failure) && failure.is_directory);
        unreadable.extend(self.named(|failure| is_unread(failure) && !failure.is_directory));
        let clamd = self.clamd.as_ref();
        ScanProof {
            scope: Some(self.asked.scope),
            paths: first(&paths),
            exclude: first(&self.asked.exclude),
            max_file_size: Some(self.asked.max_file_size),
            directories: Some(self.directories),
            left_out: first(&self.left_out),
            unreadable_directories: self.unreadable_directories,
            unreadable,
            over_limit: self.named(|failure| failure.end == End::OverLimit),
            missing: first(&self.missing),
            is_cut: lengths.into_iter().any(|length| length > LISTED),
            oldest_verdict: self.oldest_verdict.as_ref().map(|oldest| OlderSignatures {
                engine: oldest.engine.clone(),
                signatures: oldest.signatures.clone(),
                last_used: oldest.last_used,
            }),
            signatures: clamd.and_then(|clamd| {
                Some(SignatureVersion {
                    number: clamd.database?,
                    made: clamd.database_made.clone()?,
                })
            }),
            // The agent as a whole knows the rest.
            canary_found_at: None,
            rules: None,
        }
    }

    fn named(&self, which: impl Fn(&Failure) -> bool) -> Vec<NotJudged> {
        let named = self.failures.iter().filter(|failure| which(failure)).take(NAMED);
        named
            .map(|failure| NotJudged {
                path: WirePath::from_bytes(start(failure.path.as_bytes())),
                reason: failure.reason.clone(),
                is_directory: failure.is_directory,
            })
            .collect()
    }
}

/// The system takes no longer path; one that is built name by name may be.
fn start(path: &[u8]) -> &[u8] {
    path.get(..LONGEST).unwrap_or(path)
}

fn first<T: Clone>(list: &[T]) -> Vec<T> {
    list.iter().take(LISTED).cloned().collect()
}
