//! What an answer shall be.
use super::{DnsRecord, RecordType, ResponseCode, message::Answer, text};
use crate::{Failure, FailureKind};
use hickory_proto::rr::Name;
use std::{collections::BTreeSet, net::SocketAddr};

/// How many aliases are followed from the name that was asked about.
const LONGEST_CHAIN: usize = 16;
/// How many records a failure shows.
const SHOWN: usize = 8;

/// What an answer shall be; unless something else is said, that it has at least one record of the type asked for.
///
/// Data is compared as what it means: addresses in any form, names in any case and with or without the dot at their end,
/// texts with or without their quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsExpect {
    /// What the server says; `NOERROR`. With any other, nothing below is looked at.
    pub response_code: ResponseCode,
    /// How many records of the type there are at least; 1.
    pub at_least: usize,
    /// The data that is among theirs.
    pub contains: Vec<String>,
    /// The data that is exactly theirs, in any order.
    pub equals: Option<Vec<String>>,
    /// How long one may be remembered at most, in seconds.
    pub max_ttl: Option<u32>,
    /// The serial number that the zone has reached (compared as RFC 1982 says).
    pub min_serial: Option<u32>,
    /// Whether the server has to have verified the signatures (AD).
    pub authentic: bool,
    /// Whether the server has to be responsible for the name (AA).
    pub authoritative: bool,
}

impl Default for DnsExpect {
    fn default() -> Self {
        Self {
            response_code: ResponseCode::NOERROR,
            at_least: 1,
            contains: Vec::new(),
            equals: None,
            max_ttl: None,
            min_serial: None,
            authentic: false,
            authoritative: false,
        }
    }
}

impl DnsExpect {
    pub(super) fn judge(
        &self,
        name: &Name,
        record_type: RecordType,
        server: SocketAddr,
        answer: &Answer,
    ) -> Result<(), Failure> {
        let name = text::name(name);
        let unexpected = |detail: String| Err(Failure::new(FailureKind::Unexpected, detail));
        if answer.code != self.response_code {
            let code = answer.code;
            return Err(match (self.response_code, code) {
                (ResponseCode::NOERROR, ResponseCode::NXDOMAIN) => Failure::new(
                    FailureKind::NameNotFound,
                    format!("{server} says that there is no {name}"),
                ),
                (ResponseCode::NOERROR, _) => {
                    let detail = format!("{server} answered {code} when asked about {name}{}", code.meaning());
                    Failure::new(FailureKind::NameServer, detail)
                }
                (expected, _) => {
                    let detail = format!("{server} answered {code} when asked about {name}, and not {expected}");
                    Failure::new(FailureKind::Unexpected, detail)
                }
            });
        }
        if answer.code != ResponseCode::NOERROR {
            return Ok(());
        }
        let found = about(&name, record_type, &answer.records);
        if found.len() < self.at_least {
            let detail = match found.len() {
                0 => format!("{name} is there and has no {record_type} record, says {server}"),
                number => format!(
                    "{name} has {number} {record_type} records, and not {} at least",
                    self.at_least
                ),
            };
            return unexpected(detail);
        }
        let data: BTreeSet<String> = found
            .iter()
            .map(|record| text::canonical(record_type, &record.data))
            .collect();
        if let Some(missing) = self
            .contains
            .iter()
            .find(|data_| !data.contains(&text::canonical(record_type, data_)))
        {
            return unexpected(format!(
                "{missing} is not among the {record_type} records of {name}: {}",
                shown(&found)
            ));
        }
        if let Some(equals) = &self.equals {
            let expected: BTreeSet<String> = equals.iter().map(|data| text::canonical(record_type, data)).collect();
            if expected != data {
                let (found, expected) = (shown(&found), equals.join(", "));
                return unexpected(format!(
                    "the {record_type} records of {name} are {found}, and not {expected}"
                ));
            }
        }
        if let (Some(most), Some(ttl)) = (self.max_ttl, found.iter().map(|record| record.ttl).max())
            && ttl > most
        {
            return unexpected(format!(
                "{name} may be remembered for {ttl} seconds, and not {most} at most"
            ));
        }
        if let Some(least) = self.min_serial {
            match serial(answer) {
                Some(serial) if is_reached(serial, least) => {}
                Some(serial) => {
                    return unexpected(format!(
                        "the serial number at {server} is {serial}, and has not reached {least}"
                    ));
                }
                None => return unexpected(format!("{server} gave no serial number with its answer about {name}")),
            }
        }
        if self.authentic && !answer.flags.authentic_data {
            return unexpected(format!(
                "{server} has not verified its answer about {name} (no AD flag)"
            ));
        }
        if self.authoritative && !answer.flags.authoritative {
            return unexpected(format!("{server} is not responsible for {name} (no AA flag)"));
        }
        Ok(())
    }
}

/// The serial number of the zone, from the answer or from what says who is responsible.
pub(super) fn serial(answer: &Answer) -> Option<u32> {
    let records = answer.records.iter().chain(&answer.authorities);
    let soa = records
        .into_iter()
        .find(|record| record.record_type == RecordType::SOA)?;
    soa.data.split_ascii_whitespace().nth(2)?.parse().ok()
}

/// Whether a serial number is another or has come after it, in numbers that begin again (RFC 1982).
const fn is_reached(serial: u32, least: u32) -> bool {
    serial.wrapping_sub(least) < 1 << 31
}

/// The records of a type that a name has, itself or by its aliases. What a server adds about other names is no answer.
fn about<'a>(name: &str, record_type: RecordType, records: &'a [DnsRecord]) -> Vec<&'a DnsRecord> {
    let mut owner = name;
    let mut found = Vec::new();
    for _ in 0..LONGEST_CHAIN {
        let mut alias = None;
        for record in records.iter().filter(|record| record.name.eq_ignore_ascii_case(owner)) {
            if record.record_type == record_type || record_type == RecordType::ANY {
                found.push(record);
            } else if record.record_type == RecordType::CNAME {
                alias = Some(record.data.as_str());
            }
        }
        match alias {
            Some(alias) if found.is_empty() => owner = alias,
            _ => break,
        }
    }
    found
}

fn shown(records: &[&DnsRecord]) -> String {
    let mut data: Vec<&str> = records.iter().take(SHOWN).map(|record| record.data.as_str()).collect();
    if data.is_empty() {
        data.push("none");
    } else if records.len() > SHOWN {
        data.push("...");
    }
    data.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::DnsFlags;

    fn record(name: &str, record_type: RecordType, ttl: u32, data: &str) -> DnsRecord {
        DnsRecord {
            name: name.to_owned(),
            ttl,
            record_type,
            data: data.to_owned(),
        }
    }

    fn judge(expect: &DnsExpect, code: u16, records: Vec<DnsRecord>) -> Result<(), FailureKind> {
        let answer = Answer {
            code: ResponseCode(code),
            flags: DnsFlags {
                authoritative: false,
                truncated: false,
                recursion_desired: true,
                recursion_available: true,
                authentic_data: false,
                checking_disabled: false,
            },
            records,
            authorities: vec![record("test.", RecordType::SOA, 60, "ns.test. root.test. 7 1 2 3 4")],
            additionals: 0,
        };
        let name = Name::from_ascii("a.test.").unwrap();
        let server = "192.0.2.53:53".parse().unwrap();
        expect
            .judge(&name, RecordType::A, server, &answer)
            .map_err(|failure| failure.kind)
    }

    fn two() -> Vec<DnsRecord> {
        vec![
            record("A.test.", RecordType::CNAME, 60, "b.test."),
            record("b.test.", RecordType::A, 60, "192.0.2.1"),
            record("B.test.", RecordType::A, 300, "192.0.2.2"),
            record("stranger.test.", RecordType::A, 9000, "192.0.2.66"),
        ]
    }

    fn expecting(change: impl FnOnce(&mut DnsExpect)) -> Result<(), FailureKind> {
        let mut expect = DnsExpect::default();
        change(&mut expect);
        judge(&expect, 0, two())
    }

    #[test]
    fn a_code_is_told_apart_unless_it_is_expected() {
        let plain = DnsExpect::default();
        assert_eq!(judge(&plain, 3, vec![]), Err(FailureKind::NameNotFound));
        assert_eq!(judge(&plain, 2, vec![]), Err(FailureKind::NameServer));
        assert_eq!(
            judge(&plain, 0, vec![]),
            Err(FailureKind::Unexpected),
            "the name is there"
        );
        let none = DnsExpect {
            response_code: ResponseCode::NXDOMAIN,
            ..DnsExpect::default()
        };
        assert_eq!(
            (judge(&none, 3, vec![]), judge(&none, 0, two())),
            (Ok(()), Err(FailureKind::Unexpected))
        );
    }

    #[test]
    fn only_records_that_the_name_leads_to_are_compared() {
        let equals = |data: &[&str]| {
            expecting(|expect| expect.equals = Some(data.iter().map(|&data| data.to_owned()).collect()))
        };
        assert_eq!(equals(&["192.0.2.2", "192.0.2.1"]), Ok(()));
        assert_eq!(equals(&["192.0.2.1"]), Err(FailureKind::Unexpected));
        let contains = |data: &str| expecting(|expect| expect.contains = vec![data.to_owned()]);
        assert_eq!(contains("192.0.2.2"), Ok(()));
        assert_eq!(contains("192.0.2.66"), Err(FailureKind::Unexpected));
        assert_eq!(expecting(|expect| expect.at_least = 2), Ok(()));
        assert_eq!(expecting(|expect| expect.at_least = 3), Err(FailureKind::Unexpected));
        assert_eq!(expecting(|expect| expect.max_ttl = Some(300)), Ok(()));
        assert_eq!(
            expecting(|expect| expect.max_ttl = Some(299)),
            Err(FailureKind::Unexpected)
        );
    }

    #[test]
    fn a_serial_number_and_flags_are_looked_at() {
        assert_eq!(expecting(|expect| expect.min_serial = Some(7)), Ok(()));
        assert_eq!(
            expecting(|expect| expect.min_serial = Some(8)),
            Err(FailureKind::Unexpected)
        );
        assert_eq!(
            expecting(|expect| expect.authentic = true),
            Err(FailureKind::Unexpected)
        );
        assert_eq!(
            expecting(|expect| expect.authoritative = true),
            Err(FailureKind::Unexpected)
        );
        assert!(is_reached(1, u32::MAX) && !is_reached(u32::MAX, 1));
    }

    #[test]
    fn aliases_that_go_round_end() {
        let round = [
            record("a.test.", RecordType::CNAME, 60, "b.test."),
            record("b.test.", RecordType::CNAME, 60, "a.test."),
        ];
        assert_eq!(about("a.test.", RecordType::A, &round), Vec::<&DnsRecord>::new());
    }
}
