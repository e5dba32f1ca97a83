//! What is wrong with rules: each by itself, and several together.
use super::{Action, RuleSettings};
use conf::Check;
use fsscan::{RootRequest, Rules, ScanRequest};
use std::{collections::BTreeMap, io, path::Path};

/// Patterns that leave nothing to scan.
const EVERYTHING: [&str; 6] = ["*", "**", "/*", "/**", "**/*", "*/**"];

/// Names that occur twice, paths that cannot be, patterns that are none, and rules that contradict one another.
pub(super) fn check(rules: &[RuleSettings], check: &mut Check<'_>) {
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    for (n, rule) in rules.iter().enumerate() {
        let key = |field: &str| format!("rules[{n}].{field}");
        if rule.name.trim().is_empty() || rule.name.chars().any(char::is_control) {
            let help = Some("give the rule a name: detections and metrics bear it");
            check.problem(&key("name"), "is empty or holds control characters", help);
        } else if let Some(first) = names.insert(&rule.name, n) {
            check.problem(&key("name"), format!("is the name of rules[{first}], too"), None);
        }
        if rule.max_file_size.is_some_and(|most| most.bytes() == 0) {
            let help = Some("leave it out for what clamd looks at");
            check.problem(&key("max_file_size"), "must be more than nothing", help);
        }
        paths(rule, n, check);
        patterns(rule, n, check);
        rule.schedule.check(&key("schedule"), check);
        rule.throttle.check(&key("throttle"), check);
        for (earlier, other) in rules[..n].iter().enumerate() {
            both((n, rule), (earlier, other), check);
        }
    }
}

fn paths(rule: &RuleSettings, n: usize, check: &mut Check<'_>) {
    if rule.paths.is_empty() {
        let help = Some("name at least one directory");
        check.problem(&format!("rules[{n}].paths"), "names nothing to scan", help);
    }
    for (at, path) in rule.paths.iter().enumerate() {
        let key = format!("rules[{n}].paths[{at}]");
        let shown = path.display();
        if path.is_relative() {
            check.problem(&key, format!("`{shown}` must be absolute"), None);
            continue;
        }
        let earlier = &rule.paths[..at];
        if earlier.contains(path) {
            check.warning(&key, format!("`{shown}` is named twice"), Some("name it once"));
        } else if let Some(other) = earlier.iter().find(|other| is_nested(path, other)) {
            let text = format!("`{shown}` and `{}` lie in one another", other.display());
            check.problem(&key, text, Some("name only the outer one"));
        }
        // It may come: a mount, or the home of a service that is installed later.
        if path
            .symlink_metadata()
            .is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        {
            check.warning(
                &key,
                format!("`{shown}` is not there now"),
                Some("scans will say that it is missing"),
            );
        }
    }
}

fn patterns(rule: &RuleSettings, n: usize, check: &mut Check<'_>) {
    for (at, pattern) in rule.exclude.iter().enumerate() {
        let key = format!("rules[{n}].exclude[{at}]");
        let root = RootRequest {
            ignore: vec![pattern.clone()],
            ..RootRequest::new("/")
        };
        if let Err(error) = Rules::new(&ScanRequest::new(Vec::new()), &root) {
            check.problem(&key, error.to_string(), None);
        } else if is_nothing(pattern) {
            let help = Some("remove it, or write a pattern such as `*.iso`");
            check.warning(&key, format!("`{pattern}` matches nothing"), help);
        } else if is_left_open(pattern) {
            let help = Some("close it with `]`, or write `\\[` for the character itself");
            check.warning(
                &key,
                format!("the `[` in `{pattern}` is not closed, so it stands for itself"),
                help,
            );
        } else if EVERYTHING.contains(&pattern.trim()) {
            let help = Some("remove the rule, or say what of it is left out");
            check.problem(&key, format!("`{pattern}` leaves out everything"), help);
        } else if let Some(path) = rule.paths.iter().find(|path| names_from_root(pattern, path)) {
            let text = format!(
                "`{pattern}` counts from the rule's path, so that it means `{}{pattern}`",
                path.display()
            );
            check.warning(&key, text, Some("write it from there, such as `/cache`"));
        }
    }
}

/// Whether nothing can match a pattern: it is empty, or a comment, with or without the signs around it.
fn is_nothing(pattern: &str) -> bool {
    let pattern = pattern.trim();
    pattern.starts_with('#') || pattern.trim_start_matches('!').trim_matches('/').is_empty()
}

/// Whether a class of characters begins and does not end.
fn is_left_open(pattern: &str) -> bool {
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => drop(rest.next()),
            // The first character of a class may be the bracket that would end it.
            '[' if !rest.as_str().trim_start_matches('!').chars().skip(1).any(|c| c == ']') => return true,
            '[' => return false,
            _ => {}
        }
    }
    false
}

/// Whether somebody wrote a pattern from the root of the file system.
fn names_from_root(pattern: &str, path: &Path) -> bool {
    path.parent().is_some() && Path::new(pattern.trim_start_matches('!')).starts_with(path)
}

fn is_nested(one: &Path, other: &Path) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

/// A path under two rules is scanned by both: that is warned of. Where they do different things about malware there it is
/// a mistake, unless the inner rule does more than the one around it: then both wishes are fulfilled.
fn both((n, rule): (usize, &RuleSettings), (earlier, other): (usize, &RuleSettings), check: &mut Check<'_>) {
    for path in &rule.paths {
        for theirs in &other.paths {
            let (inner, outer) = if path.starts_with(theirs) {
                ((path, rule), (theirs, other))
            } else if theirs.starts_with(path) {
                ((theirs, other), (path, rule))
            } else {
                continue;
            };
            let is_same = inner.0 == outer.0;
            if !is_same && !reaches(outer, inner.0) {
                continue;
            }
            let shown = inner.0.display();
            if inner.1.action == outer.1.action || (!is_same && strength(inner.1.action) > strength(outer.1.action)) {
                let text = format!("`{shown}` is scanned by rules[{earlier}], too");
                let help = Some("name it in one of them, or exclude it from the other");
                check.warning(&format!("rules[{n}].paths"), text, help);
            } else {
                let text = format!("rules[{n}] and rules[{earlier}] do different things about malware in `{shown}`");
                let keys = [format!("rules[{n}].action"), format!("rules[{earlier}].action")];
                let help = Some("name the path in one of them, or exclude it from the other");
                check.conflict(&[&keys[0], &keys[1]], text, help);
            }
        }
    }
}

/// Whether a scan of `outer` comes to `inner`, as far as its rule says.
pub(crate) fn reaches((outer, rule): (&std::path::PathBuf, &RuleSettings), inner: &Path) -> bool {
    let Ok(relative) = inner.strip_prefix(outer) else {
        return false;
    };
    if !rule.recursive {
        return false;
    }
    let root = RootRequest {
        ignore: rule.exclude.clone(),
        ..RootRequest::new(outer.clone())
    };
    let Ok(rules) = Rules::new(&ScanRequest::new(Vec::new()), &root) else {
        return true;
    };
    // A pattern that leaves out a directory leaves out all below.
    let mut on_the_way = relative.ancestors().filter(|part| !part.as_os_str().is_empty());
    !on_the_way.any(|part| rules.check(part, true).is_left_out())
}

const fn strength(action: Action) -> u8 {
    match action {
        Action::Report => 0,
        Action::Quarantine => 1,
        Action::Delete => 2,
    }
}

#[cfg(test)]
mod tests {
    use crate::settings::ReefConfig;
    use conf::{Format, Layers, Severity};

    /// The keys with a problem in this text.
    fn wrong(text: &str) -> Vec<String> {
        let loaded = Layers::new().file("c.toml", text, Format::Toml).load::<ReefConfig>();
        let Err(problems) = loaded else { return Vec::new() };
        let errors = problems.iter().filter(|problem| problem.severity() == Severity::Error);
        errors
            .map(|problem| problem.key().unwrap_or_default().to_owned())
            .collect()
    }

    /// The keys that this text is warned of.
    fn warned(text: &str) -> Vec<String> {
        let loaded = Layers::new().file("c.toml", text, Format::Toml).load::<ReefConfig>();
        let warnings = loaded.unwrap().warnings;
        warnings
            .iter()
            .map(|problem| problem.key().unwrap_or_default().to_owned())
            .collect()
    }

    fn rule(name: &str, paths: &str, more: &str) -> String {
        format!("[[rules]]\nname = \"{name}\"\npaths = {paths}\n{more}\n")
    }

    #[test]
    fn every_mistake_of_a_rule_is_found_at_its_place() {
        for (text, keys) in [
            (rule("web", "[\"/srv\"]", ""), vec![]),
            (rule("", "[\"/srv\"]", ""), vec!["rules[0].name"]),
            (rule("web", "[]", ""), vec!["rules[0].paths"]),
            (rule("web", "[\"srv\"]", ""), vec!["rules[0].paths[0]"]),
            (rule("web", "[\"/srv\", \"/srv/www\"]", ""), vec!["rules[0].paths[1]"]),
            (
                rule("a", "[\"/a\"]", "") + &rule("a", "[\"/b\"]", ""),
                vec!["rules[1].name"],
            ),
            (
                rule("a", "[\"/a\"]", "exclude = [\"[z-a]\", \"*.iso\", \"**\"]"),
                vec!["rules[0].exclude[0]", "rules[0].exclude[2]"],
            ),
            (
                rule("a", "[\"/a\"]", "max_file_size = \"0\""),
                vec!["rules[0].max_file_size"],
            ),
            (
                rule("a", "[\"/a\"]", "[rules.schedule]\nwhen = \"0 0 31 2 *\""),
                vec!["rules[0].schedule.when"],
            ),
            (
                rule("a", "[\"/a\"]", "[rules.throttle]\ncpu_share = 0"),
                vec!["rules[0].throttle.cpu_share"],
            ),
            (
                "[throttle]\nmax_files_per_second = 0".to_owned(),
                vec!["throttle.max_files_per_second"],
            ),
            ("[quarantine]\npath = \"here\"".to_owned(), vec!["quarantine.path"]),
            ("[clamd]\nendpoint = \"udp:1\"".to_owned(), vec!["clamd.endpoint"]),
            ("[verdicts]\nmax_size = \"1KB\"".to_owned(), vec!["verdicts.max_size"]),
            (
                "[verdicts]\nrecheck_budget = \"0\"".to_owned(),
                vec!["verdicts.recheck_budget"],
            ),
            ("allowed_roots = [\"srv\"]".to_owned(), vec!["allowed_roots[0]"]),
        ] {
            assert_eq!(wrong(&text), keys, "{text}");
        }
    }

    #[test]
    fn a_pattern_that_does_nothing_or_not_what_it_looks_like_is_warned_of() {
        let patterns =
            r##"exclude = ["", "!", "/", " ", "#x", "# x", "[", "a[!]", "a[b", "[]a]", "[ab]*", "\\[", "*.iso"]"##;
        let text = rule("a", "[\"/\"]", patterns);
        assert_eq!(wrong(&text), Vec::<String>::new());
        let at = |n: usize| format!("rules[0].exclude[{n}]");
        assert_eq!(warned(&text), (0..9).map(at).collect::<Vec<_>>(), "{text}");
    }

    #[test]
    fn a_nul_byte_in_a_path_is_a_mistake() {
        assert_eq!(wrong(&rule("a", "[\"/srv/\\u0000x\"]", "")), ["rules[0].paths[0]"]);
        assert_eq!(wrong("[quarantine]\npath = \"/q\\u0000\""), ["quarantine.path"]);
    }

    #[test]
    fn a_bad_cron_line_is_shown_with_its_line_and_column() {
        let text = rule("a", "[\"/\"]", "schedule = { when = \"30 25 * * *\" }");
        let problems = Layers::new()
            .file("c.toml", &text, Format::Toml)
            .load::<ReefConfig>()
            .unwrap_err();
        let shown = problems.to_string();
        assert!(
            shown.contains("c.toml:4:") && shown.contains("column 4: hour: found `25`"),
            "{shown}"
        );
    }

    #[test]
    fn a_schedule_that_is_only_its_time_is_shown_how_it_is_written() {
        for wrong in ["\"30 2 * * *\"", "5"] {
            let text = rule("a", "[\"/\"]", &format!("schedule = {wrong}"));
            let loaded = Layers::new().file("c.toml", &text, Format::Toml).load::<ReefConfig>();
            let shown = loaded.unwrap_err().to_string();
            assert!(
                shown.contains("rules[0].schedule: expected a section such as `{ when = \"30 2 * * *\" }`"),
                "{shown}"
            );
        }
    }

    #[test]
    fn rules_that_contradict_are_a_mistake_and_those_that_repeat_are_warned_of() {
        let quarantine = "action = \"quarantine\"";
        let both = |one: &str, other: &str| rule("a", "[\"/\"]", one) + &rule("b", "[\"/usr\"]", other);
        // The inner one does more: both wishes are fulfilled.
        assert_eq!(warned(&both("", quarantine)), ["rules[1].paths"]);
        assert_eq!(warned(&both("", "")), ["rules[1].paths"]);
        // The outer one would take away what the inner one is only to tell of.
        assert_eq!(wrong(&both(quarantine, "")), ["rules[1].action"]);
        // It never gets there.
        for apart in ["recursive = false", "exclude = [\"/usr\"]", "exclude = [\"usr/\"]"] {
            let text = both(&format!("{quarantine}\n{apart}"), "");
            assert!(warned(&text).is_empty(), "{text}");
        }
        let same = rule("a", "[\"/usr\"]", "") + &rule("b", "[\"/usr\"]", quarantine);
        assert_eq!(wrong(&same), ["rules[1].action"]);
    }

    #[test]
    fn what_may_be_meant_otherwise_is_warned_of() {
        for (text, keys) in [
            (rule("a", "[\"/usr\", \"/usr\"]", ""), "rules[0].paths[1]"),
            (rule("a", "[\"/not-there-at-all\"]", ""), "rules[0].paths[0]"),
            (
                rule("a", "[\"/usr\"]", "exclude = [\"/usr/share\"]"),
                "rules[0].exclude[0]",
            ),
            (
                "[throttle]\nbackground = false\ncpu_share = 10".to_owned(),
                "throttle.cpu_share",
            ),
        ] {
            assert_eq!(warned(&text), [keys], "{text}");
        }
    }

    #[test]
    fn the_examples_load() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/reef-agent");
        let mut seen = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(wrong(&text).is_empty(), "{}: {:?}", path.display(), wrong(&text));
            seen += 1;
        }
        assert!(seen >= 4, "{seen} examples");
    }
}
