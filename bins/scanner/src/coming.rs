//! `scanner schedule next`: when the coming scans are due.
use crate::{
    cli::{Output, ScheduleNextArgs},
    context::Context,
    session,
};
use chrono::{DateTime, FixedOffset, TimeDelta, Utc};
use daemon_kit::{Exit, ScheduleSettings, Table, to_stdout};
use schedule::Plan;
use serde::Serialize;

/// A scan to come.
#[derive(Serialize)]
struct Coming {
    /// When it is due, by the clocks of the schedule's zone.
    due: DateTime<FixedOffset>,
    /// When it begins: later by this agent's share of the jitter.
    begins: DateTime<Utc>,
}

pub(crate) fn run(context: &Context, args: &ScheduleNextArgs) -> anyhow::Result<Exit> {
    let now = Utc::now();
    let settings = match &args.when {
        Some(when) => ScheduleSettings {
            when: Some(when.clone()),
            zone: args.zone.unwrap_or_default(),
            ..context.live().scanner.schedule.clone()
        },
        None => context.live().scanner.schedule.clone(),
    };
    let coming: Vec<Coming> = match settings.plan(&context.agent_name(), "scan") {
        Some(plan) => by(&plan, now).take(args.count).collect(),
        None => by_interval(context, now).take(args.count).collect(),
    };
    for warning in settings.when.iter().flat_map(schedule::Schedule::warnings) {
        tracing::warn!("{warning}");
    }
    match context.output {
        Output::Table => to_stdout(table(&coming, now))?,
        Output::Json => to_stdout(serde_json::to_string(&coming)? + "\n")?,
        Output::Jsonl => {
            for run in &coming {
                to_stdout(format_args!("{}\n", serde_json::to_string(run)?))?;
            }
        }
        Output::Csv => {
            let mut csv = csv::Writer::from_writer(std::io::stdout());
            coming.iter().try_for_each(|run| csv.serialize(run))?;
            csv.flush()?;
        }
    }
    Ok(Exit::Done)
}

fn by(plan: &Plan, now: DateTime<Utc>) -> impl Iterator<Item = Coming> {
    plan.schedule.runs_after(now, plan.zone).map(|due| Coming {
        due: plan.zone.local(due),
        begins: due + TimeDelta::from_std(plan.jitter.offset(plan.key, due)).unwrap_or_default(),
    })
}

/// Without a schedule the next scan counts from the last; one that never was is due as soon as the agent is up.
fn by_interval(context: &Context, now: DateTime<Utc>) -> impl Iterator<Item = Coming> {
    let interval = context.live().scanner.scan_interval.get();
    let interval = TimeDelta::from_std(interval).unwrap_or(TimeDelta::days(36_500));
    let last = context.open_state(None).ok();
    let last = last.and_then(|database| session::history(&database, 1).ok()?.pop());
    let first = last.map_or(now, |last| (last.started_at + interval).max(now));
    std::iter::successors(Some(first), move |run| run.checked_add_signed(interval)).map(|due| Coming {
        due: due.fixed_offset(),
        begins: due,
    })
}

fn table(coming: &[Coming], now: DateTime<Utc>) -> Table {
    let mut table = Table::new(&["DUE", "BEGINS (UTC)", "IN"]).right(2);
    for run in coming {
        let wait = (run.begins - now).max(TimeDelta::zero());
        table.row([
            run.due.format("%a %Y-%m-%d %H:%M:%S %:z").to_string(),
            run.begins.format("%Y-%m-%d %H:%M:%S").to_string(),
            format!(
                "{}d {:02}h {:02}m",
                wait.num_days(),
                wait.num_hours() % 24,
                wait.num_minutes() % 60
            ),
        ]);
    }
    table
}
