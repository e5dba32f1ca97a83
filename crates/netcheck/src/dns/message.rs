//! The query, and what a datagram or a message says about it.
use super::{DnsFlags, DnsRecord, ResponseCode, text};
use crate::{Failure, FailureKind};
use hickory_proto::{
    op::{Edns, Header, Message, MessageType, OpCode, Query},
    rr::Name,
    serialize::binary::{BinDecodable, BinDecoder},
};

/// How much of a reason of the decoder is shown.
const SHOWN: usize = 160;

/// One query, as it is sent with one id.
pub(crate) struct Asked {
    id: u16,
    query: Query,
    /// The longest datagram that EDNS asks for.
    pub(crate) edns: Option<u16>,
    /// As it is sent.
    pub(crate) bytes: Vec<u8>,
}

/// What a query says beside its question.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) recursion: bool,
    pub(crate) dnssec: bool,
    pub(crate) edns: Option<u16>,
}

/// What some bytes are.
#[derive(Debug)]
pub(crate) enum Judged {
    /// No answer to what was asked.
    Foreign,
    /// The answer is longer than fits.
    Truncated,
    /// The answer.
    Answer(Box<Answer>),
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) code: ResponseCode,
    pub(crate) flags: DnsFlags,
    pub(crate) records: Vec<DnsRecord>,
    pub(crate) authorities: Vec<DnsRecord>,
    pub(crate) additionals: usize,
}

impl Asked {
    pub(crate) fn new(query: Query, manner: Manner) -> Result<Self, Failure> {
        let random = getrandom::u32();
        let random = random.map_err(|error| {
            let detail = format!("this machine has no random numbers: {error}");
            Failure::new(FailureKind::System, detail)
        })?;
        // The upper half is not needed.
        Self::with_id(query, manner, random as u16)
    }

    pub(crate) fn with_id(query: Query, manner: Manner, id: u16) -> Result<Self, Failure> {
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = manner.recursion;
        // Who understands AD in an answer says so in the query (RFC 6840, section 5.7).
        message.metadata.authentic_data = manner.dnssec;
        if let Some(size) = manner.edns {
            let mut edns = Edns::new();
            edns.set_max_payload(size).set_dnssec_ok(manner.dnssec);
            message.set_edns(edns);
        }
        message.add_query(query.clone());
        let bytes = message.to_vec().map_err(|error| {
            let detail = format!("the query for {} cannot be written: {error}", text::name(query.name()));
            Failure::new(FailureKind::Invalid, detail)
        })?;
        Ok(Self {
            id,
            query,
            edns: manner.edns,
            bytes,
        })
    }

    /// What some bytes of the server are. An answer that is damaged is a failure; anything without our id and question
    /// is no answer.
    pub(crate) fn judge(&self, bytes: &[u8]) -> Result<Judged, Failure> {
        let mut decoder = BinDecoder::new(bytes);
        let Ok(header) = Header::read(&mut decoder) else {
            return Ok(Judged::Foreign);
        };
        let is_answer = header.message_type == MessageType::Response && header.op_code == OpCode::Query;
        if header.id != self.id || !is_answer {
            return Ok(Judged::Foreign);
        }
        match header.counts.queries {
            // One who could not read the question need not repeat it; who knows about it has read it.
            0 if !ResponseCode(header.response_code.low().into()).is_knowing() => {}
            1 => {
                let is_ours = Query::read(&mut decoder).is_ok_and(|query| {
                    query.name() == self.query.name()
                        && query.query_type() == self.query.query_type()
                        && query.query_class() == self.query.query_class()
                });
                if !is_ours {
                    return Ok(Judged::Foreign);
                }
            }
            _ => return Ok(Judged::Foreign),
        }
        if header.truncation {
            // What is left of it may be cut anywhere.
            return Ok(Judged::Truncated);
        }
        let message = Message::from_vec(bytes).map_err(|error| {
            let reason: String = error.to_string().escape_debug().take(SHOWN).collect();
            Failure::new(FailureKind::Protocol, format!("the answer is damaged: {reason}"))
        })?;
        Ok(Judged::Answer(Box::new(Answer {
            code: ResponseCode(message.response_code.into()),
            flags: DnsFlags {
                authoritative: message.authoritative,
                truncated: message.truncation,
                recursion_desired: message.recursion_desired,
                recursion_available: message.recursion_available,
                authentic_data: message.authentic_data,
                checking_disabled: message.checking_disabled,
            },
            records: message.answers.iter().map(text::record).collect(),
            authorities: message.authorities.iter().map(text::record).collect(),
            additionals: message.additionals.len(),
        })))
    }
}

/// A name that is complete, whether or not it ends in a dot.
pub(crate) fn parse_name(text: &str) -> Result<Name, Failure> {
    let name = Some(text).filter(|text| !text.is_empty());
    let parsed = name
        .and_then(|name| Name::from_str_relaxed(name).ok())
        .filter(|_| text.len() <= 1024);
    let mut name = parsed.ok_or_else(|| {
        let shown: String = text.escape_debug().take(SHOWN).collect();
        Failure::new(
            FailureKind::Invalid,
            format!("`{shown}` is no name to ask a name server about"),
        )
    })?;
    name.set_fqdn(true);
    Ok(name)
}

/// The reader of answers, for fuzzers.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz(data: &[u8]) {
    let manner = Manner {
        recursion: true,
        dnssec: false,
        edns: None,
    };
    let Ok(name) = parse_name("a.test") else { return };
    let query = Query::query(name, hickory_proto::rr::RecordType::ANY);
    let (Ok(asked), Some((is_ours, rest))) = (Asked::with_id(query, manner, 7), data.split_first()) else {
        return;
    };
    let mut bytes = rest.to_vec();
    if is_ours % 2 == 1 {
        let (counts, rest) = rest.split_at(rest.len().min(6));
        bytes = [asked.bytes.as_slice(), rest].concat();
        bytes[2] = 0x81;
        bytes[6..6 + counts.len()].copy_from_slice(counts);
    }
    if let Ok(Judged::Answer(answer)) = asked.judge(&bytes) {
        for record in answer.records.iter().chain(&answer.authorities) {
            let shown = [record.name.as_str(), &record.data].concat();
            assert!(!shown.contains(char::is_control), "{shown:?}");
        }
        super::expect::serial(&answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::rr::{RData, Record, RecordType, rdata::A};
    use proptest::prelude::*;

    const MANNER: Manner = Manner {
        recursion: true,
        dnssec: false,
        edns: Some(1232),
    };

    fn asked() -> Asked {
        let query = Query::query(parse_name("www.example.test").unwrap(), RecordType::A);
        Asked::with_id(query, MANNER, 7).unwrap()
    }

    fn answer(asked: &Asked) -> Message {
        let mut message = Message::response(asked.id, OpCode::Query);
        message.add_query(asked.query.clone());
        let address = RData::A(A::new(192, 0, 2, 7));
        message.add_answer(Record::from_rdata(asked.query.name().clone(), 60, address));
        message
    }

    fn is_foreign(asked: &Asked, bytes: &[u8]) -> bool {
        matches!(asked.judge(bytes), Ok(Judged::Foreign))
    }

    #[test]
    fn a_query_says_what_was_wished() {
        let query = Query::query(parse_name("a.test").unwrap(), RecordType::A);
        let manner = Manner {
            recursion: false,
            dnssec: true,
            edns: Some(4096),
        };
        let sent = Message::from_vec(&Asked::new(query, manner).unwrap().bytes).unwrap();
        let edns = sent.edns.as_ref().unwrap();
        assert!(!sent.recursion_desired && sent.authentic_data);
        assert!(edns.flags().dnssec_ok && edns.max_payload() == 4096);
    }

    #[test]
    fn only_an_answer_with_our_id_and_question_is_looked_at() {
        let asked = asked();
        let ours = answer(&asked);
        let Ok(Judged::Answer(read)) = asked.judge(&ours.to_vec().unwrap()) else {
            panic!("it is ours");
        };
        assert_eq!((read.records[0].data.as_str(), read.records[0].ttl), ("192.0.2.7", 60));
        assert!(is_foreign(&asked, &asked.bytes), "a query is no answer");
        let mut other_id = ours.clone();
        other_id.metadata.id = 8;
        assert!(is_foreign(&asked, &other_id.to_vec().unwrap()));
        let mut other_question = ours.clone();
        other_question.queries = vec![Query::query(parse_name("w.test").unwrap(), RecordType::A)];
        assert!(is_foreign(&asked, &other_question.to_vec().unwrap()));
        let mut no_question = ours;
        no_question.queries.clear();
        assert!(is_foreign(&asked, &no_question.to_vec().unwrap()));
        for code in 0..16 {
            // Who knows about a name has read the question.
            let bare = [0, 7, 0x81, code, 0, 0, 0, 0, 0, 0, 0, 0];
            assert_eq!(is_foreign(&asked, &bare), [0, 3].contains(&code), "{code}");
        }
    }

    #[test]
    fn a_cut_answer_is_truncated_however_it_is_cut_and_a_damaged_one_is_a_failure() {
        let asked = asked();
        let mut message = answer(&asked);
        let whole = message.to_vec().unwrap();
        let damaged = asked.judge(&whole[..whole.len() - 1]).unwrap_err();
        assert_eq!(damaged.kind, FailureKind::Protocol);
        message.metadata.truncation = true;
        let cut = message.to_vec().unwrap();
        for length in asked.bytes.len()..cut.len() {
            assert!(matches!(asked.judge(&cut[..length]), Ok(Judged::Truncated)), "{length}");
        }
    }

    #[test]
    fn a_name_that_points_at_itself_ends() {
        let asked = asked();
        let mut bytes = answer(&asked).to_vec().unwrap();
        let question = bytes.len() - 16;
        // The owner of the answer becomes a pointer to itself.
        let [high, low] = (0xc000 | question as u16).to_be_bytes();
        bytes[question..question + 2].copy_from_slice(&[high, low]);
        assert_eq!(asked.judge(&bytes).unwrap_err().kind, FailureKind::Protocol);
    }

    #[test]
    fn a_name_is_complete_with_and_without_its_dot() {
        assert_eq!(parse_name("A.test").unwrap(), parse_name("a.test.").unwrap());
        assert_eq!(text::name(&parse_name("bücher.test").unwrap()), "xn--bcher-kva.test.");
        assert!(parse_name(".").unwrap().is_root());
        for wrong in ["", "a b", &"a".repeat(64), &"a.".repeat(200)] {
            assert_eq!(parse_name(wrong).unwrap_err().kind, FailureKind::Invalid, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(tail in prop::collection::vec(any::<u8>(), 0..200), counts: [u8; 6], at: usize) {
            let asked = asked();
            let mut bytes = answer(&asked).to_vec().unwrap();
            bytes[6..12].copy_from_slice(&counts.map(|count| count % 4));
            let at = asked.bytes.len().min(bytes.len()) + at % 16;
            bytes.truncate(at);
            bytes.extend_from_slice(&tail);
            if let Ok(Judged::Answer(read)) = asked.judge(&bytes) {
                for record in &read.records {
                    prop_assert!(record.name.bytes().chain(record.data.bytes()).all(|byte| !byte.is_ascii_control()));
                }
            }
        }
    }
}
