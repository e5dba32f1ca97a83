//! Commands that have a connection to themselves.
use crate::{assert_eicar, clamd, folder, put, tcp, unix};
use clamd_proto::{ClamError, Daemon, ErrorKind, Finding, RefusalKind, Request, SessionOptions, TreeScan, Verdict};
use std::{collections::BTreeSet, os::unix::ffi::OsStrExt};
use testkit::{Clamd, ClamdOptions, MARKER, eicar};

#[tokio::test]
async fn each_question_is_answered_over_both_transports() {
    let clamd = Clamd::start(ClamdOptions {
        database_version: Some(27815),
        max_threads: 3,
        ..ClamdOptions::default()
    })
    .unwrap();
    for endpoint in [unix(&clamd), tcp(&clamd)] {
        let daemon = Daemon::new(endpoint);
        daemon.ping().await.unwrap();
        let version = daemon.version().await.unwrap();
        assert_eq!(version.database.map(|database| database.number), Some(27815));
        let (again, commands) = daemon.version_commands().await.unwrap();
        assert_eq!(again, version);
        for word in [
            "SCAN",
            "CONTSCAN",
            "MULTISCAN",
            "ALLMATCHSCAN",
            "INSTREAM",
            "FILDES",
            "IDSESSION",
            "END",
            "STATS",
        ] {
            assert!(commands.contains(&word.to_owned()), "{word}");
        }
        let stats = daemon.stats().await.unwrap();
        let pool = &stats.pools[0];
        assert_eq!((pool.is_primary, pool.threads.max), (true, 3));
        assert!(pool.jobs.iter().any(|job| job.command == "STATS"), "{stats:?}");
        assert!(stats.memory.pools_total.unwrap() >= stats.memory.pools_used.unwrap());
    }
}

#[tokio::test]
async fn a_version_without_an_official_database_is_read() {
    let clamd = clamd();
    assert_eq!(Daemon::new(unix(&clamd)).version().await.unwrap().database, None);
}

#[tokio::test]
async fn reload_and_shutdown_do_what_they_say() {
    let clamd = clamd();
    let daemon = Daemon::new(unix(&clamd));
    daemon.reload().await.unwrap();
    daemon.shutdown().await.unwrap();
    let kind = loop {
        if let Err(error) = daemon.ping().await {
            break error.kind();
        }
    };
    assert!(matches!(kind, ErrorKind::Down | ErrorKind::Lost), "{kind:?}");
}

#[tokio::test]
async fn a_directory_is_scanned_until_the_first_hit_or_whole() {
    let (clamd, folder) = (clamd(), folder());
    let hostile: [&[u8]; 4] = [b"a: OK", b"b\nc: Fake FOUND", b"d\xff", b"e: Why ERROR"];
    for name in hostile {
        put(folder.path(), std::ffi::OsStr::from_bytes(name), &eicar());
    }
    put(folder.path(), "clean", b"nothing");
    let daemon = Daemon::new(unix(&clamd));
    for (how, count) in [(TreeScan::UntilFound, 1), (TreeScan::Whole, 4), (TreeScan::Parallel, 4)] {
        let mut found = BTreeSet::new();
        let tell = |reply: &clamd_proto::Reply<'_>| {
            assert!(matches!(reply.finding, Finding::Found(_)), "{reply:?}");
            found.insert(reply.below.unwrap().to_vec());
        };
        daemon.scan_tree(how, folder.path(), tell).await.unwrap();
        let all: BTreeSet<Vec<u8>> = hostile
            .iter()
            .map(|name| {
                folder
                    .path()
                    .join(std::ffi::OsStr::from_bytes(name))
                    .as_os_str()
                    .as_bytes()
                    .to_vec()
            })
            .collect();
        assert_eq!(found.len(), count, "{how:?}");
        assert!(found.is_subset(&all), "{how:?}: {found:?}");
    }
    let mut said = Vec::new();
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    daemon
        .scan_tree(TreeScan::Whole, &folder.path().join("empty"), |reply| {
            said.push(reply.finding.clone())
        })
        .await
        .unwrap();
    assert_eq!(said, [Finding::Clean]);
}

#[tokio::test]
async fn all_signatures_that_match_are_told_and_a_missing_file_is_an_error() {
    let (clamd, folder) = (clamd(), folder());
    let both = put(folder.path(), "both", &[b"x", eicar().as_slice(), MARKER].concat());
    let daemon = Daemon::new(unix(&clamd));
    let verdict = daemon.scan_all_matches(&both).await.unwrap();
    let names: BTreeSet<&str> = verdict.signatures().iter().map(String::as_str).collect();
    assert_eq!(
        names,
        BTreeSet::from(["Shoal.Test.Eicar.UNOFFICIAL", "Shoal.Test.Marker.UNOFFICIAL"])
    );
    let clean = put(folder.path(), "clean", b"nothing");
    assert_eq!(daemon.scan_all_matches(&clean).await.unwrap(), Verdict::Clean);
    let error = daemon.scan_all_matches(&folder.path().join("none")).await.unwrap_err();
    assert!(
        matches!(&error, ClamError::FileRefused(refusal) if refusal.kind() == RefusalKind::NotFound),
        "{error}"
    );
}

#[tokio::test]
async fn a_single_scan_needs_no_session() {
    let (clamd, folder) = (clamd(), folder());
    let path = put(folder.path(), "file", &eicar());
    let daemon = Daemon::new(unix(&clamd));
    let requests = [
        Request::Path(path),
        Request::File(crate::file(&eicar())),
        Request::Stream(clamd_proto::Content::Bytes(eicar().into())),
    ];
    for request in requests {
        assert_eicar(&daemon.scan(request, SessionOptions::default()).await.unwrap());
    }
}
