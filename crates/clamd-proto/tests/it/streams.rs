//! Streams, and what is too long for one.
use crate::{assert_eicar, file, guarded, one, patient, tcp, unix};
use clamd_proto::{ClamError, Content, RefusalKind, Request, Session, SessionOptions, Verdict};
use std::io::{Cursor, ErrorKind};
use testkit::{Clamd, ClamdOptions, MARKER, eicar};

const MIB: usize = 1 << 20;

fn small() -> Clamd {
    Clamd::start(ClamdOptions {
        stream_max: MIB as u64,
        ..ClamdOptions::default()
    })
    .unwrap()
}

#[tokio::test]
async fn a_stream_of_many_chunks_arrives_whole_and_in_order() {
    let clamd = Clamd::start(ClamdOptions::default()).unwrap();
    for endpoint in [unix(&clamd), tcp(&clamd)] {
        let mut session = Session::open(&endpoint, patient()).await.unwrap();
        // Across the border of two chunks, and at the very end.
        for at in [(128 << 10) - MARKER.len() / 2, 5 * MIB] {
            let mut bytes = vec![b'x'; at];
            bytes.extend_from_slice(MARKER);
            for content in [
                Content::Bytes(bytes.clone().into()),
                Content::File(file(&bytes)),
                Content::Reader(Box::new(Cursor::new(bytes.clone()))),
            ] {
                let verdict = one(&mut session, Request::Stream(content)).await.unwrap();
                assert_eq!(verdict.signatures(), ["Shoal.Test.Marker.UNOFFICIAL"]);
            }
        }
    }
}

#[tokio::test]
async fn what_is_known_to_be_too_long_is_never_sent_and_the_session_goes_on() {
    let clamd = small();
    for endpoint in [unix(&clamd), tcp(&clamd)] {
        let options = SessionOptions {
            stream_max: MIB as u64,
            ..patient()
        };
        let mut session = Session::open(&endpoint, options).await.unwrap();
        let most = vec![b'x'; MIB];
        assert_eq!(
            one(&mut session, Request::Stream(Content::Bytes(most.clone().into())))
                .await
                .unwrap(),
            Verdict::Clean
        );
        let more = [most, vec![b'x']].concat();
        // One tells its length, the other shows it only when it is nearly sent.
        for content in [
            Content::Bytes(more.clone().into()),
            Content::Reader(Box::new(Cursor::new(more))),
        ] {
            let error = one(&mut session, Request::Stream(content)).await.unwrap_err();
            assert!(
                matches!(error, ClamError::SizeLimit { limit } if limit == MIB as u64),
                "{error}"
            );
        }
        assert_eicar(
            &one(&mut session, Request::Stream(Content::Bytes(eicar().into())))
                .await
                .unwrap(),
        );
    }
}

#[tokio::test]
async fn above_a_limit_that_is_clamds_alone_each_request_still_ends() {
    let clamd = small();
    for endpoint in [unix(&clamd), tcp(&clamd)] {
        let mut session = Session::open(&endpoint, patient()).await.unwrap();
        session
            .submit(1, Request::Stream(Content::Bytes(vec![0; 4 * MIB].into())))
            .unwrap();
        let (tag, outcome) = guarded(session.next()).await.unwrap();
        assert_eq!(tag, 1);
        match outcome {
            Err(ClamError::FileRefused(refusal)) => assert_eq!(refusal.kind(), RefusalKind::StreamTooLong),
            // The reset of the connection may overtake the reply.
            Err(ClamError::Lost { .. }) => {}
            other => panic!("{other:?}"),
        }
        assert!(guarded(session.next()).await.is_none());
        assert!(!session.has_room());
    }
}

#[tokio::test]
async fn a_content_that_cannot_be_read_is_an_error_and_no_verdict() {
    struct Broken(usize);
    impl tokio::io::AsyncRead for Broken {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            buffer: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            if self.0 == 0 {
                return std::task::Poll::Ready(Err(ErrorKind::InvalidData.into()));
            }
            self.0 -= 1;
            let count = buffer.remaining();
            buffer.put_slice(&vec![b'x'; count]);
            std::task::Poll::Ready(Ok(()))
        }
    }
    let clamd = small();
    let mut session = Session::open(&unix(&clamd), patient()).await.unwrap();
    for chunks in [0, 3] {
        let content = Content::Reader(Box::new(Broken(chunks)));
        let error = one(&mut session, Request::Stream(content)).await.unwrap_err();
        assert!(
            matches!(&error, ClamError::Input(source) if source.kind() == ErrorKind::InvalidData),
            "{error}"
        );
    }
    assert_eicar(&one(&mut session, Request::File(file(&eicar()))).await.unwrap());
}
