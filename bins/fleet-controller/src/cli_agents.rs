//! The command line of agents, groups and statistics.
use clap::{Args, Subcommand};
use core_model::{LabelKey, LabelMatch, LabelValue, Period, Site};

/// Agents by what they are.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct SelectArgs {
    /// Agents of this kind, such as scanner.
    #[arg(long, help_heading = "Which agents")]
    pub(crate) kind: Option<String>,
    /// Agents at this site.
    #[arg(long, help_heading = "Which agents")]
    pub(crate) site: Option<Site>,
    /// Agents with this label, KEY=VALUE, or KEY for any value; given again, with each of them.
    #[arg(long = "label", value_name = "LABEL", help_heading = "Which agents")]
    pub(crate) labels: Vec<LabelMatch>,
    /// Agents that can do this.
    #[arg(long, help_heading = "Which agents")]
    pub(crate) capability: Option<String>,
    /// Agents on a machine with this container engine, such as docker.
    #[arg(long, value_name = "ENGINE", help_heading = "Which agents")]
    pub(crate) container_engine: Option<String>,
}

/// Agents that something is done to, by name or by what they are.
#[derive(Debug, Args)]
pub(crate) struct WhomArgs {
    /// Names or ids of agents; beside them all that fit the options.
    #[arg(value_name = "AGENT")]
    pub(crate) agents: Vec<String>,
    #[command(flatten)]
    pub(crate) select: SelectArgs,
    /// Agents of this group.
    #[arg(long, help_heading = "Which agents")]
    pub(crate) group: Option<String>,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct AgentsArgs {
    #[command(subcommand)]
    pub(crate) command: Option<AgentsCommand>,
    #[command(flatten)]
    pub(crate) list: ListAgentsArgs,
}

#[derive(Debug, Default, Args)]
pub(crate) struct ListAgentsArgs {
    #[command(flatten)]
    pub(crate) select: SelectArgs,
    /// Agents of this group.
    #[arg(long, help_heading = "Which agents")]
    pub(crate) group: Option<String>,
    /// Agents with this status: online, degraded, offline, maintenance or revoked.
    #[arg(long, help_heading = "Which agents")]
    pub(crate) status: Option<String>,
    /// Agents whose name matches this glob.
    #[arg(long, value_name = "GLOB", help_heading = "Which agents")]
    pub(crate) name: Option<String>,
    /// Agents whose version matches this glob.
    #[arg(long = "agent-version", value_name = "GLOB", help_heading = "Which agents")]
    pub(crate) version: Option<String>,
    /// Agents whose operating system matches this glob, such as "Debian*".
    #[arg(long, value_name = "GLOB", help_heading = "Which agents")]
    pub(crate) os: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AgentsCommand {
    /// All that is known of one agent.
    Show {
        /// Its name or id.
        agent: String,
    },
    /// Give an agent another name.
    Rename {
        /// Its name or id.
        agent: String,
        /// Its name from now on.
        name: String,
    },
    /// Give agents a site and labels, before what they say themselves (`agent.site`, `agent.labels`).
    Edit(EditArgs),
    /// Say that somebody works on the hosts of agents: their status is `maintenance`, whatever they do.
    Maintenance(MaintenanceArgs),
    /// Ask agents for another key. Each takes it with its next heartbeat; the one before opens until then.
    RotateKey {
        /// Their names or ids.
        #[arg(required = true, value_name = "AGENT")]
        agents: Vec<String>,
    },
    /// Remove agents that were not heard of for long, with all that they told; without --yes it lists them.
    Prune {
        /// For so long, such as 90d.
        #[arg(long, value_name = "TIME")]
        silent_for: Period,
        /// Remove them.
        #[arg(long)]
        yes: bool,
    },
    /// Take an agent's key away and remove all that it told: its files, changes, detections, scans, commands and
    /// configuration.
    Remove {
        /// Its name or id.
        agent: String,
        /// Do it: without this it is only said what would go.
        #[arg(long)]
        yes: bool,
    },
    /// Take an agent's key away. What is known of its files stays; its name is free again.
    Revoke {
        /// Its name or id.
        agent: String,
    },
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).multiple(true)))]
pub(crate) struct EditArgs {
    #[command(flatten)]
    pub(crate) whom: WhomArgs,
    /// Their site from now on.
    #[arg(long, value_name = "SITE", group = "what")]
    pub(crate) set_site: Option<Site>,
    /// Take the site back: they are where they say themselves.
    #[arg(long, conflicts_with = "set_site", group = "what")]
    pub(crate) unset_site: bool,
    /// A label, KEY=VALUE; can be given more than once.
    #[arg(long, value_name = "LABEL", value_parser = label, group = "what")]
    pub(crate) set_label: Vec<(LabelKey, LabelValue)>,
    /// Take a label back that an operator gave; can be given more than once.
    #[arg(long, value_name = "KEY", group = "what")]
    pub(crate) unset_label: Vec<LabelKey>,
}

fn label(text: &str) -> Result<(LabelKey, LabelValue), String> {
    let matched: LabelMatch = text.parse().map_err(|error| format!("{error}"))?;
    let value = matched.value.ok_or("a label is KEY=VALUE")?;
    Ok((matched.key, value))
}

#[derive(Debug, Args)]
pub(crate) struct MaintenanceArgs {
    #[command(flatten)]
    pub(crate) whom: WhomArgs,
    /// It ends by itself after so long, such as 2h [default: when it is ended].
    #[arg(long = "for", value_name = "TIME")]
    pub(crate) lasts: Option<Period>,
    /// What is done there.
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
    /// It is over.
    #[arg(long, conflicts_with_all = ["lasts", "reason"])]
    pub(crate) end: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GroupsCommand {
    /// The groups there are.
    List,
    /// Who belongs to a group, and what there is to say about it.
    Show {
        /// Its name.
        name: String,
    },
    /// Make a group, or change who belongs to it: every agent that fits all the options, now and later.
    Set {
        /// Its name.
        name: String,
        #[command(flatten)]
        select: SelectArgs,
        /// What there is to say about it.
        #[arg(long, default_value = "")]
        comment: String,
    },
    /// Forget a group. Its agents stay.
    Remove {
        /// Its name.
        name: String,
    },
}
