//! The same by fanotify, where that is permitted.
use crate::watch::Lab;
use fsscan::watch::{LostWhy, Watch, WatchError, Watched};
use std::{fs, io::Read, path::Path};

/// Begins by fanotify, where that is permitted.
async fn begin_by_fanotify(lab: &mut Lab) -> bool {
    lab.request.method = fsscan::watch::Method::Fanotify;
    match Watch::begin(&lab.request) {
        Err(WatchError::NotPermitted(_) | WatchError::NotAvailable) => {
            eprintln!("fanotify is not tested: it is not permitted here");
            false
        }
        begun => {
            drop(begun.unwrap());
            lab.begin().await;
            true
        }
    }
}

/// Has another process write, since a process does not hear of its own writes.
fn write_elsewhere(path: &Path) {
    let done = std::process::Command::new("sh")
        .args(["-c", "echo hello > \"$0\""])
        .arg(path)
        .status();
    assert!(done.unwrap().success());
}

#[tokio::test]
async fn by_fanotify_the_very_file_is_handed_out() {
    let mut lab = Lab::new();
    lab.request.ignore = vec!["out".to_owned(), "*.tmp".to_owned()];
    lab.mkdir("in/out/deep");
    if !begin_by_fanotify(&mut lab).await {
        return;
    }
    for name in ["in/out/deep/x", "in/out/x", "in/x.tmp"] {
        write_elsewhere(&lab.at(name));
    }
    write_elsewhere(&lab.at("in/file"));
    let path = lab.at("in/file");
    let Watched::Written(mut written) = lab.next().await else {
        panic!("no file")
    };
    assert_eq!(written.path, path);
    while written.file.is_none() {
        // Each interface has a queue of its own, and the file may have rested before the other one's was read.
        write_elsewhere(&path);
        let Watched::Written(next) = lab.next().await else {
            panic!("no file")
        };
        assert_eq!(next.path, path);
        written = next;
    }
    // Under its name lies another by now.
    fs::rename(&path, lab.at("in/moved")).unwrap();
    lab.write("in/file", "a trap");
    let mut text = String::new();
    written.file.unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello\n");
    let told = lab.until_files(&["in/moved", "in/file"]).await;
    assert!(
        told.files
            .keys()
            .all(|name| name.starts_with("in/") && !name.contains("out")),
        "{told:?}"
    );
    assert!(lab.stats().own > 0, "{:?}", lab.stats());
}

#[tokio::test]
async fn by_fanotify_writes_are_told_where_no_watch_was_left() {
    let mut lab = Lab::new();
    lab.request.max_watches = 1;
    lab.mkdir("a/b");
    if !begin_by_fanotify(&mut lab).await {
        return;
    }
    lab.until(|watched| matches!(watched, Watched::Lost(lost) if lost.why == LostWhy::WatchLimit))
        .await;
    write_elsewhere(&lab.at("a/b/file"));
    let told = lab.until_files(&["a/b/file"]).await;
    assert_eq!((told.files.len(), lab.stats().watches), (1, 1));
}
