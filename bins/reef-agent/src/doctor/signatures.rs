//! Signatures: how old they are, whether their changes are seen, and who brings new ones.
use super::{processes, rights};
use crate::{
    keeper::{ClamdState, DatabaseFiles},
    settings::{Freshclam, ReefConfig},
};
use chrono::{DateTime, TimeDelta, Utc};
use clamd_proto::Version;
use daemon_kit::doctor::{Finding, Report};
use rustix::fs::Access;
use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

const CHECK: &str = "signatures";

/// Where most clamds have their signatures.
const USUAL_DIRECTORY: &str = "/var/lib/clamav";

/// Endings of signatures that somebody wrote or had brought besides ClamAV's own, which come in `.cvd` and `.cld` files.
const OWN: [&str; 16] = [
    "cdb", "crb", "fp", "ftm", "gdb", "hdb", "hdu", "hsb", "ign2", "ldb", "ldu", "mdb", "ndb", "ndu", "pdb", "yar",
];

/// Where a service or job that runs freshclam leaves its traces: systemd's, cron's, OpenRC's.
const TRACES: [&str; 8] = [
    "etc/systemd/system/multi-user.target.wants/clamav-freshclam.service",
    "etc/systemd/system/timers.target.wants/clamav-freshclam-once.timer",
    "etc/systemd/system/timers.target.wants/freshclam.timer",
    "etc/cron.d/clamav-freshclam",
    "etc/cron.d/clamav-update",
    "etc/cron.daily/freshclam",
    "etc/cron.hourly/freshclam",
    "etc/runlevels/default/freshclam",
];

pub(super) fn examine(report: &mut Report, config: &ReefConfig, state: Option<&ClamdState>) {
    let others = updaters(Path::new("/"));
    report.add(match state {
        Some(state) => age(state, config.signatures.max_age.get(), &others, Utc::now()),
        None => Finding::skipped(CHECK, "clamd does not tell by which it judges"),
    });
    let version = state.and_then(|state| state.version.as_ref());
    if let Some(version) = version {
        report.add(official(version));
    }
    report.add(match &config.clamd.database_directory {
        Some(directory) => database(directory, version),
        None => unwatched(Path::new(USUAL_DIRECTORY)),
    });
    report.add(updates(config, &others));
}

/// Whether clamd judges by ClamAV's own signatures at all: without them it finds what its administrators know, and no more.
fn official(version: &Version) -> Finding {
    const CHECK: &str = "official signatures";
    match version.database {
        Some(database) => Finding::ok(CHECK, format!("clamd judges by ClamAV's database {}", database.number)),
        None => Finding::warning(
            CHECK,
            "clamd has no official database (`daily`): it finds only what its other signatures are for",
            "have `freshclam` bring it into DatabaseDirectory of clamd.conf, beside signatures of your own",
        ),
    }
}

fn age(state: &ClamdState, max_age: Duration, others: &[String], now: DateTime<Utc>) -> Finding {
    let remedy = match others.first() {
        Some(other) => {
            format!("see why {other} brings nothing (`journalctl -u clamav-freshclam`), and that clamd reloads")
        }
        None => "nobody seems to run freshclam on this machine: start its service (Debian: `systemctl enable --now \
                 clamav-freshclam`), or set `signatures.schedule`"
            .to_owned(),
    };
    let Some(age) = state.database_age(now) else {
        let found = "clamd has no official database, so how old its signatures are is not known";
        let remedy = format!("{remedy}; where it has others, name their directory in `clamd.database_directory`");
        return Finding::warning(CHECK, found, remedy);
    };
    let shown = shown(age);
    let max_age = core_model::Period::new(max_age);
    if age.to_std().is_ok_and(|age| age > max_age.get()) {
        let found = format!("{shown} old, more than {max_age} (`signatures.max_age`): new malware is not found");
        Finding::failure(CHECK, found, remedy)
    } else {
        Finding::ok(CHECK, format!("{shown} old"))
    }
}

fn shown(age: TimeDelta) -> String {
    match age.num_days() {
        0 => format!("{} hours", age.num_hours()),
        1 => "a day".to_owned(),
        days => format!("{days} days"),
    }
}

/// Whether the database directory is one, and clamd's.
fn database(directory: &Path, version: Option<&Version>) -> Finding {
    const CHECK: &str = "signature files";
    let shown = directory.display();
    let files = match DatabaseFiles::read(directory) {
        Ok(files) => files,
        Err(error) => {
            let found = format!("{shown}: {error}; changes of your own signatures are not seen");
            let remedy = "let the user of the agent read it, or correct `clamd.database_directory`: it is \
                          DatabaseDirectory in clamd.conf";
            return Finding::failure(CHECK, found, remedy);
        }
    };
    if files.newest().is_none() {
        let remedy = "name DatabaseDirectory of clamd.conf in `clamd.database_directory`, or have freshclam fill it";
        return Finding::warning(CHECK, format!("{shown} holds no signatures"), remedy);
    }
    let judges_by = version
        .and_then(|version| version.database)
        .map(|database| database.number);
    match (files.daily, judges_by) {
        (Some(here), Some(clamd)) if here > clamd => Finding::warning(
            CHECK,
            format!("clamd judges by database {clamd}, and {here} lies in {shown}"),
            "have clamd load it (`clamdscan --reload`), and set `NotifyClamd` in freshclam.conf; clamd's log says why \
             where it does not",
        ),
        (Some(here), Some(clamd)) if here < clamd => Finding::warning(
            CHECK,
            format!("clamd judges by database {clamd}, and {here} lies in {shown}: that is not what it loaded"),
            "name DatabaseDirectory of clamd.conf in `clamd.database_directory`",
        ),
        _ => Finding::ok(
            CHECK,
            format!("{shown} can be read: changes of your own signatures are seen"),
        ),
    }
}

/// What goes unnoticed where no database directory is named.
fn unwatched(usual: &Path) -> Finding {
    const CHECK: &str = "signature files";
    let is_own = |entry: &fs::DirEntry| {
        let name = entry.file_name();
        let ending = Path::new(&name).extension().and_then(|ending| ending.to_str());
        ending.is_some_and(|ending| OWN.contains(&ending))
    };
    let own = fs::read_dir(usual)
        .into_iter()
        .flatten()
        .flatten()
        .filter(is_own)
        .count();
    if own == 0 {
        let why = "no directory is named (`clamd.database_directory`): changes of signatures are seen by clamd's version \
                   alone, which those of your own do not change";
        return Finding::skipped(CHECK, why);
    }
    Finding::warning(
        CHECK,
        format!(
            "{own} files of signatures beside ClamAV's own lie in {}, and their changes do not show in clamd's version: \
             what is known to be clean stays so",
            usual.display()
        ),
        format!("write `clamd.database_directory = \"{}\"`", usual.display()),
    )
}

/// Whether freshclam can be run where it is to be, and nobody else does so.
fn updates(config: &ReefConfig, others: &[String]) -> Finding {
    const CHECK: &str = "freshclam";
    let settings = &config.signatures;
    let is_scheduled = settings.schedule.when.is_some();
    let program = match &settings.freshclam {
        Freshclam::Off => {
            return Finding::skipped(CHECK, "may not be run by the agent (`signatures.freshclam`)");
        }
        Freshclam::Found => found_in(&env::var_os("PATH").unwrap_or_default()),
        Freshclam::At(path) => Some(path.clone()),
    };
    let usable = program.filter(|program| program.is_file() && rights::may(program, Access::EXEC_OK).is_ok());
    let Some(program) = usable else {
        let remedy = "install it (Debian: `apt install clamav-freshclam`; Fedora: `dnf install clamav-update`), or name it \
                      in `signatures.freshclam`";
        let found = "it is not there, or this user may not run it";
        return if is_scheduled || matches!(settings.freshclam, Freshclam::At(_)) {
            Finding::failure(CHECK, found, remedy)
        } else {
            let why = format!("{found}: a controller cannot have signatures updated here (`update-signatures`)");
            Finding::skipped(CHECK, why)
        };
    };
    if let Some(config) = &settings.config
        && let Err(error) = fs::File::open(config)
    {
        let found = format!("{}: {error}", config.display());
        return Finding::failure(
            CHECK,
            found,
            "correct `signatures.config`, or let the user of the agent read it",
        );
    }
    let shown = program.display();
    match (is_scheduled, others.first()) {
        (true, Some(other)) => Finding::warning(
            CHECK,
            format!("{shown} is run by `signatures.schedule`, and by {other}: one locks the other out"),
            "leave `signatures.schedule` out, or stop the other (`systemctl disable --now clamav-freshclam`)",
        ),
        (true, None) => Finding::ok(CHECK, format!("{shown} is run by `signatures.schedule`")),
        (false, Some(other)) => Finding::ok(CHECK, format!("{other} brings new signatures")),
        (false, None) => Finding::ok(CHECK, format!("{shown} is run when a controller asks for it")),
    }
}

fn found_in(path: &std::ffi::OsStr) -> Option<PathBuf> {
    let mut found = env::split_paths(path).map(|folder| folder.join("freshclam"));
    found.find(|program| program.is_file())
}

/// Who else has freshclam run, on the system below `root`.
fn updaters(root: &Path) -> Vec<String> {
    let is_daemon = |argument: &String| argument == "-d" || argument.starts_with("--daemon");
    let running = processes::named(root, "freshclam").into_iter();
    // One without it is run once, maybe by the agent itself.
    let running = running.filter(|process| process.arguments.iter().any(is_daemon));
    let running = running.map(|process| format!("freshclam's own service (process {})", process.id));
    // Links of systemd count though they lead nowhere.
    let is_there = |trace: &&&str| fs::symlink_metadata(root.join(trace)).is_ok();
    let traces = TRACES.iter().filter(is_there).map(|trace| format!("/{trace}"));
    running.chain(traces).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keeper::{Keeper, KeeperSettings};
    use crate::settings::CanarySettings;
    use daemon_kit::doctor::Verdict;

    fn state(age: Option<TimeDelta>, now: DateTime<Utc>) -> ClamdState {
        let settings = ReefConfig::default();
        let settings = KeeperSettings::new(&settings.clamd, &CanarySettings::default()).unwrap();
        let (_sender, live) = tokio::sync::watch::channel(settings);
        let mut state = Keeper::new(live).1.state().borrow().clone();
        state.database_made = age.map(|age| now - age);
        state
    }

    #[test]
    fn old_signatures_fail_with_whoever_should_bring_new_ones() {
        let (now, week) = (Utc::now(), Duration::from_secs(7 * 86_400));
        let of = |days, others: &[String]| age(&state(Some(TimeDelta::days(days)), now), week, others, now);
        assert_eq!(of(7, &[]).verdict, Verdict::Ok);
        let old = of(8, &[]);
        assert_eq!(old.verdict, Verdict::Failure);
        assert!(old.found.starts_with("8 days old, more than 1w"), "{old:?}");
        assert!(old.remedy.unwrap().contains("nobody seems to run freshclam"));
        let old = of(8, &["/etc/cron.d/clamav-freshclam".to_owned()]);
        assert!(old.remedy.unwrap().contains("why /etc/cron.d/clamav-freshclam"));
        let unknown = age(&state(None, now), week, &[], now);
        assert_eq!(unknown.verdict, Verdict::Warning);
    }

    #[test]
    fn signatures_of_one_s_own_without_the_official_ones_are_warned_of() {
        let of = |version: &[u8]| official(&Version::parse(version).unwrap());
        let own = of(b"ClamAV 1.4.6");
        assert_eq!(
            (own.verdict, own.found.contains("no official database")),
            (Verdict::Warning, true)
        );
        assert_eq!(of(b"ClamAV 1.4.6/27815/Wed Nov 18 08:20:00 2026").verdict, Verdict::Ok);
    }

    #[test]
    fn other_updaters_are_found_by_their_traces_and_their_processes() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert_eq!(updaters(root.path()), [""; 0]);
        write("proc/12/comm", "freshclam\n");
        write("proc/12/cmdline", "freshclam\0--stdout\0");
        assert_eq!(updaters(root.path()), [""; 0], "it is run once");
        write("proc/13/comm", "freshclam\n");
        write("proc/13/cmdline", "/usr/bin/freshclam\0-d\0--foreground=true\0");
        write("etc/cron.d/clamav-update", "");
        assert_eq!(
            updaters(root.path()),
            ["freshclam's own service (process 13)", "/etc/cron.d/clamav-update"]
        );
    }

    #[test]
    fn a_directory_that_is_not_clamd_s_is_told_by_its_daily_database() {
        let directory = tempfile::tempdir().unwrap();
        let version = Version::parse(b"ClamAV 1.4.6/27815/Wed Nov 18 08:20:00 2026").unwrap();
        let of = || database(directory.path(), Some(&version));
        assert!(of().found.contains("holds no signatures"));
        for (number, verdict, expected) in [
            (27_816, Verdict::Warning, "NotifyClamd"),
            (27_814, Verdict::Warning, "DatabaseDirectory"),
            (27_815, Verdict::Ok, ""),
        ] {
            let daily = testkit::daily_database(number).unwrap();
            fs::write(directory.path().join("daily.cud"), daily).unwrap();
            let found = of();
            assert_eq!(found.verdict, verdict, "{found:?}");
            assert!(found.remedy.unwrap_or_default().contains(expected));
        }
        let missing = database(&directory.path().join("missing"), None);
        assert_eq!(missing.verdict, Verdict::Failure);
    }

    #[test]
    fn signatures_of_one_s_own_are_worth_a_warning_where_nobody_looks_at_them() {
        let usual = tempfile::tempdir().unwrap();
        fs::write(usual.path().join("main.cvd"), "").unwrap();
        assert_eq!(unwatched(usual.path()).verdict, Verdict::Skipped);
        fs::write(usual.path().join("own.ndb"), "").unwrap();
        let found = unwatched(usual.path());
        assert_eq!(found.verdict, Verdict::Warning);
        assert!(found.remedy.unwrap().contains("clamd.database_directory"));
    }

    #[test]
    fn a_freshclam_that_is_not_there_fails_only_where_it_is_to_be_run() {
        let mut config = ReefConfig::default();
        config.signatures.freshclam = Freshclam::At("/nowhere/freshclam".into());
        assert_eq!(updates(&config, &[]).verdict, Verdict::Failure);
        config.signatures.freshclam = Freshclam::Off;
        assert_eq!(updates(&config, &[]).verdict, Verdict::Skipped);
        config.signatures.freshclam = Freshclam::At("/bin/sh".into());
        let service = ["its service".to_owned()];
        assert_eq!(updates(&config, &service).verdict, Verdict::Ok);
        config.signatures.schedule.when = Some("@daily".parse().unwrap());
        assert_eq!(updates(&config, &[]).verdict, Verdict::Ok);
        let both = updates(&config, &service);
        assert!(
            both.verdict == Verdict::Warning && both.found.contains("its service"),
            "{both:?}"
        );
        config.signatures.config = Some("/nowhere/freshclam.conf".into());
        assert_eq!(updates(&config, &[]).verdict, Verdict::Failure);
    }
}
