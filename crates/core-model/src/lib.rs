//! The ground of the workspace: ids, units, secrets, pure state machines, and the contracts that two crates share.
//!
//! Nothing here reads a clock, a file, a socket or a source of randomness: instants and random bits are handed in, so
//! that every rule can be tested as data in, data out. It is *not* a place for helpers: what one crate alone speaks of
//! stands in that crate.
//!
//! ```
//! use core_model::{Breaker, BreakerSettings, Decision};
//! use std::time::{Duration, Instant};
//!
//! let now = Instant::now();
//! let mut breaker = Breaker::new(BreakerSettings { window: 2, ..BreakerSettings::default() });
//! breaker.failed(now);
//! breaker.failed(now);
//! assert!(matches!(breaker.ask(now), Decision::Refuse { .. }));
//! assert_eq!(breaker.ask(now + Duration::from_secs(120)), Decision::Probe);
//! ```
mod backoff;
mod breaker;
mod error;
mod id;
mod label;
mod queue;
mod secret;
mod tree;
mod unit;

pub use backoff::Backoff;
pub use breaker::{Breaker, BreakerSettings, BreakerState, Decision};
pub use error::chain;
pub use id::{
    AgentId, BatchId, ClaimId, CommandId, EventId, InstanceId, MessageId, ParseIdError, StreamId, TokenId, UserId,
};
pub use label::{LabelError, LabelKey, LabelMatch, LabelValue, Labels, MOST_LABELS, Site};
pub use queue::{Damaged, Queue, QueueStats, QueuedRun, Run, SeqRange};
pub use secret::Secret;
pub use tree::{
    Batch, Digest, DirId, DirUpdate, Identity, KnownDir, KnownRoot, KnownTree, RootId, RootIdentity, RootUpdate, Side,
    StoredDir, TreeReader, Undecided, UndecidedUpdate,
};
pub use unit::{ByteSize, Period, Share, UnitError};
