//! Rules: what they name is there, can be read and taken away from, and what is known of it can be remembered.
use super::{
    mounts::{Mounts, is_of_others},
    rights::{self, CHANGE, Rights},
    survey::{Question, Survey},
};
use crate::settings::{Action, ReefConfig, RuleSettings, reaches};
use daemon_kit::{
    doctor::{Finding, Report},
    real_path,
};
use fsscan::{FileSystem, RootRequest};
use rustix::{fs::Access, io::Errno};
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How long files are looked at where this process may not read everything: those of one path, and all of them.
const WITHIN: Duration = Duration::from_secs(5);
const ALL_WITHIN: Duration = Duration::from_secs(20);

/// So many mounts are named.
const NAMED: usize = 5;

/// A path of a rule.
struct Root<'a> {
    rule: &'a RuleSettings,
    path: &'a Path,
    /// With every link resolved.
    real: PathBuf,
}

pub(super) fn examine(report: &mut Report, config: &ReefConfig, rights: Rights) {
    if config.rules.is_empty() {
        let remedy =
            "write a rule (`[[rules]]` with `name`, `paths` and `schedule`); `reef-agent config init` begins one";
        let found = "there is none: nothing is scanned but by `reef-agent scan`";
        return report.add(Finding::warning("rules", found, remedy));
    }
    let mounts = Mounts::read();
    let until = Instant::now() + ALL_WITHIN;
    let mut forgetful = Vec::new();
    for rule in &config.rules {
        for path in &rule.paths {
            let real = real_path(path);
            let root = Root { rule, path, real };
            if !there(report, &root) {
                continue;
            }
            let left = until.saturating_duration_since(Instant::now());
            let survey = root.survey(rights, &mounts, WITHIN.min(left));
            report.add(root.reading(survey.as_ref(), rights, &mounts));
            if rule.action != Action::Report {
                report.add(root.removal(survey.as_ref(), rights));
            }
            if let Some(kind) = root.forgets(&mounts) {
                forgetful.push(format!("{} ({kind})", path.display()));
            }
        }
    }
    report.add(remembering(&forgetful));
}

/// Whether the path can be scanned at all; where not, the report says so.
fn there(report: &mut Report, root: &Root<'_>) -> bool {
    let Err(error) = fs::metadata(root.path) else {
        return true;
    };
    let shown = root.path.display();
    let finding = match error.kind() {
        io::ErrorKind::NotFound => Finding::failure(
            root.check(),
            format!("{shown} is not there"),
            format!("mount it, or take it out of `paths` of the rule {}", root.rule.name),
        ),
        io::ErrorKind::PermissionDenied => root.unreadable(format!("{shown}: {error}")),
        _ => Finding::failure(
            root.check(),
            format!("{shown}: {error}"),
            "see that its file system is mounted and well (`dmesg`)",
        ),
    };
    report.add(finding);
    false
}

impl Root<'_> {
    fn check(&self) -> String {
        format!("rule {}", self.rule.name)
    }

    fn unreadable(&self, found: String) -> Finding {
        let remedy = "run the agent as root, or give it CAP_DAC_READ_SEARCH (systemd: AmbientCapabilities=), or exclude \
                      what it is not to read: it is counted as unreadable, and a scan is done in part";
        Finding::failure(self.check(), found, remedy)
    }

    fn is_directory(&self) -> bool {
        self.real.is_dir()
    }

    /// A look at all that is below, where this process has not every right to it.
    fn survey(&self, rights: Rights, mounts: &Mounts, within: Duration) -> Option<Survey> {
        // A server of files may refuse root.
        let is_remote = mounts.of(&self.real).is_some_and(is_of_others);
        let question = Question {
            is_recursive: self.rule.recursive,
            reads: is_remote || !rights.reads_all(),
            removes: self.rule.action != Action::Report && (is_remote || !rights.removes_all()),
            within,
        };
        let is_asked = question.reads || question.removes;
        (is_asked && self.is_directory()).then(|| Survey::of(self.request(), question))
    }

    fn request(&self) -> RootRequest {
        RootRequest {
            ignore: self.rule.exclude.clone(),
            one_file_system: !self.rule.cross_file_systems,
            ..RootRequest::new(self.real.clone())
        }
    }

    fn reading(&self, survey: Option<&Survey>, rights: Rights, mounts: &Mounts) -> Finding {
        let shown = self.path.display();
        let user = rights.user_name();
        let access = if self.is_directory() {
            Access::READ_OK | Access::EXEC_OK
        } else {
            Access::READ_OK
        };
        if let Err(error) = rights::may(&self.real, access) {
            return self.unreadable(format!("{shown} cannot be read by user {user}: {error}"));
        }
        if let Some(survey) = survey.filter(|survey| !survey.unreadable.is_empty()) {
            let found = format!("user {user} cannot read {}{}", survey.unreadable, survey.bound());
            return self.unreadable(found);
        }
        let mut found = format!(
            "{shown} can be read by user {user}{}",
            survey.map(Survey::bound).unwrap_or_default()
        );
        if !self.rule.cross_file_systems {
            found.push_str(&self.left_out(mounts));
        }
        Finding::ok(self.check(), found)
    }

    /// Whether malware can be taken away from there.
    fn removal(&self, survey: Option<&Survey>, rights: Rights) -> Finding {
        const CHECK: &str = "removal";
        let shown = self.path.display();
        let directory = if self.is_directory() {
            self.real.as_path()
        } else {
            self.real.parent().unwrap_or(Path::new("/"))
        };
        let user = rights.user_name();
        match rights::may(directory, CHANGE) {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::ROFS) => Finding::warning(
                CHECK,
                format!("{shown} is on a file system that is mounted read-only: malware stays there"),
                "mount it for writing; in a systemd unit with ProtectSystem=, name it in ReadWritePaths=",
            ),
            Err(_) => closed(directory.display(), &user),
            Ok(()) => match survey.map(|survey| &survey.closed).filter(|closed| !closed.is_empty()) {
                Some(closed_ones) => closed(closed_ones, &user),
                None => Finding::ok(CHECK, format!("files can be taken away from {shown}")),
            },
        }
    }

    /// Mounts below that the rule's scans would come to, and do not enter.
    fn left_out(&self, mounts: &Mounts) -> String {
        let mut below = mounts.below(&self.real);
        below.retain(|mount| reaches((&self.real, self.rule), &mount.point));
        if below.is_empty() {
            return String::new();
        }
        let named = below.iter().take(NAMED).map(|mount| mount.point.display().to_string());
        let named = named.collect::<Vec<_>>().join(", ");
        let more = match below.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("\nother file systems below are left out (`cross_file_systems`): {named}{more}")
    }

    /// The type of its file system, where that lets contents change unseen.
    fn forgets(&self, mounts: &Mounts) -> Option<String> {
        let kind = file_system(&self.real)?;
        let name = || {
            mounts
                .of(&self.real)
                .map_or_else(|| "unknown".to_owned(), |mount| mount.kind.clone())
        };
        (!kind.shows_changes()).then(name)
    }
}

fn closed(what: impl std::fmt::Display, user: &str) -> Finding {
    let remedy = "run the agent as root, or give it CAP_DAC_OVERRIDE and CAP_FOWNER (systemd: AmbientCapabilities=; with \
                  CAP_CHOWN what is restored gets its owner back): malware there is told, and stays";
    Finding::failure(
        "removal",
        format!("user {user} may not remove files from {what}"),
        remedy,
    )
}

#[cfg(target_os = "linux")]
fn file_system(path: &Path) -> Option<FileSystem> {
    let kind = rustix::fs::statfs(path).ok()?.f_type;
    Some(FileSystem {
        volume: 0,
        kind: u64::try_from(kind).unwrap_or_default(),
    })
}

#[cfg(not(target_os = "linux"))]
fn file_system(_: &Path) -> Option<FileSystem> {
    None
}

fn remembering(forgetful: &[String]) -> Finding {
    const CHECK: &str = "verdicts";
    if forgetful.is_empty() {
        return Finding::ok(
            CHECK,
            "what is found clean is remembered: unchanged files are not judged again",
        );
    }
    let remedy = "expect each scan to judge all of it: give it a rule of its own with a schedule that clamd can bear, or \
                  keep the files on a local file system such as ext4 or XFS";
    let found = format!(
        "times do not show every change there, so nothing is remembered: {}",
        forgetful.join(", ")
    );
    Finding::warning(CHECK, found, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use daemon_kit::doctor::Verdict;

    #[test]
    fn no_rules_are_a_warning_and_a_path_that_is_missing_fails_alone() {
        let rights = Rights::of_this_process();
        let of = |rules: Vec<RuleSettings>| {
            let config = ReefConfig {
                rules,
                ..ReefConfig::default()
            };
            let mut report = Report::default();
            examine(&mut report, &config, rights);
            report.findings().to_vec()
        };
        assert_eq!(of(Vec::new())[0].verdict, Verdict::Warning);
        let top = tempfile::tempdir().unwrap();
        let rule = RuleSettings {
            name: "web".to_owned(),
            paths: vec![top.path().to_owned(), top.path().join("missing")],
            action: Action::Quarantine,
            ..RuleSettings::default()
        };
        let found = of(vec![rule]);
        let failures: Vec<_> = found.iter().filter(|found| found.verdict == Verdict::Failure).collect();
        assert_eq!(failures.len(), 1, "{found:#?}");
        assert!(failures[0].found.contains("missing is not there"));
        assert!(failures[0].remedy.as_ref().unwrap().contains("rule web"));
        let removal: Vec<_> = found.iter().filter(|found| found.check == "removal").collect();
        assert_eq!((removal.len(), removal[0].verdict), (1, Verdict::Ok));
    }

    #[test]
    fn what_cannot_be_read_or_removed_is_named_in_the_failure() {
        let rule = RuleSettings {
            name: "web".to_owned(),
            action: Action::Quarantine,
            ..RuleSettings::default()
        };
        let top = tempfile::tempdir().unwrap();
        let root = Root {
            rule: &rule,
            path: top.path(),
            real: top.path().to_owned(),
        };
        let mut survey = Survey::default();
        survey.unreadable.add(Path::new("/srv/secret"));
        survey.closed.add(Path::new("/srv/closed"));
        let (rights, mounts) = (Rights::of_this_process(), Mounts::default());
        let reading = root.reading(Some(&survey), rights, &mounts);
        assert!(
            reading.verdict == Verdict::Failure && reading.found.contains("/srv/secret"),
            "{reading:?}"
        );
        let removal = root.removal(Some(&survey), rights);
        assert!(
            removal.verdict == Verdict::Failure && removal.found.contains("/srv/closed"),
            "{removal:?}"
        );
        assert!(removal.remedy.unwrap().contains("CAP_DAC_OVERRIDE"));
    }

    #[test]
    fn file_systems_that_hide_changes_are_named() {
        assert_eq!(remembering(&[]).verdict, Verdict::Ok);
        let found = remembering(&["/srv (nfs4)".to_owned(), "/tmp (tmpfs)".to_owned()]);
        assert!(found.verdict == Verdict::Warning && found.found.ends_with("/srv (nfs4), /tmp (tmpfs)"));
        assert!(!file_system(Path::new("/proc")).unwrap().shows_changes());
    }
}
