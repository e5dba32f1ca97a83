//! Watching: whether there are enough watches for what is watched, and by which method that is done.
use super::{
    mounts::{Mounts, is_of_others},
    survey::{Question, Survey},
};
use crate::settings::{ReefConfig, RuleSettings, WatchMethod};
use core_model::chain;
use daemon_kit::{
    doctor::{Finding, Report},
    real_path,
};
use fsscan::{
    Mount, RootRequest,
    watch::{Method, Watch, WatchError, WatchRequest},
};
use std::{fs, path::Path, time::Duration};

const CHECK: &str = "watch";
const LIMIT: &str = "/proc/sys/fs/inotify/max_user_watches";

/// How long directories are counted.
const WITHIN: Duration = Duration::from_secs(5);

pub(super) fn examine(report: &mut Report, config: &ReefConfig) {
    let settings = &config.watch;
    if settings.paths.is_empty() {
        let why = "nothing is watched (`watch.paths`): malware is found when a rule is due";
        return report.add(Finding::skipped(CHECK, why));
    }
    let mounts = Mounts::read();
    let (mut directories, mut is_whole) = (0, true);
    for path in &settings.paths {
        let shown = path.display();
        if !path.is_dir() {
            let found = format!("{shown} is not there, or no directory: it is watched when it is");
            let remedy = "make or mount it, or take it out of `watch.paths`";
            report.add(Finding::warning(CHECK, found, remedy));
            continue;
        }
        let real = real_path(path);
        if let Some(mount) = mounts.of(&real).filter(|mount| is_of_others(mount)) {
            report.add(unseen(path, mount));
        }
        let question = Question {
            is_recursive: true,
            reads: false,
            removes: false,
            within: WITHIN,
        };
        let survey = Survey::of(request(path, &config.rules), question);
        directories += survey.directories;
        is_whole &= survey.is_whole;
    }
    let limit = fs::read_to_string(LIMIT).ok().and_then(|text| text.trim().parse().ok());
    report.add(watches(directories, is_whole, limit));
    report.add(method(settings.method, tried));
}

/// What is watched there, by the innermost rule around it.
fn request(path: &Path, rules: &[RuleSettings]) -> RootRequest {
    let depth = |rule: &&RuleSettings| {
        let roots = rule.paths.iter().filter(|root| path.starts_with(root));
        roots.map(|root| root.components().count()).max()
    };
    let rule = rules.iter().filter(|rule| depth(rule).is_some()).max_by_key(depth);
    RootRequest {
        ignore: rule.map(|rule| rule.exclude.clone()).unwrap_or_default(),
        one_file_system: rule.is_some_and(|rule| !rule.cross_file_systems),
        ..RootRequest::new(path)
    }
}

fn unseen(path: &Path, mount: &Mount) -> Finding {
    let found = format!(
        "{} lies on {}: what other machines write there is not noticed",
        path.display(),
        mount.kind
    );
    Finding::warning(
        CHECK,
        found,
        "watch it on the machine that has the files, or scan it by a rule's schedule",
    )
}

/// Each directory takes a watch, of which a user has so many.
fn watches(directories: u64, is_whole: bool, limit: Option<u64>) -> Finding {
    const CHECK: &str = "watches";
    let counted = if is_whole {
        format!("{directories} directories")
    } else {
        format!("more than {directories} directories")
    };
    let Some(limit) = limit else {
        return Finding::skipped(
            CHECK,
            format!("{counted}; this system does not tell how many can be watched"),
        );
    };
    let found = format!("{counted}, of {limit} that a user may watch (fs.inotify.max_user_watches)");
    // Twice as many leave room to grow, and for other programs of the same user.
    let enough = directories.saturating_mul(2).max(65_536).next_power_of_two();
    let remedy = format!(
        "run `sysctl -w fs.inotify.max_user_watches={enough}` and write the same into /etc/sysctl.d/60-reef-agent.conf \
         (about 1 KB of the kernel's memory each); or exclude what need not be watched"
    );
    if directories > limit {
        Finding::failure(
            CHECK,
            format!("{found}: what is written in the rest is not noticed"),
            remedy,
        )
    } else if directories > limit / 5 * 4 {
        Finding::warning(CHECK, found, remedy)
    } else {
        Finding::ok(CHECK, found)
    }
}

/// Begins a watch of nothing, and ends it.
fn tried(method: Method) -> Result<(), WatchError> {
    let request = WatchRequest {
        method,
        ..WatchRequest::new(Vec::new())
    };
    Watch::begin(&request).map(drop)
}

/// Whether the method of the configuration can be used, and which one `auto` is.
fn method(wanted: WatchMethod, tried: impl Fn(Method) -> Result<(), WatchError>) -> Finding {
    const CHECK: &str = "watch method";
    if let Err(error) = tried(Method::Inotify) {
        let remedy = "write `fs.inotify.max_user_instances = 1024` into /etc/sysctl.d/60-reef-agent.conf and run `sysctl \
                      --system`";
        return Finding::failure(CHECK, chain(&error), remedy);
    }
    let fanotify = tried(Method::Fanotify);
    match (wanted, &fanotify) {
        (WatchMethod::Fanotify, Err(error)) => Finding::failure(
            CHECK,
            chain(error),
            "run the agent as root or give it CAP_SYS_ADMIN, or write `watch.method = \"auto\"`",
        ),
        (WatchMethod::Fanotify, Ok(())) => Finding::ok(CHECK, "fanotify is permitted, and used"),
        (WatchMethod::Inotify, _) => Finding::ok(CHECK, "inotify is used"),
        (WatchMethod::Auto, Ok(())) => Finding::ok(CHECK, "`auto` uses inotify; fanotify is permitted"),
        (WatchMethod::Auto, Err(_)) => Finding::ok(CHECK, "`auto` uses inotify; fanotify is not permitted"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use daemon_kit::doctor::Verdict;
    use rustix::io::Errno;

    #[test]
    fn too_few_watches_fail_with_the_number_that_is_enough() {
        let of = |directories| watches(directories, true, Some(100_000));
        assert_eq!(of(80_000).verdict, Verdict::Ok);
        assert_eq!(of(80_001).verdict, Verdict::Warning);
        let few = of(100_001);
        assert_eq!(few.verdict, Verdict::Failure);
        assert!(few.remedy.unwrap().contains("max_user_watches=262144"));
        assert!(
            watches(7, false, Some(8192))
                .found
                .starts_with("more than 7 directories")
        );
        assert_eq!(watches(7, true, None).verdict, Verdict::Skipped);
    }

    #[test]
    fn a_method_that_may_not_be_used_fails_only_where_it_is_asked_for() {
        let denied = |method| match method {
            Method::Fanotify => Err(WatchError::NotPermitted(Errno::PERM.into())),
            Method::Auto | Method::Inotify => Ok(()),
        };
        assert_eq!(method(WatchMethod::Fanotify, denied).verdict, Verdict::Failure);
        assert!(method(WatchMethod::Auto, denied).found.contains("not permitted"));
        let none_left = |_| Err(WatchError::Instances(Errno::MFILE.into()));
        let found = method(WatchMethod::Auto, none_left);
        assert!(found.remedy.unwrap().contains("max_user_instances"));
        assert!(tried(Method::Inotify).is_ok(), "this machine has inotify");
    }

    #[test]
    fn directories_that_the_innermost_rule_leaves_out_are_not_counted() {
        let rule = |path: &str, exclude: &str| RuleSettings {
            paths: vec![path.into()],
            exclude: vec![exclude.to_owned()],
            ..RuleSettings::default()
        };
        let rules = [rule("/srv", "outer"), rule("/srv/www", "inner"), rule("/home", "other")];
        assert_eq!(request(Path::new("/srv/www/a"), &rules).ignore, ["inner"]);
        assert_eq!(request(Path::new("/srv/b"), &rules).ignore, ["outer"]);
    }
}
