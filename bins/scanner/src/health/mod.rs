//! How the scans go, beside what is told of every agent.
mod scans;

pub(crate) use scans::LastScan;

use crate::context::Context;
use fleet_link::agent::{AgentHealth, AgentState};
use fsscan::Progress;
use scans::ScanMetrics;
use std::sync::{Arc, Mutex};

/// What is told of the run.
pub(crate) struct Health {
    /// What is told of every agent.
    pub(crate) agent: Arc<AgentHealth>,
    scan: ScanMetrics,
    /// Of the scan that lasts, or of the last one.
    progress: Mutex<Option<Arc<Progress>>>,
    last: Mutex<LastScan>,
}

impl Health {
    /// Registers what is known from the start, and binds the endpoint where it is switched on.
    pub(crate) fn start(context: &Context, state: &Arc<AgentState>) -> anyhow::Result<Self> {
        let agent = context.health(state)?;
        Ok(Self {
            scan: ScanMetrics::new(&agent),
            agent: Arc::new(agent),
            progress: Mutex::default(),
            last: Mutex::default(),
        })
    }
}
