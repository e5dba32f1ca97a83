//! A real freshclam, and the clamd that loads what it brings.
use super::*;
use crate::{
    keeper::{Keeper, KeeperSettings},
    settings::{CanarySettings, Freshclam as Which},
};
use core_model::Period;
use std::{fs, path::Path};
use testkit::{ClamdOptions, GUARD};
use tokio::{sync::watch, time::timeout};

/// freshclam, where it is installed.
fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join("freshclam"))
        .find(|file| file.is_file());
    if found.is_none() {
        eprintln!("skipped: freshclam is not installed; `cargo xtask setup` does that");
    }
    found
}

/// A clamd, and freshclam that fills its database from a file of the test's own.
struct Site {
    clamd: testkit::Clamd,
    settings: SignatureSettings,
    source: PathBuf,
    _folder: tempfile::TempDir,
}

impl Site {
    fn new(program: PathBuf, source: &str) -> Self {
        let clamd = testkit::Clamd::start(ClamdOptions::default()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join(source);
        let config = folder.path().join("freshclam.conf");
        let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap();
        // The official databases are left out, so nothing is asked of any network.
        let text = format!(
            "DatabaseDirectory {}\nDatabaseOwner {}\nDatabaseMirror http://127.0.0.1:1\nDNSDatabaseInfo no\n\
             ExcludeDatabase main\nExcludeDatabase daily\nExcludeDatabase bytecode\nMaxAttempts 1\nConnectTimeout 1\n\
             DatabaseCustomURL file://{}\n",
            clamd.database().display(),
            user.name,
            source.display()
        );
        fs::write(&config, text).unwrap();
        let settings = SignatureSettings {
            freshclam: Which::At(program),
            config: Some(config),
            ..SignatureSettings::default()
        };
        Self {
            clamd,
            settings,
            source,
            _folder: folder,
        }
    }

    fn clamd_settings(&self) -> ClamdSettings {
        ClamdSettings {
            endpoint: format!("unix:{}", self.clamd.socket().display()),
            database_directory: Some(self.clamd.database()),
            ..ClamdSettings::default()
        }
    }

    /// Offers this. An hour old: freshclam takes what is not older than its own copy for new.
    fn offer(&self, text: impl AsRef<[u8]>) {
        fs::write(&self.source, text).unwrap();
        let hour_ago = std::time::SystemTime::now() - Duration::from_secs(3600);
        fs::File::options()
            .write(true)
            .open(&self.source)
            .unwrap()
            .set_modified(hour_ago)
            .unwrap();
    }

    /// Updates while a keeper runs.
    async fn update(&self) -> Result<Update, UpdateError> {
        let clamd = self.clamd_settings();
        let (_sender, keeping) = watch::channel(KeeperSettings::new(&clamd, &CanarySettings::default()).unwrap());
        let (keeper, handle) = Keeper::new(keeping);
        let stop = CancellationToken::new();
        let work = async {
            let updater = Updater::new(&self.settings, &clamd, handle).unwrap();
            let update = timeout(GUARD, updater.update(&CancellationToken::new())).await.unwrap();
            stop.cancel();
            update
        };
        tokio::join!(keeper.run(stop.clone()), work).1
    }

    async fn finds(&self, body: &[u8]) -> bool {
        let daemon = Daemon::new(self.clamd_settings().endpoint.parse().unwrap());
        let stream = clamd_proto::Request::Stream(clamd_proto::Content::Bytes(body.into()));
        daemon
            .scan(stream, clamd_proto::SessionOptions::default())
            .await
            .unwrap()
            .is_infected()
    }
}

fn signature(name: &str, body: &[u8]) -> String {
    let hex: String = body.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{name}:0:*:{hex}\n")
}

#[tokio::test]
async fn what_freshclam_brings_is_loaded_and_clamd_is_tried_and_the_next_time_nothing_is_new() {
    let Some(program) = program() else { return };
    let site = Site::new(program, "fresh.ndb");
    site.offer(signature("Shoal.Test.Fresh", b"FRESH-BAD-THING"));
    assert!(!site.finds(b"FRESH-BAD-THING").await);
    let update = site.update().await.unwrap();
    // Signatures of one's own do not show in the version.
    assert_eq!(
        (update.freshclam, update.loaded),
        (FreshclamEnd::Updated, Loaded::Told),
        "{}",
        update.said
    );
    assert_eq!(update.detects, Some(true));
    assert!(update.said.contains("fresh.ndb updated"), "{}", update.said);
    let found = async {
        while !site.finds(b"FRESH-BAD-THING").await {
            tokio::task::yield_now().await;
        }
    };
    timeout(GUARD, found).await.unwrap();
    let update = site.update().await.unwrap();
    assert_eq!(
        (update.freshclam, update.loaded),
        (FreshclamEnd::UpToDate, Loaded::NothingNew)
    );
    assert_eq!(update.detects, None);
}

#[tokio::test]
async fn a_new_daily_database_is_waited_for_until_clamd_judges_by_it() {
    let Some(program) = program() else { return };
    let site = Site::new(program, "daily.cud");
    site.offer(testkit::daily_database(27_816).unwrap());
    let update = site.update().await.unwrap();
    assert_eq!(
        (update.freshclam, update.loaded),
        (FreshclamEnd::Updated, Loaded::Seen),
        "{}",
        update.said
    );
    assert!(update.before.unwrap().contains("no official database"));
    assert!(update.after.unwrap().contains("database 27816"));
}

#[tokio::test]
async fn a_clamd_that_is_behind_what_lies_on_disk_is_told_though_freshclam_brings_nothing() {
    let Some(program) = program() else { return };
    let site = Site::new(program, "own.ndb");
    site.offer(signature("Shoal.Test.Own", b"OWN-BAD-THING"));
    site.update().await.unwrap();
    // As by a freshclam of its own that could not tell it.
    fs::write(
        site.clamd.database().join("daily.cud"),
        testkit::daily_database(27_817).unwrap(),
    )
    .unwrap();
    let update = site.update().await.unwrap();
    assert_eq!(
        (update.freshclam, update.loaded),
        (FreshclamEnd::UpToDate, Loaded::Seen),
        "{}",
        update.said
    );
    assert!(update.after.unwrap().contains("database 27817"));
}

#[tokio::test]
async fn a_database_that_is_broken_is_not_taken_and_the_reason_is_told() {
    let Some(program) = program() else { return };
    let site = Site::new(program, "broken.ndb");
    site.offer("nonsense\n");
    let error = site.update().await.unwrap_err().to_string();
    assert!(error.contains("is broken and was not taken"), "{error}");
    assert!(error.contains("Update failed"), "{error}");
    assert!(!site.clamd.database().join("broken.ndb").exists());
}

#[tokio::test]
async fn a_freshclam_that_another_one_locks_out_says_so() {
    let Some(program) = program() else { return };
    let site = Site::new(program, "own.ndb");
    let log = site.source.with_file_name("freshclam.log");
    let config = site.settings.config.clone().unwrap();
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}UpdateLogFile {}\n", log.display())).unwrap();
    // As its service holds it.
    let held = fs::File::create(&log).unwrap();
    rustix::fs::fcntl_lock(&held, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    let error = site.update().await.unwrap_err().to_string();
    assert!(error.contains("another freshclam is at work"), "{error}");
}

/// A program that writes its process id and then never ends, nor does what it has started.
fn stubborn(folder: &Path) -> (PathBuf, PathBuf) {
    use std::os::unix::fs::PermissionsExt as _;
    let (program, started) = (folder.join("freshclam"), folder.join("started"));
    // The shell's own process is the group; `cat` is its child, as freshclam's test of a database is.
    let text = format!(
        "#!/bin/sh\ntrap '' TERM\nmkfifo {0}.fifo\necho downloading\ncat {0}.fifo &\necho $! > {0}.part\nmv {0}.part {0}\nwait\n",
        started.display()
    );
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    (program, started)
}

fn is_there(pid: &str) -> bool {
    // One that has ended and was not waited for yet is gone, too.
    fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn a_freshclam_that_does_not_end_is_ended_with_all_it_started_when_the_agent_stops() {
    let folder = tempfile::tempdir().unwrap();
    let (program, started) = stubborn(folder.path());
    let settings = SignatureSettings {
        freshclam: Which::At(program),
        ..SignatureSettings::default()
    };
    let freshclam = Freshclam::of(&settings).unwrap();
    let stop = CancellationToken::new();
    let watcher = async {
        let seen =
            spawn_blocking(move || testkit::eventually("program", || Ok(fs::read_to_string(&started).ok())).unwrap());
        let child = seen.await.unwrap();
        assert!(is_there(&child));
        stop.cancel();
        child
    };
    let (ended, child) = tokio::join!(freshclam.run(GUARD, &stop), watcher);
    assert!(matches!(ended, Err(FreshclamError::Stopped)), "{ended:?}");
    testkit::eventually("end of the child", || Ok((!is_there(&child)).then_some(()))).unwrap();
}

#[tokio::test]
async fn a_freshclam_that_takes_too_long_is_ended_and_its_words_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (program, _) = stubborn(folder.path());
    let settings = SignatureSettings {
        freshclam: Which::At(program),
        ..SignatureSettings::default()
    };
    let freshclam = Freshclam::of(&settings).unwrap();
    let ended = freshclam.run(Duration::from_secs(2), &CancellationToken::new()).await;
    let Err(FreshclamError::TimedOut { said, .. }) = ended else {
        panic!("{ended:?}");
    };
    assert_eq!(said, "downloading");
}

#[tokio::test]
async fn none_that_may_be_run_and_none_that_is_there_are_told_apart() {
    let clamd = ClamdSettings::default();
    let (_sender, keeping) = watch::channel(KeeperSettings::new(&clamd, &CanarySettings::default()).unwrap());
    let (_keeper, handle) = Keeper::new(keeping);
    let update = async |which| {
        let settings = SignatureSettings {
            freshclam: which,
            timeout: Period::from_secs(10),
            ..SignatureSettings::default()
        };
        let updater = Updater::new(&settings, &clamd, handle.clone()).unwrap();
        updater.update(&CancellationToken::new()).await.unwrap_err().to_string()
    };
    assert!(update(Which::Off).await.contains("`signatures.freshclam` is `false`"));
    let missing = update(Which::At("/nowhere/freshclam".into())).await;
    assert!(
        missing.contains("/nowhere/freshclam") && missing.contains("clamav-freshclam"),
        "{missing}"
    );
}

#[tokio::test]
async fn signatures_that_are_too_old_are_an_error_in_the_log_once() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(std::sync::Arc::new(log.reopen().unwrap()))
        .with_ansi(false)
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let clamd = testkit::Clamd::start(ClamdOptions {
        database_version: Some(1),
        ..ClamdOptions::default()
    })
    .unwrap();
    let settings = ClamdSettings {
        endpoint: format!("unix:{}", clamd.socket().display()),
        ..ClamdSettings::default()
    };
    let (_sender, keeping) = watch::channel(KeeperSettings::new(&settings, &CanarySettings::default()).unwrap());
    let (keeper, handle) = Keeper::new(keeping);
    let stop = CancellationToken::new();
    let work = async {
        // Several changes of the state: version, canary, what it does.
        let known = |state: &crate::keeper::ClamdState| state.canary.is_some() && state.activity.is_some();
        timeout(GUARD, handle.state().wait_for(known)).await.unwrap().unwrap();
        handle.canary().await.unwrap();
        stop.cancel();
    };
    tokio::join!(
        keeper.run(stop.clone()),
        work,
        watch_age(handle.state(), || Duration::ZERO, &stop)
    );
    let log = fs::read_to_string(log.path()).unwrap();
    assert_eq!(log.matches("`signatures.max_age`").count(), 1, "{log}");
}
