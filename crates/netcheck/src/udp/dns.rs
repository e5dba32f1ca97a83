//! A query of DNS and a look at the answer (RFC 1035), enough to know that a name server is there. What it says is for the
//! check of DNS.
use super::ResponseCode;
use crate::{Failure, FailureKind};
use std::net::SocketAddr;

/// The length of a header.
const HEADER: usize = 12;
/// The types of a host's address and of a name server.
const A: u16 = 1;
const NS: u16 = 2;
/// The class of the Internet.
const IN: u16 = 1;
/// The longest name, in bytes as they are sent.
const LONGEST_NAME: usize = 255;

/// A query for the A records of `name`, or for the name servers of the root where it is empty or a dot.
pub(crate) fn query(name: &str, id: u16) -> Result<Vec<u8>, Failure> {
    let invalid = || {
        let detail = format!("`{}` is no name to ask a name server about", name.escape_debug());
        Failure::new(FailureKind::Invalid, detail)
    };
    let mut query = Vec::with_capacity(HEADER + name.len() + 6);
    query.extend_from_slice(&id.to_be_bytes());
    // Recursion is desired, and there is one question.
    query.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    let name_at = query.len();
    let trimmed = without_dot(name);
    if !trimmed.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(invalid());
    }
    for label in trimmed.split('.').filter(|_| !trimmed.is_empty()) {
        let length = u8::try_from(label.len())
            .ok()
            .filter(|length| (1..=63).contains(length));
        query.push(length.ok_or_else(invalid)?);
        query.extend_from_slice(label.as_bytes());
    }
    query.push(0);
    if query.len() - name_at > LONGEST_NAME {
        return Err(invalid());
    }
    let kind = if trimmed.is_empty() { NS } else { A };
    query.extend_from_slice(&kind.to_be_bytes());
    query.extend_from_slice(&IN.to_be_bytes());
    Ok(query)
}

/// A name as its labels are sent: nothing for the root, which is written as a dot, too.
fn without_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// How a datagram answers `query`: nothing is known about one that does not. One that does and is damaged is a failure.
pub(crate) fn judge(reply: &[u8], query: &[u8], address: SocketAddr) -> Result<Option<ResponseCode>, Failure> {
    let Some((header, rest)) = reply.split_first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let is_reply = header[2] & 0x80 != 0 && header[2] & 0x78 == 0;
    if !query.starts_with(&header[..2]) || !is_reply {
        return Ok(None);
    }
    let count = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let question = query.get(HEADER..).unwrap_or_default();
    let code = ResponseCode(u16::from(header[3] & 0xf));
    let rest = match count(4) {
        // One who could not read the question need not repeat it; who knows about it has read it.
        0 if !code.is_knowing() => rest,
        1 if rest.len() >= question.len() && rest[..question.len()].eq_ignore_ascii_case(question) => {
            &rest[question.len()..]
        }
        _ => return Ok(None),
    };
    let records = u32::from(count(6)) + u32::from(count(8)) + u32::from(count(10));
    let is_cut = header[2] & 2 != 0;
    if !is_cut && records_of(rest, records).is_none() {
        let detail = format!("{address} sent an answer of DNS that is damaged");
        return Err(Failure::new(FailureKind::Protocol, detail));
    }
    Ok(Some(code))
}

/// Why a server that answers so about `name` is of no use. That there is no such name is an answer like any other, and the root, which is
/// asked about where no name is given, need not be what a server tells of.
pub(crate) fn unfit(code: ResponseCode, name: &str, address: SocketAddr) -> Option<Failure> {
    let is_of_root = code == ResponseCode::REFUSED && without_dot(name).is_empty();
    let is_well = code.is_knowing() || is_of_root;
    (!is_well).then(|| {
        let detail = format!("{address} answered {code}{}", code.meaning());
        Failure::new(FailureKind::NameServer, detail)
    })
}

/// Passes over so many records, as far as they are there.
fn records_of(mut rest: &[u8], records: u32) -> Option<()> {
    for _ in 0..records {
        rest = after_name(rest)?;
        let (fixed, after) = rest.split_first_chunk::<10>()?;
        rest = after.get(usize::from(u16::from_be_bytes([fixed[8], fixed[9]]))..)?;
    }
    Some(())
}

/// Passes over a name, which ends in a pointer or in the root; pointers are not followed, so nothing can loop.
fn after_name(mut rest: &[u8]) -> Option<&[u8]> {
    let mut length = 0;
    loop {
        let (first, after) = rest.split_first()?;
        match *first {
            0 => return Some(after),
            1..=63 => {
                length += usize::from(*first) + 1;
                rest = after.get(usize::from(*first)..).filter(|_| length < LONGEST_NAME)?;
            }
            192.. => return after.get(1..),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address() -> SocketAddr {
        "192.0.2.1:53".parse().unwrap()
    }

    /// An answer with one A record whose name points at the question.
    fn answer(query: &[u8]) -> Vec<u8> {
        let mut answer = query.to_vec();
        answer[2] = 0x81;
        answer[7] = 1;
        answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
        answer
    }

    #[test]
    fn an_answer_counts_when_its_id_and_question_are_ours() {
        let query = query("www.Example.test.", 7).unwrap();
        let ours = answer(&query);
        assert_eq!(judge(&ours, &query, address()), Ok(Some(ResponseCode::NOERROR)));
        assert_eq!(judge(&query, &query, address()), Ok(None), "a query is no answer");
        let mut other_id = ours.clone();
        other_id[1] = 8;
        assert_eq!(judge(&other_id, &query, address()), Ok(None));
        let mut other_question = ours.clone();
        other_question[14] = b'v';
        assert_eq!(judge(&other_question, &query, address()), Ok(None));
        assert_eq!(judge(b"hello", &query, address()), Ok(None));
    }

    #[test]
    fn a_damaged_answer_is_a_failure_and_a_refusal_without_the_question_is_an_answer() {
        let query = query("", 7).unwrap();
        let ours = answer(&query);
        let damaged = judge(&ours[..ours.len() - 1], &query, address()).unwrap_err();
        assert_eq!(damaged.kind, FailureKind::Protocol);
        let refusal = [0, 7, 0x81, 5, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(judge(&refusal, &query, address()), Ok(Some(ResponseCode::REFUSED)));
    }

    #[test]
    fn who_knows_about_a_name_repeats_the_question() {
        let query = query("a.test", 7).unwrap();
        for code in 0..16 {
            let bare = [0, 7, 0x81, code, 0, 0, 0, 0, 0, 0, 0, 0];
            let knows = [0, 3].contains(&code);
            let judged = (!knows).then_some(ResponseCode(code.into()));
            assert_eq!(judge(&bare, &query, address()), Ok(judged), "{code}");
            let whole = [&[0, 7, 0x81, code], &query[4..]].concat();
            assert_eq!(judge(&whole, &query, address()), Ok(Some(ResponseCode(code.into()))));
        }
    }

    #[test]
    fn only_a_server_that_knows_or_knows_that_there_is_none_is_of_use() {
        for code in 0..16 {
            let why = |name| unfit(ResponseCode(code), name, address());
            assert_eq!(why("a.test").is_none(), [0, 3].contains(&code), "{code}");
            for root in ["", "."] {
                assert_eq!(why(root).is_none(), [0, 3, 5].contains(&code), "{code} {root}");
            }
        }
        let why = unfit(ResponseCode::SERVFAIL, "a.test", address()).unwrap();
        assert_eq!(why.detail, "192.0.2.1:53 answered SERVFAIL, it could not find out");
    }

    #[test]
    fn a_name_that_cannot_be_sent_is_refused() {
        for name in ["a..b", "a b", "b\u{fc}cher", &"a".repeat(64), &"a.".repeat(128)] {
            assert_eq!(query(name, 1).unwrap_err().kind, FailureKind::Invalid, "{name}");
        }
        assert!(query(&"a.".repeat(127), 1).is_ok());
    }

    proptest! {
        #[test]
        fn no_bytes_after_our_question_make_it_panic(tail: Vec<u8>, counts: [u8; 6], ours: bool) {
            let query = query("a.test", 7).unwrap();
            let mut reply = if ours { answer(&query) } else { Vec::new() };
            reply.extend_from_slice(&tail);
            if ours {
                reply[6..12].copy_from_slice(&counts);
            }
            let judged = judge(&reply, &query, address());
            prop_assert!(ours || reply.starts_with(&[0, 7]) || judged == Ok(None));
        }
    }
}
