//! The client for tests, as code that is generic over clients sees it.
use clamd_proto::mock::{Call, MockClient, Scripted, lost};
use clamd_proto::{ClamAvClient, ClamError, Content, ErrorKind, Verdict};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};

/// Scans until there is a verdict, three times at most.
async fn stubborn(clamd: &impl ClamAvClient, path: &str) -> Result<Verdict, ClamError> {
    for _ in 0..2 {
        match clamd.scan_path(path.into()).await {
            Err(error) if error.is_passing() => {}
            other => return other,
        }
    }
    clamd.scan_path(path.into()).await
}

fn infected() -> Verdict {
    Verdict::Infected {
        signatures: vec!["Some.Signature".to_owned()],
    }
}

#[tokio::test]
async fn errors_come_as_scripted_and_then_the_rule_holds() {
    let clamd = MockClient::default();
    clamd.then(Scripted::Error(lost()));
    clamd.then(Scripted::Error(lost()));
    clamd.answer(|call| match call {
        Call::Path(path) if path.ends_with("bad") => Some(Scripted::Verdict(infected())),
        _ => None,
    });
    assert_eq!(stubborn(&clamd, "/srv/bad").await.unwrap(), infected());
    assert_eq!(stubborn(&clamd, "/srv/good").await.unwrap(), Verdict::Clean);
    assert_eq!(clamd.calls().iter().filter(|call| call.is_scan()).count(), 4);
}

#[tokio::test(start_paused = true)]
async fn it_hangs_and_is_slow_where_it_is_told_to() {
    let clamd = MockClient::default();
    clamd.then(Scripted::After(
        Duration::from_secs(60),
        Box::new(Scripted::Verdict(infected())),
    ));
    let begun = Instant::now();
    let verdict = clamd.scan_file(crate::file(b"")).await.unwrap();
    assert_eq!((verdict, begun.elapsed()), (infected(), Duration::from_secs(60)));
    clamd.then(Scripted::Hang);
    let content = Content::Bytes(Arc::new([]));
    assert!(
        timeout(Duration::from_secs(3600), clamd.scan_stream(content))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn one_that_is_down_answers_nothing_until_it_is_up() {
    let clamd = MockClient::default();
    clamd.set_down(Some(lost()));
    assert_eq!(clamd.ping().await.unwrap_err().kind(), ErrorKind::Lost);
    assert!(clamd.version().await.is_err() && clamd.stats().await.is_err() && clamd.reload().await.is_err());
    assert!(clamd.scan_path("/srv".into()).await.is_err());
    clamd.set_down(None);
    clamd.ping().await.unwrap();
    assert_eq!(clamd.version().await.unwrap().database, None);
}
