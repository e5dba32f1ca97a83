//! A program in a terminal of its own, and somebody who sits before it.
use anyhow::{Context, Result, bail};
use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};
use std::{
    ffi::OsStr,
    fs::File,
    io::{Read as _, Write as _},
    os::unix::ffi::OsStrExt as _,
    path::Path,
    process::{Child, Command, ExitStatus},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
};
use testkit::{GUARD, eventually};

/// A program in a terminal of its own. Dropping it kills the program.
#[derive(Debug)]
pub struct Terminal {
    /// Our end, at which one types.
    keys: File,
    /// The program's end.
    line: File,
    child: Child,
    shown: Receiver<Vec<u8>>,
    seen: Vec<u8>,
}

impl Terminal {
    /// Starts a program in a terminal with so many columns and rows.
    ///
    /// # Errors
    /// When there is no terminal to be had, or the program does not start.
    pub fn start<A: AsRef<OsStr>>(program: &Path, args: &[A], size: (u16, u16)) -> Result<Self> {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).context("no terminal")?;
        grantpt(&ours)?;
        unlockpt(&ours)?;
        let name = ptsname(&ours, Vec::new())?;
        let line = File::options()
            .read(true)
            .write(true)
            .open(OsStr::from_bytes(name.as_bytes()))?;
        tcsetwinsize(&ours, winsize(size))?;
        // A terminal sends its signals to the session whose it is.
        let child = Command::new("setsid")
            .arg("--ctty")
            .arg(program)
            .args(args)
            .env("TERM", "xterm-256color")
            .stdin(line.try_clone()?)
            .stdout(line.try_clone()?)
            .stderr(line.try_clone()?)
            .spawn()
            .context("could not start setsid (util-linux)")?;
        let keys = File::from(ours);
        let mut screen = keys.try_clone()?;
        let (show, shown) = channel();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // With the last who has the other end open, reading fails.
            while let Ok(length) = screen.read(&mut bytes) {
                if length == 0 || show.send(bytes[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            keys,
            line,
            child,
            shown,
            seen: Vec::new(),
        })
    }

    /// Waits until this was written to the screen, in one piece, since the last such wait.
    ///
    /// # Errors
    /// When it was not for [`GUARD`].
    pub fn wait_for(&mut self, text: &str) -> Result<()> {
        loop {
            if let Some(at) = find(&self.seen, text.as_bytes()) {
                self.seen.drain(..at + text.len());
                return Ok(());
            }
            match self.shown.recv_timeout(GUARD) {
                Ok(more) => self.seen.extend(more),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    bail!("no `{text}` on the screen: {}", String::from_utf8_lossy(&self.seen));
                }
            }
        }
    }

    /// Types.
    ///
    /// # Errors
    /// When the terminal does not take it.
    pub fn press(&mut self, keys: &str) -> Result<()> {
        Ok(self.keys.write_all(keys.as_bytes())?)
    }

    /// Changes the size.
    ///
    /// # Errors
    /// When the terminal does not.
    pub fn resize(&self, size: (u16, u16)) -> Result<()> {
        Ok(tcsetwinsize(&self.keys, winsize(size))?)
    }

    /// The program's number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether what is typed is shown, as it is before and after a program that paints.
    ///
    /// # Errors
    /// When the terminal does not say.
    pub fn echoes(&self) -> Result<bool> {
        Ok(tcgetattr(&self.line)?.local_modes.contains(LocalModes::ECHO))
    }

    /// Waits for the program to end.
    ///
    /// # Errors
    /// When it did not for [`GUARD`].
    pub fn end(mut self) -> Result<Left> {
        let status = eventually("end of the program", || Ok(self.child.try_wait()?))?;
        let echoes = self.echoes()?;
        // The program's end closes with this, and so does the channel.
        self.line = File::open("/dev/null")?;
        while let Ok(more) = self.shown.recv_timeout(GUARD) {
            self.seen.extend(more);
        }
        Ok(Left {
            status,
            echoes,
            shown: String::from_utf8_lossy(&self.seen).into_owned(),
        })
    }
}

/// What a program left behind in its terminal.
#[derive(Debug)]
pub struct Left {
    /// How it ended.
    pub status: ExitStatus,
    /// Whether what is typed is shown again.
    pub echoes: bool,
    /// What it wrote since the last wait.
    pub shown: String,
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // One that has ended takes no harm.
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}

const fn winsize((columns, rows): (u16, u16)) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

fn find(seen: &[u8], text: &[u8]) -> Option<usize> {
    seen.windows(text.len()).position(|window| window == text)
}
