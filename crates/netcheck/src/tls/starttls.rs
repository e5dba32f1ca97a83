//! From plain text to TLS on one connection (STARTTLS): who says what before, line by line and within bounds.
use super::{error::SHOWN, plain};
use crate::{Failure, FailureKind};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// No line may be longer, in bytes. RFC 5321 allows 512; greetings of real servers are longer.
const LONGEST_LINE: usize = 4_096;
/// No answer may have more lines.
const MOST_LINES: usize = 256;

/// In which protocol a connection begins before it becomes TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum StartTls {
    /// Mail that is handed in (RFC 3207); port 25, or 587.
    Smtp,
    /// Mail that is read (RFC 9051); port 143.
    Imap,
    /// Mail that is fetched (RFC 2595); port 110.
    Pop3,
    /// Files (RFC 4217); port 21.
    Ftp,
    /// A database of PostgreSQL (`SSLRequest` of its frontend protocol); port 5432.
    Postgres,
}

impl StartTls {
    /// The port at which it is usually spoken.
    #[must_use]
    pub const fn port(self) -> u16 {
        match self {
            Self::Smtp => 25,
            Self::Imap => 143,
            Self::Pop3 => 110,
            Self::Ftp => 21,
            Self::Postgres => 5432,
        }
    }

    /// The protocol by its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Smtp => "SMTP",
            Self::Imap => "IMAP",
            Self::Pop3 => "POP3",
            Self::Ftp => "FTP",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// What comes after a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// More of the same answer.
    Read,
    /// This is to be sent, and then an answer is read.
    Send(&'static str),
    /// From here on it is TLS.
    Tls,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    Greeting,
    Features,
    Consent,
}

/// The conversation, without the connection.
#[derive(Debug)]
pub(crate) struct Conversation {
    protocol: StartTls,
    awaited: Awaited,
    lines: usize,
    is_offered: bool,
}

impl Conversation {
    pub(crate) const fn new(protocol: StartTls) -> Self {
        Self {
            protocol,
            awaited: Awaited::Greeting,
            lines: 0,
            is_offered: false,
        }
    }

    /// Takes one line without its end.
    pub(crate) fn line(&mut self, line: &[u8]) -> Result<Next, Failure> {
        self.lines += 1;
        if self.lines > MOST_LINES {
            let detail = format!(
                "the server answered with more than {MOST_LINES} lines in {}",
                self.protocol.name()
            );
            return Err(Failure::new(FailureKind::TooLarge, detail));
        }
        let next = match self.protocol {
            StartTls::Smtp | StartTls::Ftp => self.numbered(line)?,
            StartTls::Imap => self.tagged(line)?,
            StartTls::Pop3 => self.signed(line)?,
            // It has no lines: one byte is the whole conversation.
            StartTls::Postgres => return Err(self.not_spoken(line)),
        };
        if next != Next::Read {
            self.lines = 0;
        }
        Ok(next)
    }

    /// `250-more`, `250 last`.
    fn numbered(&mut self, line: &[u8]) -> Result<Next, Failure> {
        let is_number = line.len() >= 3 && line[..3].iter().all(u8::is_ascii_digit);
        if !is_number {
            // Within an answer of several lines, FTP allows lines without a number.
            let may_be_inner = self.protocol == StartTls::Ftp && self.lines > 1;
            return if may_be_inner {
                Ok(Next::Read)
            } else {
                Err(self.not_spoken(line))
            };
        }
        if self.awaited == Awaited::Features && line[4.min(line.len())..].eq_ignore_ascii_case(b"STARTTLS") {
            self.is_offered = true;
        }
        if line.get(3) == Some(&b'-') {
            return Ok(Next::Read);
        }
        let code = &line[..3];
        match (self.protocol, self.awaited, code) {
            (StartTls::Smtp, Awaited::Greeting, b"220") => {
                self.awaited = Awaited::Features;
                Ok(Next::Send("EHLO netcheck.invalid\r\n"))
            }
            (_, Awaited::Features, b"250") if self.is_offered => self.ask("STARTTLS\r\n"),
            (_, Awaited::Features, b"250") => Err(self.refused("it does not offer STARTTLS")),
            (_, Awaited::Greeting, b"220") => self.ask("AUTH TLS\r\n"),
            (StartTls::Smtp, Awaited::Consent, b"220") | (StartTls::Ftp, Awaited::Consent, b"234") => Ok(Next::Tls),
            _ => Err(self.refused(&format!("it answered `{}`", plain::bytes(line, SHOWN)))),
        }
    }

    /// `* anything`, then `a OK`, `a NO` or `a BAD`.
    fn tagged(&mut self, line: &[u8]) -> Result<Next, Failure> {
        match self.awaited {
            Awaited::Greeting if starts(line, b"* OK") => self.ask("a STARTTLS\r\n"),
            Awaited::Greeting if starts(line, b"* PREAUTH") => Err(self.refused(
                "it takes the session for authenticated at once (PREAUTH), and TLS can be begun only before that \
                 (RFC 9051, section 6.2.1)",
            )),
            Awaited::Greeting if starts(line, b"* BYE") => {
                Err(self.refused(&format!("it answered `{}`", plain::bytes(line, SHOWN))))
            }
            Awaited::Greeting => Err(self.not_spoken(line)),
            _ if starts(line, b"* ") => Ok(Next::Read),
            _ if starts(line, b"a OK") => Ok(Next::Tls),
            _ => Err(self.refused(&format!("it answered `{}`", plain::bytes(line, SHOWN)))),
        }
    }

    /// `+OK` or `-ERR`.
    fn signed(&mut self, line: &[u8]) -> Result<Next, Failure> {
        match self.awaited {
            Awaited::Greeting if starts(line, b"+OK") => self.ask("STLS\r\n"),
            Awaited::Greeting if !starts(line, b"-ERR") => Err(self.not_spoken(line)),
            _ if starts(line, b"+OK") => Ok(Next::Tls),
            _ => Err(self.refused(&format!("it answered `{}`", plain::bytes(line, SHOWN)))),
        }
    }

    fn ask(&mut self, command: &'static str) -> Result<Next, Failure> {
        self.awaited = Awaited::Consent;
        Ok(Next::Send(command))
    }

    fn refused(&self, why: &str) -> Failure {
        Failure::new(
            FailureKind::Tls,
            format!(
                "the server does not go over from {} to TLS: {why}",
                self.protocol.name()
            ),
        )
    }

    fn not_spoken(&self, line: &[u8]) -> Failure {
        let sent = plain::bytes(line, SHOWN);
        Failure::new(
            FailureKind::Protocol,
            format!("the server does not speak {}: it sent `{sent}`", self.protocol.name()),
        )
    }
}

fn starts(line: &[u8], with: &[u8]) -> bool {
    line.get(..with.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(with))
}

/// Has the conversation; the next bytes of the stream are those of TLS.
pub(crate) async fn negotiate<S>(stream: &mut S, protocol: StartTls) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let doing = format!("speak {} with the server", protocol.name());
    if protocol == StartTls::Postgres {
        return ask_postgres(stream, &doing).await;
    }
    let mut conversation = Conversation::new(protocol);
    let mut came = Vec::with_capacity(512);
    loop {
        let next = match came.iter().position(|byte| *byte == b'\n') {
            Some(end) => {
                let line: Vec<u8> = came.drain(..=end).collect();
                let line = line.strip_suffix(b"\n").unwrap_or(&line);
                conversation.line(line.strip_suffix(b"\r").unwrap_or(line))?
            }
            None if came.len() > LONGEST_LINE => {
                let detail = format!(
                    "the server sent a line of more than {LONGEST_LINE} bytes in {}",
                    protocol.name()
                );
                return Err(Failure::new(FailureKind::TooLarge, detail));
            }
            None => {
                read(stream, &mut came, &doing).await?;
                continue;
            }
        };
        match next {
            Next::Read => {}
            Next::Send(command) => stream
                .write_all(command.as_bytes())
                .await
                .map_err(|error| Failure::of_io(&doing, &error))?,
            Next::Tls if !came.is_empty() => return Err(plain_after_consent(&came)),
            Next::Tls => return Ok(()),
        }
    }
}

/// The length of the request, and the number that is no version: 1234 and 5679. `S` is consent, `N` is none.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

async fn ask_postgres<S>(stream: &mut S, doing: &str) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let sent = stream.write_all(&SSL_REQUEST).await;
    sent.map_err(|error| Failure::of_io(doing, &error))?;
    let mut came = Vec::new();
    read(stream, &mut came, doing).await?;
    match came.as_slice() {
        b"S" => Ok(()),
        b"N" => {
            let detail = "the server does not go over from PostgreSQL to TLS: it is not set up for it";
            Err(Failure::new(FailureKind::Tls, detail))
        }
        [b'S', ..] => Err(plain_after_consent(&came[1..])),
        other => Err(Conversation::new(StartTls::Postgres).not_spoken(other)),
    }
}

/// What somebody in between put in here would be taken for words of the server that came by TLS.
fn plain_after_consent(came: &[u8]) -> Failure {
    let sent = plain::bytes(came, SHOWN);
    let detail = format!("the server went on in plain text after it had agreed to TLS: `{sent}`");
    Failure::new(FailureKind::Protocol, detail)
}

async fn read<S: AsyncRead + Unpin>(stream: &mut S, came: &mut Vec<u8>, doing: &str) -> Result<(), Failure> {
    let mut part = [0; 1_024];
    match stream.read(&mut part).await {
        Ok(0) => Err(Failure::new(
            FailureKind::Closed,
            format!("could not {doing}: it ended the connection"),
        )),
        Ok(count) => {
            came.extend_from_slice(&part[..count]);
            Ok(())
        }
        Err(error) => Err(Failure::of_io(doing, &error)),
    }
}

#[cfg(test)]
mod tests;
