//! Greetings of each protocol, good and bad.
use super::*;
use proptest::prelude::*;

fn run(protocol: StartTls, lines: &[&str]) -> Result<Vec<Next>, Failure> {
    let mut conversation = Conversation::new(protocol);
    lines.iter().map(|line| conversation.line(line.as_bytes())).collect()
}

#[test]
fn each_protocol_leads_to_tls() {
    let smtp = run(
        StartTls::Smtp,
        &["220-a", "220 b", "250-a", "250-STARTTLS", "250 HELP", "220 go"],
    )
    .unwrap();
    assert_eq!(smtp.last(), Some(&Next::Tls));
    assert_eq!(smtp[1], Next::Send("EHLO netcheck.invalid\r\n"));
    let imap = run(
        StartTls::Imap,
        &["* OK [CAPABILITY IMAP4] hi", "* CAPABILITY X", "a OK go"],
    )
    .unwrap();
    assert_eq!(imap, [Next::Send("a STARTTLS\r\n"), Next::Read, Next::Tls]);
    assert_eq!(
        run(StartTls::Pop3, &["+OK hi", "+OK go"]).unwrap(),
        [Next::Send("STLS\r\n"), Next::Tls]
    );
    let ftp = run(StartTls::Ftp, &["220-hi", " and welcome", "220 end", "234 go"]).unwrap();
    assert_eq!(ftp.last(), Some(&Next::Tls));
}

#[test]
fn a_server_without_it_is_told_from_one_that_speaks_something_else() {
    let none = run(StartTls::Smtp, &["220 hi", "250-a", "250 SIZE"]).unwrap_err();
    assert_eq!(none.kind, FailureKind::Tls);
    assert!(none.detail.contains("does not offer STARTTLS"), "{none}");
    assert_eq!(
        run(StartTls::Imap, &["* OK", "a BAD what"]).unwrap_err().kind,
        FailureKind::Tls
    );
    let other = run(StartTls::Pop3, &["SSH-2.0-x"]).unwrap_err();
    assert_eq!(
        (other.kind, other.detail.contains("SSH-2.0-x")),
        (FailureKind::Protocol, true)
    );
}

#[test]
fn a_session_of_imap_that_is_authenticated_at_once_cannot_begin_tls() {
    let early = run(StartTls::Imap, &["* PREAUTH IMAP4rev2 server logged in as Smith"]).unwrap_err();
    assert_eq!(early.kind, FailureKind::Tls);
    assert!(
        early.detail.contains("PREAUTH") && early.detail.contains("only before"),
        "{early}"
    );
}

#[test]
fn an_answer_without_an_end_is_cut() {
    let mut conversation = Conversation::new(StartTls::Smtp);
    let ended = (0..=MOST_LINES)
        .find_map(|_| conversation.line(b"220-more").err())
        .unwrap();
    assert_eq!(ended.kind, FailureKind::TooLarge);
}

#[tokio::test]
async fn plain_text_after_the_consent_is_refused_and_a_line_without_an_end_too() {
    let (mut far, mut near) = tokio::io::duplex(64 * 1024);
    far.write_all(b"+OK hi\r\n+OK go\r\n+OK injected\r\n").await.unwrap();
    let refused = negotiate(&mut near, StartTls::Pop3).await.unwrap_err();
    assert!(refused.detail.contains("went on in plain text"), "{refused}");
    let (mut far, mut near) = tokio::io::duplex(64 * 1024);
    far.write_all(&[b'x'; LONGEST_LINE + 2_000]).await.unwrap();
    assert_eq!(
        negotiate(&mut near, StartTls::Pop3).await.unwrap_err().kind,
        FailureKind::TooLarge
    );
}

#[tokio::test]
async fn postgres_agrees_with_one_byte() {
    for (answer, expected) in [
        (&b"S"[..], None),
        (b"N", Some(FailureKind::Tls)),
        (b"SX", Some(FailureKind::Protocol)),
        (b"E\0\0", Some(FailureKind::Protocol)),
        (b"", Some(FailureKind::Closed)),
    ] {
        let (mut far, mut near) = tokio::io::duplex(64);
        far.write_all(answer).await.unwrap();
        far.shutdown().await.unwrap();
        let agreed = negotiate(&mut near, StartTls::Postgres).await;
        assert_eq!(agreed.err().map(|failure| failure.kind), expected, "{answer:?}");
        let mut asked = [0; 8];
        far.read_exact(&mut asked).await.unwrap();
        assert_eq!(asked, [0, 0, 0, 8, 4, 210, 22, 47], "80877103, as its manual has it");
    }
}

proptest! {
    #[test]
    fn only_consent_leads_to_tls(
        protocol in prop::sample::select(vec![StartTls::Smtp, StartTls::Imap, StartTls::Pop3, StartTls::Ftp]),
        lines in proptest::collection::vec("(\\* OK|a OK|\\+OK|220[ -]|250[ -]|234 )?[ -~]{0,12}", 0..20)
    ) {
        let mut conversation = Conversation::new(protocol);
        for line in &lines {
            match conversation.line(line.as_bytes()) {
                Ok(Next::Tls) => {
                    let consents = ["220", "234", "a ok", "+ok"];
                    prop_assert!(consents.iter().any(|consent| line.to_lowercase().starts_with(consent)));
                    break;
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
    }
}
