//! The command line.
use crate::settings::Action;
use clap::{Args, Parser, Subcommand, ValueEnum};
use core_model::{ByteSize, EventId, Period};
use daemon_kit::cli::{CommonArgs, CompletionsArgs, ConfigCommand, DoctorArgs, ManArgs};
use fleet_link::agent::Leaving;
use std::path::PathBuf;

pub(crate) use crate::cli_quarantine::QuarantineCommand;
pub(crate) use daemon_kit::cli::Output;

/// Options that every command takes.
pub(crate) type Common = CommonArgs<Output>;

/// Scans servers for malware through ClamAV's daemon, and proves that it did.
#[derive(Debug, Parser)]
#[command(name = "reef-agent", version, about, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Args)]
pub(crate) struct ScanArgs {
    /// Files and directories.
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Leave out what matches (gitignore syntax); may be given again.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) exclude: Vec<String>,
    /// Longer files are over the limit [default: what clamd looks at, `clamd.max_file_size`].
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_file_size: Option<ByteSize>,
    /// Stay on the file system of each path.
    #[arg(long)]
    pub(crate) one_file_system: bool,
    /// What is done about malware.
    #[arg(long, value_enum, default_value_t = Action::Report)]
    pub(crate) action: Action,
    /// Follow symbolic links that stay below the path.
    #[arg(long)]
    pub(crate) follow_symlinks: bool,
    #[command(flatten)]
    pub(crate) how: HowArgs,
}

/// How it is scanned.
#[derive(Debug, Args)]
pub(crate) struct HowArgs {
    /// Scan what is known to be clean, too.
    #[arg(long)]
    pub(crate) fresh: bool,
    /// Neither use nor keep what is known of files.
    #[arg(long, conflicts_with = "fresh")]
    pub(crate) no_memory: bool,
    /// Walking threads [default: one for each core, at most 4].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=50))]
    pub(crate) threads: Option<u8>,
    /// Go unnoticed rather than fast: one file at a time, with rests between.
    #[arg(long)]
    pub(crate) background: bool,
    /// Only say how many files and bytes would be scanned, and what is left out.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RulesCommand {
    /// The rules there are, and when each is due next.
    List,
    /// When scans are due.
    Next {
        /// Of this rule alone.
        name: Option<String>,
        /// How many.
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
        count: u16,
    },
    /// Scan by a rule now.
    Run {
        /// Its name.
        name: String,
        #[command(flatten)]
        how: HowArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Each rule once, then exit: for cron and Kubernetes CronJobs.
    #[arg(long)]
    pub(crate) once: bool,
    #[command(flatten)]
    pub(crate) join: JoinArgs,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct JoinArgs {
    /// File with the join token to enrol with [or REEF_JOIN_TOKEN].
    #[arg(long, value_name = "FILE")]
    pub(crate) join_token_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct LeaveArgs {
    /// Only remove the credentials here, without telling the controller, which may be gone.
    #[arg(long)]
    pub(crate) forget: bool,
    /// Leave although records wait that the controller was not told of.
    #[arg(long)]
    pub(crate) discard: bool,
}

impl From<&LeaveArgs> for Leaving {
    fn from(args: &LeaveArgs) -> Self {
        Self {
            forget: args.forget,
            discard: args.discard,
        }
    }
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct HistoryArgs {
    #[command(subcommand)]
    pub(crate) command: Option<HistoryCommand>,
    /// By this rule.
    #[arg(long)]
    pub(crate) rule: Option<String>,
    /// That ended so.
    #[arg(long, value_enum)]
    pub(crate) status: Option<StatusChoice>,
    /// None that began longer ago than this, such as 24h or 30d.
    #[arg(long, value_name = "AGE")]
    pub(crate) since: Option<Period>,
    /// How many; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: u32,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HistoryCommand {
    /// The whole account of one scan.
    Show {
        /// Its id.
        id: EventId,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum StatusChoice {
    /// Every file was looked at.
    Completed,
    /// Some files, directories or paths could not be looked at.
    Partial,
    /// It was stopped before its end.
    Stopped,
    /// It could not be made.
    Failed,
}

#[derive(Debug, Args)]
pub(crate) struct DetectionsArgs {
    /// None older than this, such as 24h or 30d.
    #[arg(long, value_name = "AGE")]
    pub(crate) since: Option<Period>,
    /// How many; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) limit: u32,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Stay up: scan by the rules when they are due, watch directories, report, serve /health and /metrics.
    Run(RunArgs),
    /// How clamd, the rules and what waits for the server are.
    Status,
    /// The scans that a running agent made, the newest first.
    History(HistoryArgs),
    /// The malware that a running agent found, the newest first.
    Detections(DetectionsArgs),
    /// Scan files and directories now. Exits 1 where malware was found, 5 where not all could be read.
    Scan(ScanArgs),
    /// The configured rules, and scans by them.
    #[command(subcommand)]
    Rules(RulesCommand),
    /// See what was taken away, bring it back, or delete it for good.
    #[command(subcommand)]
    Quarantine(QuarantineCommand),
    /// What is wrong with this set-up, of clamd to the server, and what to do about it.
    Doctor(DoctorArgs),
    /// Leave the fleet for good: the controller takes this agent's key away, and the credentials here are removed.
    Leave(LeaveArgs),
    /// Check, explain and begin a configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the completions for a shell.
    Completions(CompletionsArgs),
    /// Print the manual page, or write one for each command.
    Man(ManArgs),
}
