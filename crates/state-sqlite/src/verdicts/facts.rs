//! What a verdict is remembered of, and whether it may be.
use super::BasisId;
use std::{fs, time::Duration};

/// The directory that files lie in. It is known by its inode, so that it keeps its verdicts when it is renamed, and a
/// bind mount of it shares them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DirKey {
    /// A number of its volume that stays when the machine restarts, as far as there is one.
    pub volume: u64,
    /// Its inode.
    pub inode: u64,
}

/// All that tells a file and its content from others, without reading it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileFacts {
    /// Its inode.
    pub inode: u64,
    /// Length in bytes.
    pub size: u64,
    /// Last change of the content, in nanoseconds since the epoch.
    pub mtime_ns: i64,
    /// Last change of content or metadata, in nanoseconds since the epoch.
    pub ctime_ns: i64,
    /// Birth, in nanoseconds since the epoch; 0 where it is not known.
    pub btime_ns: i64,
}

/// What was found of a file. Of an infected one nothing is ever remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Judgement {
    /// All of it was read, and nothing was found.
    Clean,
    /// It is more than the limits of its basis let through, so that it was not or not wholly read.
    OverLimit,
}

/// A file that was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// How the open file looked before a byte of it was read, and after `synced` was done.
    pub before: FileFacts,
    /// How the same open file looked after the last byte was read.
    pub after: FileFacts,
    /// The wall clock before all that, in nanoseconds since the epoch.
    pub began_ns: i64,
    /// Whether what others had stored in the file was written to its disk ([`File::sync_data`](std::fs::File::sync_data)
    /// on the descriptor that was read) between `began_ns` and `before`. Worth it for a file that changed within the
    /// last minute, and for no other.
    pub synced: bool,
    /// What was found.
    pub judgement: Judgement,
    /// What it was judged by.
    pub basis: BasisId,
}

/// Why a verdict is not remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The file changed while it was read.
    Moved,
    /// It changed so shortly before that a later change might not show.
    Unsettled,
}

/// How long after a change the next one may not show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grain {
    /// By the grain of the clock that stamps files.
    pub(super) clock: Duration,
    /// By stores through a mapping, where they were not synced.
    pub(super) settle: Duration,
}

impl Judged {
    /// Whether every later change of the file will show in its facts.
    pub(super) fn check(&self, grain: Grain) -> Result<(), Refusal> {
        if self.before != self.after {
            return Err(Refusal::Moved);
        }
        if self.before.has_rested(self.synced, self.began_ns, grain) {
            Ok(())
        } else {
            Err(Refusal::Unsettled)
        }
    }
}

impl FileFacts {
    /// Whether a file that looks like this changed so long before `began_ns` that every change since then shows.
    pub(super) fn has_rested(&self, synced: bool, began_ns: i64, grain: Grain) -> bool {
        // A change to come stamps both. An mtime of the future was set by hand and will not be stamped so soon.
        let last = if self.mtime_ns > began_ns {
            self.ctime_ns
        } else {
            self.ctime_ns.max(self.mtime_ns)
        };
        let wanted = if synced {
            grain.clock
        } else {
            grain.settle.max(grain.clock)
        };
        let wanted = i64::try_from(wanted.as_nanos()).unwrap_or(i64::MAX);
        last.saturating_add(wanted) <= began_ns
    }
}

/// After how long a page that somebody stored into through a mapping was surely written to its disk, by the settings of
/// this kernel: from then on the next store shows. [`Duration::MAX`] where the kernel writes nothing by itself.
pub(super) fn settle_of_system() -> Duration {
    const LEAST: Duration = Duration::from_secs(60);
    let hundredths = |name| {
        let text = fs::read_to_string(format!("/proc/sys/vm/dirty_{name}_centisecs")).ok()?;
        text.trim().parse::<u64>().ok()
    };
    match (hundredths("expire"), hundredths("writeback")) {
        (_, Some(0)) => Duration::MAX,
        // Twice, since a busy disk is late.
        (Some(expire), Some(writeback)) => {
            Duration::from_millis(expire.saturating_add(writeback).saturating_mul(20)).max(LEAST)
        }
        _ => LEAST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;
    const GRAIN: Grain = Grain {
        clock: Duration::from_secs(2),
        settle: Duration::from_secs(60),
    };

    fn judged(ctime_s: i64, mtime_s: i64, synced: bool) -> Judged {
        let facts = FileFacts {
            inode: 1,
            size: 1,
            mtime_ns: mtime_s * SECOND,
            ctime_ns: ctime_s * SECOND,
            btime_ns: 0,
        };
        Judged {
            before: facts,
            after: facts,
            began_ns: 1000 * SECOND,
            synced,
            judgement: Judgement::Clean,
            basis: BasisId(1),
        }
    }

    #[track_caller]
    fn check(ctime_s: i64, mtime_s: i64, synced: bool, wanted: Result<(), Refusal>) {
        assert_eq!(judged(ctime_s, mtime_s, synced).check(GRAIN), wanted);
    }

    #[test]
    fn only_what_rested_is_remembered() {
        let unsettled = Err(Refusal::Unsettled);
        check(940, 940, false, Ok(()));
        check(941, 900, false, unsettled);
        check(998, 998, true, Ok(()));
        check(999, 10, true, unsettled);
        // An mtime that was set back helps nobody, and one of the future harms nobody.
        check(999, 900, false, unsettled);
        check(900, 999, false, unsettled);
        check(900, 5000, false, Ok(()));
        check(5000, 900, true, unsettled);
    }

    #[test]
    fn what_changed_while_it_was_read_is_not_remembered() {
        let mut moved = judged(1, 1, true);
        moved.after.ctime_ns += 1;
        assert_eq!(moved.check(GRAIN), Err(Refusal::Moved));
    }

    #[test]
    fn no_setting_of_the_kernel_makes_it_less_than_a_minute() {
        assert!(settle_of_system() >= Duration::from_secs(60));
    }
}
