//! A network namespace that nothing but an open descriptor keeps alive.
use super::missing::{Missing, ip_program};
use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

/// A network namespace of this process: interfaces, addresses, routes and settings of its own.
///
/// It has no name in the file system. It goes when this value, the sockets opened in it and the processes started in it
/// are gone, so that a test that is killed leaves nothing behind. The loopback is up.
///
/// A socket belongs for good to the namespace in which it was opened, whichever thread uses it later:
///
/// ```no_run
/// use std::net::{Ipv4Addr, UdpSocket};
/// use testkit::net::Namespace;
///
/// let host = Namespace::new("host")?;
/// host.ip(["addr", "add", "192.0.2.1/24", "dev", "lo"])?;
/// host.sysctl("net.ipv4.ip_default_ttl", "3")?;
/// let socket = host.enter(|| UdpSocket::bind((Ipv4Addr::new(192, 0, 2, 1), 53)))??;
/// assert_eq!(socket.local_addr()?.port(), 53);
/// # anyhow::Ok(())
/// ```
#[derive(Debug)]
pub struct Namespace {
    name: String,
    handle: File,
    ip: PathBuf,
}

impl Namespace {
    /// Makes one; `name` is for messages and the names of threads only.
    ///
    /// # Errors
    /// With a [`Missing`] as source where this machine does not let it be made.
    pub fn new(name: &str) -> Result<Self> {
        let ip = ip_program()?;
        let made = thread::Builder::new().spawn(|| -> Result<File> {
            match unshare(CloneFlags::CLONE_NEWNET) {
                Err(Errno::EPERM | Errno::ENOSYS | Errno::EINVAL) => return Err(Missing::Permission.into()),
                made => made.context("could not make a network namespace")?,
            }
            File::open("/proc/thread-self/ns/net").context("could not open the network namespace just made")
        })?;
        let handle = made.join().unwrap_or_else(|panic| resume_unwind(panic))?;
        let name = name.to_owned();
        let namespace = Self { name, handle, ip };
        namespace.ip(["link", "set", "dev", "lo", "up"])?;
        Ok(namespace)
    }

    /// Runs `work` on a thread of its own inside, and returns what it returns once it is done. Sockets that it opens and
    /// processes that it starts belong to the namespace; so do the threads that it starts.
    ///
    /// It blocks the calling thread. `work` may borrow from the caller.
    ///
    /// # Errors
    /// When no thread can be started, or it may not enter.
    ///
    /// # Panics
    /// When `work` does, with its message.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let inside = || -> Result<T> {
            setns(&self.handle, CloneFlags::CLONE_NEWNET)
                .with_context(|| format!("could not enter the network namespace of {}", self.name))?;
            Ok(work())
        };
        thread::scope(|scope| {
            let thread = thread::Builder::new()
                .name(format!("in-{}", self.name))
                .spawn_scoped(scope, inside)
                .context("could not start a thread")?;
            thread.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    /// Runs a future to its end inside, on a current-thread Tokio runtime with I/O and time, on a thread of its own.
    /// Whatever the future opens belongs to the namespace, name resolution on blocking threads included.
    ///
    /// The future is made by `work` on that thread, and need not be [`Send`]. It blocks the calling thread.
    ///
    /// ```no_run
    /// use testkit::net::{Topology, TopologyOptions, address};
    /// use tokio::net::TcpStream;
    ///
    /// let network = Topology::new(&TopologyOptions::default())?;
    /// let refused = network.a().block_on(|| TcpStream::connect((address::B.v4, 9)))?;
    /// assert!(refused.is_err());
    /// # anyhow::Ok(())
    /// ```
    ///
    /// # Errors
    /// As [`enter`](Self::enter), and when no runtime can be made.
    ///
    /// # Panics
    /// When the future does, with its message.
    pub fn block_on<F: Future>(&self, work: impl FnOnce() -> F + Send) -> Result<F::Output>
    where
        F::Output: Send,
    {
        self.enter(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.context("could not make a runtime")?;
            // Called inside the runtime, as some constructors of sockets want it.
            Ok(runtime.block_on(async { work().await }))
        })?
    }

    /// Runs the program `ip` inside with these arguments, and returns what it prints.
    ///
    /// # Errors
    /// When it fails, with what it says.
    pub fn ip<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Result<String> {
        let mut command = Command::new(&self.ip);
        command.args(args);
        self.run(command, "")
    }

    /// Runs several commands of `ip` inside, one a line and without the word `ip`, up to the first that fails. One process
    /// for all of them: building a network is a matter of many.
    ///
    /// # Errors
    /// When one fails, with what is said about it.
    pub fn ip_batch(&self, lines: &str) -> Result<()> {
        let mut command = Command::new(&self.ip);
        command.args(["-batch", "-"]);
        self.run(command, lines)
            .map(drop)
            .with_context(|| format!("could not carry out all of\n{lines}"))
    }

    /// Sets a kernel setting of the namespace, such as `net.ipv4.ip_forward`. A `/` stands for a dot where a part of the
    /// name holds dots itself.
    ///
    /// # Errors
    /// When this kernel has no such setting, or does not take the value.
    pub fn sysctl(&self, name: &str, value: &str) -> Result<()> {
        let file = setting(name);
        self.enter(|| fs::write(file, format!("{value}\n")))?.with_context(|| {
            format!(
                "could not set {name} to `{value}` in the network namespace of {}",
                self.name
            )
        })
    }

    /// What a kernel setting of the namespace is, without the line's end.
    ///
    /// # Errors
    /// When this kernel has no such setting.
    pub fn sysctl_value(&self, name: &str) -> Result<String> {
        let file = setting(name);
        let text = self.enter(|| fs::read_to_string(file))?;
        let text = text.with_context(|| format!("could not read {name} in the network namespace of {}", self.name))?;
        Ok(text.trim_end().to_owned())
    }

    /// Its number: two namespaces are the same where these are. `/proc/PID/ns/net` links to `net:[NUMBER]`.
    ///
    /// # Errors
    /// When the descriptor cannot be asked.
    pub fn id(&self) -> Result<u64> {
        let facts = self
            .handle
            .metadata()
            .context("could not ask about a network namespace")?;
        Ok(facts.ino())
    }

    /// Where it lies for another process, as long as this value lives: what `ip link set dev X netns` takes.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.handle.as_raw_fd()).into()
    }

    fn run(&self, mut command: Command, input: &str) -> Result<String> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let shown = format!("{command:?} in the network namespace of {}", self.name);
        let output = self.enter(|| {
            let mut child = command.spawn()?;
            if let Some(mut stdin) = child.stdin.take() {
                // A program that ends early says why on its standard error.
                stdin.write_all(input.as_bytes()).ok();
            }
            child.wait_with_output()
        })?;
        let output = output.with_context(|| format!("could not run {shown}"))?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{shown} failed: {}", complaint.trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// The file of a kernel setting. The kernel shows each thread the settings of the namespace it is in.
fn setting(name: &str) -> PathBuf {
    let parts = if name.contains('/') {
        name.to_owned()
    } else {
        name.replace('.', "/")
    };
    Path::new("/proc/sys").join(parts)
}
