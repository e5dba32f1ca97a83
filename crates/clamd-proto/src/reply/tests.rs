//! Replies as clamd sends them, cut, and made to mislead.
use super::*;
use crate::refusal::RefusalKind;
use proptest::prelude::*;
use std::ffi::OsStr;

fn path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

#[track_caller]
fn check(reply: &[u8], subject: Subject<'_>, below: Option<&[u8]>, finding: &Finding) {
    let read = Reply::parse(reply, subject).unwrap();
    assert_eq!((read.below, &read.finding), (below, finding), "{}", Shown(reply));
}

fn found(name: &str) -> Finding {
    Finding::Found(name.to_owned())
}

#[test]
fn each_form_of_reply_is_read() {
    check(b"stream: OK", Subject::Stream, None, &Finding::Clean);
    check(b"fd[12]: OK", Subject::Descriptor, None, &Finding::Clean);
    check(b"fd[7]: A.B-1 FOUND", Subject::Descriptor, None, &found("A.B-1"));
    let extended = b"stream: A.B(44d88612fea8a8f36de82e1278abb02f:68) FOUND";
    check(extended, Subject::Stream, None, &found("A.B"));
    let refused = Reply::parse(b"fd[12]: Not a regular file ERROR", Subject::Descriptor).unwrap();
    assert!(matches!(refused.finding, Finding::Refused(refusal) if refusal.kind() == RefusalKind::NotAFile));
    let bare = Reply::parse(b"INSTREAM size limit exceeded. ERROR", Subject::Stream).unwrap();
    assert!(matches!(bare.finding, Finding::Refused(refusal) if refusal.kind() == RefusalKind::StreamTooLong));
}

#[test]
fn a_name_made_of_replies_does_not_mislead() {
    let names: [&[u8]; 6] = [
        b"/d/x: OK",
        b"/d/x: Fake FOUND",
        b"/d/a\nb: Fake FOUND",
        b"/d/bad\xff",
        b"/d/x: Why ERROR",
        b"/d/2: /d/y",
    ];
    for name in names {
        let subject = Subject::Path(path(name));
        check(&[name, b": OK"].concat(), subject, None, &Finding::Clean);
        check(&[name, b": Real.Sig FOUND"].concat(), subject, None, &found("Real.Sig"));
        let refused = Reply::parse(&[name, b": Access denied. ERROR"].concat(), subject)
            .unwrap()
            .finding;
        assert_eq!(refused, Finding::Refused(Refusal::new(b"Access denied")));
        // As one of many in its directory.
        let parent = Subject::Path(path(b"/d"));
        check(
            &[name, b": Real.Sig FOUND"].concat(),
            parent,
            Some(name),
            &found("Real.Sig"),
        );
    }
    let subject = Subject::Path(path(b"/d"));
    let missing = Reply::parse(
        b"/d/x: File path check failure: No such file or directory. ERROR",
        subject,
    )
    .unwrap();
    assert_eq!(missing.below, Some(&b"/d/x"[..]));
}

#[test]
fn what_is_cut_or_about_something_else_is_an_error() {
    let whole = b"/d/file: Some.Signature FOUND";
    let subject = Subject::Path(path(b"/d/file"));
    for length in 0..whole.len() {
        assert!(Reply::parse(&whole[..length], subject).is_err(), "{length}");
    }
    for wrong in [
        &b"/d/other: OK"[..],
        b"fd[1]: OK",
        b"stream: OK",
        b"OK",
        b"",
        b"/d/file: ",
        b"/d/file:OK",
    ] {
        assert!(Reply::parse(wrong, subject).is_err(), "{}", Shown(wrong));
    }
    for wrong in [
        &b"fd[]: OK"[..],
        b"fd[1: OK",
        b"fd[x]: OK",
        b"fd[1]:  FOUND",
        b"fd[1]: FOUND",
        b" ERROR",
    ] {
        assert!(Reply::parse(wrong, Subject::Descriptor).is_err(), "{}", Shown(wrong));
    }
}

#[test]
fn a_session_reply_begins_with_its_number() {
    assert_eq!(split_id(b"12: fd[3]: OK").unwrap(), (12, &b"fd[3]: OK"[..]));
    for wrong in [
        &b"fd[3]: OK"[..],
        b": OK",
        b"1:OK",
        b"4294967296: OK",
        b"-1: OK",
        b"",
        b"7",
    ] {
        assert!(split_id(wrong).is_err(), "{}", Shown(wrong));
    }
}

proptest! {
    #[test]
    fn any_path_is_parted_from_what_is_said_about_it(
        name in prop::collection::vec(1u8.., 0..60),
        signature in "[A-Za-z0-9._-]{1,40}",
        which in 0..3,
    ) {
        let name = [b"/", name.as_slice()].concat();
        let (said, finding) = match which {
            0 => ("OK".to_owned(), Finding::Clean),
            1 => (format!("{signature} FOUND"), Finding::Found(signature)),
            _ => (format!("{signature} ERROR"), Finding::Refused(Refusal::new(signature.as_bytes()))),
        };
        let reply = [name.as_slice(), b": ", said.as_bytes()].concat();
        let read = Reply::parse(&reply, Subject::Path(path(&name))).unwrap();
        prop_assert_eq!(read.below, None);
        prop_assert_eq!(read.finding, finding);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        for subject in [Subject::Descriptor, Subject::Stream, Subject::Path(Path::new("/")), Subject::Path(Path::new("/a"))] {
            let _: Result<Reply<'_>, ReplyError> = Reply::parse(&bytes, subject);
        }
        let _: Result<(u32, &[u8]), ReplyError> = split_id(&bytes);
    }
}
