//! Standard output, line by line, in few writes.
use daemon_kit::{escaped, printable};
use serde::Serialize;
use std::{
    fmt,
    io::{self, ErrorKind, Write},
};

/// Says `line` on standard error. Where nobody listens there, nobody has to know.
pub(crate) fn to_stderr(line: impl fmt::Display) {
    let _said = writeln!(io::stderr(), "{line}");
}

/// So much is gathered before it is written, in bytes.
const GATHERED: usize = 64 << 10;

/// Lines on their way to standard output. Dropping it loses those that were not [flushed](Self::flush).
#[derive(Debug)]
pub(crate) struct Lines<W = io::Stdout> {
    to: W,
    text: Vec<u8>,
    is_closed: bool,
}

impl Lines {
    pub(crate) fn to_stdout() -> Self {
        Self::new(io::stdout())
    }
}

impl<W: Write> Lines<W> {
    fn new(to: W) -> Self {
        Self {
            to,
            text: Vec::new(),
            is_closed: false,
        }
    }

    /// One more line.
    ///
    /// # Errors
    /// When what was there before cannot be written, for another reason than that nobody reads it.
    pub(crate) fn line(&mut self, line: &str) -> io::Result<()> {
        self.text.extend_from_slice(printable(line.as_bytes()).as_bytes());
        self.end_line()
    }

    /// Lines that are there already, each with its end.
    ///
    /// # Errors
    /// The same.
    pub(crate) fn text(&mut self, text: &str) -> io::Result<()> {
        self.text.extend_from_slice(text.as_bytes());
        self.flush()
    }

    /// One more line, as JSON.
    ///
    /// # Errors
    /// The same, and when it cannot be written as JSON.
    pub(crate) fn json(&mut self, of: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.text, of)?;
        self.end_line()
    }

    fn end_line(&mut self) -> io::Result<()> {
        self.text.push(b'\n');
        if self.text.len() < GATHERED {
            return Ok(());
        }
        self.flush()
    }

    /// Writes what is there, with what could steer a terminal escaped.
    ///
    /// # Errors
    /// The same.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let text = str::from_utf8(&self.text).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        let written = if self.is_closed {
            Ok(())
        } else {
            self.to
                .write_all(escaped(text).as_bytes())
                .and_then(|()| self.to.flush())
        };
        self.text.clear();
        match written {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.is_closed = true;
                Ok(())
            }
            other => other,
        }
    }

    /// Nobody reads any more, as in `… | head`.
    pub(crate) const fn is_closed(&self) -> bool {
        self.is_closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn lines_go_out_together_and_steer_no_terminal() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut lines = Lines::new(writer);
        lines.line("one\u{1b}[31m").unwrap();
        lines.json(&["two"]).unwrap();
        lines.flush().unwrap();
        let mut chunk = [0; 1000];
        let length = reader.read(&mut chunk).unwrap();
        assert_eq!(&chunk[..length], b"one\\u{1b}[31m\n[\"two\"]\n", "by one write");
        drop(lines);
        assert_eq!(reader.read(&mut chunk).unwrap(), 0);
    }

    #[test]
    fn a_reader_that_is_gone_is_no_failure_and_is_told() {
        let (reader, writer) = io::pipe().unwrap();
        let mut lines = Lines::new(writer);
        drop(reader);
        let long = "x".repeat(GATHERED);
        assert!(!lines.is_closed());
        lines.line(&long).unwrap();
        assert!(lines.is_closed());
        lines.line(&long).unwrap();
        lines.flush().unwrap();
    }
}
