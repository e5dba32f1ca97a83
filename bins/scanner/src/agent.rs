//! The scanner as an agent of a fleet: what it is there, and what the server hears of its scans.
use crate::{
    answers, cli::JoinArgs, context::Context, document::DOCUMENT, health::Health, session, settings::ScannerConfig,
};
use chrono::Utc;
use fleet_link::{
    Refusal, Verbs,
    agent::{Agent, AgentHooks, AgentParts, AgentState, Linked, Product, Pulse},
};
use fsscan::Summary;
use state_sqlite::Database;
use std::sync::Arc;

pub(crate) const PRODUCT: Product = Product {
    name: "scanner",
    prefix: "SCANNER",
    metrics: "scanner",
    version: env!("CARGO_PKG_VERSION"),
    capabilities: &["files"],
    port: 7604,
    components: &[session::COMPONENT],
};

/// The server's side of this agent. `verbs` is what a controller can have it do.
pub(crate) fn agent(
    context: &Context,
    join: &JoinArgs,
    state: &Arc<AgentState>,
    health: &Arc<Health>,
    linked: Linked,
    verbs: Verbs,
) -> Agent<ScannerConfig> {
    let hooks = Hooks {
        health: Arc::clone(health),
        database: state.database.clone(),
    };
    Agent::new(AgentParts {
        context: context.agent().clone(),
        state: Arc::clone(state),
        health: Arc::clone(&health.agent),
        hooks: Arc::new(hooks),
        verbs,
        document: Some(DOCUMENT),
        linked,
        join_token_file: join.join_token_file.clone(),
    })
}

struct Hooks {
    health: Arc<Health>,
    database: Database,
}

impl AgentHooks for Hooks {
    fn pulse(&self) -> Pulse {
        let last = self.health.last_scan();
        Pulse {
            last_scan_time: last.ended_at,
            files: last.files,
            errors: last.errors,
            reason: reason(last.errors),
        }
    }

    /// Refusals are kept by path.
    fn rejected(&self, refusals: &[Refusal]) {
        self.health.refused(refusals.len() as u64);
        if let Err(error) = answers::keep_refusals(&self.database, refusals, Utc::now()) {
            tracing::error!(%error, "refusals could not be kept");
        }
    }
}

/// What is said after a scan that ended now.
pub(crate) fn pulse_of(summary: &Summary) -> Pulse {
    Pulse {
        last_scan_time: Some(Utc::now()),
        files: summary.files,
        errors: summary.error_count(),
        reason: reason(summary.error_count()),
    }
}

fn reason(errors: u64) -> Option<String> {
    (errors > 0).then(|| format!("{errors} errors in the last scan"))
}
