//! What a reply says. A path in it may hold whatever a reply is made of (`: OK`, ` FOUND`, line breaks), so nothing is
//! searched for from the left: first goes exactly what was asked about, and the rest is read from its end.
use crate::{refusal::Refusal, verdict::Finding};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What was asked about, as the reply repeats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'a> {
    /// A path. Scans of directories name what lies below it, too.
    Path(&'a Path),
    /// A passed descriptor: `fd[12]`, with clamd's own number for it.
    Descriptor,
    /// A stream.
    Stream,
}

/// One reply to a command that scans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// The file that it is about where that is not the subject itself: one below a directory that was asked about.
    pub below: Option<&'a [u8]>,
    /// What clamd found about it.
    pub finding: Finding,
}

/// A reply that is none of clamd's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("clamd answered what cannot be understood: {}", Shown(start))]
pub struct ReplyError {
    /// The first bytes of it.
    start: Vec<u8>,
}

/// How much of a senseless reply is kept.
const SHOWN: usize = 120;

/// Bytes as people may see them: what is not ASCII, and what would act on a terminal, is escaped.
pub(crate) struct Shown<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0.escape_ascii())
    }
}

impl ReplyError {
    pub(crate) fn new(reply: &[u8]) -> Self {
        Self {
            start: reply[..reply.len().min(SHOWN)].to_vec(),
        }
    }
}

impl<'a> Reply<'a> {
    /// Reads one reply about `subject`, without its id and its end.
    ///
    /// ```
    /// use clamd_proto::{Finding, Reply, Subject};
    /// use std::path::Path;
    ///
    /// let asked = Subject::Path(Path::new("/srv/x: OK"));
    /// let reply = Reply::parse(b"/srv/x: OK: Eicar-Test FOUND", asked)?;
    /// assert_eq!(reply.finding, Finding::Found("Eicar-Test".to_owned()));
    /// # Ok::<(), clamd_proto::ReplyError>(())
    /// ```
    ///
    /// # Errors
    /// When it is no such reply.
    pub fn parse(reply: &'a [u8], subject: Subject<'_>) -> Result<Self, ReplyError> {
        let own = |rest| finding(rest).map(|finding| Self { below: None, finding });
        strip(reply, subject)
            .and_then(own)
            .or_else(|| about_another(reply, subject))
            .or_else(|| about_nothing(reply))
            .ok_or_else(|| ReplyError::new(reply))
    }
}

/// The rest of a reply that begins with its subject.
fn strip<'a>(reply: &'a [u8], subject: Subject<'_>) -> Option<&'a [u8]> {
    match subject {
        Subject::Path(path) => reply.strip_prefix(path.as_os_str().as_bytes())?.strip_prefix(b": "),
        Subject::Stream => reply.strip_prefix(b"stream: "),
        Subject::Descriptor => {
            let rest = reply.strip_prefix(b"fd[")?;
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            rest.get(digits..).filter(|_| digits > 0)?.strip_prefix(b"]: ")
        }
    }
}

/// What is left once the subject is gone.
fn finding(rest: &[u8]) -> Option<Finding> {
    if rest == b"OK" {
        return Some(Finding::Clean);
    }
    if let Some(signature) = rest.strip_suffix(b" FOUND").filter(|signature| !signature.is_empty()) {
        return Some(Finding::Found(signature_name(signature)));
    }
    let reason = rest.strip_suffix(b" ERROR").filter(|reason| !reason.is_empty())?;
    Some(Finding::Refused(Refusal::new(reason)))
}

/// A reply about a file below the directory that was asked about.
fn about_another<'a>(reply: &'a [u8], subject: Subject<'_>) -> Option<Reply<'a>> {
    let Subject::Path(root) = subject else { return None };
    let root = root.as_os_str().as_bytes();
    // clamd leaves out a slash at the end, and puts one between.
    let root = root.strip_suffix(b"/").unwrap_or(root);
    if !reply.starts_with(root) || reply.get(root.len()) != Some(&b'/') {
        return None;
    }
    let (path, rest) = if let Some(path) = reply.strip_suffix(b": OK") {
        (path, &b"OK"[..])
    } else if reply.ends_with(b" FOUND") {
        // No name of a signature holds a colon and a space.
        split(reply, last(reply, b": ")?)
    } else {
        // Of clamd's reasons only this one has a colon and a space in it.
        let check = last(reply, b": File path check failure: ");
        split(reply, check.or_else(|| last(reply, b": "))?)
    };
    let finding = finding(rest)?;
    (path.len() > root.len()).then_some(Reply {
        below: Some(path),
        finding,
    })
}

/// A refusal that names no subject, such as `Command invalid inside IDSESSION. ERROR`.
fn about_nothing(reply: &[u8]) -> Option<Reply<'_>> {
    let bare = |rest: &[u8]| Finding::Refused(Refusal::new(rest));
    let finding = match reply {
        b"UNKNOWN COMMAND" | b"COMMAND UNAVAILABLE" | b"COMMAND READ TIMED OUT" => bare(reply),
        _ => bare(reply.strip_suffix(b" ERROR").filter(|reason| is_bare_reason(reason))?),
    };
    Some(Reply { below: None, finding })
}

/// Whether a refusal can stand without a subject. One that holds a path does not, or a file could be named so that a
/// reply about another is taken for its own.
fn is_bare_reason(reason: &[u8]) -> bool {
    !reason.is_empty() && !reason.contains(&b'/') && reason.iter().all(|byte| (b' '..=b'~').contains(byte))
}

fn split(reply: &[u8], at: usize) -> (&[u8], &[u8]) {
    (&reply[..at], &reply[at + b": ".len()..])
}

fn last(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len()).rposition(|window| window == needle)
}

/// The name alone: with `ExtendedDetectionInfo` clamd appends `(MD5:SIZE)`.
fn signature_name(text: &[u8]) -> String {
    let name = String::from_utf8_lossy(text);
    let is_extension = |inner: &str| {
        inner.split_once(':').is_some_and(|(hash, size)| {
            hash.len() == 32
                && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
                && !size.is_empty()
                && size.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    if let Some((bare, inner)) = name.strip_suffix(')').and_then(|rest| rest.rsplit_once('('))
        && !bare.is_empty()
        && is_extension(inner)
    {
        return bare.to_owned();
    }
    name.into_owned()
}

/// Parts a session's reply into the number of its request and the rest.
///
/// # Errors
/// When there is no number before it.
pub fn split_id(reply: &[u8]) -> Result<(u32, &[u8]), ReplyError> {
    let wrong = || ReplyError::new(reply);
    let digits = reply.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = reply[digits..].strip_prefix(b": ").ok_or_else(wrong)?;
    let number = std::str::from_utf8(&reply[..digits]).ok();
    let number = number.and_then(|digits| digits.parse().ok()).ok_or_else(wrong)?;
    Ok((number, rest))
}

#[cfg(test)]
mod tests;
