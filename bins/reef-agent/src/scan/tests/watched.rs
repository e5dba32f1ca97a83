//! Files that were watched.
use super::Rig;
use crate::{
    scan::{Detection, End, Engine, Progress, WatchQueue, Watched, WatchedFiles, queue::Overflow, watch_queue},
    settings::Action,
};
use core_model::ByteSize;
use fleet_wire::Outcome;
use std::{
    collections::BTreeMap,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};
use testkit::{ClamdProxy, GUARD, eicar};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// What was told of watched files.
#[derive(Default)]
struct Told {
    ends: Mutex<BTreeMap<PathBuf, End>>,
    found: Mutex<Vec<Detection>>,
}

impl Told {
    fn end(&self, path: &Path) -> Option<End> {
        self.ends.lock().unwrap().get(path).copied()
    }

    async fn wait(&self, path: &Path) -> End {
        loop {
            match self.end(path) {
                Some(end) => return end,
                None => tokio::task::yield_now().await,
            }
        }
    }
}

fn offer(rig: &Rig, queue: &WatchQueue, action: Action, path: &Path) -> bool {
    let mut rule = rig.wanted(action);
    rule.max_file_size = Some(ByteSize::new(1_000));
    queue.offer(Watched {
        path: path.to_owned(),
        rule: Arc::new(rule),
    })
}

/// Judges while `doing` lasts.
async fn judging<T>(engine: &Engine, files: &mut WatchedFiles, told: &Told, doing: impl Future<Output = T>) -> T {
    let stop = CancellationToken::new();
    let judging = engine.judge(
        files,
        Arc::new(Progress::default()),
        |found| told.found.lock().unwrap().push(found.clone()),
        |path, end| {
            let before = told.ends.lock().unwrap().insert(path.to_owned(), end);
            assert_eq!(before, None, "{} ended twice", path.display());
        },
        stop.clone(),
    );
    let doing = async {
        let done = doing.await;
        stop.cancel();
        done
    };
    let (judged, done) = timeout(GUARD, async { tokio::join!(judging, doing) }).await.unwrap();
    judged.unwrap();
    done
}

#[tokio::test]
async fn each_file_ends_once_whatever_it_is_and_no_connection_is_held_for_nothing() {
    let rig = Rig::new();
    let (queue, mut waiting) = watch_queue(100);
    let told = Told::default();
    let clean = rig.write("clean", b"harmless");
    let infected = rig.write("eicar", &eicar());
    let large = rig.write("large", &[b'x'; 1_001]);
    let empty = rig.write("empty", b"");
    let link = rig.tree.join("link");
    symlink(&infected, &link).unwrap();
    let pipe = rig.tree.join("pipe");
    let made = testkit::Program::at("mkfifo").arg(&pipe).run().unwrap();
    made.success().unwrap();
    let gone = rig.tree.join("no-directory/gone");
    let all = [
        (&clean, End::Clean),
        (&infected, End::Infected),
        (&large, End::OverLimit),
        (&empty, End::Clean),
        (&link, End::Symlink),
        (&pipe, End::Special),
        (&gone, End::Vanished),
    ];
    let doing = async {
        for (path, _) in &all {
            assert!(offer(&rig, &queue, Action::Quarantine, path));
        }
        for (path, end) in &all {
            assert_eq!(told.wait(path).await, *end, "{}", path.display());
        }
        while rig.connections() > 0 || told.found.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        // And it is asked again.
        let later = rig.write("later", b"harmless, too");
        assert!(offer(&rig, &queue, Action::Quarantine, &later));
        assert_eq!(told.wait(&later).await, End::Clean);
    };
    judging(&rig.engine, &mut waiting, &told, doing).await;
    let found = told.found.into_inner().unwrap();
    assert_eq!(
        (found.len(), found[0].outcome, found[0].scan),
        (1, Outcome::Quarantined, None)
    );
    assert!(!infected.exists());
}

#[tokio::test]
async fn a_clamd_that_is_away_is_waited_for_and_what_it_misses_is_not_lost() {
    let mut rig = Rig::new();
    rig.clamd.kill_hard().unwrap();
    let (queue, mut waiting) = watch_queue(10);
    let told = Told::default();
    let paths: Vec<PathBuf> = (0..5)
        .map(|n| rig.write(&format!("f{n}"), format!("harmless {n}").as_bytes()))
        .collect();
    for path in &paths[..4] {
        assert!(offer(&rig, &queue, Action::Report, path));
    }
    // It is stopped before clamd is back: what it took ends as failed, once.
    judging(&rig.engine, &mut waiting, &told, async {
        while queue.len() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(paths[..4].iter().all(|path| told.end(path) == Some(End::Failed)));
    // The queue outlives it.
    let told = Told::default();
    assert!(offer(&rig, &queue, Action::Report, &paths[4]));
    rig.clamd.restart().unwrap();
    judging(&rig.engine, &mut waiting, &told, async {
        assert_eq!(told.wait(&paths[4]).await, End::Clean);
    })
    .await;
}

#[tokio::test]
async fn what_finds_no_room_is_counted_and_its_directory_named() {
    let rig = Rig::new();
    let (queue, waiting) = watch_queue(2);
    let told: Vec<bool> = ["a/1", "a/2", "a/3", "b/4", "b/5"]
        .map(|name| offer(&rig, &queue, Action::Report, &rig.tree.join(name)))
        .to_vec();
    assert_eq!((told, queue.len()), (vec![true, true, false, false, false], 2));
    let overflow = queue.take_overflow();
    let named = |name: &str| ("test".to_owned(), rig.tree.join(name));
    assert_eq!(
        (overflow.files, overflow.directories),
        (3, [named("a"), named("b")].into())
    );
    assert_eq!(queue.take_overflow(), Overflow::default());
    // Of very many directories the rule stands for all.
    for n in 0..=1_000 {
        assert!(!offer(&rig, &queue, Action::Report, &rig.tree.join(format!("d{n}/x"))));
    }
    let overflow = queue.take_overflow();
    assert_eq!((overflow.files, overflow.directories.len()), (1_001, 0));
    assert_eq!(overflow.rules, ["test".to_owned()].into());
    drop(waiting);
    assert!(
        !offer(&rig, &queue, Action::Report, &rig.tree.join("x")),
        "nobody takes it any more"
    );
}

#[tokio::test]
async fn whoever_hangs_up_in_clamd_s_place_costs_a_file_none_of_its_tries() {
    let mut rig = Rig::new();
    let proxy = Arc::new(ClamdProxy::start(&rig.clamd).unwrap());
    rig.set(|settings| settings.clamd.endpoint = format!("unix:{}", proxy.socket().display()));
    let [before, away] = ["before", "away"].map(|name| rig.write(name, name.as_bytes()));
    let (queue, mut waiting) = watch_queue(10);
    let told = Told::default();
    assert!(offer(&rig, &queue, Action::Report, &before));
    let rule = Arc::new(rig.wanted(Action::Report));
    let Rig { clamd, engine, .. } = &mut rig;
    judging(engine, &mut waiting, &told, async {
        // Who has judged once knows clamd, and need not find out anew by what it judges.
        assert_eq!(told.wait(&before).await, End::Clean);
        clamd.kill_hard().unwrap();
        assert!(queue.offer(Watched {
            path: away.clone(),
            rule
        }));
        // More often than a file is tried, where clamd is asked for its version before each try, too.
        let (proxy, times) = (Arc::clone(&proxy), 12);
        let hung_up = tokio::task::spawn_blocking(move || proxy.wait_for_hung_up(times, GUARD));
        assert!(hung_up.await.unwrap());
        assert_eq!(told.end(&away), None);
        clamd.restart().unwrap();
        assert_eq!(told.wait(&away).await, End::Clean);
    })
    .await;
}
