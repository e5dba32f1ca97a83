//! A program whose output is read by the test itself, or by nobody.
use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use testkit::eventually;

/// A running program; dropped, it is killed.
#[derive(Debug)]
pub struct Held {
    child: Child,
    pid: Pid,
}

impl Held {
    /// Starts it, with a pipe at its standard output. Its standard error is as `command` has it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let child = command
            .spawn()
            .with_context(|| format!("could not start {command:?}"))?;
        let pid = Pid::from_child(&child);
        Ok(Self { child, pid })
    }

    /// The reading end of its standard output.
    ///
    /// # Errors
    /// When somebody has taken it.
    pub fn stdout(&mut self) -> Result<ChildStdout> {
        self.child.stdout.take().context("somebody reads it")
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        // Until it is waited for, its id is its own.
        Ok(kill_process(self.pid, signal)?)
    }

    /// How it has ended, once it has.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Blocks until it ends by itself. Its output is not closed for that.
    ///
    /// # Errors
    /// When it does not for [`GUARD`](testkit::GUARD).
    pub fn wait(&mut self) -> Result<ExitStatus> {
        eventually("end", || self.ended())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Fails only when it has ended, which is what is wanted.
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}
