//! A report as it is told to a controller.
use super::report::{Count, Report};
use daemon_kit::Exit;
use fleet_wire::{FileCount, MalwareScan, ScanCause, ScanStatus};

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
        }
    }
}
