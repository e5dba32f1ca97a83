//! The signals that ask a process to end.

use std::{fmt, io};

/// A request to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// SIGINT, or Ctrl-C at a terminal.
    Interrupt,
    /// SIGTERM, as a service manager sends it.
    Terminate,
}

impl Signal {
    /// What a shell reports for a process that this signal ended: 128 and the signal's number.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        })
    }
}

/// The signals of this process, one after the other. From its making on, they no longer end the process by themselves.
#[derive(Debug)]
pub struct Signals(platform::Streams);

impl Signals {
    /// Takes the signals over. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn take() -> io::Result<Self> {
        platform::Streams::take().map(Self)
    }

    /// The next one. Cancelling the call loses none.
    pub async fn next(&mut self) -> Signal {
        self.0.next().await
    }
}

#[cfg(unix)]
mod platform {
    use super::Signal;
    use std::io;
    use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

    #[derive(Debug)]
    pub(super) struct Streams {
        interrupt: Stream,
        terminate: Stream,
    }

    impl Streams {
        pub(super) fn take() -> io::Result<Self> {
            Ok(Self {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
            })
        }

        pub(super) async fn next(&mut self) -> Signal {
            tokio::select! {
                _ = self.interrupt.recv() => Signal::Interrupt,
                _ = self.terminate.recv() => Signal::Terminate,
            }
        }
    }
}

#[cfg(not(unix))]
mod platform {
    use super::Signal;
    use std::io;

    #[derive(Debug)]
    pub(super) struct Streams;

    impl Streams {
        pub(super) fn take() -> io::Result<Self> {
            Ok(Self)
        }

        // A handler that cannot be installed leaves the system's own one, which ends the process.
        pub(super) async fn next(&mut self) -> Signal {
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
            Signal::Interrupt
        }
    }
}
