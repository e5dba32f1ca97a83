//! Files whose names are made to mislead, and files that are none.
use crate::{assert_eicar, clamd, file, folder, one, patient, put, unix};
use clamd_proto::{ClamError, RefusalKind, Request, Session, Verdict};
use std::{
    ffi::OsStr,
    fs::{File, OpenOptions, Permissions},
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};
use testkit::{Clamd, ClamdOptions, eicar};

#[track_caller]
fn assert_refused(outcome: Result<Verdict, ClamError>, kind: RefusalKind) {
    match outcome {
        Err(ClamError::FileRefused(refusal)) if refusal.kind() == kind => {}
        other => panic!("wanted {kind:?}: {other:?}"),
    }
}

#[tokio::test]
async fn a_hostile_name_changes_no_verdict() {
    let (clamd, folder) = (clamd(), folder());
    let mut session = Session::open(&unix(&clamd), patient()).await.unwrap();
    let names: [&[u8]; 8] = [
        b"a\nb: Fake FOUND",
        b"x: OK",
        b"bad\xff\xfe",
        b"y: Fake.Signature FOUND",
        b"z: Access denied. ERROR",
        b"1: 2: ",
        b"COMMAND READ TIMED OUT\n",
        b" ",
    ];
    for (nth, name) in names.into_iter().enumerate() {
        let clean = put(folder.path(), OsStr::from_bytes(name), b"nothing");
        assert_eq!(
            one(&mut session, Request::Path(clean.clone())).await.unwrap(),
            Verdict::Clean,
            "{nth}"
        );
        std::fs::write(&clean, eicar()).unwrap();
        assert_eicar(&one(&mut session, Request::Path(clean)).await.unwrap());
    }
}

#[tokio::test]
async fn a_device_is_an_error_although_clamd_says_ok_after_it_and_the_session_goes_on() {
    let clamd = clamd();
    let mut session = Session::open(&unix(&clamd), patient()).await.unwrap();
    assert_refused(
        one(&mut session, Request::Path("/dev/null".into())).await,
        RefusalKind::NotAFile,
    );
    assert_refused(
        one(&mut session, Request::Path("/nowhere/at/all".into())).await,
        RefusalKind::NotFound,
    );
    let device = Arc::new(File::open("/dev/null").unwrap());
    assert_refused(one(&mut session, Request::File(device)).await, RefusalKind::NotAFile);
    let directory = Arc::new(File::open("/").unwrap());
    assert_refused(one(&mut session, Request::File(directory)).await, RefusalKind::NotAFile);
    assert_eicar(&one(&mut session, Request::File(file(&eicar()))).await.unwrap());
    assert!(session.is_open());
}

#[tokio::test]
async fn a_descriptor_that_cannot_be_read_is_refused_before_clamd_calls_it_clean() {
    let (clamd, folder) = (clamd(), folder());
    let path = put(folder.path(), "file", &eicar());
    let mut session = Session::open(&unix(&clamd), patient()).await.unwrap();
    let write_only = OpenOptions::new().write(true).open(&path).unwrap();
    let error = one(&mut session, Request::File(Arc::new(write_only)))
        .await
        .unwrap_err();
    assert!(matches!(error, ClamError::NotReadable), "{error}");
    let moved = File::open(&path).unwrap();
    std::io::copy(&mut &moved, &mut std::io::sink()).unwrap();
    assert_eicar(&one(&mut session, Request::File(Arc::new(moved))).await.unwrap());
}

#[tokio::test]
async fn what_clamd_may_not_read_is_an_error_by_path_and_scanned_by_descriptor() {
    let user = rustix::process::geteuid().is_root().then(|| "clamav".to_owned());
    let clamd = Clamd::start(ClamdOptions {
        user,
        ..ClamdOptions::default()
    })
    .unwrap();
    let folder = folder();
    let path = put(folder.path(), "secret", &eicar());
    let open = Arc::new(File::open(&path).unwrap());
    std::fs::set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
    let mut session = Session::open(&unix(&clamd), patient()).await.unwrap();
    assert_refused(one(&mut session, Request::Path(path)).await, RefusalKind::AccessDenied);
    assert_eicar(&one(&mut session, Request::File(open)).await.unwrap());
}

#[tokio::test]
async fn an_error_below_a_directory_does_not_end_the_request_too_soon() {
    let user = rustix::process::geteuid().is_root().then(|| "clamav".to_owned());
    let clamd = Clamd::start(ClamdOptions {
        user,
        ..ClamdOptions::default()
    })
    .unwrap();
    let folder = folder();
    let secret = put(folder.path(), "secret", b"hidden");
    std::fs::set_permissions(&secret, Permissions::from_mode(0o000)).unwrap();
    let path = PathBuf::from(folder.path());
    let mut session = Session::open(&unix(&clamd), patient()).await.unwrap();
    assert_refused(
        one(&mut session, Request::Path(path.clone())).await,
        RefusalKind::AccessDenied,
    );
    for nth in 0..20 {
        put(&path, format!("infected {nth}"), &eicar());
    }
    let mut session = Session::open(&unix(&clamd), patient()).await.unwrap();
    assert_eicar(&one(&mut session, Request::Path(path)).await.unwrap());
}

#[tokio::test]
async fn a_path_that_clamd_would_cut_is_refused_alone() {
    let clamd = clamd();
    let mut session = Session::open(&unix(&clamd), patient()).await.unwrap();
    let long = format!("/{}", "a/".repeat(3000));
    for path in [Path::new(&long), Path::new("relative"), Path::new("/a\0b")] {
        let error = one(&mut session, Request::Path(path.into())).await.unwrap_err();
        assert!(matches!(error, ClamError::Command(_)), "{error}");
    }
    // The longest that clamd reads gets an answer.
    let longest = format!("/{}", "a".repeat(clamd_proto::MAX_COMMAND - b"zSCAN /\0".len()));
    let outcome = one(&mut session, Request::Path(longest.into())).await;
    assert!(matches!(outcome, Err(ClamError::FileRefused(_))), "{outcome:?}");
    assert!(session.is_open());
}
