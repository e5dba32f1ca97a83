//! What fuzzers call: each takes any bytes, and must neither panic nor take long.
use super::{
    Certificate,
    starttls::{Conversation, Next, StartTls},
    verdict::Case,
};
use rustls::pki_types::{CertificateDer, ServerName};
use std::time::{Duration, SystemTime};

/// A certificate as a server sent it: it is read, and judged as a chain of one, whose issuer is nobody.
pub fn certificate(data: &[u8]) {
    let read = [Certificate::read(data, SystemTime::UNIX_EPOCH)];
    let chain = [CertificateDer::from(data.to_vec())];
    let Ok(name) = ServerName::try_from("a.example") else {
        return;
    };
    let case = Case {
        chain: &chain,
        read: &read,
        name: &name,
        roots: &[],
        now: SystemTime::UNIX_EPOCH,
        ahead: Duration::from_secs(86_400),
    };
    let verdict = case.judge();
    assert!(
        !verdict.findings.is_empty(),
        "nobody issued it, so that it cannot be right"
    );
    assert!(
        verdict
            .findings
            .iter()
            .all(|finding| !finding.detail.contains(char::is_control))
    );
}

/// What a server says before TLS; the first byte chooses the protocol, and each line of the rest is one of the
/// server's.
pub fn start_tls(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let protocols = [StartTls::Smtp, StartTls::Imap, StartTls::Pop3, StartTls::Ftp];
    let mut conversation = Conversation::new(protocols[usize::from(first % 4)]);
    for line in rest.split(|byte| *byte == b'\n') {
        if !matches!(conversation.line(line), Ok(Next::Read | Next::Send(_))) {
            return;
        }
    }
}
