//! `reef-agent rules`.
use crate::{
    cli::{Output, RulesCommand},
    context::Context,
    scan::{self, Wanted},
    settings::{Action, RuleSettings},
};
use anyhow::Context as _;
use daemon_kit::{Exit, Table, printable, to_stdout};

pub(crate) fn run(context: &Context, command: &RulesCommand) -> anyhow::Result<Exit> {
    let rules = &context.settings().rules;
    match command {
        RulesCommand::List => {
            match context.output {
                Output::Table => to_stdout(table(rules))?,
                Output::Json | Output::Jsonl => to_stdout(format_args!("{}\n", serde_json::to_string(rules)?))?,
            }
            Ok(Exit::Done)
        }
        RulesCommand::Run { name, how } => {
            let known: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
            let rule = rules
                .iter()
                .find(|rule| rule.name == *name)
                .with_context(|| match known.as_slice() {
                    [] => format!("there is no rule `{name}`: none is configured (`rules`)"),
                    known => format!("there is no rule `{name}`: there are {}", known.join(", ")),
                })?;
            scan::by(context, &Wanted::of(rule), how)
        }
    }
}

fn table(rules: &[RuleSettings]) -> String {
    let mut table = Table::new(&["RULE", "ACTION", "PATHS", "EXCLUDED"]);
    for rule in rules {
        let paths: Vec<String> = rule.paths.iter().map(|path| path.display().to_string()).collect();
        table.row([
            printable(rule.name.as_bytes()).into_owned(),
            match rule.action {
                Action::Report => "report",
                Action::Quarantine => "quarantine",
            }
            .to_owned(),
            printable(paths.join(" ").as_bytes()).into_owned(),
            printable(rule.exclude.join(" ").as_bytes()).into_owned(),
        ]);
    }
    table.to_string()
}
