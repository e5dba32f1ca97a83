//! What a watch did so far, in numbers.
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a watch did so far. All but `watches`, `pending` and `blind` only grow.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct WatchStats {
            $($(#[$doc])* pub $name: u64,)*
        }

        /// Counters to look at while a watch runs.
        #[derive(Debug, Default)]
        pub struct WatchCounters {
            $(pub(super) $name: AtomicU64,)*
        }

        impl WatchCounters {
            /// How they stand. Each is true by itself; together they may be an event apart.
            pub fn read(&self) -> WatchStats {
                WatchStats {
                    $($name: self.$name.load(Ordering::Relaxed),)*
                }
            }
        }
    };
}

counters! {
    /// Watches set now.
    watches,
    /// Files that wait to be told, or were told less than `latest` ago.
    pending,
    /// Directories found that could not be watched, in the picture as it is now.
    blind,
    /// Events read from the system.
    events,
    /// How often the watching thread read events: what it costs.
    batches,
    /// Writes noticed of files that are not left out.
    noticed,
    /// Of these, how many found their file waiting already, or its directory lost.
    coalesced,
    /// Files told as written.
    written,
    /// Files that were gone, or no regular ones, or empty and never written, when they were to be told.
    dropped,
    /// Files larger than their root's `max_file_size` when they were to be told.
    too_large,
    /// Directories told as lost.
    lost,
    /// How often a queue of the system ran over.
    overflows,
    /// Events of fanotify for writes of this very process, which are not told by it.
    own,
}

impl WatchCounters {
    #[cfg_attr(
        not(target_os = "linux"),
        expect(dead_code, reason = "nothing is watched on this system")
    )]
    pub(super) fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(super) fn one(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn set(counter: &AtomicU64, value: usize) {
        counter.store(value as u64, Ordering::Relaxed);
    }
}
