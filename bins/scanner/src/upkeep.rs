//! What the state needs while the agent is up: backups, an end to what has waited too long, space given back.
use crate::scanning::Scanning;
use chrono::{DateTime, TimeDelta, Utc};
use daemon_kit::blocking;
use std::time::Duration;
use tokio::time;
use tokio_util::sync::CancellationToken;

/// How often the outbox is looked through for what has waited too long, and space is given back.
const ROUND: Duration = Duration::from_secs(60);

/// How often it is looked whether a full disk has room again.
const WHILE_FULL: Duration = Duration::from_secs(5);

/// Runs until `stop`.
pub(crate) async fn run(scanning: Scanning, stop: CancellationToken) -> anyhow::Result<()> {
    let mut changes = scanning.context.changes();
    let mut due = time::Instant::now();
    loop {
        let is_due = time::Instant::now() >= due;
        if is_due {
            due = time::Instant::now() + ROUND;
        }
        let own = scanning.clone();
        blocking(move || {
            if is_due {
                look_after(&own, Utc::now())?;
            }
            Ok(own.state.database.tidy()?)
        })
        .await?;
        let is_full = scanning.state.database.is_disk_short();
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = time::sleep(if is_full { WHILE_FULL } else { ROUND }) => {}
            Ok(()) = changes.changed() => due = time::Instant::now(),
        }
    }
}

fn look_after(scanning: &Scanning, now: DateTime<Utc>) -> anyhow::Result<()> {
    expire(scanning, now)?;
    // A backup that cannot be written is said, and is no reason to leave the rest undone.
    if let Err(error) = back_up(scanning, now) {
        tracing::error!(error = format!("{error:#}"), "no backup of the state could be taken");
        scanning.health.backup_failed(&format!("{error:#}"));
    }
    Ok(())
}

fn expire(scanning: &Scanning, now: DateTime<Utc>) -> anyhow::Result<()> {
    let dropped = scanning.state.outbox.expire(now)?;
    if dropped > 0 {
        tracing::warn!(
            records = dropped,
            "records waited longer than `outbox.max_age` and were dropped; everything is told anew once the server \
             answers"
        );
    }
    Ok(())
}

/// Takes a backup where one is due. When the last was taken is told by the backups themselves.
fn back_up(scanning: &Scanning, now: DateTime<Utc>) -> anyhow::Result<()> {
    let live = scanning.context.live();
    let settings = &live.database;
    if !settings.backup_enabled {
        return Ok(());
    }
    let backups = live.database.backups(&scanning.state.file);
    let newest = backups.list()?.into_iter().map(|backup| backup.taken_at).max();
    let interval = TimeDelta::from_std(settings.backup_interval.get()).unwrap_or(TimeDelta::days(36_500));
    // A backup from the future is of a clock that was set back since.
    let is_due = newest.is_none_or(|newest| newest + interval <= now || newest > now);
    // An empty state is quicker made anew than restored.
    let is_worth_it = scanning.health.has_scanned() || newest.is_some();
    if !is_due || !is_worth_it {
        return Ok(());
    }
    let backup = backups.take(&scanning.state.database, now)?;
    tracing::info!(file = %backup.path.display(), bytes = backup.bytes, "took a backup of the state");
    scanning.health.backed_up(backup.taken_at);
    Ok(())
}
