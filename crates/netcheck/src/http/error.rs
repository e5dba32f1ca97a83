//! Why there is no answer, from what the library, the system and the first bytes of the server say.
use crate::{
    Failure, FailureKind,
    tls::{
        error::{SHOWN, of_tls, tls_cause},
        plain,
        watched::Seen,
    },
};
use std::{error::Error, io};

/// What is known besides the error.
pub(crate) struct Scene<'a> {
    /// What came of the connection so far.
    pub(crate) seen: &'a Seen,
    pub(crate) is_http2: bool,
    /// Whether the head of the answer came.
    pub(crate) has_head: bool,
    /// How long a head may be, in bytes.
    pub(crate) max_head: usize,
}

pub(crate) fn of_hyper(error: &hyper::Error, scene: &Scene<'_>) -> Failure {
    let failure = |kind, detail: String| Failure::new(kind, detail);
    if error.is_parse_too_large() {
        let detail = format!(
            "the head of the answer has more than {} bytes or 100 headers",
            scene.max_head
        );
        return failure(FailureKind::TooLarge, detail);
    }
    if let Some(cause) = io_cause(error) {
        return match tls_cause(cause) {
            Some(cause) => of_tls(cause, &[]),
            None => of_io(cause, scene),
        };
    }
    let first = scene.seen.first();
    if !scene.has_head && !first.is_empty() && !speaks(first, scene.is_http2) {
        return not_spoken(first, scene.is_http2);
    }
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return closed(scene);
    }
    let cause = plain::text(&chain(error), 200);
    if scene.is_http2 {
        return of_http2(&cause, scene);
    }
    if error.is_parse() && !scene.has_head {
        let sent = plain::bytes(first, SHOWN);
        return failure(
            FailureKind::Protocol,
            format!("the head of the answer cannot be understood ({cause}): `{sent}`"),
        );
    }
    failure(
        FailureKind::Protocol,
        format!("the answer cannot be understood: {cause}"),
    )
}

/// The library tells a head by its name only where that is far too long. A shorter one it calls an answer that is wrong; one
/// of which more came than a head may have is taken for it.
fn of_http2(cause: &str, scene: &Scene<'_>) -> Failure {
    let most = scene.max_head;
    let is_wrong_answer = !scene.has_head && cause.contains("stream error detected");
    let is_long = usize::try_from(scene.seen.count).is_ok_and(|count| count > most);
    if cause.contains("header_list_way_too_large") || is_wrong_answer && is_long {
        return head_too_large(most);
    }
    let mut detail = format!("the answer in HTTP/2 broke off: {cause}");
    if is_wrong_answer {
        detail.push_str(&format!(" (or its head has more than {most} bytes)"));
    }
    Failure::new(FailureKind::Protocol, detail)
}

/// The head of an answer in HTTP/2, which may have any number of headers.
pub(crate) fn head_too_large(most: usize) -> Failure {
    Failure::new(
        FailureKind::TooLarge,
        format!("the head of the answer has more than {most} bytes"),
    )
}

fn of_io(cause: &io::Error, scene: &Scene<'_>) -> Failure {
    let failure = Failure::of_io("ask the server", cause);
    if failure.kind == FailureKind::Closed {
        closed(scene)
    } else if cause.raw_os_error().is_some() {
        failure
    } else {
        // Not from the system: so the library says that what came makes no sense, such as the length of a chunk.
        let cause = plain::text(&cause.to_string(), 200);
        Failure::new(
            FailureKind::Protocol,
            format!("the answer cannot be understood: {cause}"),
        )
    }
}

fn closed(scene: &Scene<'_>) -> Failure {
    let detail = match (scene.has_head, scene.seen.count) {
        (true, _) => "the server ended the connection in the middle of the body".to_owned(),
        (false, 0) => "the server ended the connection without an answer".to_owned(),
        (false, count) => format!("the server ended the connection in the middle of the head, after {count} bytes"),
    };
    Failure::new(FailureKind::Closed, detail)
}

/// Whether an answer begins so. HTTP/2 begins with the settings of the server: a frame of kind 4 on stream 0.
fn speaks(first: &[u8], is_http2: bool) -> bool {
    if is_http2 {
        return first
            .iter()
            .skip(3)
            .zip([4, 0, 0, 0, 0, 0])
            .enumerate()
            .all(|(at, (came, wanted))| at == 1 || *came == wanted);
    }
    let count = first.len().min(5);
    first[..count] == b"HTTP/"[..count]
}

fn not_spoken(first: &[u8], is_http2: bool) -> Failure {
    // The alert of a server of TLS that was asked without.
    if first.starts_with(&[0x15, 3]) {
        return Failure::new(FailureKind::Protocol, "the server speaks TLS here: ask for https");
    }
    let (sent, spoken) = (plain::bytes(first, SHOWN), if is_http2 { "HTTP/2" } else { "HTTP" });
    Failure::new(
        FailureKind::Protocol,
        format!("the server did not speak {spoken}: it sent `{sent}`"),
    )
}

fn io_cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref() {
            return Some(found);
        }
        next = cause.source();
    }
    None
}

/// All that an error says, with what is behind it.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_an_answer_is_known() {
        assert!(speaks(b"HTTP/1.1 200 OK", false) && speaks(b"HT", false));
        assert!(!speaks(b"SSH-2.0-x", false) && !speaks(b"HTML", false));
        assert!(speaks(&[0, 0, 18, 4, 0, 0, 0, 0, 0, 0, 3], true) && speaks(&[0, 0], true));
        assert!(!speaks(b"HTTP/1.1 400 Bad Request", true));
    }
}
