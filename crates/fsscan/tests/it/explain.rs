//! Why a path is scanned or left out, against what a scan does with it.
use crate::lab::Lab;
use fsscan::{Explanation, Rule, Verdict, explain, testing::MemoryTreeError};
use std::{fs, os::unix::fs::symlink, path::Path};

fn ask(lab: &Lab, path: &Path) -> Explanation {
    explain::<MemoryTreeError>(&lab.request, path).unwrap()
}

#[test]
fn what_is_said_of_a_path_is_what_a_scan_does_with_it() {
    let mut lab = Lab::new();
    for name in [
        "keep.txt",
        "a.tmp",
        "sub/keep.tmp",
        "sub/b.tmp",
        "node_modules/x/y",
        "deep/node_modules/z",
        ".hidden/x",
        ".kept/x",
        "logs/today.log",
        "logs/yesterday.log",
        "large.bin",
        "build/out.o",
        "sub/build/out.o",
    ] {
        lab.write(name, if name == "large.bin" { "0123456789" } else { "x" });
    }
    lab.write("logs/.scanignore", "# not these\n*.log\n!today.log\n");
    symlink("sub", lab.at("link")).unwrap();
    lab.request.ignore = vec!["*.tmp".into(), "node_modules/*".into(), "/build".into()];
    lab.request.ignore_files = vec![".scanignore".into()];
    lab.request.roots[0].ignore = vec!["!sub/keep.tmp".into(), "!.kept".into(), "!.scanignore".into()];
    lab.request.roots[0].hidden = false;
    lab.request.roots[0].max_file_size = Some(5);
    lab.scan();
    let mut asked = 0;
    for found in walkdir::WalkDir::new(lab.at("")).min_depth(1) {
        let found = found.unwrap();
        if found.file_type().is_dir() {
            continue;
        }
        let path = found.path();
        let is_scanned = lab.server.files.contains_key(path.as_os_str().as_encoded_bytes());
        let said = ask(&lab, path);
        assert_eq!(said.verdict == Verdict::Scanned, is_scanned, "{said:?}");
        asked += 1;
    }
    assert_eq!(asked, 15);
}

#[test]
fn the_rule_that_decides_is_named_with_its_place() {
    let mut lab = Lab::new();
    for name in ["a.tmp", "keep.tmp", "cache/deep/file", "logs/x.log", ".env"] {
        lab.write(name, "x");
    }
    lab.write("logs/.scanignore", "# first\n\n*.log\n");
    lab.request.ignore = vec!["cache/*".into(), "*.tmp".into()];
    lab.request.ignore_files = vec![".scanignore".into()];
    lab.request.roots[0].ignore = vec!["!keep.tmp".into()];
    lab.request.roots[0].hidden = false;
    let rule = |name: &str| {
        let said = ask(&lab, &lab.at(name));
        (said.decided_at, said.verdict, said.rule.unwrap())
    };
    let (pattern, index) = ("*.tmp".to_owned(), 1);
    assert_eq!(
        rule("a.tmp"),
        (lab.at("a.tmp"), Verdict::LeftOut, Rule::OfAllRoots { pattern, index })
    );
    let (pattern, index) = ("!keep.tmp".to_owned(), 0);
    assert_eq!(
        rule("keep.tmp"),
        (lab.at("keep.tmp"), Verdict::Scanned, Rule::OfRoot { pattern, index })
    );
    let (pattern, index) = ("cache/*".to_owned(), 0);
    assert_eq!(
        rule("cache/deep/file"),
        (
            lab.at("cache/deep"),
            Verdict::LeftOut,
            Rule::OfAllRoots { pattern, index }
        ),
        "the directory on the way decides"
    );
    let (pattern, file, line) = ("*.log".to_owned(), lab.at("logs/.scanignore"), 3);
    assert_eq!(
        rule("logs/x.log"),
        (
            lab.at("logs/x.log"),
            Verdict::LeftOut,
            Rule::OfFile { pattern, file, line }
        )
    );
    assert_eq!(rule(".env"), (lab.at(".env"), Verdict::LeftOut, Rule::Hidden));
}

#[test]
fn what_no_rule_decides_is_said_too() {
    let mut lab = Lab::new();
    lab.write("big", "0123456789");
    lab.write("dir/x", "x");
    fs::create_dir(lab.dir().join("outside")).unwrap();
    fs::write(lab.dir().join("outside/x"), "x").unwrap();
    symlink(lab.dir().join("outside"), lab.at("out")).unwrap();
    symlink("dir", lab.at("in")).unwrap();
    lab.request.roots[0].max_file_size = Some(9);
    let verdict = |lab: &Lab, name: &str| ask(lab, &lab.at(name)).verdict;
    assert_eq!(verdict(&lab, "big"), Verdict::TooLarge { size: 10, limit: 9 });
    assert_eq!(verdict(&lab, "nothing/here"), Verdict::Missing);
    assert_eq!(verdict(&lab, "dir"), Verdict::Walked);
    assert_eq!(verdict(&lab, ""), Verdict::Walked);
    assert_eq!(verdict(&lab, "in"), Verdict::Scanned, "a link is a record of its own");
    assert_eq!(verdict(&lab, "in/x"), Verdict::BehindLink);
    assert_eq!(ask(&lab, &lab.dir().join("outside/x")).verdict, Verdict::OutsideRoots);
    lab.request.roots[0].follow_symlinks = true;
    assert_eq!(verdict(&lab, "in/x"), Verdict::Scanned);
    assert_eq!(verdict(&lab, "out/x"), Verdict::BehindLink, "it leads out of the root");
}
