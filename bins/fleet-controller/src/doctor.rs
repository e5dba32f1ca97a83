//! `fleet-controller doctor`: what is wrong with this set-up, and the remedy of each.
use crate::{
    cli::Common,
    context::STORE,
    encryption::{RENEWED_BEFORE, readable_by_others},
    settings::ControllerConfig,
};
use anyhow::Context as _;
use chrono::{TimeDelta, Utc};
use core_model::ByteSize;
use daemon_kit::{
    Exit,
    cli::{Checkup, DoctorArgs},
    doctor::{self, Finding},
};
use fleet_core::SqliteStore;
use rustls::{
    client::verify_server_name,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    server::ParsedCertificate,
};
use state_sqlite::{Backups, Database, OpenError, RunLock};
use std::path::{Path, PathBuf};
use transport_http::{ServerTls, TlsFiles};

pub(crate) fn run(common: &Common, args: &DoctorArgs) -> anyhow::Result<Exit> {
    let mut checkup = common.check_up::<ControllerConfig>();
    if let Some(config) = checkup.settings().cloned() {
        let mut is_running = false;
        if let Some(file) = checkup.path("store.path", config.store.path.as_deref(), STORE) {
            is_running = RunLock::is_held(&file);
            let mut lock = file.as_os_str().to_owned();
            lock.push(".lock");
            checkup.report.add(doctor::other_process(&PathBuf::from(lock)));
            if store(&mut checkup, &file) {
                checkup.report.add(agents(&config, &file));
            }
            checkup.report.add(backups(&config, &file));
        }
        checkup.report.add(doctor::listen_address(
            "address",
            config.server.listen,
            "server.listen",
            is_running,
        ));
        certificate(&mut checkup, &config);
    }
    let version = concat!("fleet-controller ", env!("CARGO_PKG_VERSION"));
    checkup.finish(args, version, common.output.into())
}

/// Every page of the store; whether there is one that can be read.
fn store(checkup: &mut Checkup<ControllerConfig>, file: &Path) -> bool {
    const CHECK: &str = "store";
    let checked = Database::open_read_only(file).and_then(|database| database.check().map(|()| database.size()));
    let is_sound = checked.is_ok();
    let shown = file.display();
    let finding = match checked {
        Ok(size) => Finding::ok(CHECK, format!("{shown} is sound ({})", ByteSize::new(size).human())),
        Err(OpenError::Missing { .. }) => {
            Finding::skipped(CHECK, format!("none at {shown} yet; the first `serve` makes it"))
        }
        Err(error) => {
            let remedy = match &error {
                OpenError::TooNew { .. } => "install the newer version again, or name another file in `store.path`",
                _ if error.is_damage() => "the next `serve` moves it aside and restores the newest sound backup",
                _ => "see that the user of the controller may read and write it",
            };
            Finding::failure(CHECK, chain(error), remedy)
        }
    };
    checkup.report.add(finding);
    is_sound
}

/// Agents that are silent or not well, and records that did not come.
fn agents(config: &ControllerConfig, file: &Path) -> Finding {
    const CHECK: &str = "agents";
    let sums = match SqliteStore::statistics_of(file, Utc::now(), config.agents.offline_after.get()) {
        Ok(sums) => sums,
        // An older version's store is brought up to date by the next start, and no fault.
        Err(error) => return Finding::skipped(CHECK, chain(error)),
    };
    let mut found = vec![format!("{} online", sums.online)];
    let mut add = |count: u64, what: &str| {
        if count > 0 {
            found.push(format!("{count} {what}"));
        }
    };
    add(sums.degraded, "degraded");
    add(sums.offline, "not heard of for a while");
    add(sums.streams_with_gaps, "with records missing");
    add(sums.agents_owing_snapshot, "asked for a full snapshot and not begun");
    let is_well = found.len() == 1;
    let found = found.join(", ");
    if is_well {
        Finding::ok(CHECK, found)
    } else {
        let remedy = "see `fleet-controller agents`, then the `doctor` of the agent on those machines; records of files \
                      that are missing for long come with `scanner state snapshot` there";
        Finding::warning(CHECK, found, remedy)
    }
}

fn backups(config: &ControllerConfig, file: &Path) -> Finding {
    const CHECK: &str = "backups";
    let settings = &config.store;
    if !settings.backup_enabled {
        let remedy = "set `store.backup_enabled = true`: without a backup every agent has to enrol again after damage";
        return Finding::warning(CHECK, "switched off (`store.backup_enabled`)", remedy);
    }
    let backups = Backups::new(settings.backup_dir(file), settings.max_backups as usize);
    let shown = backups.dir().display().to_string();
    let newest = match backups.list() {
        Err(error) => {
            let remedy = format!("see that the user of the controller may read and write {shown}");
            return Finding::failure(CHECK, chain(error), remedy);
        }
        Ok(list) => list.into_iter().next(),
    };
    let Some(newest) = newest else {
        return Finding::skipped(CHECK, format!("none in {shown} yet: `serve` takes them"));
    };
    let found = format!("the newest is of {}", newest.taken_at.format("%Y-%m-%d %H:%M UTC"));
    let limit = TimeDelta::from_std(settings.backup_interval.get() * 2).unwrap_or(TimeDelta::MAX);
    let age = Utc::now() - newest.taken_at;
    if age < -TimeDelta::minutes(1) {
        let found = format!("{found}, which is yet to come");
        return Finding::warning(
            CHECK,
            found,
            "the clock was set back, or is wrong: see `timedatectl` or `chronyc tracking`",
        );
    }
    if age > limit {
        return Finding::warning(
            CHECK,
            found,
            "see that `serve` is up, and what its log says of backups; `fleet-controller store backup` takes one now",
        );
    }
    Finding::ok(CHECK, found)
}

fn certificate(checkup: &mut Checkup<ControllerConfig>, config: &ControllerConfig) {
    const CHECK: &str = "certificate";
    let Some(files) = config.tls.files() else {
        let finding = if config.server.listen.ip().is_loopback() {
            Finding::skipped(
                CHECK,
                "no TLS is configured, and only this machine can reach the controller",
            )
        } else {
            Finding::warning(
                CHECK,
                "no TLS is configured: keys cross the network readable (`server.allow_http`)",
                "name `tls.certificate` and `tls.key`",
            )
        };
        return checkup.report.add(finding);
    };
    let tls = match ServerTls::from_files(&files) {
        Ok(tls) => tls,
        Err(error) => {
            let remedy = "correct the section `tls`, or renew the files";
            return checkup.report.add(Finding::failure(CHECK, chain(error), remedy));
        }
    };
    const RENEW: &str = "renew it; the controller takes it up by itself";
    let until = tls.expires_at().map(|at| (at, at.format("%Y-%m-%d %H:%M UTC")));
    checkup.report.add(match until {
        Some((at, shown)) if at <= Utc::now() => Finding::failure(CHECK, format!("it ended at {shown}"), RENEW),
        Some((at, shown)) if at - Utc::now() < RENEWED_BEFORE => {
            Finding::warning(CHECK, format!("it ends at {shown}"), RENEW)
        }
        Some((_, shown)) => Finding::ok(CHECK, format!("fits its key, and is good until {shown}")),
        None => Finding::ok(CHECK, "fits its key"),
    });
    checkup.report.add(key(&files.key));
    checkup.report.add(name(&files, &checkup.around.hostname));
}

fn key(file: &Path) -> Finding {
    const CHECK: &str = "certificate's key";
    let shown = file.display();
    match readable_by_others(file) {
        Some(mode) => Finding::warning(
            CHECK,
            format!("{shown} has mode {mode:04o}: any user may read it"),
            format!(
                "run `chmod o-rwx {shown}`; if others use this machine, have a new certificate issued for a new key"
            ),
        ),
        None => Finding::ok(CHECK, format!("{shown} cannot be read by just anybody")),
    }
}

/// Whether the certificate was issued for this machine's name. Agents may well use another one.
fn name(files: &TlsFiles, hostname: &str) -> Finding {
    const CHECK: &str = "certificate's name";
    match is_issued_for(&files.certificate, hostname) {
        Ok(true) => Finding::ok(CHECK, format!("it was issued for `{hostname}`")),
        Ok(false) => Finding::warning(
            CHECK,
            format!("it was not issued for `{hostname}`, this machine's name"),
            format!(
                "see that agents and operators use a name it was issued for (`openssl x509 -noout -ext subjectAltName -in \
                 {}`)",
                files.certificate.display()
            ),
        ),
        Err(error) => Finding::skipped(CHECK, format!("{error:#}")),
    }
}

fn is_issued_for(file: &Path, hostname: &str) -> anyhow::Result<bool> {
    let first = CertificateDer::from_pem_file(file).context("the certificate cannot be read")?;
    let certificate = ParsedCertificate::try_from(&first).context("the certificate cannot be read")?;
    let name = ServerName::try_from(hostname.to_owned())
        .with_context(|| format!("`{hostname}` is no name that a certificate can have"))?;
    Ok(verify_server_name(&certificate, &name).is_ok())
}

fn chain(error: impl Into<anyhow::Error>) -> String {
    format!("{:#}", error.into())
}
