//! A scanner whose server is a recorder, behind a proxy that fails as it is told.
use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, kill_process};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    process::ExitStatus,
};
use tempfile::TempDir;
use testkit::{Daemon, FaultyProxy, Output, Program, Recorder, eventually, http_get};

pub use rustix::process::Signal;

/// The scanner's name at the recorder.
pub const AGENT: &str = "agent";

/// Waits are short, so that a fault that is over is soon forgotten; the breaker is that of the product otherwise.
const SERVER: &str = "  retry_attempts: 0\n  retry_delay: 20ms\n  max_retry_delay: 200ms\n  circuit_breaker: { recovery_timeout: 200ms }\n";

/// A scanner in a folder of its own, the proxy and the recorder that it reports to.
#[derive(Debug)]
pub struct Site {
    /// What came through.
    pub recorder: Recorder,
    /// What stands between.
    pub proxy: FaultyProxy,
    home: TempDir,
    settings: Vec<String>,
}

impl Site {
    /// With these settings, each as `KEY=VALUE`, besides those of every site.
    ///
    /// # Errors
    /// When its files cannot be written or there is no port.
    pub fn new(settings: &[&str]) -> Result<Self> {
        let recorder = Recorder::start()?;
        let proxy = FaultyProxy::start(Some(recorder.address()))?;
        Self::with(recorder, proxy, settings)
    }

    /// The same behind a proxy that was made already.
    ///
    /// # Errors
    /// When its files cannot be written.
    pub fn with(recorder: Recorder, proxy: FaultyProxy, settings: &[&str]) -> Result<Self> {
        let home = tempfile::Builder::new().prefix("shoal-e2e-").tempdir()?;
        let site = Self {
            recorder,
            proxy,
            home,
            settings: settings.iter().map(|&setting| setting.to_owned()).collect(),
        };
        fs::create_dir_all(site.tree())?;
        let text = format!(
            "server:\n  base_url: {}\n{SERVER}agent:\n  id: {AGENT}\nscanner:\n  scan_interval: 100ms\n  scan_paths: ['{}']\n",
            site.proxy.url(),
            site.tree().display()
        );
        fs::write(site.home().join("scanner.yaml"), text).context("could not write the configuration")?;
        Ok(site)
    }

    /// The folder of everything, removed at the end.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// What is scanned.
    pub fn tree(&self) -> PathBuf {
        self.home().join("tree")
    }

    /// Where the state lies.
    pub fn state(&self) -> PathBuf {
        self.home().join("state")
    }

    /// The state's file.
    pub fn state_file(&self) -> PathBuf {
        self.state().join("state.db")
    }

    /// Makes empty files of these names.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn touch(&self, names: impl IntoIterator<Item = impl AsRef<Path>>) -> Result<()> {
        for name in names {
            let path = self.tree().join(name);
            fs::write(&path, "").with_context(|| format!("could not write `{}`", path.display()))?;
        }
        Ok(())
    }

    /// A command that is not started yet.
    ///
    /// # Errors
    /// When the program cannot be built.
    pub fn program(&self, args: &[&str]) -> Result<Program> {
        let settings = self.settings.iter().flat_map(|setting| ["--set", setting]);
        let program = Program::named("scanner")?
            .args(args)
            .args(["--config", "scanner.yaml", "--data-dir", "state"])
            .args(settings);
        Ok(program
            .home(self.home())
            .env("SCANNER_JOIN_TOKEN", "a token that the recorder takes"))
    }

    /// Runs a command.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn command(&self, args: &[&str]) -> Result<Output> {
        self.program(args)?.run()
    }

    /// The same, with its JSON.
    ///
    /// # Errors
    /// When it fails or prints something else.
    pub fn json(&self, args: &[&str]) -> Result<Value> {
        self.command(&[args, &["--output", "json"]].concat())?.success()?.json()
    }

    /// One round; it must end with `code`.
    ///
    /// # Errors
    /// When it cannot be started.
    #[track_caller]
    pub fn round(&self, code: i32) -> Result<Output> {
        Ok(self.command(&["run", "--once"])?.assert_code(code))
    }

    /// The scanner that stays up, once it says that it is.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(&self) -> Result<Daemon> {
        let daemon = self.program(&["run"])?.start()?;
        daemon.wait_for_text("scanner is up")?;
        Ok(daemon)
    }

    /// Every path of the tree that a record is made for.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn paths(&self) -> Result<BTreeSet<Vec<u8>>> {
        let mut paths = BTreeSet::new();
        let mut directories = vec![self.tree()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(&directory)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    directories.push(entry.path());
                } else {
                    paths.insert(entry.path().as_os_str().as_bytes().to_vec());
                }
            }
        }
        Ok(paths)
    }

    /// Whether the recorder holds the tree, and nothing else.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub fn is_told(&self) -> Result<bool> {
        Ok(self.recorder.live(AGENT) == self.paths()?)
    }

    /// Waits until the recorder holds the tree, and nothing else.
    ///
    /// # Errors
    /// When it never does.
    pub fn wait_told(&self) -> Result<()> {
        eventually("live set that is the tree", || Ok(self.is_told()?.then_some(())))
            .with_context(|| format!("{:?}", self.difference()))
    }

    /// Fails unless the recorder holds the tree, nothing came twice, and nothing is missing in the newest stream.
    ///
    /// # Errors
    /// Otherwise, with what differs.
    pub fn check_told(&self) -> Result<()> {
        ensure!(
            self.is_told()?,
            "the server's picture is wrong: {:?}",
            self.difference()
        );
        let doubled = self.recorder.doubled();
        ensure!(doubled.is_empty(), "told twice: {doubled:?}");
        let newest = self.recorder.newest_stream(AGENT).context("no stream")?;
        ensure!(newest.gaps.is_empty(), "missing: {newest:?}");
        Ok(())
    }

    /// Some paths that only one side has, for messages.
    fn difference(&self) -> [Vec<String>; 2] {
        let (live, paths) = (self.recorder.live(AGENT), self.paths().unwrap_or_default());
        let some = |these: &BTreeSet<Vec<u8>>, those: &BTreeSet<Vec<u8>>| {
            let only = these.difference(those).take(5);
            only.map(|path| String::from_utf8_lossy(path).into_owned()).collect()
        };
        [some(&live, &paths), some(&paths, &live)]
    }
}

/// The folder that a daemon serves its health under, once it says it.
///
/// # Errors
/// When it does not.
pub fn health_address(daemon: &Daemon) -> Result<SocketAddr> {
    daemon.wait_for("the address of its health", |line| {
        let (_, address) = line
            .split_once("health and metrics are served")?
            .1
            .split_once("address=")?;
        address.split_whitespace().next()?.parse().ok()
    })
}

/// Asks `/health` until `look` finds something in it.
///
/// # Errors
/// When it never does; `what` names the thing waited for.
pub fn wait_health<T>(address: SocketAddr, what: &str, mut look: impl FnMut(&Value) -> Option<T>) -> Result<T> {
    eventually(what, || {
        let answer = http_get(address, "/health")?;
        Ok(look(&serde_json::from_str(&answer.body)?))
    })
}

/// Sends a signal to a daemon.
///
/// # Errors
/// When it is gone.
pub fn send(daemon: &Daemon, signal: Signal) -> Result<()> {
    let id = Pid::from_raw(i32::try_from(daemon.id())?).context("a process id is not zero")?;
    kill_process(id, signal).context("could not send a signal")
}

/// Ends a daemon by a signal: it must exit 0, and no task of it may have been given up.
///
/// # Errors
/// Otherwise.
pub fn end(daemon: Daemon, signal: Signal) -> Result<()> {
    let log = daemon.stderr_file();
    send(&daemon, signal)?;
    let folder = KeptLog::of(&log)?;
    let status: ExitStatus = daemon.wait()?;
    let said = folder.read()?;
    ensure!(status.success(), "it ended with {status}:\n{said}");
    for given_up in ["ended without them", "are cut off", "has not ended"] {
        ensure!(!said.contains(given_up), "not everything ended in time:\n{said}");
    }
    Ok(())
}

/// A log that is read after its daemon, which removes the file, is gone.
struct KeptLog(fs::File);

impl KeptLog {
    fn of(path: &Path) -> Result<Self> {
        fs::File::open(path).map(Self).context("could not open a log")
    }

    fn read(mut self) -> Result<String> {
        let mut said = String::new();
        std::io::Read::read_to_string(&mut self.0, &mut said).context("could not read a log")?;
        Ok(said)
    }
}

/// Different names, as long as a file system takes them and so that hardly anything can be packed: some 200 bytes of each
/// lie in an outbox.
pub fn long_names(count: u64) -> impl Iterator<Item = String> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut random = testkit::Random::new(count);
    (0..count).map(move |_| {
        let letters = (0..250).map(|_| char::from(LETTERS[random.below(64) as usize]));
        // No name begins with a dash, which looks like an option in messages.
        std::iter::once('n').chain(letters).collect()
    })
}
