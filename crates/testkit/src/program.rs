//! Starts programs away from the user's own settings.
use crate::daemon::Daemon;
use crate::ending::{Guarded, Process};
use crate::output::Output;
use crate::wait::GUARD;
use anyhow::{Context, Result};
use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Variables that a program keeps of ours; all others are withheld, so that no test depends on who runs it.
const KEPT: [&str; 7] = [
    "PATH",
    "TMPDIR",
    "RUST_BACKTRACE",
    "LLVM_PROFILE_FILE",
    "SystemRoot",
    "TEMP",
    "TMP",
];

/// A program about to be started: [`run`](Self::run) waits for its end, [`start`](Self::start) lets it go on.
///
/// It runs in a home folder of its own, which is its working folder too, with nothing on standard input and without our
/// environment (but for `PATH` and the folder for temporary files).
#[derive(Debug)]
pub struct Program {
    path: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    home: Option<PathBuf>,
    input: Vec<u8>,
    guard: Duration,
    own_group: bool,
}

impl Program {
    /// The workspace's program `name`: see [`binary`](crate::binary).
    ///
    /// # Errors
    /// When it cannot be built.
    pub fn named(name: &str) -> Result<Self> {
        Ok(Self::at(crate::binary(name)?))
    }

    /// The program that lies at `path`, or in a folder of `PATH`.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            args: Vec::new(),
            env: Vec::new(),
            home: None,
            input: Vec::new(),
            guard: GUARD,
            own_group: false,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Gives it this home and working folder instead of a fresh one; needed by programs that share what lies there.
    #[must_use]
    pub fn home(mut self, home: impl Into<PathBuf>) -> Self {
        self.home = Some(home.into());
        self
    }

    /// What it reads from standard input.
    #[must_use]
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// How long [`run`](Self::run) waits before it kills the program; [`GUARD`] unless told.
    #[must_use]
    pub const fn guard(mut self, guard: Duration) -> Self {
        self.guard = guard;
        self
    }

    /// Keeps the terminal's Ctrl-C from it (on Unix), so that only whoever started it decides when it ends.
    #[must_use]
    pub const fn own_group(mut self) -> Self {
        self.own_group = true;
        self
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// When it cannot be started, or does not end in time. An exit code other than 0 is no error: see
    /// [`Output::success`] and [`Output::assert_code`].
    pub fn run(self) -> Result<Output> {
        let shown = self.to_string();
        let (mut command, _home) = self.command()?;
        let mut child = command.spawn().with_context(|| format!("could not start {shown}"))?;
        let guarded = Guarded::new(&child, self.guard)?;
        let process = Process::of(&child)?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (stdout, stderr) = std::thread::scope(|scope| {
            // A program may write before it has read everything, and to either stream first.
            let input = &self.input;
            scope.spawn(move || stdin.is_some_and(|mut stdin| stdin.write_all(input).is_ok()));
            let stdout = scope.spawn(|| read_all(stdout));
            let stderr = read_all(stderr);
            (stdout.join().unwrap_or_default(), stderr)
        });
        process.wait();
        let in_time = guarded.finish();
        let output = child
            .wait()
            .map(|status| std::process::Output { status, stdout, stderr });
        let output = output.with_context(|| format!("could not wait for {shown}"))?;
        anyhow::ensure!(in_time, "{shown} did not end within {:?} and was killed", self.guard);
        Ok(Output::new(shown, output))
    }

    /// Starts it and returns at once.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(self) -> Result<Daemon> {
        let shown = self.to_string();
        let (mut command, home) = self.command()?;
        let mut child = command.spawn().with_context(|| format!("could not start {shown}"))?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(&self.input).ok();
        }
        Daemon::new(shown, child, home)
    }

    fn command(&self) -> Result<(Command, Option<TempDir>)> {
        let fresh = match self.home {
            Some(_) => None,
            None => Some(
                tempfile::Builder::new()
                    .prefix("shoal-home-")
                    .tempdir()
                    .context("could not make a home")?,
            ),
        };
        let home: &Path = match (&self.home, &fresh) {
            (Some(home), _) => home,
            (None, Some(fresh)) => fresh.path(),
            (None, None) => Path::new("."),
        };
        let mut command = Command::new(&self.path);
        command.args(&self.args).current_dir(home).env_clear();
        command.envs(KEPT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.env("HOME", home).env("LC_ALL", "C.UTF-8");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        #[cfg(unix)]
        if self.own_group {
            std::os::unix::process::CommandExt::process_group(&mut command, 0);
        }
        Ok((command, fresh))
    }
}

impl std::fmt::Display for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str());
        write!(f, "`{}", name.display())?;
        for arg in &self.args {
            write!(f, " {}", arg.display())?;
        }
        f.write_str("`")
    }
}

/// All that comes until the stream is closed, or fails.
fn read_all(stream: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        // What was read before a failure is kept, and all that there is to show.
        stream.read_to_end(&mut bytes).ok();
    }
    bytes
}

/// Runs the workspace's program `name` to its end: short for [`Program::named`], `args` and [`Program::run`].
///
/// # Errors
/// Theirs.
pub fn run<S: AsRef<OsStr>>(name: &str, args: impl IntoIterator<Item = S>) -> Result<Output> {
    Program::named(name)?.args(args).run()
}
