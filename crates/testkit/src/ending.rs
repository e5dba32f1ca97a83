//! Ends processes by their id, never one that is not ours any more.
use anyhow::{Context, Result};
use std::process::Child;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Kills a child that outlives its guard. Whoever holds one waits by [`Process::wait`] and reaps the child only after
/// [`finish`](Self::finish), so that the id cannot belong to another process when it is signalled.
pub(crate) struct Guarded {
    done: Sender<()>,
    thread: JoinHandle<bool>,
}

impl Guarded {
    /// Watches `child` from now on.
    pub(crate) fn new(child: &Child, guard: Duration) -> Result<Self> {
        let process = Process::of(child)?;
        let (done, told) = channel();
        let thread = std::thread::Builder::new()
            .name("guard".to_owned())
            .spawn(move || match told.recv_timeout(guard) {
                Err(RecvTimeoutError::Timeout) => {
                    process.kill();
                    false
                }
                Ok(()) | Err(RecvTimeoutError::Disconnected) => true,
            })
            .context("could not start a guard")?;
        Ok(Self { done, thread })
    }

    /// Stops watching; whether the child ended in time.
    pub(crate) fn finish(self) -> bool {
        // Fails only when the guard has already acted.
        self.done.send(()).ok();
        self.thread.join().unwrap_or(false)
    }
}

#[cfg(unix)]
pub(crate) use unix::Process;

#[cfg(unix)]
mod unix {
    use anyhow::{Context, Result};
    use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
    use std::process::Child;

    /// A child's id.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Process(Pid);

    impl Process {
        pub(crate) fn of(child: &Child) -> Result<Self> {
            let id = i32::try_from(child.id()).context("a process id is positive")?;
            Pid::from_raw(id).map(Self).context("a process id is not zero")
        }

        /// Asks it to end.
        pub(crate) fn terminate(self) {
            // Fails only when the process is gone, which is what is wanted.
            kill_process(self.0, Signal::TERM).ok();
        }

        /// Ends it.
        pub(crate) fn kill(self) {
            kill_process(self.0, Signal::KILL).ok();
        }

        /// Blocks until it has ended, and leaves it to be reaped, so that its id stays its own.
        pub(crate) fn wait(self) {
            let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while matches!(waitid(WaitId::Pid(self.0), ended), Err(rustix::io::Errno::INTR)) {}
        }
    }
}

#[cfg(not(unix))]
pub(crate) use portable::Process;

#[cfg(not(unix))]
mod portable {
    use anyhow::Result;
    use std::process::{Child, Command, Stdio};

    /// A child's id.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Process(u32);

    impl Process {
        pub(crate) fn of(child: &Child) -> Result<Self> {
            Ok(Self(child.id()))
        }

        /// There is no signal that asks a process without a window to end.
        pub(crate) fn terminate(self) {
            self.kill();
        }

        pub(crate) fn kill(self) {
            let mut kill = Command::new("taskkill");
            kill.args(["/F", "/PID", &self.0.to_string()]);
            kill.stdout(Stdio::null()).stderr(Stdio::null()).status().ok();
        }

        /// The caller's own `Child::wait` blocks as well.
        pub(crate) fn wait(self) {}
    }
}
