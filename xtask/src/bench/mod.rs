//! `cargo xtask bench`: whole products beside their peers, as ratios in one run, CPU seconds first.
mod daemons;
mod measure;
#[cfg(unix)]
mod netcheck;
mod procfs;
mod reef;
mod reload;
mod scanner;
mod site;
mod storm;
mod walk;

use anyhow::Result;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// The scanner beside a bare walk, find and updatedb.
    Scanner(scanner::Args),
    /// reef-agent beside clamdscan and clamscan.
    Reef(reef::Args),
    /// netcheck, and smotra-agent with it: pings beside fping, TCP and HTTP beside blackbox_exporter.
    #[cfg(unix)]
    Netcheck(netcheck::Args),
    /// The daemons: how soon they are ready, and what they cost at rest.
    Daemons(daemons::Args),
    /// From a changed configuration to its effect.
    Reload(reload::Args),
    /// Hundreds of agents whose controller goes and comes back.
    Storm(storm::Args),
    /// A bare walk: every directory listed, every file looked at, nothing kept. For the bench itself.
    #[command(hide = true)]
    Walk(walk::Args),
    /// The engine for pings alone. For the bench itself.
    #[cfg(unix)]
    #[command(hide = true)]
    Pings(netcheck::Pings),
    /// Checks of TCP or HTTP by the library alone. For the bench itself.
    #[cfg(unix)]
    #[command(hide = true)]
    Checks(netcheck::Checks),
}

pub(crate) fn run(command: Command) -> Result<()> {
    match command {
        Command::Scanner(args) => scanner::run(&args),
        Command::Reef(args) => reef::run(&args),
        Command::Daemons(args) => daemons::run(&args),
        Command::Reload(args) => reload::run(&args),
        Command::Storm(args) => storm::run(&args),
        Command::Walk(args) => walk::run(&args),
        #[cfg(unix)]
        Command::Netcheck(args) => netcheck::run(&args),
        #[cfg(unix)]
        Command::Pings(args) => netcheck::ping(&args),
        #[cfg(unix)]
        Command::Checks(args) => netcheck::check(&args),
    }
}
