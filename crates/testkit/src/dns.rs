//! A name server of a test's own: a real one, with the records it was given, that ends with the test.
use crate::{daemon::Daemon, installed::installed, port::free_loopback_port, program::Program};
use anyhow::{Context, Result};
use std::{
    fmt::Write,
    fs,
    net::{Ipv4Addr, SocketAddr},
};
use tempfile::TempDir;

/// How often another port is tried where somebody took the one that was free.
const STARTS: usize = 3;

/// A running dnsmasq on a port of the loopback, over UDP and TCP. It knows what it was given, says NXDOMAIN about
/// whatever else ends in `.test`, and refuses the rest, as it asks nobody. It ends when dropped, by its process id.
#[derive(Debug)]
pub struct Dnsmasq {
    // Ended before its folder goes.
    daemon: Daemon,
    port: u16,
    _folder: TempDir,
}

impl Dnsmasq {
    /// Starts one with lines of its configuration (dnsmasq(8), without the two dashes), such as
    /// `host-record=www.shoal.test,192.0.2.1`, and returns when it answers.
    ///
    /// # Errors
    /// When dnsmasq is not installed, or does not come up.
    pub fn start<S: AsRef<str>>(lines: impl IntoIterator<Item = S>) -> Result<Self> {
        let program = installed("dnsmasq", "dnsmasq-base")?;
        let mut records = String::new();
        for line in lines {
            writeln!(records, "{}", line.as_ref())?;
        }
        let mut failure = None;
        for _ in 0..STARTS {
            let folder = tempfile::Builder::new().prefix("shoal-dns-").tempdir();
            let folder = folder.context("could not make a folder")?;
            let port = free_loopback_port()?;
            let file = folder.path().join("dnsmasq.conf");
            let own = format!(
                "port={port}\nlisten-address={}\nbind-interfaces\nno-resolv\nno-hosts\nlocal=/test/\npid-file\n\
                 log-facility=-\nlog-queries\n",
                Ipv4Addr::LOCALHOST
            );
            fs::write(&file, own + &records)?;
            let daemon = Program::at(&program)
                .arg("--keep-in-foreground")
                .arg(format!("--conf-file={}", file.display()))
                .start()?;
            match daemon.wait_for_text("started, version") {
                Ok(_) => {
                    return Ok(Self {
                        daemon,
                        port,
                        _folder: folder,
                    });
                }
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.context("it was never started")?)
    }

    /// Whether there is one on this machine.
    pub fn is_installed() -> bool {
        installed("dnsmasq", "dnsmasq-base").is_ok()
    }

    /// Its address on the loopback.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Waits until it has been asked about `name`, and returns what it wrote of that, such as `query[A] www.shoal.test
    /// from 127.0.0.1`.
    ///
    /// # Errors
    /// When it is not asked.
    pub fn wait_for_query(&self, name: &str) -> Result<String> {
        let asked = format!("] {name} from ");
        self.daemon.wait_for(&format!("a query for {name}"), |line| {
            let query = line.find("query[").and_then(|at| line.get(at..));
            query.filter(|query| query.contains(&asked)).map(str::to_owned)
        })
    }
}
