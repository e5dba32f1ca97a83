//! Sessions that are shared.
use crate::{assert_eicar, clamd, file, guarded, patient, tcp, unix};
use clamd_proto::{
    ClamAvClient, ClamError, Client, ClientOptions, Content, Endpoint, ErrorKind, Retry, SessionOptions, Timeouts,
    Verdict,
};
use std::{future::pending, sync::Arc, time::Duration};
use testkit::{Clamd, ClamdOptions, GUARD, MARKER, eicar};
use tokio::task::JoinSet;

fn options() -> ClientOptions {
    let timeouts = Timeouts {
        connect: GUARD,
        answer: GUARD,
        stats: GUARD,
        tree: GUARD,
    };
    // As often as it takes: the guard ends it where it takes for ever.
    let retry = Retry {
        times: 10_000,
        first: Duration::from_millis(1),
        longest: Duration::from_millis(20),
    };
    ClientOptions {
        session: patient(),
        timeouts,
        retry,
        ..ClientOptions::default()
    }
}

/// Runs `work` with a client of `endpoint`.
async fn with<T>(endpoint: Endpoint, options: ClientOptions, work: impl AsyncFnOnce(Client) -> T) -> T {
    let (client, driver) = Client::new(endpoint, options);
    let drive = async {
        driver.run(pending()).await;
        pending().await
    };
    tokio::select! {
        done = guarded(work(client)) => done,
        never = drive => never,
    }
}

/// Has `count` files scanned at once, every third infected, and checks each verdict.
async fn scan_many(client: &Client, count: usize) {
    let (clean, infected) = (file(b"nothing"), file(MARKER));
    let mut scans = JoinSet::new();
    for nth in 0..count {
        let (client, file) = (
            client.clone(),
            Arc::clone(if nth % 3 == 0 { &infected } else { &clean }),
        );
        scans.spawn(async move { (nth, client.scan_file(file).await) });
    }
    while let Some(done) = scans.join_next().await {
        let (nth, outcome) = done.unwrap();
        assert_eq!(outcome.unwrap().is_infected(), nth % 3 == 0, "{nth}");
    }
}

/// How many sockets clamd has open.
fn sockets(clamd: &Clamd) -> usize {
    let files = std::fs::read_dir(format!("/proc/{}/fd", clamd.id().unwrap())).unwrap();
    let target = |file: std::io::Result<std::fs::DirEntry>| std::fs::read_link(file.ok()?.path()).ok();
    files
        .filter_map(target)
        .filter(|target| target.to_string_lossy().starts_with("socket:"))
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_share_one_session_and_no_idle_one_is_kept() {
    let clamd = clamd();
    let before = sockets(&clamd);
    with(
        unix(&clamd),
        ClientOptions {
            sessions: 1,
            idle: Duration::from_millis(50),
            ..options()
        },
        async |client| {
            scan_many(&client, 1000).await;
            while sockets(&clamd) > before {
                tokio::task::yield_now().await;
            }
            // A later one opens another.
            assert_eicar(&client.scan_file(file(&eicar())).await.unwrap());
            client.ping().await.unwrap();
            assert_eq!(client.version().await.unwrap().database, None);
            assert_eq!(client.stats().await.unwrap().pools.len(), 1);
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_with_files_paths_and_streams_share_sessions_without_losing_any() {
    let (clamd, folder) = (clamd(), crate::folder());
    let path = crate::put(folder.path(), "file", MARKER);
    let none = Retry {
        times: 0,
        ..Retry::default()
    };
    let options = ClientOptions {
        retry: none,
        ..options()
    };
    with(unix(&clamd), options, async |client| {
        let mut scans = JoinSet::new();
        for nth in 0..300 {
            let (client, path) = (client.clone(), path.clone());
            scans.spawn(async move {
                match nth % 3 {
                    0 => client.scan_file(file(MARKER)).await,
                    1 => client.scan_path(path).await,
                    _ => client.scan_stream(Content::File(file(MARKER))).await,
                }
            });
        }
        while let Some(done) = scans.join_next().await {
            assert!(done.unwrap().unwrap().is_infected());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_go_on_several_sessions_over_tcp() {
    let clamd = clamd();
    with(
        tcp(&clamd),
        ClientOptions {
            sessions: 4,
            ..options()
        },
        async |client| {
            let mut scans = JoinSet::new();
            for nth in 0..200 {
                let client = client.clone();
                scans.spawn(async move {
                    let mut bytes = vec![b'x'; 1000 * nth];
                    bytes.extend_from_slice(if nth % 3 == 0 { MARKER } else { b"nothing" });
                    (nth, client.scan_stream(Content::File(file(&bytes))).await)
                });
            }
            while let Some(done) = scans.join_next().await {
                let (nth, outcome) = done.unwrap();
                assert_eq!(outcome.unwrap().is_infected(), nth % 3 == 0, "{nth}");
            }
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_under_way_when_clamd_was_killed_is_scanned_when_it_is_back() {
    let mut clamd = clamd();
    with(unix(&clamd), options(), async |client| {
        client.scan_file(file(b"nothing")).await.unwrap();
        let large = file(&[vec![b'x'; 1 << 20], MARKER.to_vec()].concat());
        let mut scans = JoinSet::new();
        for _ in 0..300 {
            let (client, large) = (client.clone(), Arc::clone(&large));
            scans.spawn(async move { client.scan_file(large).await });
        }
        assert!(scans.join_next().await.unwrap().unwrap().unwrap().is_infected());
        tokio::task::block_in_place(|| {
            clamd.kill_hard().unwrap();
            clamd.restart().unwrap();
        });
        let (mut found, mut never_begun) = (1, 0);
        while let Some(done) = scans.join_next().await {
            match done.unwrap() {
                Ok(verdict) => found += usize::from(verdict.is_infected()),
                // What was first tried while it was gone is for the caller.
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Down, "{error}");
                    never_begun += 1;
                }
            }
        }
        assert_eq!(found + never_begun, 300);
        assert!(found > client.options().session.window / 2, "{found}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_scan_is_hurt_by_a_reload_and_the_new_signature_counts_after_it() {
    let clamd = clamd();
    with(unix(&clamd), options(), async |client| {
        let new = file(b"SOMETHING-NEWLY-BAD");
        assert_eq!(client.scan_file(Arc::clone(&new)).await.unwrap(), Verdict::Clean);
        let mut load = JoinSet::new();
        let busy = client.clone();
        load.spawn(async move {
            for _ in 0..20 {
                scan_many(&busy, 100).await;
            }
        });
        tokio::task::block_in_place(|| clamd.reload_with("Shoal.Test.New", b"SOMETHING-NEWLY-BAD").unwrap());
        assert_eq!(
            client.scan_file(new).await.unwrap().signatures(),
            ["Shoal.Test.New.UNOFFICIAL"]
        );
        load.join_next().await.unwrap().unwrap();
        client.reload().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_above_clamds_own_limit_harms_no_other() {
    let clamd = Clamd::start(ClamdOptions {
        stream_max: 1 << 20,
        ..ClamdOptions::default()
    })
    .unwrap();
    let retry = Retry {
        times: 3,
        ..options().retry
    };
    with(
        tcp(&clamd),
        ClientOptions {
            retry,
            sessions: 1,
            ..options()
        },
        async |client| {
            let large: Arc<[u8]> = vec![0; 8 << 20].into();
            let mut small = JoinSet::new();
            for _ in 0..50 {
                let client = client.clone();
                small.spawn(async move { client.scan_stream(Content::Bytes(eicar().into())).await });
            }
            let error = client.scan_stream(Content::Bytes(large)).await.unwrap_err();
            assert!(
                matches!(error, ClamError::FileRefused(_) | ClamError::Lost { .. }),
                "{error}"
            );
            while let Some(done) = small.join_next().await {
                assert_eicar(&done.unwrap().unwrap());
            }
        },
    )
    .await;
}

#[tokio::test]
async fn silence_after_a_reload_is_loading_and_after_the_driver_is_an_end() {
    let folder = crate::folder();
    let path = folder.path().join("clamd.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    // It answers one RELOAD, and then takes connections without a word.
    let serve = async {
        let mut kept = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            if kept.is_empty() {
                tokio::io::AsyncWriteExt::write_all(&mut stream, b"RELOADING\0")
                    .await
                    .unwrap();
            }
            kept.push(stream);
        }
    };
    let short = Duration::from_millis(100);
    let timeouts = Timeouts {
        answer: short,
        ..Timeouts::default()
    };
    let session = SessionOptions {
        reply: short,
        ..patient()
    };
    let ask = with(
        Endpoint::Unix(path),
        ClientOptions {
            timeouts,
            session,
            ..ClientOptions::default()
        },
        async |client| {
            client.reload().await.unwrap();
            let error = client.ping().await.unwrap_err();
            assert!(matches!(error, ClamError::Reloading { .. }), "{error}");
            let error = client.scan_file(file(b"nothing")).await.unwrap_err();
            assert!(matches!(error, ClamError::Reloading { .. }), "{error}");
            client
        },
    );
    let client = tokio::select! {
        client = ask => client,
        () = serve => unreachable!(),
    };
    let error = client.scan_file(file(b"nothing")).await.unwrap_err();
    assert!(matches!(error, ClamError::Stopped), "{error}");
}

#[tokio::test]
async fn a_driver_that_is_stopped_finishes_what_is_under_way() {
    let clamd = clamd();
    let (client, driver) = Client::new(unix(&clamd), options());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let work = async {
        let large = file(&vec![b'x'; 4 << 20]);
        let scan = client.scan_file(large);
        let stop = async {
            // After the scan has been asked for.
            tokio::task::yield_now().await;
            stop.send(()).unwrap();
        };
        let (outcome, ()) = tokio::join!(scan, stop);
        assert_eq!(outcome.unwrap(), Verdict::Clean);
        let error = client.scan_path("/dev/null".into()).await.unwrap_err();
        assert!(matches!(error, ClamError::Stopped), "{error}");
    };
    let stopped = async { drop(stopped.await) };
    guarded(async { tokio::join!(work, driver.run(stopped)) }).await;
}
