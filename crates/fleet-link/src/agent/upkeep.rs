//! What the state needs while the agent is up: backups, an end to what has waited too long, space given back.
use super::{AgentConfig, AgentHealth, AgentParts, AgentState, LiveSettings as _};
use chrono::{DateTime, TimeDelta, Utc};
use daemon_kit::{BackupSettings, blocking};
use std::{sync::Arc, time::Duration};
use tokio::time;
use tokio_util::sync::CancellationToken;

/// How often the outbox is looked through for what has waited too long, and space is given back.
const ROUND: Duration = Duration::from_secs(60);

/// How often it is looked whether a full disk has room again.
const WHILE_FULL: Duration = Duration::from_secs(5);

/// Keeps the state in order until `stop`. The first backup is taken once a scan has ended: an empty state is quicker made
/// anew than restored.
///
/// # Errors
/// When the state fails; to begin again later is right then.
pub(super) async fn upkeep<C: AgentConfig>(agent: Arc<AgentParts<C>>, stop: CancellationToken) -> anyhow::Result<()> {
    let mut changes = agent.context.changes();
    let mut due = time::Instant::now();
    loop {
        let is_due = time::Instant::now() >= due;
        if is_due {
            due = time::Instant::now() + ROUND;
        }
        let of = Arc::clone(&agent);
        blocking(move || {
            if is_due {
                let live = of.context.live();
                let is_worth_it = || of.hooks.pulse().last_scan_time.is_some();
                look_after(&of.state, &of.health, &live.common().database, is_worth_it, Utc::now())?;
            }
            Ok(of.state.database.tidy()?)
        })
        .await?;
        let is_full = agent.state.database.is_disk_short();
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = time::sleep(if is_full { WHILE_FULL } else { ROUND }) => {}
            Ok(()) = changes.changed() => due = time::Instant::now(),
        }
    }
}

fn look_after(
    state: &AgentState,
    health: &AgentHealth,
    settings: &BackupSettings,
    is_worth_it: impl Fn() -> bool,
    now: DateTime<Utc>,
) -> anyhow::Result<()> {
    state.expire(now)?;
    // A backup that cannot be written is said, and is no reason to leave the rest undone.
    if let Err(error) = back_up(state, health, settings, is_worth_it, now) {
        tracing::error!(error = format!("{error:#}"), "no backup of the state could be taken");
        health.backup_failed(&format!("{error:#}"));
    }
    Ok(())
}

/// Takes a backup where one is due. When the last was taken is told by the backups themselves.
fn back_up(
    state: &AgentState,
    health: &AgentHealth,
    settings: &BackupSettings,
    is_worth_it: impl Fn() -> bool,
    now: DateTime<Utc>,
) -> anyhow::Result<()> {
    if !settings.backup_enabled {
        return Ok(());
    }
    let backups = settings.backups(&state.file);
    let newest = backups.list()?.into_iter().map(|backup| backup.taken_at).max();
    let interval = TimeDelta::from_std(settings.backup_interval.get()).unwrap_or(TimeDelta::days(36_500));
    // A backup from the future is of a clock that was set back since.
    let is_due = newest.is_none_or(|newest| newest + interval <= now || newest > now);
    if !is_due || !(newest.is_some() || is_worth_it()) {
        return Ok(());
    }
    let backup = backups.take(&state.database, now)?;
    tracing::info!(file = %backup.path.display(), bytes = backup.bytes, "took a backup of the state");
    health.backed_up(backup.taken_at);
    Ok(())
}
