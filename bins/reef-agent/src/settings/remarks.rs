//! What `config check` says of a configuration that is valid: what it comes to, and what in it may be meant otherwise.
use super::{ReefConfig, RuleSettings, reaches};
use crate::rules::first_two;
use chrono::{DateTime, Utc};
use daemon_kit::real_path;
use std::path::Path;

/// Where nothing is scanned: what to do about it.
pub(crate) const NO_RULE: &str = "no rule is configured (`rules`): nothing is scanned but by `reef-agent scan`; \
                                  `reef-agent config init` shows how one is written";

/// Rules of which the next run is told; of more, their number.
const MOST: usize = 12;

/// Whole lines, the warnings first. `agent` is the agent's name: runs are put off by it.
pub(crate) fn remarks(config: &ReefConfig, agent: &str, now: DateTime<Utc>) -> String {
    let mut text = String::new();
    for warning in warnings(config, agent, now) {
        text.push_str(&format!("warning: {warning}\n"));
    }
    if !config.rules.is_empty() {
        text.push_str(&summary(&config.rules, agent, now));
    }
    text.push_str("not asked here: clamd and the rights to read and take away; `reef-agent doctor` tests them\n");
    text
}

fn summary(rules: &[RuleSettings], agent: &str, now: DateTime<Utc>) -> String {
    let each = rules.iter().take(MOST).map(|rule| {
        let next = first_two(rule, agent, now).first().map(|(_, begins)| *begins);
        let next = next.map_or_else(
            || "when asked for".to_owned(),
            |next| format!("next at {}", next.format("%Y-%m-%dT%H:%M:%SZ")),
        );
        format!("{} ({}, {next})", rule.name, rule.action.name())
    });
    let mut named = each.collect::<Vec<_>>().join(", ");
    if rules.len() > MOST {
        named.push_str(&format!(" and {} more", rules.len() - MOST));
    }
    let plural = if rules.len() == 1 { "rule" } else { "rules" };
    format!("{} {plural}: {named}\n", rules.len())
}

fn warnings(config: &ReefConfig, agent: &str, now: DateTime<Utc>) -> Vec<String> {
    if config.rules.is_empty() {
        return vec![NO_RULE.to_owned()];
    }
    let mut found = Vec::new();
    for rule in &config.rules {
        let name = &rule.name;
        if rule.schedule.when.is_none() && !is_watched(config, rule) {
            found.push(format!(
                "rule {name}: has no `schedule`, and nothing of it is watched (`watch.paths`): it is scanned only when \
                 somebody asks, as by `reef-agent rules run {name}`"
            ));
        }
        if let [(due, _), (next, _)] = first_two(rule, agent, now)[..]
            && let Ok(apart) = (next - due).to_std()
            && rule.schedule.jitter.get() > apart
        {
            found.push(format!(
                "rule {name}: `schedule.jitter` is longer than from one run to the next ({} s): runs are put off by less \
                 than that",
                apart.as_secs()
            ));
        }
        if let Some(path) = &config.quarantine.path
            && let Some(root) = scans(rule, path)
        {
            found.push(format!(
                "rule {name}: `quarantine.path` lies in `{}`, which it scans: what lies there is encrypted, so that is work \
                 for nothing; add it to `exclude`",
                root.display()
            ));
        }
    }
    if let Some(roots) = &config.allowed_roots {
        let roots: Vec<_> = roots.iter().map(|root| real_path(root)).collect();
        let mut paths = config
            .rules
            .iter()
            .flat_map(|rule| &rule.paths)
            .map(|path| real_path(path));
        if !paths.any(|path| {
            roots
                .iter()
                .any(|root| path.starts_with(root) || root.starts_with(&path))
        }) {
            found.push(
                "`allowed_roots` hold none of what the rules scan: a controller can have nothing of that scanned"
                    .to_owned(),
            );
        }
    }
    found
}

fn is_watched(config: &ReefConfig, rule: &RuleSettings) -> bool {
    let watched = &config.watch.paths;
    watched
        .iter()
        .any(|watched| rule.paths.iter().any(|root| watched.starts_with(root)))
}

/// The path of the rule by which its scans come to `place`.
fn scans<'r>(rule: &'r RuleSettings, place: &Path) -> Option<&'r Path> {
    let place = real_path(place);
    let root = rule.paths.iter().find(|root| {
        let real = real_path(root);
        place == real || reaches((&real, rule), &place)
    });
    root.map(std::path::PathBuf::as_path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use conf::{Format, Layers};

    fn said(text: &str) -> String {
        let loaded = Layers::new().file("c.toml", text, Format::Toml).load::<ReefConfig>();
        let now = "2027-01-01T12:00:00Z".parse().unwrap();
        remarks(&loaded.unwrap().value, "agent", now)
    }

    fn rule(more: &str) -> String {
        format!("[[rules]]\nname = \"web\"\npaths = [\"/usr\"]\n{more}\n")
    }

    #[test]
    fn a_configuration_by_which_nothing_is_scanned_is_warned_of() {
        assert!(said("").starts_with("warning: no rule is configured"), "{}", said(""));
        let idle = said(&rule(""));
        assert!(idle.starts_with("warning: rule web: has no `schedule`"), "{idle}");
        assert!(idle.contains("\n1 rule: web (report, when asked for)\n"), "{idle}");
        let watched = said(&(rule("") + "[watch]\npaths = [\"/usr/bin\"]"));
        assert!(!watched.contains("warning"), "{watched}");
    }

    #[test]
    fn what_a_configuration_comes_to_is_told_in_a_line() {
        let text = said(&(rule("schedule = { when = \"30 2 * * *\" }")));
        assert_eq!(
            text.lines().next().unwrap(),
            "1 rule: web (report, next at 2027-01-02T02:30:00Z)"
        );
        assert!(text.contains("`reef-agent doctor`"), "{text}");
    }

    #[test]
    fn what_may_be_meant_otherwise_is_warned_of() {
        let daily = "schedule = { when = \"30 2 * * *\", jitter = \"1h\" }";
        for (text, warning) in [
            (
                rule("schedule = { when = \"*/10 * * * *\", jitter = \"1h\" }"),
                Some("`schedule.jitter` is longer than from one run to the next (600 s)"),
            ),
            (
                rule(daily) + "[quarantine]\npath = \"/usr/share/q\"",
                Some("`quarantine.path` lies in `/usr`"),
            ),
            (
                rule(&format!("{daily}\nexclude = [\"/share/q\"]")) + "[quarantine]\npath = \"/usr/share/q\"",
                None,
            ),
            (
                format!("allowed_roots = [\"/opt\"]\n{}", rule(daily)),
                Some("`allowed_roots` hold none"),
            ),
            (format!("allowed_roots = [\"/usr/lib\"]\n{}", rule(daily)), None),
            (format!("allowed_roots = [\"/\"]\n{}", rule(daily)), None),
        ] {
            let said = said(&text);
            match warning {
                Some(warning) => assert!(said.starts_with("warning: ") && said.contains(warning), "{said}"),
                None => assert!(!said.contains("warning"), "{said}"),
            }
        }
    }
}
