//! The command line of claims, commands and agents' configuration.
use clap::{Args, Subcommand, ValueEnum};
use core_model::{LabelMatch, Period, Site};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct ClaimArgs {
    /// The code that the agent shows.
    pub(crate) code: String,
    /// Name the agent so instead of as it asks.
    #[arg(long)]
    pub(crate) name: Option<String>,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct CommandsArgs {
    #[command(subcommand)]
    pub(crate) command: Option<CommandsCommand>,
    #[command(flatten)]
    pub(crate) list: ListArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CommandsCommand {
    /// Send a command to agents. One that is away gets it when it is back, unless the deadline has passed.
    Send(Box<SendArgs>),
    /// Commands that were sent, the latest first.
    List(ListArgs),
    /// A command with what became of it at each agent.
    Show {
        /// Its id.
        id: String,
    },
    /// Take a command back: where it has not begun it is not begun, where it runs it is stopped if it can be.
    Cancel {
        /// Its id.
        id: String,
    },
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("whom").required(true).multiple(true)))]
pub(crate) struct SendArgs {
    /// What to do: scan, stop or restart for a scanner; these and reload, update-signatures or quarantine-restore for a
    /// reef-agent.
    pub(crate) verb: String,
    /// For these agents, by name or id, and for all that fit the other options besides; can be given more than once.
    #[arg(long, value_name = "AGENT", num_args = 1.., group = "whom")]
    pub(crate) to: Vec<String>,
    /// For all agents that take it.
    #[arg(long, group = "whom")]
    pub(crate) all: bool,
    /// For all agents of this kind, such as scanner.
    #[arg(long, group = "whom")]
    pub(crate) kind: Option<String>,
    /// For all agents at this site; with other options of the kind, for those that fit each of them.
    #[arg(long, group = "whom")]
    pub(crate) site: Option<Site>,
    /// For all agents with this label, KEY=VALUE, or KEY for any value; can be given more than once.
    #[arg(long = "label", value_name = "LABEL", group = "whom")]
    pub(crate) labels: Vec<LabelMatch>,
    /// For all agents that can do this.
    #[arg(long, group = "whom")]
    pub(crate) capability: Option<String>,
    /// For all agents on a machine with this container engine.
    #[arg(long, value_name = "ENGINE", group = "whom")]
    pub(crate) container_engine: Option<String>,
    /// For all agents of this group.
    #[arg(long, group = "whom")]
    pub(crate) group: Option<String>,
    /// An argument of the verb, where it takes any: the value is JSON, or else text.
    #[arg(long = "arg", value_name = "NAME=VALUE")]
    pub(crate) args: Vec<String>,
    /// All arguments of the verb at once, as a JSON object. A reef-agent's scan takes `rule`, `paths` and `fresh`, its
    /// quarantine-restore `id`, `to` and `force`.
    #[arg(long = "args", value_name = "JSON", conflicts_with = "args")]
    pub(crate) json_args: Option<String>,
    /// It has to be over so long from now: what has not begun by then never does, and what still runs is stopped.
    #[arg(long, value_name = "TIME", default_value = "1h")]
    pub(crate) deadline: Period,
    /// Which of several waiting commands goes first.
    #[arg(long, value_enum, default_value_t = PriorityChoice::Normal)]
    pub(crate) priority: PriorityChoice,
    /// Send it once, however often this is tried with the same key.
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,
    /// Wait until it has ended everywhere; exit 1 where it was not done. A scan that was made is done, whether or not it
    /// found malware: what it found is shown.
    #[arg(long)]
    pub(crate) wait: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum PriorityChoice {
    Low,
    Normal,
    High,
    Critical,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only commands for this agent.
    #[arg(long)]
    pub(crate) agent: Option<String>,
    /// Only commands of this verb.
    #[arg(long)]
    pub(crate) verb: Option<String>,
    /// Only those that have not ended everywhere.
    #[arg(long)]
    pub(crate) open: bool,
    /// At most so many; 0 for all that are kept.
    #[arg(long, default_value_t = 50)]
    pub(crate) limit: usize,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AgentConfigCommand {
    /// The configuration that the agent should run with, and what it says about that.
    Get {
        /// The agent's name or id.
        agent: String,
    },
    /// Set the agent's configuration: a YAML or JSON document. The agent takes it up within seconds, or refuses all of it.
    Set {
        /// The agent's name or id.
        agent: String,
        /// The document; `-` reads standard input.
        #[arg(value_hint = clap::ValueHint::FilePath)]
        file: PathBuf,
        /// What there is to say about it.
        #[arg(long, default_value = "")]
        comment: String,
        /// Only if this is still the latest version; 0: if there is none.
        #[arg(long, value_name = "VERSION")]
        follows: Option<u64>,
        /// Wait until the agent has said what it makes of it; exit 1 where it refuses, or says nothing in time.
        #[arg(long)]
        wait: bool,
        /// How long to wait for an agent that says nothing.
        #[arg(long, value_name = "TIME", default_value = "5m", requires = "wait")]
        within: Period,
    },
    /// The versions of the agent's configuration, the latest first.
    History {
        /// The agent's name or id.
        agent: String,
    },
    /// Set the text of an earlier version anew.
    Rollback {
        /// The agent's name or id.
        agent: String,
        /// The version.
        version: u64,
        /// Wait until the agent has said what it makes of it; exit 1 where it refuses, or says nothing in time.
        #[arg(long)]
        wait: bool,
        /// How long to wait for an agent that says nothing.
        #[arg(long, value_name = "TIME", default_value = "5m", requires = "wait")]
        within: Period,
    },
    /// Take back what was set: the agent runs with what is on its own machine.
    Withdraw {
        /// The agent's name or id.
        agent: String,
    },
}
