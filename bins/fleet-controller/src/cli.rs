//! The command line.
use crate::{
    cli_agents::{AgentsArgs, GroupsCommand},
    cli_link::{AgentConfigCommand, ClaimArgs, CommandsArgs},
    cli_malware::{ComplianceArgs, DetectionsArgs, ScansArgs},
};
use clap::{Args, Parser, Subcommand};
use daemon_kit::cli::{CommonArgs, CompletionsArgs, ConfigCommand, DoctorArgs, ManArgs};
use std::{net::SocketAddr, path::PathBuf};

pub(crate) use daemon_kit::cli::Output;

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
  fleet-controller login --server https://fleet.example.com:7600 --ca-file ca.pem
  fleet-controller join-tokens create --uses 10           a token with which ten agents may enrol
  fleet-controller doctor                                 what is wrong with this set-up, and the remedy
  fleet-controller store backup                           a backup now, on the controller's machine
  fleet-controller agents                                 which agents are there, and how they are
  fleet-controller agents --site fra1 --label tier=web    only those
  fleet-controller agents maintenance web-1-scanner --for 2h --reason disk
  fleet-controller groups set web --label tier=web        a name for all that bear the label
  fleet-controller commands send scan --group web         for each of them
  fleet-controller agents rotate-key web-1-scanner        ask the agent for another key, without a gap
  fleet-controller claim 7K3M-X9QD                        let the agent in that shows this code
  fleet-controller commands send scan --to web-1-scanner --wait
  fleet-controller agent-config set web-1-scanner scanner.yaml
  fleet-controller files list --agent web-1-scanner       what the controller knows of an agent's files
  fleet-controller files changes --agent web-1-scanner    what was created, updated, moved and deleted
  fleet-controller detections --open --unacknowledged     malware that somebody has to see to
  fleet-controller detections acknowledge ID --note wiped
  fleet-controller scans --status partial --since 7d      scans that could not look at everything
  fleet-controller compliance --within 7d                 which hosts were fully scanned this week, and which not
  fleet-controller commands send scan --to web-1-reef --args '{\"fresh\": true}'

Exit codes: 0 done; 1 `commands send --wait` with an agent that did not do it; 2 wrong usage; 3 wrong
configuration; 4 nothing could be done; 5 `compliance` where a host was not scanned as it should be.";

/// Options that every command takes.
pub(crate) type Common = CommonArgs<Output>;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the controller.
    Serve(ServeArgs),
    /// Sign in to a controller and keep the token for the commands below.
    Login(LoginArgs),
    /// Sign out: the token is revoked and forgotten.
    Logout,
    /// The agents of the fleet.
    Agents(Box<AgentsArgs>),
    /// Names for agents that are meant together.
    #[command(subcommand)]
    Groups(GroupsCommand),
    /// The fleet in figures.
    Statistics,
    /// The configuration that the controller keeps for agents.
    #[command(subcommand)]
    AgentConfig(AgentConfigCommand),
    /// Let an agent in that shows this code.
    Claim(ClaimArgs),
    /// The agents that wait to be let in, and those that were.
    Claims,
    /// Commands to agents: those that were sent, unless a subcommand says more.
    Commands(Box<CommandsArgs>),
    /// What the controller knows of agents' files.
    #[command(subcommand)]
    Files(FilesCommand),
    /// Malware that agents found, and what became of it.
    Detections(Box<DetectionsArgs>),
    /// Scans for malware that have ended.
    Scans(Box<ScansArgs>),
    /// Whether each host was scanned by each of its rules, as a whole and in time. Exits 5 where one was not.
    Compliance(Box<ComplianceArgs>),
    /// Tokens with which agents enrol.
    #[command(subcommand)]
    JoinTokens(JoinTokensCommand),
    /// Check, back up and restore the controller's store, on its own machine.
    #[command(subcommand)]
    Store(StoreCommand),
    /// Test the configuration, the store, the certificate and this machine, and say the remedy of what is wrong.
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
pub(crate) struct ServeArgs {
    /// Address to listen on [default: 127.0.0.1:7600]; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Read every page of the store.
    Check,
    /// Take a backup now; the controller may be running.
    Backup,
    /// The backups there are.
    Backups,
    /// Put a backup in the place of the store, which is moved aside. Every agent is asked for a full snapshot then.
    Restore {
        /// The backup [default: the newest that is sound].
        #[arg(value_hint = clap::ValueHint::FilePath)]
        file: Option<PathBuf>,
    },
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
    /// Authority that issued the controller's certificate, PEM, where the system does not know it.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Certificate to show to a controller that asks clients for one, PEM.
    #[arg(long, value_name = "FILE", requires = "client_key")]
    pub(crate) client_certificate: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    pub(crate) client_key: Option<PathBuf>,
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
