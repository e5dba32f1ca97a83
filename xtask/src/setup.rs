//! `cargo xtask setup`: the only place that installs anything.
use crate::process;
use anyhow::{Result, bail};
use std::{
    io::{BufRead, IsTerminal, Write},
    process::Command,
};

#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Install without asking.
    #[arg(long)]
    pub(crate) yes: bool,
    /// The programs that `bench --peers` measures, too.
    #[arg(long)]
    pub(crate) bench: bool,
}

/// A program that is wanted, and the Debian package that has it.
struct Need {
    program: &'static str,
    package: &'static str,
    why: &'static str,
    required: bool,
}

const NEEDS: &[Need] = &[
    Need {
        program: "cc",
        package: "gcc",
        why: "SQLite is built from its C source",
        required: true,
    },
    Need {
        program: "setpriv",
        package: "util-linux",
        why: "one test looks at files as another user",
        required: false,
    },
];

const BENCH: &[Need] = &[
    Need {
        program: "find",
        package: "findutils",
        why: "a peer of the bench",
        required: false,
    },
    Need {
        program: "fdfind",
        package: "fd-find",
        why: "a peer of the bench",
        required: false,
    },
    Need {
        program: "updatedb.plocate",
        package: "plocate",
        why: "a peer of the bench",
        required: false,
    },
];

pub(crate) fn run(args: &Args) -> Result<()> {
    let wanted = NEEDS.iter().chain(BENCH.iter().filter(|_| args.bench));
    let missing: Vec<&Need> = wanted.filter(|need| !process::have(need.program)).collect();
    if missing.is_empty() {
        eprintln!("setup: everything is there");
        return Ok(());
    }
    for need in &missing {
        eprintln!(
            "setup: `{}` is missing ({}; package {})",
            need.program, need.why, need.package
        );
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    match installer() {
        Some(prefix) if agreed(args, &packages)? => install(&prefix, &packages)?,
        _ => eprintln!("setup: not installed; by hand: apt-get install {}", packages.join(" ")),
    }
    for need in missing.iter().filter(|need| !process::have(need.program)) {
        if need.required {
            bail!("`{}` is still missing: {}", need.program, need.why);
        }
        eprintln!("setup: going on without `{}`: {}", need.program, need.why);
    }
    Ok(())
}

/// How packages can be installed here: as root, by sudo without a password, or not.
fn installer() -> Option<Vec<&'static str>> {
    if !process::have("apt-get") {
        return None;
    }
    let quiet = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    let is_root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout.starts_with(b"0\n"));
    if is_root {
        return Some(vec![]);
    }
    quiet(Command::new("sudo").args(["-n", "true"])).then(|| vec!["sudo", "-n"])
}

fn agreed(args: &Args, packages: &[&str]) -> Result<bool> {
    if args.yes || std::env::var("CI").is_ok_and(|ci| ci == "true") {
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    eprint!("install {}? [y/N] ", packages.join(" "));
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim().eq_ignore_ascii_case("y"))
}

fn install(prefix: &[&str], packages: &[&str]) -> Result<()> {
    // No package may start a service of the system: what tests need they start themselves. RUNLEVEL makes invoke-rc.d
    // see a system that is not running.
    let apt = |args: &[&str]| {
        let mut words = prefix.to_vec();
        words.extend(["env", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", "apt-get"]);
        words.extend(args);
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        process::run(command)
    };
    apt(&["update", "-q"])?;
    apt(&[&["install", "-y", "-q", "--no-install-recommends"], packages].concat())
}
