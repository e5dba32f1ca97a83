//! The quarantine: whether it can be made and written, is closed to others, has room and its key, and lies apart.
use super::rights::{self, CHANGE, Rights};
use crate::{
    quarantine::{Inspected, Key, inspect},
    settings::{Action, ReefConfig, RuleSettings, reaches},
};
use core_model::{ByteSize, chain};
use daemon_kit::{
    doctor::{self, Finding, Report},
    real_path,
};
use std::{os::unix::fs::MetadataExt as _, path::Path};

const CHECK: &str = "quarantine";

/// So much has to be left besides the longest file that may come.
const SPARE: u64 = 64 << 20;
/// An item is two files.
const LEAST_FILES: u64 = 1000;

pub(super) fn examine(report: &mut Report, config: &ReefConfig, path: &Path, rights: Rights) {
    let is_used = config.rules.iter().any(|rule| rule.action != Action::Report);
    match inspect(path) {
        Err(error) => {
            let remedy = format!(
                "give {} to the user of the agent, with mode 0700, or name another directory in `quarantine.path`",
                path.display()
            );
            report.add(Finding::failure(CHECK, chain(&error), remedy));
        }
        Ok(None) if !is_used => {
            let why = "there is none, and no rule takes malware away (`action`)";
            return report.add(Finding::skipped(CHECK, why));
        }
        Ok(None) => report.add(to_be_made(path)),
        Ok(Some(found)) => {
            report.add(directory(path, &found, rights));
            report.add(key(path, &found));
        }
    }
    let least = config.clamd.max_file_size.bytes().saturating_add(SPARE);
    report.add(doctor::disk("quarantine disk", path, ByteSize::new(least), LEAST_FILES));
    for rule in &config.rules {
        if let Some(finding) = scanned(path, rule) {
            report.add(finding);
        }
    }
}

fn to_be_made(path: &Path) -> Finding {
    let shown = path.display();
    let parent = path
        .ancestors()
        .skip(1)
        .find(|above| above.exists())
        .unwrap_or(Path::new("/"));
    match rights::may(parent, CHANGE) {
        Ok(()) => Finding::ok(CHECK, format!("{shown} is not there yet and can be made")),
        Err(error) => Finding::failure(
            CHECK,
            format!("{shown} cannot be made in {}: {error}", parent.display()),
            "let the user of the agent write there, or name another directory in `quarantine.path`; in a systemd unit \
             with ProtectSystem=, name it in ReadWritePaths=",
        ),
    }
}

/// The store opens for its owner alone, and closes itself to all others.
fn directory(path: &Path, found: &Inspected, rights: Rights) -> Finding {
    let (shown, mode) = (path.display(), found.mode);
    if found.owner != rights.user() {
        let owner = rights::user_name(found.owner);
        let text = format!("{shown} belongs to {owner}, and this is user {}", rights.user_name());
        // That is how an administrator looks at a service of another user.
        return if rights.user() == 0 {
            let remedy = format!("that is right where the agent runs as {owner}; else `chown -R root {shown}`");
            Finding::warning(CHECK, text, remedy)
        } else {
            let remedy = format!(
                "run `chown -R {} {shown}`, or this as the user of the agent: a quarantine opens for its owner alone",
                rights.user_name()
            );
            Finding::failure(CHECK, text, remedy)
        };
    }
    if let Err(error) = rights::may(path, CHANGE) {
        let remedy = format!("run `chmod 0700 {shown}`, and see that its file system is mounted for writing");
        return Finding::failure(CHECK, format!("{shown} cannot be written in: {error}"), remedy);
    }
    if mode != 0o700 {
        let text = format!("{shown} has mode {mode:04o}: other users may look into it until the next scan closes it");
        return Finding::warning(CHECK, text, format!("run `chmod 0700 {shown}`"));
    }
    Finding::ok(
        CHECK,
        format!("{shown} is closed to others and holds {} items", found.items),
    )
}

fn key(path: &Path, found: &Inspected) -> Finding {
    const CHECK: &str = "quarantine key";
    let shown = path.join("key");
    let shown = shown.display();
    match (found.key, found.items) {
        (Key::Sound, 0) => Finding::ok(CHECK, format!("{shown} is there")),
        (Key::Sound, _) => Finding::ok(CHECK, format!("{shown} is there: back it up with the items")),
        (Key::Missing, 0) => Finding::ok(CHECK, "the first item makes it"),
        (Key::Missing, items) => Finding::failure(
            CHECK,
            format!("{shown} is missing, without which none of the {items} items can be read"),
            "bring it back from a backup, or move the directory away: nothing is taken away without a key",
        ),
        (Key::Damaged, _) => Finding::failure(
            CHECK,
            format!("{shown} is no key: it has not the length of one"),
            "bring it back from a backup, or move the directory away: nothing is taken away without a key",
        ),
    }
}

/// Whether scans by a rule come to the quarantine.
fn scanned(path: &Path, rule: &RuleSettings) -> Option<Finding> {
    let path = real_path(path);
    let outer = rule.paths.iter().find(|outer| {
        let real = real_path(outer);
        // On another file system it is left out, unless the rule says otherwise.
        let is_crossed = rule.cross_file_systems || device(&real) == device(&path) || device(&path).is_none();
        path.starts_with(&real) && is_crossed && (path == real || reaches((&real, rule), &path))
    })?;
    let relative = path.strip_prefix(real_path(outer)).unwrap_or(&path);
    let found = format!(
        "{} lies in {}, which the rule {} scans: that is work for nothing, since what is in quarantine is encrypted",
        path.display(),
        outer.display(),
        rule.name
    );
    let remedy = if relative.as_os_str().is_empty() {
        "name another directory in `quarantine.path`".to_owned()
    } else {
        format!("add \"/{}\" to `exclude` of the rule {}", relative.display(), rule.name)
    };
    Some(Finding::warning("quarantine place", found, remedy))
}

/// The device of a path, or of what is above it where it is not there yet.
fn device(path: &Path) -> Option<u64> {
    let there = path.ancestors().find_map(|above| above.metadata().ok());
    there.map(|metadata| metadata.dev())
}

#[cfg(test)]
mod tests {
    use super::*;
    use daemon_kit::doctor::Verdict;

    fn inspected(owner: u32, mode: u32, items: usize, key: Key) -> Inspected {
        Inspected {
            owner,
            mode,
            items,
            key,
        }
    }

    #[test]
    fn a_store_that_is_open_to_others_or_another_s_is_told() {
        let top = tempfile::tempdir().unwrap();
        let rights = Rights::of_this_process();
        let of = |owner, mode| directory(top.path(), &inspected(owner, mode, 3, Key::Sound), rights);
        let well = of(rights.user(), 0o700);
        assert!(
            well.verdict == Verdict::Ok && well.found.contains("3 items"),
            "{well:?}"
        );
        let open = of(rights.user(), 0o755);
        assert!(
            open.verdict == Verdict::Warning && open.found.contains("0755"),
            "{open:?}"
        );
        assert_ne!(of(rights.user() + 1, 0o700).verdict, Verdict::Ok);
    }

    #[test]
    fn a_key_fails_where_items_need_it() {
        let of = |items, state| key(Path::new("/q"), &inspected(0, 0o700, items, state)).verdict;
        assert_eq!(of(0, Key::Missing), Verdict::Ok);
        assert_eq!(of(1, Key::Missing), Verdict::Failure);
        assert_eq!(of(0, Key::Damaged), Verdict::Failure);
        assert_eq!(of(1, Key::Sound), Verdict::Ok);
    }

    #[test]
    fn a_quarantine_that_a_rule_scans_is_told_unless_it_is_left_out() {
        let top = tempfile::tempdir().unwrap();
        let store = top.path().join("data/quarantine");
        let mut rule = RuleSettings {
            name: "all".to_owned(),
            paths: vec![top.path().to_owned()],
            ..RuleSettings::default()
        };
        let found = scanned(&store, &rule).unwrap();
        assert!(found.found.contains("the rule all"), "{found:?}");
        assert!(found.remedy.unwrap().contains("\"/data/quarantine\""));
        rule.exclude = vec!["/data/quarantine".to_owned()];
        assert_eq!(scanned(&store, &rule), None);
        rule.exclude.clear();
        rule.recursive = false;
        assert_eq!(scanned(&store, &rule), None);
        rule.paths = vec![top.path().join("elsewhere")];
        assert_eq!(scanned(&store, &rule), None);
        rule.paths = vec![store.clone()];
        let itself = scanned(&store, &rule).unwrap();
        assert!(itself.remedy.unwrap().contains("quarantine.path"));
    }
}
