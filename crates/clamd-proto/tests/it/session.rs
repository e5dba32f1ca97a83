//! Many scans on one connection.
use crate::{assert_eicar, clamd, file, guarded, one, patient, tcp, unix};
use clamd_proto::{ClamError, Content, Daemon, Request, Session, SessionOptions, Verdict};
use std::sync::Arc;
use testkit::{Clamd, ClamdOptions, MARKER, eicar};

#[tokio::test]
async fn the_test_file_is_found_by_each_way() {
    let (clamd, folder) = (clamd(), crate::folder());
    let path = crate::put(folder.path(), "file", &eicar());
    for endpoint in [unix(&clamd), tcp(&clamd)] {
        let mut session = Session::open(&endpoint, patient()).await.unwrap();
        assert_eicar(&one(&mut session, Request::Path(path.clone())).await.unwrap());
        assert_eicar(
            &one(&mut session, Request::Stream(Content::Bytes(eicar().into())))
                .await
                .unwrap(),
        );
        assert_eicar(
            &one(&mut session, Request::Stream(Content::File(file(&eicar()))))
                .await
                .unwrap(),
        );
        let reader = Box::new(std::io::Cursor::new(eicar()));
        assert_eicar(
            &one(&mut session, Request::Stream(Content::Reader(reader)))
                .await
                .unwrap(),
        );
        assert_eq!(
            one(&mut session, Request::Stream(Content::Bytes(Arc::new([]))))
                .await
                .unwrap(),
            Verdict::Clean
        );
        let passed = one(&mut session, Request::File(file(&eicar()))).await;
        if endpoint.passes_descriptors() {
            assert_eicar(&passed.unwrap());
        } else {
            assert!(matches!(passed, Err(ClamError::NoDescriptorsThere)), "{passed:?}");
        }
        session.end();
        assert!(guarded(session.next()).await.is_none());
    }
}

#[tokio::test]
async fn answers_that_gather_while_nobody_is_woken_are_all_there_afterwards() {
    let clamd = clamd();
    let mut session = Session::open(&unix(&clamd), patient()).await.unwrap();
    let (clean, infected) = (file(b"nothing"), file(MARKER));
    let mut given_back = [0; 200];
    let mut next = 0;
    while given_back.contains(&0) {
        while next < given_back.len() && session.has_room() {
            let about = if next % 3 == 0 { &infected } else { &clean };
            session.submit(next, Request::File(Arc::clone(about))).unwrap();
            next += 1;
        }
        session.unwatch();
        let (tag, outcome) = guarded(session.next()).await.unwrap();
        given_back[tag] += 1;
        assert_eq!(outcome.unwrap().is_infected(), tag.is_multiple_of(3), "{tag}");
        for _ in 0..session.answered() {
            let (tag, outcome) = guarded(session.next()).await.unwrap();
            given_back[tag] += 1;
            assert_eq!(outcome.unwrap().is_infected(), tag.is_multiple_of(3), "{tag}");
        }
    }
    assert_eq!(given_back, [1; 200]);
    assert_eq!(session.outstanding(), 0);
}

#[tokio::test]
async fn thousands_under_way_at_once_each_get_their_own_verdict() {
    let clamd = clamd();
    let options = SessionOptions {
        window: 5000,
        ..patient()
    };
    let mut session = Session::open(&unix(&clamd), options).await.unwrap();
    let (clean, infected) = (file(b"nothing"), file(MARKER));
    let mut seen = vec![0; 6000];
    let mut take = |tag: usize, outcome: Result<Verdict, ClamError>| {
        seen[tag] += 1;
        assert_eq!(outcome.unwrap().is_infected(), tag.is_multiple_of(3), "{tag}");
    };
    for tag in 0..6000_usize {
        let file = Arc::clone(if tag.is_multiple_of(3) { &infected } else { &clean });
        let mut held = Some(Request::File(file));
        while let Some(request) = held.take() {
            if let Err((_, request)) = session.submit(tag, request) {
                held = Some(request);
                let (tag, outcome) = guarded(session.next()).await.unwrap();
                take(tag, outcome);
            }
        }
    }
    session.end();
    assert!(
        session.submit(0, Request::File(clean)).is_err(),
        "it takes more after its end"
    );
    while let Some((tag, outcome)) = guarded(session.next()).await {
        take(tag, outcome);
    }
    assert!(seen.iter().all(|count| *count == 1));
}

#[tokio::test]
async fn files_paths_and_streams_mix_in_one_session() {
    let (clamd, folder) = (clamd(), crate::folder());
    let path = crate::put(folder.path(), "file", MARKER);
    let mut session = Session::open(&unix(&clamd), patient()).await.unwrap();
    let mut found = 0;
    for tag in 0..600 {
        let mut held = Some(match tag % 7 {
            0 | 3 | 4 => Request::File(file(MARKER)),
            1 | 6 => Request::Path(path.clone()),
            _ => Request::Stream(Content::Bytes(MARKER.into())),
        });
        while let Some(request) = held.take() {
            let fits = session.has_room_for(&request);
            match session.submit(tag, request) {
                Ok(()) => assert!(fits),
                Err((_, request)) => {
                    assert!(!fits);
                    held = Some(request);
                    let (tag, outcome) = guarded(session.next()).await.unwrap();
                    assert!(outcome.unwrap().is_infected(), "{tag}");
                    found += 1;
                }
            }
        }
    }
    while let Some((tag, outcome)) = guarded(session.next()).await {
        assert!(outcome.unwrap().is_infected(), "{tag}");
        found += 1;
    }
    assert_eq!(found, 600);
    assert!(session.is_open());
}

#[tokio::test]
async fn replies_that_clamd_dropped_because_nobody_read_are_told_as_lost() {
    // clamd gives up on a reply that it cannot write for this long, and says nothing.
    let options = ClamdOptions {
        extra: vec!["SendBufTimeout 5".to_owned()],
        ..ClamdOptions::default()
    };
    let clamd = Clamd::start(options).unwrap();
    let mut session = Session::open(
        &unix(&clamd),
        SessionOptions {
            window: 1000,
            ..patient()
        },
    )
    .await
    .unwrap();
    let clean = file(b"nothing");
    let daemon = Daemon::new(unix(&clamd));
    let mut sent = 0;
    for _ in 0..4 {
        // No more at once than the socket takes, and nobody reads, until clamd has nothing more to do.
        for _ in 0..200 {
            session.submit(sent, Request::File(Arc::clone(&clean))).unwrap();
            sent += 1;
        }
        guarded(async {
            loop {
                let stats = daemon.stats().await.unwrap();
                let is_busy = stats.pools[0].jobs.iter().any(|job| job.command == "FILDES");
                if stats.waiting() == 0 && !is_busy {
                    break;
                }
            }
        })
        .await;
    }
    session.end();
    let (mut verdicts, mut lost) = (0, 0);
    while let Some((_, outcome)) = guarded(session.next()).await {
        match outcome {
            Ok(Verdict::Clean) => verdicts += 1,
            Err(ClamError::Lost { .. }) => lost += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(verdicts + lost, sent);
    assert!(lost > 0, "all of {sent} replies came");
}

#[tokio::test]
async fn a_limit_of_clamd_is_no_malware() {
    let extra = vec!["AlertExceedsMax yes".to_owned()];
    let clamd = Clamd::start(ClamdOptions {
        max_file_size: 1 << 20,
        extra,
        ..ClamdOptions::default()
    })
    .unwrap();
    let mut session = Session::open(&unix(&clamd), patient()).await.unwrap();
    let large = [eicar(), vec![b'x'; 2 << 20]].concat();
    let verdict = one(&mut session, Request::File(file(&large))).await.unwrap();
    assert_eq!(
        verdict,
        Verdict::LimitExceeded {
            limit: "MaxFileSize".to_owned()
        }
    );
}
