//! What a controller may not have done on this machine.
use super::{Action, ReefConfig, RuleSettings};
use conf::Check;
use daemon_kit::real_path;
use std::path::PathBuf;

/// Reports what types alone cannot say.
pub(super) fn check(config: &ReefConfig, check: &mut Check<'_>) {
    let roots = config.allowed_roots.iter().flatten().enumerate();
    for (n, root) in roots.filter(|(_, root)| root.is_relative()) {
        let text = format!("`{}` must be absolute", root.display());
        check.problem(&format!("allowed_roots[{n}]"), text, None);
    }
}

/// Below what a controller may have something scanned, as it really lies: what is said, or the paths of the rules.
pub(crate) fn allowed_roots(said: Option<&[PathBuf]>, rules: &[RuleSettings]) -> Vec<PathBuf> {
    match said {
        Some(roots) => roots.iter().map(|root| real_path(root)).collect(),
        None => rules
            .iter()
            .flat_map(|rule| &rule.paths)
            .map(|path| real_path(path))
            .collect(),
    }
}

/// The keys of a controller's rules that this machine refuses, and why. `remote` is what would be in force, `local` what
/// the configuration of this machine says: a rule that is the same in both is nobody's wish but its own.
pub(crate) fn exceeds(remote: &ReefConfig, local: &ReefConfig) -> Vec<(String, String)> {
    let allowed: Vec<PathBuf> = match &local.allowed_roots {
        Some(roots) => roots.iter().map(|root| real_path(root)).collect(),
        None => local
            .rules
            .iter()
            .flat_map(|rule| &rule.paths)
            .map(|path| real_path(path))
            .collect(),
    };
    let may_quarantine = local.allow_remote_quarantine.unwrap_or(true);
    let mut refused = Vec::new();
    let asked = remote.rules.iter().enumerate();
    for (n, rule) in asked.filter(|(_, rule)| !local.rules.contains(rule)) {
        for (at, path) in rule.paths.iter().enumerate() {
            if !allowed.iter().any(|root| real_path(path).starts_with(root)) {
                let text = format!(
                    "`{}` lies outside of what this machine lets a controller have scanned (`allowed_roots`)",
                    path.display()
                );
                refused.push((format!("rules[{n}].paths[{at}]"), text));
            }
        }
        let action = format!("rules[{n}].action");
        match rule.action {
            Action::Delete => {
                let text = "`delete` is for the configuration of this machine alone: a controller may have malware \
                            taken into quarantine";
                refused.push((action, text.to_owned()));
            }
            Action::Quarantine if !may_quarantine => {
                let text = "this machine lets no controller take malware away (`allow_remote_quarantine`)";
                refused.push((action, text.to_owned()));
            }
            Action::Quarantine | Action::Report => {}
        }
    }
    refused
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(paths: &[PathBuf], action: Action) -> ReefConfig {
        ReefConfig {
            rules: vec![RuleSettings {
                name: "one".to_owned(),
                paths: paths.to_vec(),
                action,
                ..RuleSettings::default()
            }],
            ..ReefConfig::default()
        }
    }

    fn keys(remote: &ReefConfig, local: &ReefConfig) -> Vec<String> {
        exceeds(remote, local).into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn a_controller_has_scanned_only_what_this_machine_allows() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("data/in")).unwrap();
        std::fs::create_dir_all(root.join("secret")).unwrap();
        std::os::unix::fs::symlink(root.join("secret"), root.join("data/way-out")).unwrap();
        let wish = |paths: &[&str]| {
            let paths: Vec<_> = paths.iter().map(|path| root.join(path)).collect();
            config(&paths, Action::Quarantine)
        };
        let local = config(&[root.join("data")], Action::Report);
        assert!(keys(&wish(&["data", "data/in", "data/not-there-yet"]), &local).is_empty());
        assert_eq!(keys(&wish(&["data", "secret"]), &local), ["rules[0].paths[1]"]);
        assert_eq!(keys(&wish(&["data/../secret"]), &local), ["rules[0].paths[0]"]);
        assert_eq!(keys(&wish(&["data/way-out/x"]), &local), ["rules[0].paths[0]"]);
        let mut wider = local.clone();
        wider.allowed_roots = Some(vec![root.join("secret")]);
        assert!(keys(&wish(&["secret"]), &wider).is_empty());
        assert_eq!(keys(&wish(&["data"]), &wider), ["rules[0].paths[0]"]);
        // Nothing is scanned here, so nothing is allowed, unless it is said.
        assert_eq!(keys(&wish(&["data"]), &ReefConfig::default()), ["rules[0].paths[0]"]);
    }

    #[test]
    fn a_controller_deletes_nothing_and_takes_away_only_where_it_may() {
        let usr = [PathBuf::from("/usr")];
        let mut local = config(&usr, Action::Report);
        assert_eq!(keys(&config(&usr, Action::Delete), &local), ["rules[0].action"]);
        assert!(keys(&config(&usr, Action::Quarantine), &local).is_empty());
        local.allow_remote_quarantine = Some(false);
        assert_eq!(keys(&config(&usr, Action::Quarantine), &local), ["rules[0].action"]);
        // What this machine itself says stays in force beside a controller's wishes.
        let own = config(&usr, Action::Delete);
        assert!(keys(&own, &own).is_empty());
    }
}
