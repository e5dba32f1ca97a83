//! What is done about malware: it is told by its hash, and taken away where that is wanted.
use crate::{
    quarantine::{ItemError, Quarantine, Stamp, Taken},
    scan::{
        detection::{self, Detection, sha256},
        job::{By, Job},
    },
    settings::Action,
};
use chrono::{DateTime, Utc};
use core_model::{EventId, chain};
use fleet_wire::{Outcome, WirePath};
use rustix::fs::{Mode, OFlags, open};
use std::{ffi::OsStr, fs::File, io, os::unix::ffi::OsStrExt as _, path::Path};

/// What was found, a name each.
pub(super) type Handled = Vec<Detection>;

/// Malware that something is to be done about.
pub(super) struct Handling {
    pub(super) job: Box<Job>,
    /// Other names of the same file that were met.
    pub(super) others: Vec<Box<[u8]>>,
    pub(super) signatures: Vec<String>,
    pub(super) time: DateTime<Utc>,
    pub(super) judged_by: String,
}

/// What became of one name.
struct Fate {
    outcome: Outcome,
    detail: Option<String>,
    quarantined: Option<String>,
}

impl Handling {
    /// Does it. Reads the file, and blocks.
    pub(super) fn run(self) -> Handled {
        let sha256 = sha256(&self.job.file).ok();
        let owner = detection::owner(self.job.stat.uid);
        let names = std::iter::once(&*self.job.path).chain(self.others.iter().map(|other| &**other));
        let mut found = Vec::with_capacity(1 + self.others.len());
        for (n, path) in names.enumerate() {
            let fate = if n == 0 {
                self.fate(&self.job.file, &self.job.stamp, path, sha256.as_deref())
            } else {
                self.fate_of_other(path, sha256.as_deref())
            };
            found.push(Detection {
                id: id(self.time),
                scan: self.job.by.scan,
                path: WirePath::from_bytes(path),
                signatures: self.signatures.clone(),
                sha256: sha256.clone(),
                size: self.job.stat.size,
                uid: self.job.stat.uid,
                owner: owner.clone(),
                outcome: fate.outcome,
                detail: fate.detail,
                quarantined: fate.quarantined,
                rule: self.job.by.wanted.rule.clone(),
                time: self.time,
                judged_by: self.judged_by.clone(),
            });
        }
        found
    }

    /// The first name may be gone by now, which changed the file's times: it is looked at anew, and must hold what was
    /// judged, by its hash.
    fn fate_of_other(&self, path: &[u8], sha256: Option<&str>) -> Fate {
        if self.job.by.quarantine.is_none() {
            return Fate::reported();
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let opened = open(OsStr::from_bytes(path), flags, Mode::empty()).map_err(io::Error::from);
        let looked = opened.and_then(|file| {
            let file = File::from(file);
            Stamp::of(&file).map(|stamp| (file, stamp))
        });
        match (looked, sha256) {
            (Ok((file, stamp)), Some(sha256)) => self.fate(&file, &stamp, path, Some(sha256)),
            (Ok(_), None) => Fate::left("it could not be read again to see that it is what was judged".to_owned()),
            (Err(error), _) => Fate::left(error.to_string()),
        }
    }

    fn fate(&self, file: &File, scanned: &Stamp, path: &[u8], sha256: Option<&str>) -> Fate {
        let By { wanted, quarantine, .. } = &*self.job.by;
        let quarantine = match quarantine {
            Some(Ok(quarantine)) => quarantine,
            Some(Err(why)) => return Fate::left(why.clone()),
            None => return Fate::reported(),
        };
        let taken = Taken {
            file,
            scanned,
            path: Path::new(OsStr::from_bytes(path)),
            root: None,
            other_names: &[],
            signatures: &self.signatures,
            rule: &wanted.rule,
            clamd: &self.judged_by,
            scanned_at: self.time,
            sha256,
        };
        match quarantine.take(&taken, Utc::now()) {
            Ok(item) if wanted.action == Action::Delete => delete(quarantine, &item.manifest.id),
            Ok(item) => Fate::quarantined(item.manifest.id.to_string()),
            Err(error) => Fate::left(chain(&error)),
        }
    }
}

/// Deletes for good what was taken away: so a file is removed by all the checks by which one is quarantined, and whatever
/// instant the process is killed at, it is either whole or gone.
fn delete(quarantine: &Quarantine, id: &crate::quarantine::ItemId) -> Fate {
    match quarantine.delete(id) {
        // Another scan met the file at the same time, and was quicker.
        Ok(()) | Err(ItemError::Unknown(_)) => Fate {
            outcome: Outcome::Deleted,
            detail: None,
            quarantined: None,
        },
        Err(error) => Fate {
            detail: Some(format!("it was not deleted from quarantine: {}", chain(&error))),
            ..Fate::quarantined(id.to_string())
        },
    }
}

impl Fate {
    const fn reported() -> Self {
        Self {
            outcome: Outcome::Reported,
            detail: None,
            quarantined: None,
        }
    }

    const fn quarantined(id: String) -> Self {
        Self {
            outcome: Outcome::Quarantined,
            detail: None,
            quarantined: Some(id),
        }
    }

    const fn left(why: String) -> Self {
        Self {
            outcome: Outcome::LeftThere,
            detail: Some(why),
            quarantined: None,
        }
    }
}

/// Without random bits two of the same millisecond would be one: that is better than none told.
fn id(time: DateTime<Utc>) -> EventId {
    detection::event_id(time).unwrap_or_else(|error| {
        tracing::error!(%error, "the system gives no random bits for the id of a detection");
        EventId::new(time, [0; 10])
    })
}
