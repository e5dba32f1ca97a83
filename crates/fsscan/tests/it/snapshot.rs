//! Everything told anew, for a server that has lost sight.
use crate::lab::Lab;
use fsscan::Hold;
use std::{collections::BTreeMap, fs};

fn names(lab: &Lab) -> Vec<String> {
    let prefix = lab.path("").len();
    let name = |path: &Vec<u8>| String::from_utf8(path[prefix..].to_vec()).unwrap();
    lab.server.files.keys().map(name).collect()
}

#[test]
fn a_server_that_holds_something_else_is_set_right() {
    let mut lab = Lab::new();
    lab.write_many("a", 3);
    lab.write("b/moves", "x");
    lab.scan();
    let wrong = lab.server.files.values().next().copied().unwrap();
    lab.server.files = BTreeMap::from([(lab.path("never/was"), wrong)]);
    fs::rename(lab.at("b/moves"), lab.at("a/moved")).unwrap();
    fs::remove_file(lab.at("a/0")).unwrap();
    lab.server.begin_snapshot();
    lab.request.name_all = true;
    let told = lab.scan();
    lab.server.end_snapshot();
    lab.assert_true();
    let summary = told.summary;
    assert_eq!((summary.moved, summary.deleted, summary.created), (1, 1, 0));
    assert_eq!(told.events.len(), 2, "what is only named is no change");
    assert_eq!(summary.unchanged, 2);
    assert!(summary.unseen().is_empty());
}

#[test]
fn what_is_held_is_named_while_it_is_held() {
    let mut lab = Lab::new();
    lab.write_many("d", 10);
    lab.write("stays", "x");
    lab.request.hold = Hold {
        share: 0.5,
        min_files: 2,
    };
    lab.scan();
    fs::remove_dir_all(lab.at("d")).unwrap();
    for round in 0..2 {
        // First the scan that holds, then one that finds what is held already.
        lab.server.files.clear();
        lab.server.begin_snapshot();
        lab.request.name_all = true;
        assert_eq!(lab.scan().summary.held, 10, "round {round}");
        lab.server.end_snapshot();
        assert_eq!(names(&lab).len(), 11, "round {round}");
    }
    lab.request.name_all = false;
    lab.accept(&lab.at(""));
    assert_eq!(names(&lab), ["stays"]);
}

#[test]
fn what_was_not_looked_at_is_said() {
    let mut lab = Lab::new();
    lab.write("x", "x");
    lab.request.roots.push(fsscan::RootRequest::new(lab.dir().join("gone")));
    let summary = lab.scan().summary;
    let gone = lab.dir().join("gone").into_os_string().into_encoded_bytes();
    assert_eq!(summary.unseen(), std::slice::from_ref(&gone));
    let mut many = summary.clone();
    many.errors.insert(fsscan::ErrorKind::Io, 5);
    assert_eq!(
        many.unseen(),
        [
            gone,
            lab.at("")
                .into_os_string()
                .into_encoded_bytes()
                .strip_suffix(b"/")
                .unwrap()
                .to_vec()
        ],
        "errors beyond those named: whole roots"
    );
}
