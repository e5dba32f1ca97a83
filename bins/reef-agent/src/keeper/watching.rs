//! The keeper's three loops. None waits for another: a STATS behind a big archive delays no PING.
use super::{
    Activity, Canary, CanaryOutcome, ClamdState, DatabaseFiles, KeeperSettings, Presence, Shared, canary,
    limits::{self, socket},
    state,
};
use chrono::{DateTime, Utc};
use clamd_proto::{ClamError, Version};
use core_model::chain;
use std::{path::Path, sync::atomic::Ordering, time::Duration};
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{self, Instant},
};
use tracing::{debug, error, info};

/// Between two VERSIONs, and between two STATS while nothing is scanned.
const EACH: Duration = Duration::from_secs(60);
/// Between two STATS while something is.
const BUSY_EACH: Duration = Duration::from_secs(10);
/// After a canary that was not found: what waits for clamd to detect goes on soon, and clamd notes nothing of such a one.
const BLIND_AGAIN: Duration = Duration::from_secs(10);
/// After a canary without a verdict.
const CANARY_AGAIN: Duration = Duration::from_secs(60);

/// What a clamd is that answers: where one of these changes, it is another one, or judges by something else.
#[derive(Clone, PartialEq)]
struct Known {
    version: Version,
    files: Option<DatabaseFiles>,
    /// The socket's inode and the time of its change: clamd makes another one when it starts.
    socket: Option<(u64, i64, i64)>,
}

/// PING, and VERSION when it is due.
pub(super) async fn presence(shared: &Shared, mut live: watch::Receiver<KeeperSettings>) {
    let mut settings = live.borrow_and_update().clone();
    let mut known: Option<Known> = None;
    let mut version_due = Instant::now();
    loop {
        let was_up = shared.state.borrow().is_up();
        let pinged = settings.daemon().ping().await;
        note_presence(shared, &pinged);
        if pinged.is_ok() {
            let socket = socket(&settings.endpoint);
            let is_another = known.as_ref().is_none_or(|known| known.socket != socket);
            if !was_up || is_another || Instant::now() >= version_due {
                match identify(&settings, socket).await {
                    Ok(now) => {
                        let has_restarted = !was_up || is_another;
                        note_identity(shared, &settings, &now);
                        if has_restarted {
                            shared.limits_due.store(true, Ordering::Relaxed);
                        }
                        if has_restarted || known.as_ref() != Some(&now) {
                            shared.ask_canary();
                        }
                        known = Some(now);
                        version_due = Instant::now() + EACH;
                    }
                    Err(error) => debug!(error = chain(&error), "clamd did not tell its version"),
                }
            }
        }
        tokio::select! {
            () = shared.look.notified() => version_due = Instant::now(),
            () = time::sleep(shared.ping_interval()) => {}
            changed = live.changed(), if live.has_changed().is_ok() => {
                let next = live.borrow_and_update().clone();
                if changed.is_ok() && next != settings {
                    if next.endpoint != settings.endpoint {
                        shared.state.send_replace(ClamdState::new(next.endpoint.clone()));
                    }
                    settings = next;
                    known = None;
                }
            }
        }
    }
}

fn note_presence(shared: &Shared, pinged: &Result<(), ClamError>) {
    let now = Utc::now();
    shared
        .state
        .send_if_modified(|state| match (pinged, &mut state.presence) {
            (Ok(()), Presence::Up { .. }) => false,
            (Ok(()), before) => {
                if let Presence::Down { since, .. } = before {
                    let away = (now - *since).num_seconds();
                    info!(endpoint = %state.endpoint, away_secs = away, "clamd answers again");
                }
                state.presence = Presence::Up { since: now };
                true
            }
            (Err(error), Presence::Down { kind, .. }) if *kind == error.kind() => false,
            (Err(error), before) => {
                let why = chain(error);
                let since = match before {
                    Presence::Down { since, .. } => *since,
                    Presence::Up { .. } | Presence::Unknown => now,
                };
                error!(endpoint = %state.endpoint, reason = why, "clamd does not answer: nothing can be judged");
                state.presence = Presence::Down {
                    since,
                    kind: error.kind(),
                    why,
                };
                state.activity = None;
                true
            }
        });
}

async fn identify(settings: &KeeperSettings, socket: Option<(u64, i64, i64)>) -> Result<Known, ClamError> {
    let version = settings.daemon().version().await?;
    let files = match settings.database_directory.clone() {
        Some(directory) => files(directory.as_path()).await,
        None => None,
    };
    Ok(Known { version, files, socket })
}

async fn files(directory: &Path) -> Option<DatabaseFiles> {
    let of = directory.to_owned();
    // A directory on a file system that hangs holds up nothing else.
    let read = spawn_blocking(move || DatabaseFiles::read(&of)).await.ok()?;
    let noted = read.inspect_err(|error| {
        debug!(directory = %directory.display(), %error, "clamd's database directory cannot be read");
    });
    noted.ok()
}

fn note_identity(shared: &Shared, settings: &KeeperSettings, known: &Known) {
    let made = known
        .version
        .database
        .and_then(|database| state::made(database, &settings.endpoint));
    let newest = known.files.as_ref().and_then(DatabaseFiles::newest);
    // The date of a daily database says how old it is; when a file was written says only when it came.
    let made: Option<DateTime<Utc>> = made.or(newest);
    shared.state.send_if_modified(|state| {
        let version = Some(known.version.clone());
        let is_news = state.version != version || state.database_made != made;
        if state.version.is_some() && state.version != version {
            info!(version = %known.version, "clamd judges by another version");
        }
        (state.version, state.database_made) = (version, made);
        is_news
    });
}

/// STATS, whenever clamd comes to it.
pub(super) async fn activity(shared: &Shared, live: watch::Receiver<KeeperSettings>) {
    let mut state = shared.state.subscribe();
    loop {
        // It cannot fail: the sender lives as long as `shared`.
        state.wait_for(ClamdState::is_up).await.ok();
        let daemon = live.borrow().daemon();
        match daemon.stats().await {
            Ok(stats) => {
                let activity = Activity::of(&stats, Utc::now());
                shared.state.send_modify(|state| state.activity = activity);
            }
            Err(error) => debug!(error = chain(&error), "clamd did not tell what it does"),
        }
        let due = Instant::now() + EACH;
        loop {
            time::sleep(BUSY_EACH).await;
            if shared.busy.load(Ordering::Relaxed) > 0 || Instant::now() >= due {
                break;
            }
        }
    }
}

/// Canaries, when they are due or asked for; and whether clamd looks at files as long as it is said to.
pub(super) async fn canaries(shared: &Shared, mut live: watch::Receiver<KeeperSettings>) {
    let mut asked = shared.asked.subscribe();
    // Those that were asked for before this ran, or that a panic left, are answered too. Else the first one is asked for
    // when clamd has told its version.
    if *asked.borrow() > *shared.answered.borrow() {
        asked.mark_changed();
    }
    let mut wait = None;
    loop {
        tokio::select! {
            () = sleep(wait) => {}
            changed = asked.changed() => if changed.is_err() { return },
            changed = live.changed(), if live.has_changed().is_ok() => {
                if changed.is_err() { continue }
                shared.limits_due.store(true, Ordering::Relaxed);
            }
        }
        let number = *asked.borrow_and_update();
        let settings = live.borrow_and_update().clone();
        if settings.canary.enabled {
            let at = Utc::now();
            let outcome = canary::send(&settings).await;
            wait = Some(match outcome {
                CanaryOutcome::Missed { .. } => BLIND_AGAIN,
                CanaryOutcome::NoVerdict { .. } => CANARY_AGAIN,
                CanaryOutcome::Found => settings.canary.every.get(),
            });
            let is_found = outcome == CanaryOutcome::Found;
            note_canary(shared, at, outcome);
            if is_found && settings.canary.limits && shared.limits_due.swap(false, Ordering::Relaxed) {
                look(shared, &settings).await;
            }
        } else {
            wait = None;
            shared
                .state
                .send_modify(|state| (state.canary, state.looked) = (None, None));
        }
        shared.answered.send_replace(number);
    }
}

async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

fn note_canary(shared: &Shared, at: DateTime<Utc>, outcome: CanaryOutcome) {
    shared.state.send_modify(|state| {
        let before = state.canary.take();
        let mut last_found = before.as_ref().and_then(|before| before.last_found);
        match &outcome {
            CanaryOutcome::Found => {
                last_found = Some(at);
                if before.as_ref().is_some_and(Canary::is_blind) {
                    info!("clamd detects again: it found the test file");
                }
            }
            // It is tried often, and said once.
            CanaryOutcome::Missed { .. } if before.as_ref().is_some_and(Canary::is_blind) => {}
            CanaryOutcome::Missed { by } => error!(
                by,
                "clamd answers and does not detect: it called the test file of the antivirus industry (EICAR) clean; \
                 look into its log, and whether its database is whole"
            ),
            CanaryOutcome::NoVerdict { why } => {
                debug!(reason = why, "there was no verdict on the test file");
            }
        }
        state.canary = Some(Canary {
            at,
            outcome,
            last_found,
        });
    });
}

async fn look(shared: &Shared, settings: &KeeperSettings) {
    let looked = match limits::look(&settings.endpoint, settings.max_file_size).await {
        Ok(looked) => looked,
        Err(error) => {
            debug!(
                error = chain(&error),
                "whether clamd looks at long files could not be found out"
            );
            shared.limits_due.store(true, Ordering::Relaxed);
            return;
        }
    };
    if let Some(looked) = looked {
        limits::say(looked, settings.max_file_size);
    }
    shared.state.send_modify(|state| state.looked = looked);
}
