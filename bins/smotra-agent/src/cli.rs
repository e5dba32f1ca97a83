//! The command line.
use crate::{
    check::{
        dns::DnsArgs, http::HttpArgs, live_mistake, ping::PingArgs, read, tcp::TcpArgs, tls::TlsArgs, trace::TraceArgs,
        udp::UdpArgs,
    },
    seconds::seconds,
};
use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use core_model::Period;
use daemon_kit::cli::{CompletionsArgs, ManArgs, Output};
use netcheck::{
    Family,
    tls::{Roots, SessionOptions},
};
use std::{net::IpAddr, path::PathBuf};

const AFTER: &str = "\
Examples:
  smotra-agent check ping 192.0.2.1 gate.example --count 10 --interval 200ms
  smotra-agent check ping --file targets --live --count 0
  smotra-agent check http https://shop.example/health --contains ok --live --interval 5s
  smotra-agent check tls shop.example:443 mail.example:465 --output json";

/// Checks networks from where it runs.
#[derive(Debug, Parser)]
#[command(name = "smotra-agent", version, max_term_width = 100, after_help = AFTER)]
pub(crate) struct Cli {
    /// How results are printed.
    #[arg(short, long, global = true, value_enum, default_value_t)]
    pub(crate) output: Output,
    /// What is to be done.
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// What was typed that cannot be meant, where options that are right by themselves do not go together.
    pub(crate) fn mistake(&self) -> Option<&'static str> {
        let Command::Check(command) = &self.command else {
            return None;
        };
        let common = match command {
            CheckCommand::Ping(args) => return args.mistake(self.output),
            CheckCommand::Trace(args) => return args.mistake(self.output),
            CheckCommand::Tcp(args) => &args.common,
            CheckCommand::Udp(args) => &args.common,
            CheckCommand::Http(args) => &args.common,
            CheckCommand::Dns(args) => &args.common,
            CheckCommand::Tls(args) => &args.common,
        };
        common.again.live.then(|| live_mistake(self.output)).flatten()
    }
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check targets now. Exits 0 when all are well, 1 when one is not, and 4 when it could not be checked from here (1 where both
    /// are so).
    ///
    /// Ctrl-C (or SIGTERM) ends it with what came until then; it exits 5 when targets are left that nothing is known of.
    ///
    /// Times are seconds (`2`, `0.5`) or have units (`250ms`, `1m30s`).
    #[command(subcommand)]
    Check(CheckCommand),
    /// Print the completions for a shell.
    Completions(CompletionsArgs),
    /// Print the manual page, or write one for each command.
    Man(ManArgs),
}

/// By which protocol.
#[derive(Debug, Subcommand)]
pub(crate) enum CheckCommand {
    /// Ping targets: loss, times, jitter, how a call would sound, and whether the result can be trusted.
    Ping(Box<PingArgs>),
    /// Trace the ways to targets: each router, its loss and times, and where the way ends.
    Trace(Box<TraceArgs>),
    /// Connect to ports (`host:port`): refused, unreachable and silent told apart.
    Tcp(Box<TcpArgs>),
    /// Send a datagram to ports (`host:port`) and await the reply: DNS, NTP, echo, or bytes of your own.
    Udp(Box<UdpArgs>),
    /// Ask for pages: status, content, certificate, and the time of each part.
    Http(Box<HttpArgs>),
    /// Ask a name server: what it answers, how soon, and how many queries were lost.
    Dns(Box<DnsArgs>),
    /// Greet servers by TLS: version, certificate, names, and how long they are good.
    Tls(Box<TlsArgs>),
}

/// What every check of a service has.
#[derive(Clone, Debug, Args)]
pub(crate) struct CommonArgs {
    /// How long a check may take.
    #[arg(short = 'W', long, value_name = "TIME", default_value = "10s", value_parser = seconds)]
    pub(crate) timeout: Period,
    /// How many are checked at once.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) parallel: u16,
    /// Ask from this address, one of this machine's [default: the one that its routes choose].
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) source: Option<IpAddr>,
    #[command(flatten)]
    pub(crate) again: AgainArgs,
}

/// Whether targets are checked again and again.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct AgainArgs {
    /// Check again and again, and show each result as soon as it is there.
    ///
    /// On a terminal that is a table, painted in place: a row for each target, the worst first where there is no room for all.
    /// Times are milliseconds of what went well. LATEST is a character for each of the latest checks: higher is longer (▁ up to
    /// 1 ms, ▂ 3, ▃ 10, ▄ 30, ▅ 100, ▆ 300, ▇ 1 s, █ more), `!` not well, `?` open or silent, `-` could not be made from here.
    /// Ctrl-C ends it, with a final table. Elsewhere it is a line for each result, and with `--output jsonl` an object. The exit
    /// status goes by the latest result of each target.
    #[arg(short, long)]
    pub(crate) live: bool,
    /// With `--live`, from one check of a target to its next.
    #[arg(short, long, value_name = "TIME", default_value = "1s", value_parser = seconds, requires = "live")]
    pub(crate) interval: Period,
    /// With `--live`, how often each target is checked; 0 is until Ctrl-C. Without it that is once.
    #[arg(short, long, value_name = "N", default_value_t = 0, requires = "live")]
    pub(crate) count: u32,
}

/// Whose certificates are trusted.
#[derive(Clone, Debug, Args)]
pub(crate) struct TrustArgs {
    /// Trust what these issued, too: certificates in PEM.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Trust nobody else.
    #[arg(long, requires = "ca")]
    ca_only: bool,
}

impl TrustArgs {
    /// The part of a session that says whom to trust.
    ///
    /// # Errors
    /// When the file cannot be read, or holds no certificate.
    pub(crate) fn session(&self) -> anyhow::Result<SessionOptions> {
        let mut session = SessionOptions::default();
        if let Some(file) = &self.ca {
            let pem = read(file)?;
            let roots = Roots::from_pem(&pem).with_context(|| format!("{} is not of use", file.display()))?;
            session.extra_roots = Some(roots);
            session.system_roots = !self.ca_only;
        }
        Ok(session)
    }
}

/// The targets of a check.
#[derive(Clone, Debug, Args)]
pub(crate) struct TargetArgs {
    /// Names or addresses; `tcp` and `udp` want a port with each, as in `gate.example:443` or `[::1]:53`, and `tls` takes 443.
    #[arg(value_name = "TARGET", required_unless_present = "file")]
    pub(crate) targets: Vec<String>,
    /// Read more targets from a file, one a line; `-` for standard input. What follows a `#` is left out.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) family: FamilyArgs,
}

/// Which addresses of a name serve.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct FamilyArgs {
    /// By IPv4 alone.
    #[arg(short = '4', long)]
    ipv4: bool,
    /// By IPv6 alone.
    #[arg(short = '6', long, conflicts_with = "ipv4")]
    ipv6: bool,
}

impl FamilyArgs {
    /// Which addresses serve.
    pub(crate) const fn get(self) -> Family {
        match (self.ipv4, self.ipv6) {
            (true, _) => Family::V4,
            (_, true) => Family::V6,
            _ => Family::Any,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netcheck::{http::HttpOptions, tls::TlsOptions};

    #[test]
    fn certificates_end_soon_for_the_command_line_when_they_do_for_the_library() {
        let within = |what: &str| match Cli::parse_from(["smotra-agent", "check", what, "gate.example"]).command {
            Command::Check(CheckCommand::Http(args)) => args.expires_within(),
            Command::Check(CheckCommand::Tls(args)) => args.expires_within.get(),
            other => panic!("{other:?}"),
        };
        assert_eq!(within("http"), HttpOptions::default().expires_within);
        assert_eq!(within("tls"), TlsOptions::default().expires_within);
        assert_eq!(within("http"), within("tls"));
    }
}
