//! Whether what is brought back from quarantine is taken away again.
use super::{Action, RuleSettings};
use daemon_kit::real_path;
use fsscan::{RootRequest, Rules, ScanRequest};
use std::path::Path;

/// What to know of a file that was brought back to `path`: which rule takes it away again, and how that is kept from it;
/// `None` where no rule comes there that takes malware away.
pub(crate) fn taken_again(rules: &[RuleSettings], path: &Path) -> Option<String> {
    let file = real_path(path);
    rules
        .iter()
        .filter(|rule| rule.action != Action::Report)
        .find_map(|rule| {
            let relative = rule.paths.iter().find_map(|root| met(rule, &real_path(root), &file))?;
            let does = match rule.action {
                Action::Delete => "deletes malware",
                Action::Quarantine | Action::Report => "takes malware away",
            };
            let remedy = if relative.is_empty() {
                "take that file out of its `paths`".to_owned()
            } else {
                format!("add \"/{relative}\" to its `exclude` first")
            };
            Some(format!(
                "`{}` is scanned by the rule {}, which {does}: the next scan does so with this file again, and at once where \
                 the directory is watched. To keep it there, {remedy}, or restore it elsewhere",
                path.display(),
                rule.name
            ))
        })
}

/// Where below `root` the file lies, where scans by the rule come to it; nothing where it is the root itself.
fn met(rule: &RuleSettings, root: &Path, file: &Path) -> Option<String> {
    let relative = file.strip_prefix(root).ok()?;
    let shown = relative.to_string_lossy().into_owned();
    if shown.is_empty() {
        return Some(shown);
    }
    let directories = || relative.ancestors().skip(1).filter(|part| !part.as_os_str().is_empty());
    if !rule.recursive && directories().next().is_some() {
        return None;
    }
    let request = RootRequest {
        ignore: rule.exclude.clone(),
        ..RootRequest::new(root)
    };
    // Patterns that are none were refused with the configuration.
    let is_left_out = Rules::new(&ScanRequest::new(Vec::new()), &request).is_ok_and(|rules| {
        rules.check(relative, false).is_left_out() || directories().any(|part| rules.check(part, true).is_left_out())
    });
    (!is_left_out).then_some(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_a_rule_takes_away_again_is_told_with_the_remedy() {
        let top = tempfile::tempdir().unwrap();
        let root = top.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("www/sub")).unwrap();
        std::os::unix::fs::symlink(root.join("www"), root.join("way")).unwrap();
        let mut rule = RuleSettings {
            name: "web".to_owned(),
            paths: vec![root.join("www")],
            action: Action::Quarantine,
            ..RuleSettings::default()
        };
        let told = |rule: &RuleSettings, path: &str| taken_again(std::slice::from_ref(rule), &root.join(path));
        let text = told(&rule, "www/sub/x.php").unwrap();
        assert!(
            text.contains("the rule web") && text.contains("\"/sub/x.php\""),
            "{text}"
        );
        assert!(told(&rule, "way/sub/x.php").is_some(), "a link leads there");
        assert_eq!(told(&rule, "elsewhere/x.php"), None);
        for exclude in ["/sub/x.php", "*.php", "sub/", "/sub"] {
            rule.exclude = vec![exclude.to_owned()];
            assert_eq!(told(&rule, "www/sub/x.php"), None, "{exclude}");
        }
        rule.exclude = vec!["/sub/y.php".to_owned()];
        assert!(told(&rule, "www/sub/x.php").is_some());
        rule.exclude.clear();
        rule.recursive = false;
        assert_eq!(told(&rule, "www/sub/x.php"), None);
        assert!(told(&rule, "www/x.php").is_some());
        rule.paths = vec![root.join("www/x.php")];
        assert!(told(&rule, "www/x.php").unwrap().contains("out of its `paths`"));
        rule.action = Action::Report;
        assert_eq!(told(&rule, "www/x.php"), None);
    }
}
