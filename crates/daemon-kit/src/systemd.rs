//! Tells a service manager how the process is: systemd's `sd_notify` protocol, a line in a datagram.

use std::time::Duration;
use tracing::warn;

/// The service manager that started this process, if it asked to be told.
#[derive(Debug)]
pub(crate) struct ServiceManager {
    socket: Option<platform::Socket>,
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// As `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` say.
    pub(crate) fn of_this_process() -> Self {
        let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        Self {
            socket: std::env::var_os("NOTIFY_SOCKET").and_then(platform::Socket::open),
            watchdog: number("WATCHDOG_USEC").filter(|_| is_ours).map(Duration::from_micros),
        }
    }

    /// How often to say `WATCHDOG=1`: twice within the time after which silence counts as death.
    pub(crate) fn watchdog_interval(&self) -> Option<Duration> {
        self.socket.as_ref()?;
        self.watchdog
            .map(|limit| limit / 2)
            .filter(|interval| !interval.is_zero())
    }

    pub(crate) fn tell(&self, state: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(state)
        {
            warn!(%error, state, "the service manager could not be told");
        }
    }
}

#[cfg(target_os = "linux")]
mod platform {
    use std::{
        ffi::OsString,
        io,
        os::{
            linux::net::SocketAddrExt,
            unix::{
                ffi::OsStrExt,
                net::{SocketAddr, UnixDatagram},
            },
        },
    };

    #[derive(Debug)]
    pub(super) struct Socket {
        from: UnixDatagram,
        to: SocketAddr,
    }

    impl Socket {
        /// A name that begins with `@` lies in the abstract name space.
        pub(super) fn open(name: OsString) -> Option<Self> {
            let to = match name.as_bytes().strip_prefix(b"@") {
                Some(name) => SocketAddr::from_abstract_name(name),
                None => SocketAddr::from_pathname(name),
            };
            let from = UnixDatagram::unbound().ok()?;
            // A manager that does not read must not hold the supervisor up.
            from.set_nonblocking(true).ok()?;
            Some(Self { from, to: to.ok()? })
        }

        pub(super) fn send(&self, state: &str) -> io::Result<()> {
            self.from.send_to_addr(state.as_bytes(), &self.to).map(|_| ())
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use std::{convert::Infallible, ffi::OsString, io};

    #[derive(Debug)]
    pub(super) struct Socket(Infallible);

    impl Socket {
        pub(super) fn open(_: OsString) -> Option<Self> {
            None
        }

        pub(super) fn send(&self, _: &str) -> io::Result<()> {
            match self.0 {}
        }
    }
}
