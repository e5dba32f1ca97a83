//! Records as text, as zone files write them (RFC 1035, section 5.1).
use super::{DnsRecord, RecordType};
use hickory_proto::rr::{Name, RData, Record};
use std::{fmt::Write, net::IpAddr};

pub(super) fn record(record: &Record) -> DnsRecord {
    DnsRecord {
        name: name(&record.name),
        ttl: record.ttl,
        record_type: RecordType(record.record_type().into()),
        data: data(&record.data),
    }
}

/// A name with the dot at its end; what does not stand in names is escaped, so that nothing in it is taken for more.
pub(super) fn name(name: &Name) -> String {
    let mut text = String::with_capacity(name.len() + 1);
    for label in name {
        for byte in label {
            match byte {
                b'.' | b'\\' | b'"' | b'(' | b')' | b';' | b'@' | b'$' => {
                    text.push('\\');
                    text.push(char::from(*byte));
                }
                b'!'..=b'~' => text.push(char::from(*byte)),
                _ => by_number(&mut text, *byte),
            }
        }
        text.push('.');
    }
    if text.is_empty() {
        text.push('.');
    }
    text
}

fn data(data: &RData) -> String {
    match data {
        RData::A(address) => address.0.to_string(),
        RData::AAAA(address) => address.0.to_string(),
        RData::CNAME(target) => name(&target.0),
        RData::NS(target) => name(&target.0),
        RData::PTR(target) => name(&target.0),
        RData::MX(mx) => format!("{} {}", mx.preference, name(&mx.exchange)),
        RData::SRV(srv) => format!("{} {} {} {}", srv.priority, srv.weight, srv.port, name(&srv.target)),
        RData::SOA(soa) => {
            let (server, mailbox) = (name(&soa.mname), name(&soa.rname));
            let times = [soa.refresh, soa.retry, soa.expire]
                .map(|time| time.to_string())
                .join(" ");
            format!("{server} {mailbox} {} {times} {}", soa.serial, soa.minimum)
        }
        RData::TXT(txt) => {
            let strings: Vec<_> = txt.txt_data.iter().map(|string| quoted(string)).collect();
            strings.join(" ")
        }
        RData::CAA(caa) => {
            let flags = caa.reserved_flags & 0x7f | if caa.issuer_critical { 0x80 } else { 0 };
            format!("{flags} {} {}", caa.tag.escape_debug(), quoted(&caa.value))
        }
        RData::NULL(null) => unknown(&null.anything),
        RData::Unknown { rdata, .. } => unknown(&rdata.anything),
        other => {
            let mut text = String::new();
            // Some have no text, and say so by an error.
            write!(text, "{other}").ok();
            text.escape_debug().to_string()
        }
    }
}

/// As RFC 3597 writes what it has no other form for.
fn unknown(bytes: &[u8]) -> String {
    let mut text = format!("\\# {} ", bytes.len());
    for byte in bytes {
        // Writing to a string does not fail.
        write!(text, "{byte:02x}").ok();
    }
    text.trim_end().to_owned()
}

fn quoted(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 2);
    text.push('"');
    for byte in bytes {
        match byte {
            b'"' | b'\\' => {
                text.push('\\');
                text.push(char::from(*byte));
            }
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => by_number(&mut text, *byte),
        }
    }
    text.push('"');
    text
}

fn by_number(text: &mut String, byte: u8) {
    // Writing to a string does not fail.
    write!(text, "\\{byte:03}").ok();
}

/// Data in one form, whatever way it was written: to compare what came with what somebody typed.
pub(super) fn canonical(record_type: RecordType, data: &str) -> String {
    let data = data.trim();
    match record_type {
        RecordType::A | RecordType::AAAA => data
            .parse::<IpAddr>()
            .map_or_else(|_| data.to_owned(), |address| address.to_string()),
        // One text may stand in several strings (RFC 7208, section 3.3), and people leave the quotes away.
        RecordType::TXT if data.starts_with('"') => unquoted(data),
        RecordType::TXT => data.to_owned(),
        _ => {
            let words = data.split_ascii_whitespace().map(|word| {
                let word = word.trim_matches('"');
                word.strip_suffix('.').unwrap_or(word).to_ascii_lowercase()
            });
            words.collect::<Vec<_>>().join(" ")
        }
    }
}

/// The strings of a text put together, with their escapes as they are, but for those of quotes and backslashes.
fn unquoted(data: &str) -> String {
    let mut text = String::with_capacity(data.len());
    let (mut is_inside, mut rest) = (false, data.chars());
    while let Some(c) = rest.next() {
        match c {
            '"' => is_inside = !is_inside,
            '\\' if is_inside => match rest.next() {
                Some(c @ ('"' | '\\')) => text.push(c),
                Some(c) => text.extend(['\\', c]),
                None => text.push('\\'),
            },
            c if is_inside => text.push(c),
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::rr::rdata::{MX, TXT};

    #[test]
    fn what_a_name_may_hide_is_shown() {
        let labels: [&[u8]; 3] = [b"a.b", b"\x1b[31m", b"test"];
        let hostile = Name::from_labels(labels).unwrap();
        assert_eq!(name(&hostile), "a\\.b.\\027[31m.test.");
        assert_eq!(name(&Name::root()), ".");
    }

    #[test]
    fn data_is_written_as_in_zone_files() {
        let exchange = Name::from_ascii("Mail.example.test.").unwrap();
        assert_eq!(data(&RData::MX(MX::new(10, exchange))), "10 Mail.example.test.");
        let text = TXT::from_bytes(vec![b"a \"b\"", b"\n\\"]);
        assert_eq!(data(&RData::TXT(text)), r#""a \"b\"" "\010\\""#);
        assert_eq!(unknown(&[0, 255]), "\\# 2 00ff");
        assert_eq!(unknown(&[]), "\\# 0");
    }

    #[test]
    fn the_same_data_is_the_same_however_it_is_written() {
        let same = |kind, a, b| canonical(kind, a) == canonical(kind, b);
        assert!(same(RecordType::AAAA, "2001:DB8:0::1", "2001:db8::1"));
        assert!(same(RecordType::MX, "10 MAIL.example.test", "10  mail.example.test."));
        assert!(same(RecordType::TXT, r#""v=spf1 " "-all""#, "v=spf1 -all"));
        assert!(same(RecordType::TXT, r#""a\"b\\c""#, r#"a"b\c"#));
        assert!(!same(RecordType::TXT, "V=spf1", "v=spf1"));
        assert!(!same(RecordType::A, "192.0.2.1", "192.0.2.10"));
    }
}
