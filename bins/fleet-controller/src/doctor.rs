//! `fleet-controller doctor`: what is wrong with this set-up, and the remedy of each.
use crate::{cli::Common, context::STORE, settings::ControllerConfig};
use chrono::{TimeDelta, Utc};
use core_model::ByteSize;
use daemon_kit::{
    Exit,
    cli::{Checkup, DoctorArgs},
    doctor::{self, Finding},
};
use state_sqlite::{Backups, Database, OpenError};
use std::{
    io,
    net::TcpListener,
    path::{Path, PathBuf},
};
use transport_http::ServerTls;

pub(crate) fn run(common: &Common, args: &DoctorArgs) -> anyhow::Result<Exit> {
    let mut checkup = common.check_up::<ControllerConfig>();
    if let Some(config) = checkup.settings().cloned() {
        let mut is_running = false;
        if let Some(file) = checkup.path("store.path", config.store.path.as_deref(), STORE) {
            is_running = state_sqlite::RunLock::is_held(&file);
            store(&mut checkup, &config, &file);
        }
        address(&mut checkup, &config, is_running);
        certificate(&mut checkup, &config);
    }
    let version = concat!("fleet-controller ", env!("CARGO_PKG_VERSION"));
    checkup.finish(args, version, common.output.into())
}

fn store(checkup: &mut Checkup<ControllerConfig>, config: &ControllerConfig, file: &Path) {
    const CHECK: &str = "store";
    let mut lock = file.as_os_str().to_owned();
    lock.push(".lock");
    checkup.report.add(doctor::other_process(&PathBuf::from(lock)));
    let finding = match Database::open_read_only(file).and_then(|database| database.check().map(|()| database.size())) {
        Ok(size) => Finding::ok(
            CHECK,
            format!("{} is sound ({})", file.display(), ByteSize::new(size).human()),
        ),
        Err(OpenError::Missing { .. }) => Finding::skipped(
            CHECK,
            format!("none at {} yet; the first `serve` makes it", file.display()),
        ),
        Err(error) => {
            let remedy = match &error {
                OpenError::TooNew { .. } => "install the newer version again, or name another file in `store.path`",
                _ if error.is_damage() => "the next `serve` moves it aside and restores the newest sound backup",
                _ => "see that the user of the controller may read and write it",
            };
            doctor::outcome(
                CHECK,
                Err::<String, _>(format!("{:#}", anyhow::Error::from(error))),
                remedy,
            )
        }
    };
    checkup.report.add(finding);
    backups(checkup, config, file);
}

fn backups(checkup: &mut Checkup<ControllerConfig>, config: &ControllerConfig, file: &Path) {
    const CHECK: &str = "backups";
    let settings = &config.store;
    if !settings.backup_enabled {
        let remedy = "set `store.backup_enabled = true`: without a backup every agent has to enrol again after damage";
        return checkup
            .report
            .add(Finding::warning(CHECK, "switched off (`store.backup_enabled`)", remedy));
    }
    let backups = Backups::new(settings.backup_dir(file), settings.max_backups as usize);
    let finding = match backups.list().map(|list| list.into_iter().next()) {
        Err(error) => Finding::failure(
            CHECK,
            format!("{:#}", anyhow::Error::from(error)),
            format!(
                "see that the user of the controller may read and write {}",
                backups.dir().display()
            ),
        ),
        Ok(None) => Finding::skipped(
            CHECK,
            format!("none in {} yet: `serve` takes them", backups.dir().display()),
        ),
        Ok(Some(newest)) => {
            let found = format!("the newest is of {}", newest.taken_at.format("%Y-%m-%d %H:%M UTC"));
            let limit = TimeDelta::from_std(settings.backup_interval.get() * 2).unwrap_or(TimeDelta::MAX);
            if Utc::now() - newest.taken_at > limit {
                Finding::warning(CHECK, found, "see that `serve` is up, and what its log says of backups")
            } else {
                Finding::ok(CHECK, found)
            }
        }
    };
    checkup.report.add(finding);
}

/// Whether the address can be listened on, unless the controller itself does.
fn address(checkup: &mut Checkup<ControllerConfig>, config: &ControllerConfig, is_running: bool) {
    const CHECK: &str = "address";
    let listen = config.server.listen;
    let finding = match TcpListener::bind(listen) {
        Ok(_) => Finding::ok(CHECK, format!("{listen} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_running => {
            Finding::ok(CHECK, format!("{listen} is in use, and the controller is running"))
        }
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Finding::failure(
            CHECK,
            format!("{listen} is in use by another program"),
            format!(
                "end it (`ss -ltnp 'sport = :{}'` names it), or set `server.listen`",
                listen.port()
            ),
        ),
        Err(error) => Finding::failure(
            CHECK,
            format!("{listen}: {error}"),
            "name an address of this machine in `server.listen`; ports below 1024 need CAP_NET_BIND_SERVICE",
        ),
    };
    checkup.report.add(finding);
}

fn certificate(checkup: &mut Checkup<ControllerConfig>, config: &ControllerConfig) {
    const CHECK: &str = "certificate";
    let Some(files) = config.tls.files() else {
        let why = "no TLS is configured (`tls.certificate`): only this machine, or a proxy on it, should reach it";
        return checkup.report.add(Finding::skipped(CHECK, why));
    };
    checkup.report.add(doctor::credentials(
        &files.key,
        "the key of the certificate is not there",
    ));
    let finding = match ServerTls::from_files(&files) {
        Err(error) => Finding::failure(
            CHECK,
            format!("{:#}", anyhow::Error::from(error)),
            "correct the section `tls`, or renew the files",
        ),
        Ok(tls) => match tls.expires_at() {
            Some(at) if at <= Utc::now() => Finding::failure(
                CHECK,
                format!("expired at {at}"),
                "renew it; the controller takes it up by itself",
            ),
            Some(at) if at - Utc::now() < TimeDelta::days(14) => Finding::warning(
                CHECK,
                format!("expires at {at}"),
                "renew it; the controller takes it up by itself",
            ),
            Some(at) => Finding::ok(CHECK, format!("good until {at}")),
            None => Finding::ok(CHECK, "fits its key"),
        },
    };
    checkup.report.add(finding);
}
