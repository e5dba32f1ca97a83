//! Ctrl-C and its kin, caught so that nothing is left behind.
use anyhow::Result;

#[cfg(unix)]
pub(crate) use unix::Interrupt;

#[cfg(unix)]
mod unix {
    use super::Result;
    use anyhow::{Context, ensure};
    use nix::{
        sys::signal::{Signal, kill},
        unistd::Pid,
    };
    use signal_hook::{
        consts::{SIGHUP, SIGINT, SIGTERM},
        iterator::Signals,
    };

    /// Signals that ask to end.
    pub(crate) struct Interrupt(Signals);

    impl Interrupt {
        /// From now on such a signal does not end this process. Programs started later are ended by it as ever.
        pub(crate) fn catch() -> Result<Self> {
            Ok(Self(
                Signals::new([SIGHUP, SIGINT, SIGTERM]).context("could not catch signals")?,
            ))
        }

        /// An error once one has come.
        pub(crate) fn check(&mut self) -> Result<()> {
            ensure!(self.0.pending().next().is_none(), "interrupted");
            Ok(())
        }

        /// Passes the next one on to process `id`, as a request to end.
        pub(crate) fn end(mut self, id: u32) -> Result<()> {
            let process = Pid::from_raw(i32::try_from(id).context("a process id is positive")?);
            let waiting = std::thread::Builder::new().name("interrupt".to_owned()).spawn(move || {
                if self.0.forever().next().is_some() {
                    // Fails only when the process has ended by itself.
                    kill(process, Signal::SIGTERM).ok();
                }
            });
            waiting.map(drop).context("could not start a thread")
        }
    }
}

#[cfg(not(unix))]
pub(crate) struct Interrupt;

#[cfg(not(unix))]
impl Interrupt {
    /// There, Ctrl-C ends every process of the console by itself.
    pub(crate) fn catch() -> Result<Self> {
        Ok(Self)
    }

    /// None is ever caught.
    pub(crate) fn check(&mut self) -> Result<()> {
        Ok(())
    }

    /// None is ever passed on.
    pub(crate) fn end(self, _: u32) -> Result<()> {
        Ok(())
    }
}
