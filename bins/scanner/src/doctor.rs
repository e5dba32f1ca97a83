//! `scanner doctor`: what is wrong with this set-up, and the remedy of each.
use crate::{
    agent::PRODUCT,
    cli::{Common, Which},
    context::mended_by,
    request,
    settings::ScannerConfig,
};
use chrono::{DateTime, TimeDelta, Utc};
use core_model::{ByteSize, chain};
use daemon_kit::{
    Dialect, Exit,
    cli::{Checkup, DoctorArgs},
    doctor::{self, Finding},
};
use fleet_link::{CredentialFile, Credentials};
use state_sqlite::{Backups, Database, OpenError, Outbox, RunLock};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use transport_http::{Client, ClientIdentity, HeaderMap, SendError};

/// A clock that differs by more makes times of records wrong, and certificates too early or too late.
const LARGEST_SKEW: Duration = Duration::from_secs(60);

/// A certificate of its own that ends sooner than this should have been renewed by now.
const RENEWED_BEFORE: TimeDelta = TimeDelta::days(2);

/// From this share on the outbox is nearly full.
const NEARLY_FULL: f64 = 0.8;

pub(crate) fn run(common: &Common, args: &DoctorArgs) -> anyhow::Result<Exit> {
    let mut checkup = common.check_up::<ScannerConfig>();
    if let Some(config) = checkup.settings().cloned() {
        scan_paths(&mut checkup, &config);
        let file = checkup.path("database.path", config.database.path.as_deref(), "state.db");
        let mut is_running = false;
        if let Some(file) = file {
            is_running = RunLock::is_held(&file);
            state(&mut checkup, &config, &file);
        }
        if let Some(address) = config.health.listen(PRODUCT.port) {
            let finding = doctor::listen_address("health", address, "health.port", is_running);
            checkup.report.add(finding);
        }
        server(&mut checkup, &config)?;
    }
    let version = concat!("scanner ", env!("CARGO_PKG_VERSION"));
    checkup.finish(args, version, common.output.into())
}

/// Every path that is to be scanned: there, a directory, and readable by this user.
fn scan_paths(checkup: &mut Checkup<ScannerConfig>, config: &ScannerConfig) {
    const CHECK: &str = "scan path";
    if config.scanner.scan_paths.is_empty() {
        let remedy = "name at least one directory in `scanner.scan_paths`";
        return checkup
            .report
            .add(Finding::failure(CHECK, "none is configured", remedy));
    }
    for path in &config.scanner.scan_paths {
        let Ok(path) = request::absolute(&path.path) else {
            continue;
        };
        let shown = path.display();
        let finding = match fs::read_dir(&path) {
            Ok(_) => Finding::ok(CHECK, format!("{shown} can be read")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Finding::failure(
                CHECK,
                format!("{shown} is not there"),
                "mount it, or take it out of `scanner.scan_paths`; nothing of it is told as deleted meanwhile",
            ),
            Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => Finding::failure(
                CHECK,
                format!("{shown} is no directory"),
                "name the directory that it lies in, in `scanner.scan_paths`",
            ),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Finding::failure(
                CHECK,
                format!("{shown}: {error}"),
                "let the user of the agent read it, or give the agent CAP_DAC_READ_SEARCH (systemd: \
                 AmbientCapabilities=)",
            ),
            Err(error) => Finding::failure(
                CHECK,
                format!("{shown}: {error}"),
                "see that its file system is mounted and well (`dmesg`)",
            ),
        };
        checkup.report.add(finding);
    }
}

/// The state, what waits in it, its backups, and whether an agent works on it.
fn state(checkup: &mut Checkup<ScannerConfig>, config: &ScannerConfig, file: &Path) {
    let mut lock = file.as_os_str().to_owned();
    lock.push(".lock");
    checkup.report.add(doctor::other_process(&PathBuf::from(lock)));
    let database = match Database::open_read_only(file) {
        Ok(database) => database,
        Err(OpenError::Missing { .. }) => {
            let found = format!("none at {} yet; the first `scanner run` makes it", file.display());
            return checkup.report.add(Finding::skipped("state", found));
        }
        Err(error) => {
            let remedy = match &error {
                OpenError::TooNew { .. } => "install the newer version again, or name another file in `database.path`",
                _ if error.is_damage() => mended_by(Which::Run),
                _ => "see that the user of the agent may read and write it",
            };
            return checkup
                .report
                .add(doctor::outcome("state", Err::<String, _>(chain(&error)), remedy));
        }
    };
    let size = ByteSize::new(database.size()).human();
    let sound = database
        .check()
        .map(|()| format!("{} is sound ({size})", file.display()));
    let remedy = mended_by(Which::Run);
    checkup
        .report
        .add(doctor::outcome("state", sound.map_err(|error| chain(&error)), remedy));
    outbox(checkup, config, &database);
    backups(checkup, config, file);
}

fn outbox(checkup: &mut Checkup<ScannerConfig>, config: &ScannerConfig, database: &Database) {
    const CHECK: &str = "outbox";
    let stats = match Outbox::stats_of(database) {
        Ok(stats) => stats,
        Err(error) => {
            let remedy = "see `scanner state check`";
            return checkup.report.add(Finding::failure(CHECK, chain(&error), remedy));
        }
    };
    let most = config.outbox.max_bytes.bytes();
    let found = format!(
        "{} records wait, {} of {}",
        stats.records,
        ByteSize::new(stats.bytes).human(),
        ByteSize::new(most).human()
    );
    let is_nearly_full = stats.bytes as f64 > most as f64 * NEARLY_FULL;
    let finding = if is_nearly_full {
        Finding::warning(
            CHECK,
            found,
            "see why the server takes nothing, or raise `outbox.max_bytes`",
        )
    } else {
        Finding::ok(CHECK, found)
    };
    checkup.report.add(finding);
    if stats.dropped > 0 {
        let found = format!("{} records were given up since the state was made", stats.dropped);
        let remedy = "raise `outbox.max_bytes` or `outbox.max_age`, or set `outbox.when_full = \"block\"`; the server \
                      is told everything anew";
        checkup.report.add(Finding::warning("outbox bounds", found, remedy));
    }
}

fn backups(checkup: &mut Checkup<ScannerConfig>, config: &ScannerConfig, file: &Path) {
    const CHECK: &str = "backups";
    let settings = &config.database;
    if !settings.backup_enabled {
        let why = "switched off (`database.backup_enabled`): a damaged state is built anew by a full scan";
        return checkup.report.add(Finding::skipped(CHECK, why));
    }
    let backups = Backups::new(settings.backup_dir(file), settings.max_backups as usize);
    let shown = backups.dir().display().to_string();
    let finding = match backups.list() {
        Err(error) => Finding::failure(
            CHECK,
            chain(&error),
            format!("see that the user of the agent may read and write {shown}"),
        ),
        Ok(list) => match list.first() {
            None => Finding::skipped(CHECK, format!("none in {shown} yet: `scanner run` takes them")),
            Some(newest) => {
                let found = format!(
                    "the newest of {} is of {}",
                    list.len(),
                    newest.taken_at.format("%Y-%m-%d %H:%M UTC")
                );
                let limit = TimeDelta::from_std(settings.backup_interval.get() * 2).unwrap_or(TimeDelta::MAX);
                match Utc::now() - newest.taken_at > limit {
                    true => Finding::warning(
                        CHECK,
                        found,
                        "see that `scanner run` is up; `scanner state backup` takes one now",
                    ),
                    false => Finding::ok(CHECK, found),
                }
            }
        },
    };
    checkup.report.add(finding);
}

/// The way to the server, step by step, and whether it takes our key.
fn server(checkup: &mut Checkup<ScannerConfig>, config: &ScannerConfig) -> anyhow::Result<()> {
    let (Some(base_url), Some(mut settings)) = (config.server.base_url.as_deref(), config.server.client_settings())
    else {
        let why = "none is configured (`server.base_url`): changes are kept here and told to nobody";
        checkup.report.add(Finding::skipped("server", why));
        return Ok(());
    };
    if let Some(identity) = &settings.identity {
        checkup.report.add(certificate(identity, Utc::now()));
    }
    let data_dir = checkup.data_dir.as_ref().map(|data_dir| data_dir.path.clone());
    let proof = match (&settings.api_key, data_dir) {
        (Some(key), _) => Some(Some(key.current())),
        (None, Some(data_dir)) => credentials(checkup, &data_dir, base_url).map(|credentials| credentials.api_key),
        (None, None) => None,
    };
    if let Some(Some(key)) = &proof {
        checkup.hide(key);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let around = checkup.around.clone();
    let steps = runtime.block_on(doctor::server(&config.server, &around, LARGEST_SKEW));
    let answers = steps.iter().all(|step| step.verdict != doctor::Verdict::Failure);
    for step in steps {
        checkup.report.add(step);
    }
    if !answers {
        return Ok(());
    }
    if config.server.dialect == Dialect::FilesV1 {
        let why = "a server of the file-scanner document cannot be asked without telling it something";
        checkup.report.add(Finding::skipped("key", why));
        return Ok(());
    }
    let Some(key) = proof else {
        if settings.identity.is_some() {
            let why = "none yet: the agent joins by its certificate at its first run";
            checkup.report.add(Finding::skipped("key", why));
            return Ok(());
        }
        let remedy = "give the agent a join token: `fleet-controller join-tokens create`, then SCANNER_JOIN_TOKEN or \
                      --join-token-file at its first run";
        checkup
            .report
            .add(Finding::failure("key", "this agent has none yet", remedy));
        return Ok(());
    };
    settings.api_key = key.map(Into::into);
    settings.retry_attempts = 0;
    let finding = runtime.block_on(key_is_taken(settings));
    checkup.report.add(finding);
    Ok(())
}

/// Whether the agent's own certificate can be shown, and for how long.
fn certificate(identity: &ClientIdentity, now: DateTime<Utc>) -> Finding {
    const CHECK: &str = "client certificate";
    let remedy = "have it renewed by the authority that the server trusts; the agent takes it up by itself";
    let end = match identity.expires_at() {
        Ok(Some(end)) => end,
        Ok(None) => return Finding::ok(CHECK, "fits its key"),
        Err(error) => {
            let remedy = "correct `server.client_certificate` and `server.client_key`, and see that the user of the agent \
                          may read both";
            return Finding::failure(CHECK, chain(&error), remedy);
        }
    };
    let shown = end.format("%Y-%m-%d %H:%M UTC");
    match end - now {
        left if left <= TimeDelta::zero() => Finding::failure(CHECK, format!("it ended at {shown}"), remedy),
        left if left < RENEWED_BEFORE => Finding::warning(CHECK, format!("it ends at {shown}"), remedy),
        _ => Finding::ok(CHECK, format!("fits its key, and is good until {shown}")),
    }
}

fn credentials(checkup: &mut Checkup<ScannerConfig>, data_dir: &Path, base_url: &str) -> Option<Credentials> {
    let file = CredentialFile::in_dir(data_dir);
    checkup.report.add(doctor::credentials(
        file.path(),
        "not enrolled yet: a join token is needed at the first run",
    ));
    match file.load(base_url) {
        Ok(credentials) => credentials,
        Err(error) => {
            let remedy = "remove the file and enrol again with a new join token";
            checkup
                .report
                .add(Finding::failure("credentials", chain(&error), remedy));
            None
        }
    }
}

/// An ingest of nothing changes nothing: it is refused for what it is by whoever takes the key, and for the key by
/// whoever does not.
async fn key_is_taken(settings: transport_http::ClientSettings) -> Finding {
    const CHECK: &str = "key";
    let client = match Client::new(settings) {
        Ok(client) => client,
        Err(error) => return Finding::failure(CHECK, chain(&error), "correct the section `server`"),
    };
    let nothing = serde_json::json!({});
    let answer: Result<serde::de::IgnoredAny, SendError> =
        client.post_json("/api/v1/ingest", &nothing, HeaderMap::new()).await;
    match answer
        .as_ref()
        .map_err(|error| (error, error.status().map(|status| status.as_u16())))
    {
        Err((_, Some(401 | 403))) => Finding::failure(
            CHECK,
            "the server does not take this agent's key or certificate",
            "it was revoked or is another server's: remove the credentials and enrol again with a new join token, or \
             correct `server.api_key`",
        ),
        Ok(_) | Err((_, Some(400..=499))) => Finding::ok(CHECK, "the server takes it"),
        Err((error, _)) => Finding::warning(CHECK, chain(error), "see the server's own log"),
    }
}
