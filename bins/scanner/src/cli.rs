//! The command line.
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

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
  scanner run --once --config scanner.yaml     scan and tell the server what changed (for cron)
  scanner diff                                 what the next run would report; exit code 1 when there is something
  scanner query --name '*.iso' --min-size 1GB  find files in the local state, without touching the disk
  scanner config init > scanner.yaml           a commented configuration to start from

Exit codes: 0 done; 1 differences found (diff); 2 wrong usage; 3 wrong configuration; 4 nothing could be done;
5 done in part (a scan path missing, unreadable files, records that could not be delivered yet).";

/// Options that every command takes.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Configuration file (TOML, YAML or JSON by its extension).
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where the state lies [default: /var/lib/scanner for root, $XDG_STATE_HOME/scanner otherwise].
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// How results are printed.
    #[arg(long, short, global = true, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
    /// More log lines (-v debug, -vv trace).
    #[arg(long, short, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    pub(crate) verbose: u8,
    /// Errors only: no progress, no log lines below `error`.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Set any key of the configuration, such as `--set scanner.worker_count=2`.
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) set: Vec<(String, String)>,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Columns for people.
    Table,
    /// One JSON document.
    Json,
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated values with a header line.
    Csv,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Look at directories and print what changed since the last look. Needs no server.
    Scan(ScanArgs),
    /// Scan the configured paths and tell the server what changed.
    Run(RunArgs),
    /// What differs between the disk and the state, without changing either. Exits 1 when something does.
    Diff(StateArgs),
    /// Roots, files known, records owed to the server, deletions held, refusals.
    Status(StateArgs),
    /// Past scans.
    History(HistoryArgs),
    /// Find files in the local state by name, size, age and type, without touching the disk.
    Query(QueryArgs),
    /// Every file known, as CSV or JSON lines.
    Export(StateArgs),
    /// Release what is held: deletions of a path, a changed volume, a path no longer configured.
    Accept(AcceptArgs),
    /// Check, explain and begin a configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
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
    #[arg(long, required = true)]
    pub(crate) once: bool,
    /// File with the join token to enrol with [or SCANNER_JOIN_TOKEN].
    #[arg(long, value_name = "FILE")]
    pub(crate) join_token_file: Option<PathBuf>,
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

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check the configuration and report everything that is wrong with it.
    Check,
    /// Print the JSON Schema, for editors.
    Schema,
    /// Print the effective values and where each comes from; secrets are masked.
    Show,
    /// Print a commented example, or write it to FILE.
    Init {
        /// Where to write it; an existing file is left alone.
        file: Option<PathBuf>,
    },
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or("expected KEY=VALUE, such as scanner.worker_count=2")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}
