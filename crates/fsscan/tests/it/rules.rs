//! What is left out of a scan.
use crate::lab::Lab;
use fsscan::testing::Event;
use std::fs;

fn names(lab: &Lab) -> Vec<String> {
    let prefix = lab.path("").len();
    lab.server
        .files
        .keys()
        .map(|path| String::from_utf8(path[prefix..].to_vec()).unwrap())
        .collect()
}

#[test]
fn what_a_rule_leaves_out_is_not_entered_and_vanishes() {
    let mut lab = Lab::new();
    for name in [
        "keep.txt",
        "a.tmp",
        "b/c.tmp",
        "b/node_modules/x/y",
        "b/d",
        ".git/HEAD",
        ".env",
    ] {
        lab.write(name, name);
    }
    assert_eq!(lab.scan().summary.created, 7);
    lab.request.ignore = vec!["*.tmp".into(), "node_modules/*".into(), ".git".into()];
    let told = lab.scan();
    assert_eq!((told.summary.deleted, told.summary.ignored), (4, 4));
    assert_eq!(names(&lab), [".env", "b/d", "keep.txt"]);
    lab.request.roots[0].hidden = false;
    lab.request.roots[0].ignore = vec!["!a.tmp".into()];
    let told = lab.scan();
    assert_eq!(
        told.events,
        [Event::Created(lab.path("a.tmp")), Event::Deleted(lab.path(".env"))]
    );
}

#[test]
fn ignore_files_hold_below_where_they_lie() {
    let mut lab = Lab::new();
    for name in [
        "x.o",
        "src/x.o",
        "src/keep.o",
        "src/out/x",
        "src/deep/out/x",
        "other/out/x",
    ] {
        lab.write(name, name);
    }
    lab.write(".scanignore", "*.o\n# a comment\n");
    lab.write("src/.scanignore", "!keep.o\n/out\n");
    lab.request.ignore_files = vec![".scanignore".into(), ".absent".into()];
    lab.scan();
    assert_eq!(
        names(&lab),
        [
            ".scanignore",
            "other/out/x",
            "src/.scanignore",
            "src/deep/out/x",
            "src/keep.o"
        ]
    );
    // A rule that changed holds at once, though the directory below did not change.
    lab.write(".scanignore", "");
    lab.scan();
    assert!(names(&lab).contains(&"src/x.o".to_owned()));
}

#[test]
fn a_bad_line_of_an_ignore_file_is_reported_and_the_others_hold() {
    let mut lab = Lab::new();
    lab.write("x.o", "x");
    lab.write(".ignore", "[z-a]\n*.o\n");
    lab.request.ignore_files = vec![".ignore".into()];
    let told = lab.scan();
    assert_eq!(names(&lab), [".ignore"]);
    assert_eq!(told.errors.len(), 1);
    assert_eq!(
        (&told.errors[0].path, told.errors[0].kind),
        (&lab.path(".ignore"), fsscan::ErrorKind::IgnoreFile)
    );
}

#[test]
fn large_files_are_counted_and_left_out() {
    let mut lab = Lab::new();
    lab.write("small", "12345");
    lab.write("large", "123456");
    lab.request.roots[0].max_file_size = Some(5);
    let told = lab.scan();
    assert_eq!((names(&lab), told.summary.ignored), (vec!["small".to_owned()], 1));
    fs::remove_file(lab.at("large")).unwrap();
}
