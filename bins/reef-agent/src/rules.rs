//! `reef-agent rules`.
use crate::{
    cli::{Output, RulesCommand},
    context::Context,
    scan::{Wanted, command},
    settings::RuleSettings,
    state::by_hand,
};
use anyhow::Context as _;
use chrono::{DateTime, FixedOffset, TimeDelta, Utc};
use daemon_kit::{Exit, Table, printable, to_stdout};
use serde::Serialize;

pub(crate) fn run(context: &Context, command: &RulesCommand) -> anyhow::Result<Exit> {
    let live = context.live();
    let rules = &live.rules;
    match command {
        RulesCommand::List => list(context, rules)?,
        RulesCommand::Next { name, count } => next(context, rules, name.as_deref(), usize::from(*count))?,
        RulesCommand::Run { name, how } => {
            let report = command::by(context, Wanted::of(named(rules, name)?), how)?;
            if !how.dry_run {
                by_hand::scanned(&context.state_file(), &report, rules)
                    .context("the scan was made, and the agent could not be told of it")?;
            }
            return Ok(report.exit());
        }
    }
    Ok(Exit::Done)
}

fn named<'r>(rules: &'r [RuleSettings], name: &str) -> anyhow::Result<&'r RuleSettings> {
    let known: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
    rules
        .iter()
        .find(|rule| rule.name == *name)
        .with_context(|| match known.as_slice() {
            [] => format!("there is no rule `{name}`: none is configured (`rules`)"),
            known => format!("there is no rule `{name}`: there are {}", known.join(", ")),
        })
}

/// A scan to come.
#[derive(Clone, Debug, Serialize)]
struct Coming {
    rule: String,
    /// When it is due, by the clocks of the schedule's zone.
    due: DateTime<FixedOffset>,
    /// The zone.
    zone: &'static str,
    /// When it begins: later by this machine's share of the jitter.
    begins: DateTime<Utc>,
    priority: u8,
}

/// What a rule says, and when it is due.
#[derive(Serialize)]
struct Listed<'r> {
    #[serde(flatten)]
    rule: &'r RuleSettings,
    next: Option<Coming>,
}

/// The coming scans of a rule, for the agent of this name.
fn coming(rule: &RuleSettings, agent: &str, now: DateTime<Utc>, count: usize) -> Vec<Coming> {
    let Some(plan) = rule.plan(agent) else {
        return Vec::new();
    };
    let mut runs = plan.schedule.runs_after(now, plan.zone).peekable();
    let mut coming = Vec::new();
    while coming.len() < count
        && let Some(due) = runs.next()
    {
        // It is put off, but not as far as the one after it.
        let bound = runs.peek().map_or(TimeDelta::MAX, |next| *next - due);
        let offset = plan.jitter.within(bound).offset(plan.key, due);
        coming.push(Coming {
            rule: rule.name.clone(),
            due: plan.zone.local(due),
            zone: plan.zone.name(),
            begins: due + TimeDelta::from_std(offset).unwrap_or_default(),
            priority: rule.priority,
        });
    }
    coming
}

/// When the next two scans of a rule are due, and when they begin: fewer where fewer are to come.
pub(crate) fn first_two(rule: &RuleSettings, agent: &str, now: DateTime<Utc>) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
    let coming = coming(rule, agent, now, 2);
    coming.iter().map(|run| (run.due.to_utc(), run.begins)).collect()
}

/// The coming scans of all of these, in the order in which they begin.
fn all_coming<'r>(
    rules: impl IntoIterator<Item = &'r RuleSettings>,
    agent: &str,
    now: DateTime<Utc>,
    count: usize,
) -> Vec<Coming> {
    let each = rules.into_iter().map(|rule| coming(rule, agent, now, count));
    let mut all: Vec<Coming> = each.flatten().collect();
    // Of several at one instant, the more urgent goes first.
    all.sort_by_key(|run| (run.begins, std::cmp::Reverse(run.priority)));
    all.truncate(count);
    all
}

fn list(context: &Context, rules: &[RuleSettings]) -> anyhow::Result<()> {
    let (now, agent) = (Utc::now(), context.agent_name());
    let listed = rules.iter().map(|rule| Listed {
        rule,
        next: coming(rule, &agent, now, 1).pop(),
    });
    match context.output {
        Output::Table => to_stdout(table(listed))?,
        Output::Json => to_stdout(serde_json::to_string(&listed.collect::<Vec<_>>())? + "\n")?,
        Output::Jsonl => {
            for rule in listed {
                to_stdout(serde_json::to_string(&rule)? + "\n")?;
            }
        }
    }
    Ok(())
}

fn next(context: &Context, rules: &[RuleSettings], name: Option<&str>, count: usize) -> anyhow::Result<()> {
    let (now, agent) = (Utc::now(), context.agent_name());
    let coming = match name {
        Some(name) => all_coming([named(rules, name)?], &agent, now, count),
        None => all_coming(rules, &agent, now, count),
    };
    match context.output {
        Output::Table if coming.is_empty() => to_stdout("nothing is due: no rule has a `schedule`\n")?,
        Output::Table => to_stdout(coming_table(&coming, now))?,
        Output::Json => to_stdout(serde_json::to_string(&coming)? + "\n")?,
        Output::Jsonl => {
            for run in &coming {
                to_stdout(serde_json::to_string(run)? + "\n")?;
            }
        }
    }
    Ok(())
}

fn table<'r>(listed: impl Iterator<Item = Listed<'r>>) -> String {
    let mut table = Table::new(&["RULE", "ACTION", "SCHEDULE", "NEXT", "PATHS", "EXCLUDED"]);
    for Listed { rule, next } in listed {
        let paths: Vec<String> = rule.paths.iter().map(|path| path.display().to_string()).collect();
        let when = rule.schedule.when.as_ref().map(ToString::to_string);
        table.row([
            printable(rule.name.as_bytes()).into_owned(),
            rule.action.name().to_owned(),
            when.unwrap_or_else(|| "when asked for".to_owned()),
            next.map(|next| time(&next)).unwrap_or_default(),
            printable(paths.join(" ").as_bytes()).into_owned(),
            printable(rule.exclude.join(" ").as_bytes()).into_owned(),
        ]);
    }
    table.to_string()
}

fn coming_table(coming: &[Coming], now: DateTime<Utc>) -> String {
    let mut table = Table::new(&["RULE", "DUE", "ZONE", "BEGINS (UTC)", "IN"]).right(4);
    for run in coming {
        let wait = (run.begins - now).max(TimeDelta::zero());
        table.row([
            printable(run.rule.as_bytes()).into_owned(),
            time(run),
            run.zone.to_owned(),
            run.begins.format("%Y-%m-%d %H:%M:%S").to_string(),
            format!(
                "{}d {:02}h {:02}m",
                wait.num_days(),
                wait.num_hours() % 24,
                wait.num_minutes() % 60
            ),
        ]);
    }
    table.to_string()
}

fn time(run: &Coming) -> String {
    run.due.format("%a %Y-%m-%d %H:%M:%S %:z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_comes_in_order_and_the_more_urgent_first() {
        let rule = |name: &str, when: &str, priority| {
            let mut rule = RuleSettings {
                name: name.to_owned(),
                priority,
                ..RuleSettings::default()
            };
            rule.schedule.when = Some(when.parse().unwrap());
            rule.schedule.zone = "Europe/Berlin".parse().unwrap();
            rule
        };
        let unplanned = RuleSettings::default();
        let rules = [
            rule("late", "0 4 * * *", 9),
            rule("low", "0 2 * * *", 1),
            rule("high", "0 2 * * *", 2),
            unplanned,
        ];
        let now = "2027-03-27T12:00:00Z".parse().unwrap();
        let all = all_coming(&rules, "a", now, 4);
        let names: Vec<&str> = all.iter().map(|run| run.rule.as_str()).collect();
        assert_eq!(names, ["high", "low", "late", "high"]);
        // On that night two o'clock does not exist there.
        assert_eq!(time(&all[0]), "Sun 2027-03-28 03:00:00 +02:00");
        assert_eq!(all[0].zone, "Europe/Berlin");
    }

    #[test]
    fn no_run_is_put_off_as_far_as_the_one_after_it() {
        let mut rule = RuleSettings::default();
        rule.schedule.when = Some("*/10 * * * *".parse().unwrap());
        rule.schedule.jitter = "10h".parse().unwrap();
        let now = "2027-03-27T12:00:00Z".parse().unwrap();
        let runs = coming(&rule, "a", now, 50);
        assert_eq!(runs.len(), 50);
        for run in runs {
            let put_off = run.begins - run.due.to_utc();
            assert!(
                put_off >= TimeDelta::zero() && put_off <= TimeDelta::minutes(10),
                "{put_off}"
            );
        }
    }
}
