//! The state of an agent, as its `doctor` finds it.
use crate::agent::Product;
use chrono::{TimeDelta, Utc};
use core_model::{ByteSize, chain};
use daemon_kit::{
    BackupSettings, OutboxSettings,
    doctor::{self, Finding, Report},
};
use state_sqlite::{Database, OpenError, Outbox};
use std::path::{Path, PathBuf};

/// From this share on the outbox is nearly full.
const NEARLY_FULL: f64 = 0.8;

/// The state of an agent, which is to be looked at.
pub(super) struct StateCheck<'a> {
    pub(super) product: &'a Product,
    /// The state file.
    pub(super) file: &'a Path,
    pub(super) backups: &'a BackupSettings,
    pub(super) outbox: &'a OutboxSettings,
    /// What becomes of what the outbox has given up, for people: it ends a sentence.
    pub(super) given_up: &'a str,
}

impl StateCheck<'_> {
    /// Adds what there is to say of it: whether an agent works on it, whether it is sound, what waits in it, its backups.
    pub(super) fn examine(&self, report: &mut Report) {
        let mut lock = self.file.as_os_str().to_owned();
        lock.push(".lock");
        report.add(doctor::other_process(&PathBuf::from(lock)));
        let (name, shown) = (self.product.name, self.file.display());
        let database = match Database::open_read_only(self.file) {
            Ok(database) => database,
            Err(OpenError::Missing { .. }) => {
                let found = format!("none at {shown} yet; the first `{name} run` makes it");
                return report.add(Finding::skipped("state", found));
            }
            Err(error) => {
                let remedy = match &error {
                    OpenError::TooNew { .. } => {
                        "install the newer version again, or name another file in `database.path`".to_owned()
                    }
                    _ if error.is_damage() => self.mended(),
                    _ => "see that the user of the agent may read and write it".to_owned(),
                };
                return report.add(Finding::failure("state", chain(&error), remedy));
            }
        };
        let size = ByteSize::new(database.size()).human();
        report.add(match database.check() {
            Ok(()) => Finding::ok("state", format!("{shown} is sound ({size})")),
            Err(error) => Finding::failure("state", chain(&error), self.mended()),
        });
        self.outbox(&database, report);
        self.backups(report);
    }

    fn mended(&self) -> String {
        format!(
            "the next `{} run` moves it aside and restores the newest sound backup, or begins anew",
            self.product.name
        )
    }

    fn outbox(&self, database: &Database, report: &mut Report) {
        const CHECK: &str = "outbox";
        let stats = match Outbox::stats_of(database) {
            Ok(stats) => stats,
            Err(error) => {
                let remedy = format!(
                    "see that {} can be read, and that its disk is well",
                    self.file.display()
                );
                return report.add(Finding::failure(CHECK, chain(&error), remedy));
            }
        };
        let most = self.outbox.max_bytes.bytes();
        let found = format!(
            "{} records wait, {} of {}",
            stats.records,
            ByteSize::new(stats.bytes).human(),
            ByteSize::new(most).human()
        );
        report.add(if stats.bytes as f64 > most as f64 * NEARLY_FULL {
            let remedy = "see why the server takes nothing, or raise `outbox.max_bytes`";
            Finding::warning(CHECK, found, remedy)
        } else {
            Finding::ok(CHECK, found)
        });
        if stats.dropped > 0 {
            let found = format!("{} records were given up since the state was made", stats.dropped);
            let remedy = format!(
                "raise `outbox.max_bytes` or `outbox.max_age`, or set `outbox.when_full = \"block\"`; {}",
                self.given_up
            );
            report.add(Finding::warning("outbox bounds", found, remedy));
        }
    }

    fn backups(&self, report: &mut Report) {
        const CHECK: &str = "backups";
        let settings = self.backups;
        if !settings.backup_enabled {
            let why = "switched off (`database.backup_enabled`): a damaged state is begun anew";
            return report.add(Finding::skipped(CHECK, why));
        }
        let backups = settings.backups(self.file);
        let (name, shown) = (self.product.name, backups.dir().display().to_string());
        let list = match backups.list() {
            Ok(list) => list,
            Err(error) => {
                let remedy = format!("see that the user of the agent may read and write {shown}");
                return report.add(Finding::failure(CHECK, chain(&error), remedy));
            }
        };
        let Some(newest) = list.first() else {
            let why = format!("none in {shown} yet: `{name} run` takes them");
            return report.add(Finding::skipped(CHECK, why));
        };
        let found = format!(
            "the newest of {} is of {}",
            list.len(),
            newest.taken_at.format("%Y-%m-%d %H:%M UTC")
        );
        let limit = TimeDelta::from_std(settings.backup_interval.get() * 2).unwrap_or(TimeDelta::MAX);
        report.add(if Utc::now() - newest.taken_at > limit {
            let remedy = format!("see that `{name} run` is up, and what its log says of backups");
            Finding::warning(CHECK, found, remedy)
        } else {
            Finding::ok(CHECK, found)
        });
    }
}
