//! The command line.
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::{net::SocketAddr, path::PathBuf};

/// The control plane of the fleet in one binary.
#[derive(Debug, Parser)]
#[command(name = "fleet-controller", version, about, max_term_width = 110, after_help = AFTER)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER: &str = "\
Examples:
  fleet-controller serve                                  start on loopback; the first start prints the admin's password
  fleet-controller login --server http://127.0.0.1:7600   sign in; asks for the password
  fleet-controller join-tokens create --uses 10           a token with which ten agents may enrol
  fleet-controller agents                                 which agents are there, and how they are
  fleet-controller files list --agent web-1-scanner       what the controller knows of an agent's files
  fleet-controller files changes --agent web-1-scanner    what was created, updated, moved and deleted

Exit codes: 0 done; 2 wrong usage; 3 wrong configuration; 4 nothing could be done.";

/// Options that every command takes.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Configuration file (TOML, YAML or JSON by its extension).
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where the controller's data lie [default: /var/lib/fleet-controller for root, $XDG_STATE_HOME/fleet-controller
    /// otherwise].
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// How results are printed.
    #[arg(long, short, global = true, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
    /// More log lines (-v debug, -vv trace).
    #[arg(long, short, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    pub(crate) verbose: u8,
    /// Errors only.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Set any key of the configuration, such as `--set logging.format=json`.
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
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the controller.
    Serve(ServeArgs),
    /// Sign in to a controller and keep the token for the commands below.
    Login(LoginArgs),
    /// Sign out: the token is revoked and forgotten.
    Logout,
    /// The agents of the fleet.
    Agents(AgentsArgs),
    /// What the controller knows of agents' files.
    #[command(subcommand)]
    Files(FilesCommand),
    /// Tokens with which agents enrol.
    #[command(subcommand)]
    JoinTokens(JoinTokensCommand),
    /// Check, explain and begin a configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Address to listen on [default: 127.0.0.1:7600]; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
}

#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// The controller's URL.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7600")]
    pub(crate) server: String,
    /// Who signs in.
    #[arg(long, default_value = "admin")]
    pub(crate) username: String,
    /// File with the password; without it the password is asked for, or read from standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Allow http:// to a host other than this machine.
    #[arg(long)]
    pub(crate) allow_http: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AgentsArgs {
    #[command(subcommand)]
    pub(crate) command: Option<AgentsCommand>,
    /// Only agents of this kind, such as scanner.
    #[arg(long)]
    pub(crate) kind: Option<String>,
    /// Only agents with this status: online, offline or degraded.
    #[arg(long)]
    pub(crate) status: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AgentsCommand {
    /// All that is known of one agent.
    Show {
        /// Its name or id.
        agent: String,
    },
    /// Take an agent's key away. What is known of its files stays; its name is free again.
    Revoke {
        /// Its name or id.
        agent: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum FilesCommand {
    /// Files of an agent.
    List(FilesArgs),
    /// What was created, updated, moved and deleted, the newest first.
    Changes(ChangesArgs),
}

#[derive(Debug, Args)]
pub(crate) struct FilesArgs {
    /// The agent's name or id.
    #[arg(long)]
    pub(crate) agent: String,
    /// Only paths that begin so.
    #[arg(long, value_name = "PATH")]
    pub(crate) under: Option<String>,
    /// Only names that match this glob.
    #[arg(long, value_name = "GLOB")]
    pub(crate) name: Option<String>,
    /// At least this large.
    #[arg(long, value_name = "SIZE")]
    pub(crate) min_size: Option<core_model::ByteSize>,
    /// At most this large.
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_size: Option<core_model::ByteSize>,
    /// At most so many files; 0 for all.
    #[arg(long, default_value_t = 100)]
    pub(crate) limit: usize,
}

#[derive(Debug, Args)]
pub(crate) struct ChangesArgs {
    /// The agent's name or id.
    #[arg(long)]
    pub(crate) agent: String,
    /// Only changes of paths that begin so.
    #[arg(long, value_name = "PATH")]
    pub(crate) under: Option<String>,
    /// At most so many changes; 0 for all that are kept.
    #[arg(long, default_value_t = 100)]
    pub(crate) limit: usize,
}

#[derive(Debug, Subcommand)]
pub(crate) enum JoinTokensCommand {
    /// Make a token. It is shown this once.
    Create {
        /// What it is for.
        #[arg(long, default_value = "agents")]
        name: String,
        /// How long it can be used.
        #[arg(long, value_name = "TIME", default_value = "24h")]
        ttl: core_model::Period,
        /// How many agents may enrol with it.
        #[arg(long, default_value_t = 1)]
        uses: u32,
    },
    /// The tokens there are; their text is not kept.
    List,
    /// Make a token useless. Agents that have enrolled with it stay.
    Revoke {
        /// Its id.
        id: String,
    },
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
        .ok_or("expected KEY=VALUE, such as logging.level=debug")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}
