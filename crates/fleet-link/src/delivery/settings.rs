//! How delivery goes about it.

use core_model::Backoff;
use std::time::Duration;

/// How records are delivered. The values in force are read at the start of each round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliverySettings {
    /// Records a request; held to 1 … 1,000.
    pub batch_size: usize,
    /// Requests at once; held to 1 … 5.
    pub concurrent_api_calls: usize,
    /// How often the queue is looked at when nobody says that something was enqueued.
    pub interval: Duration,
    /// After a round that failed the next comes no sooner than this, or than `interval` where that is shorter.
    pub least_wait: Duration,
    /// The waits after rounds that failed.
    pub backoff: Backoff,
    /// What is under way when the process has to end gets this long; then it is given up and stays in the queue.
    pub hand_back_after: Duration,
}

impl Default for DeliverySettings {
    /// 500 records, three at once, every 5 s; after failures from 1 s to 5 min; 3 s at the end.
    fn default() -> Self {
        Self {
            batch_size: 500,
            concurrent_api_calls: 3,
            interval: Duration::from_secs(5),
            least_wait: Duration::from_secs(5),
            backoff: Backoff {
                first: Duration::from_secs(1),
                longest: Duration::from_secs(300),
            },
            hand_back_after: Duration::from_secs(3),
        }
    }
}

impl DeliverySettings {
    pub(super) fn records(&self) -> usize {
        self.batch_size.clamp(1, 1000)
    }

    pub(super) fn requests(&self) -> usize {
        self.concurrent_api_calls.clamp(1, 5)
    }
}
