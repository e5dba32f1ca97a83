//! A clamd of a test's own: a real one, with a few signatures of its own, that ends with the test.
mod options;
mod passing;
mod proxy;
mod signatures;

pub use options::ClamdOptions;
pub use proxy::ClamdProxy;
pub use signatures::{MARKER, daily_database, eicar};

use crate::{daemon::Daemon, installed::installed, port::free_loopback_port, program::Program};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// How often another port is tried where somebody took the one that was free.
const STARTS: usize = 3;

/// A running clamd, which listens on a Unix socket and on a port of the loopback, and judges by its own small database:
/// [`eicar`] and whatever holds [`MARKER`] are infected. It ends when dropped, by its process id.
#[derive(Debug)]
pub struct Clamd {
    // Ended before its folder goes.
    daemon: Option<Daemon>,
    port: u16,
    options: ClamdOptions,
    folder: TempDir,
}

impl Clamd {
    /// Starts one, and returns when it answers.
    ///
    /// # Errors
    /// When clamd is not installed, or does not come up.
    pub fn start(options: ClamdOptions) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("shoal-clamd-").tempdir();
        let folder = folder.context("could not make a folder")?;
        // Another user may be told to run it, and looks at files below.
        let mode = if options.user.is_some() { 0o777 } else { 0o755 };
        for inner in [".", "db", "tmp"] {
            let inner = folder.path().join(inner);
            fs::create_dir_all(&inner)?;
            fs::set_permissions(&inner, fs::Permissions::from_mode(mode))?;
        }
        signatures::write(&folder.path().join("db"), options.database_version)?;
        let mut clamd = Self {
            daemon: None,
            port: 0,
            options,
            folder,
        };
        let mut failure = None;
        for _ in 0..STARTS {
            clamd.port = free_loopback_port()?;
            fs::write(
                clamd.configuration(),
                clamd.options.text(clamd.folder.path(), clamd.port),
            )?;
            match clamd.restart() {
                Ok(()) => return Ok(clamd),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.context("it was never started")?)
    }

    /// Whether there is one on this machine.
    pub fn is_installed() -> bool {
        program().is_ok()
    }

    /// Starts it again, after an end or instead of the one that runs.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restart(&mut self) -> Result<()> {
        drop(self.daemon.take());
        let conf = format!("--config-file={}", self.configuration().display());
        let daemon = Program::at(program()?)
            .arg(conf)
            .home(self.folder.path())
            .own_group()
            .start()?;
        let socket = self.socket();
        daemon.wait_until("PING", || ping(&socket).map_err(|error| format!("{error:#}")))?;
        self.daemon = Some(daemon);
        Ok(())
    }

    /// Its Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("clamd.sock")
    }

    /// Its address on the loopback.
    pub fn tcp(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Its configuration file.
    pub fn configuration(&self) -> PathBuf {
        self.folder.path().join("clamd.conf")
    }

    /// The folder of its signatures.
    pub fn database(&self) -> PathBuf {
        self.folder.path().join("db")
    }

    /// Its process id.
    ///
    /// # Errors
    /// When it has been killed.
    pub fn id(&self) -> Result<u32> {
        self.running().map(Daemon::id)
    }

    /// The lines of its log since it was started last.
    ///
    /// # Errors
    /// When it has been killed.
    pub fn lines(&self) -> Result<Vec<String>> {
        self.running().map(Daemon::lines)
    }

    /// Ends it as the kernel does that is out of memory, and returns once it is gone.
    ///
    /// # Errors
    /// When it has been killed before.
    pub fn kill_hard(&mut self) -> Result<()> {
        self.daemon.take().context("clamd does not run")?.kill_hard().map(drop)
    }

    /// Gives it one more signature, `name`, for whatever holds `body`, and returns when it judges by it. clamd appends
    /// `.UNOFFICIAL` to the name.
    ///
    /// # Errors
    /// When it cannot be told, or does not take it.
    pub fn reload_with(&self, name: &str, body: &[u8]) -> Result<()> {
        let daemon = self.running()?;
        signatures::add(&self.database(), name, body)?;
        ask(&self.socket(), b"zRELOAD\0")?;
        let length = u32::try_from(body.len())?.to_be_bytes();
        let stream = [b"zINSTREAM\0", &length[..], body, &[0; 4]].concat();
        // Its log says that it has loaded them a moment before it judges by them.
        daemon.wait_until("RELOAD", || match ask(&self.socket(), &stream) {
            Ok(answer) if answer.ends_with(b"FOUND\0") => Ok(()),
            Ok(_) => Err("it still judges by those of before".to_owned()),
            Err(error) => Err(format!("{error:#}")),
        })
    }

    fn running(&self) -> Result<&Daemon> {
        self.daemon.as_ref().context("clamd does not run")
    }
}

fn program() -> Result<PathBuf> {
    installed("clamd", "clamav-daemon")
}

fn ping(socket: &Path) -> Result<()> {
    let answer = ask(socket, b"zPING\0")?;
    if answer != b"PONG\0" {
        bail!("clamd answered {}", answer.escape_ascii());
    }
    Ok(())
}

/// Sends one command, and returns all that is answered.
fn ask(socket: &Path, command: &[u8]) -> Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(crate::GUARD))?;
    stream.write_all(command)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}
