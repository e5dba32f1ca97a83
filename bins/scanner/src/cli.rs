//! The command line.
use clap::{Args, Parser, Subcommand, ValueEnum};
use daemon_kit::cli::{CommonArgs, CompletionsArgs, ConfigCommand, DoctorArgs, ManArgs};
use fleet_link::agent::Leaving;
use std::path::PathBuf;

pub(crate) use daemon_kit::cli::RowOutput as Output;

/// Options that every command takes.
pub(crate) type Common = CommonArgs<Output>;

/// Keeps a server's picture of a file system true, incrementally.
#[derive(Debug, Parser)]
#[command(name = "scanner", version, about, max_term_width = 110, after_help = AFTER)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER: &str = "\
Examples:
  scanner scan /srv/data                       look at a tree; no server, no configuration
  scanner scan /srv/data --output jsonl        every change since the last look, one JSON object a line
  scanner run --config scanner.yaml            stay up, scan every `scanner.scan_interval`, tell the server
  scanner run --once --config scanner.yaml     scan and tell the server what changed (for cron)
  scanner changes --since 2h                   what changed in the last two hours, from the local journal
  scanner explain /srv/data/report.tmp         why it was or was not sent
  scanner doctor                               what is wrong with this set-up, and the remedy
  scanner schedule next '30 2 * * MON-FRI'     when a schedule would scan; without one, when the configured one does
  scanner diff                                 what the next run would report; exit code 1 when there is something
  scanner query --name '*.iso' --min-size 1GB  find files in the local state, without touching the disk
  scanner config init > scanner.yaml           a commented configuration to start from

Exit codes: 0 done; 1 differences found (diff); 2 wrong usage; 3 wrong configuration; 4 nothing could be done;
5 done in part (a scan path missing, unreadable files, records that could not be delivered yet).";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Look at directories and print what changed since the last look. Needs no server.
    Scan(ScanArgs),
    /// Scan the configured paths every `scanner.scan_interval` or by `scanner.schedule`, and tell the server what changed.
    Run(RunArgs),
    /// Go on with a scan that was interrupted, deliver what waits, and exit. Nothing to resume is no failure.
    Resume(ResumeArgs),
    /// What differs between the disk and the state, without changing either. Exits 1 when something does.
    Diff(StateArgs),
    /// Roots, files known, records owed to the server, deletions held, refusals.
    Status(StateArgs),
    /// Past scans.
    History(HistoryArgs),
    /// What changed within some time, from the local journal.
    Changes(ChangesArgs),
    /// Why a file was or was not sent: the rule and its line, what is known of it, the outbox, the server's answer.
    Explain(ExplainArgs),
    /// When `scanner run` scans next.
    #[command(subcommand)]
    Schedule(ScheduleCommand),
    /// Find files in the local state by name, size, age and type, without touching the disk.
    Query(QueryArgs),
    /// Every file known, as CSV or JSON lines.
    Export(StateArgs),
    /// Release what is held: deletions of a path, a changed volume, a path no longer configured.
    Accept(AcceptArgs),
    /// Leave the fleet: the controller takes this agent's key away, and its credentials are removed here.
    Leave(LeaveArgs),
    /// Check, back up and restore the state.
    #[command(subcommand)]
    State(StateCommand),
    /// Test the configuration, the state, the server and this machine, and say the remedy of what is wrong.
    Doctor(DoctorArgs),
    /// Check, explain and begin a configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the completions for a shell.
    Completions(CompletionsArgs),
    /// Print the manual page, or write one for each command.
    Man(ManArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ScanArgs {
    /// Directories to look at.
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Leave out what matches (gitignore syntax); may be given again.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) ignore: Vec<String>,
    /// Leave out hidden files and directories.
    #[arg(long)]
    pub(crate) no_hidden: bool,
    /// Hash contents as well.
    #[arg(long, value_enum, value_name = "ALGORITHM")]
    pub(crate) hash: Option<HashChoice>,
    /// Stay on the file system of each path.
    #[arg(long)]
    pub(crate) one_file_system: bool,
    /// Walking threads [default: one for each core, at most 4].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=50))]
    pub(crate) threads: Option<u8>,
    /// Forget the last look first, so that every file is listed as created.
    #[arg(long)]
    pub(crate) fresh: bool,
    /// Only the summary, not each change.
    #[arg(long, short = 's')]
    pub(crate) summary: bool,
    /// State file of these looks [default: scan.db in the data directory].
    #[arg(long, value_name = "FILE")]
    pub(crate) state_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum HashChoice {
    Sha256,
    Blake3,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// One round, then exit: for cron, Task Scheduler and Kubernetes CronJobs.
    #[arg(long)]
    pub(crate) once: bool,
    #[command(flatten)]
    pub(crate) join: JoinArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    pub(crate) join: JoinArgs,
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

#[derive(Clone, Debug, Args)]
pub(crate) struct JoinArgs {
    /// File with the join token to enrol with [or SCANNER_JOIN_TOKEN].
    #[arg(long, value_name = "FILE")]
    pub(crate) join_token_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleCommand {
    /// The coming scans, as they are configured or as another schedule would have them.
    Next(ScheduleNextArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ScheduleNextArgs {
    /// A schedule to try out, such as '30 2 * * MON-FRI' or 'every 6h' [default: the configured one].
    pub(crate) when: Option<schedule::Schedule>,
    /// The time zone of that schedule, such as Europe/Berlin.
    #[arg(long, requires = "when")]
    pub(crate) zone: Option<schedule::Zone>,
    /// How many.
    #[arg(long, short = 'n', default_value_t = 10)]
    pub(crate) count: usize,
}

#[derive(Debug, Args)]
pub(crate) struct ChangesArgs {
    /// How far to look back, such as 2h or 7d.
    #[arg(long, value_name = "TIME", default_value = "24h")]
    pub(crate) since: core_model::Period,
    /// Only what lies in this directory, or moved out of it.
    pub(crate) path: Option<PathBuf>,
    /// At most so many changes, the oldest first.
    #[arg(long)]
    pub(crate) limit: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The file or directory.
    pub(crate) path: PathBuf,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StateCommand {
    /// Read every page and every checksum of the state.
    Check,
    /// Take a backup now.
    Backup,
    /// The backups there are.
    Backups,
    /// Put a backup in the place of the state, which is moved aside. The next scan tells the server everything anew.
    Restore {
        /// The backup [default: the newest that is sound].
        file: Option<PathBuf>,
    },
    /// Let the next scan tell the server everything anew.
    Snapshot,
}

/// Which state a reading command reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Which {
    /// That of `scanner run`.
    Run,
    /// That of `scanner scan`.
    Scan,
}

#[derive(Debug, Args)]
pub(crate) struct StateArgs {
    /// Whose state to read [default: run where it exists, else scan].
    #[arg(long, value_enum)]
    pub(crate) state: Option<Which>,
}

#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    #[command(flatten)]
    pub(crate) state: StateArgs,
    /// At most so many scans, the newest first.
    #[arg(long, default_value_t = 20)]
    pub(crate) limit: u32,
}

#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    #[command(flatten)]
    pub(crate) state: StateArgs,
    /// Name matches this glob; with a `/` in it, the whole path does.
    #[arg(long, value_name = "GLOB")]
    pub(crate) name: Option<String>,
    /// Path lies in this directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) under: Option<PathBuf>,
    /// At least this large, such as 100MB.
    #[arg(long, value_name = "SIZE")]
    pub(crate) min_size: Option<core_model::ByteSize>,
    /// At most this large.
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_size: Option<core_model::ByteSize>,
    /// Modified within this time, such as 2h or 7d.
    #[arg(long, value_name = "TIME")]
    pub(crate) newer: Option<core_model::Period>,
    /// Not modified within this time.
    #[arg(long, value_name = "TIME")]
    pub(crate) older: Option<core_model::Period>,
    /// MIME type begins so, such as image/ or application/pdf.
    #[arg(long = "type", value_name = "MIME")]
    pub(crate) mime: Option<String>,
    /// At most so many files.
    #[arg(long)]
    pub(crate) limit: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct AcceptArgs {
    /// The scan path whose deletions or change to accept.
    pub(crate) path: PathBuf,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}
