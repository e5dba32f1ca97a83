//! `cargo xtask setup`: the only place that installs anything.
use crate::process;
use anyhow::{Context, Result, bail};
use std::{
    io::{BufRead, IsTerminal, Write},
    path::Path,
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

/// Something that is wanted: any of these programs will do.
struct Need {
    programs: &'static [&'static str],
    /// The Debian packages that bring it.
    packages: &'static [&'static str],
    why: &'static str,
    required: bool,
}

const NEEDS: &[Need] = &[
    Need {
        programs: &["cc"],
        packages: &["gcc", "libc6-dev"],
        why: "SQLite is built from its C source",
        required: true,
    },
    Need {
        programs: &["clamd"],
        packages: &["clamav-daemon"],
        why: "tests and the demo start a clamd of their own",
        required: false,
    },
    Need {
        programs: &["freshclam"],
        packages: &["clamav-freshclam"],
        why: "signatures are updated by it in tests",
        required: false,
    },
    Need {
        programs: &["promtool"],
        packages: &["prometheus"],
        why: "the examples' alerts are run through it",
        required: false,
    },
    Need {
        programs: &["clamdscan"],
        packages: &["clamdscan", "clamav-testfiles"],
        why: "verdicts are compared with its own",
        required: false,
    },
    Need {
        programs: &["ip"],
        packages: &["iproute2"],
        why: "tests of network checks make networks of their own",
        required: false,
    },
    Need {
        programs: &["dnsmasq"],
        packages: &["dnsmasq-base"],
        why: "tests of network checks ask a name server of their own",
        required: false,
    },
    Need {
        programs: &["setpriv"],
        packages: &["util-linux"],
        why: "one test looks at files as another user",
        required: false,
    },
];

const BENCH: &[Need] = &[
    Need {
        programs: &["find"],
        packages: &["findutils"],
        why: PEER,
        required: false,
    },
    Need {
        programs: &["fd", "fdfind"],
        packages: &["fd-find"],
        why: PEER,
        required: false,
    },
    Need {
        programs: &["updatedb.plocate"],
        packages: &["plocate"],
        why: PEER,
        required: false,
    },
    Need {
        programs: &["clamscan"],
        packages: &["clamav"],
        why: PEER,
        required: false,
    },
    Need {
        programs: &["aide"],
        packages: &["aide"],
        why: PEER,
        required: false,
    },
    Need {
        programs: &["fping"],
        packages: &["fping"],
        why: PEER,
        required: false,
    },
    Need {
        programs: &["prometheus-blackbox-exporter"],
        packages: &["prometheus-blackbox-exporter"],
        why: PEER,
        required: false,
    },
    Need {
        programs: &["mtr"],
        packages: &["mtr-tiny"],
        why: PEER,
        required: false,
    },
];

const PEER: &str = "a peer of the bench";

const SBIN: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

impl Need {
    fn is_there(&self) -> bool {
        // Daemons lie where not everybody's PATH looks.
        let is_daemon = |program: &str| SBIN.iter().any(|folder| Path::new(folder).join(program).is_file());
        self.programs
            .iter()
            .any(|program| process::have(program) || is_daemon(program))
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let wanted = NEEDS.iter().chain(BENCH.iter().filter(|_| args.bench));
    let missing: Vec<&Need> = wanted.filter(|need| !need.is_there()).collect();
    if missing.is_empty() {
        eprintln!("setup: everything is there");
        return Ok(());
    }
    for need in &missing {
        eprintln!(
            "setup: `{}` is missing ({}; package {})",
            need.programs[0],
            need.why,
            need.packages.join(" ")
        );
    }
    let packages: Vec<&str> = missing.iter().flat_map(|need| need.packages).copied().collect();
    match Installer::find() {
        // Whether all that must be there is, is looked at below.
        Some(installer) if agreed(args, &packages)? => {
            if let Err(error) = installer.install(&packages) {
                eprintln!("setup: {error:#}");
            }
        }
        Some(_) => eprintln!(
            "setup: nothing installed; by hand: apt-get install {}",
            packages.join(" ")
        ),
        None => eprintln!(
            "setup: may not install here; as root on Debian: apt-get install {}",
            packages.join(" ")
        ),
    }
    for need in missing.iter().filter(|need| !need.is_there()) {
        if need.required {
            bail!("`{}` is still missing: {}", need.programs[0], need.why);
        }
        eprintln!(
            "setup: going on without `{}`, so this is skipped: {}",
            need.programs[0], need.why
        );
    }
    Ok(())
}

/// Asks, where there is somebody to ask.
fn agreed(args: &Args, packages: &[&str]) -> Result<bool> {
    if args.yes || std::env::var("CI").is_ok_and(|ci| ci == "true") {
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() {
        eprintln!("setup: there is no terminal to ask on, and neither --yes nor CI=true");
        return Ok(false);
    }
    eprint!("install {}? [y/N] ", packages.join(" "));
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim().eq_ignore_ascii_case("y"))
}

/// Debian's packages, as root or by a sudo that asks for no password.
struct Installer {
    prefix: &'static [&'static str],
}

/// Asked by Debian's packages before they start a service; 101 means that none may be started.
const POLICY: &str = "/usr/sbin/policy-rc.d";

impl Installer {
    fn find() -> Option<Self> {
        if !process::have("apt-get") {
            return None;
        }
        let root = Command::new("id")
            .arg("-u")
            .output()
            .is_ok_and(|output| output.stdout == b"0\n");
        if root {
            return Some(Self { prefix: &[] });
        }
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "true"]);
        process::succeeds(sudo).then_some(Self {
            prefix: &["sudo", "-n"],
        })
    }

    fn install(&self, packages: &[&str]) -> Result<()> {
        // What tests need of a package they start themselves, on a port and in a folder of their own.
        let ours = !Path::new(POLICY).exists();
        if ours {
            let folder = tempfile::tempdir().context("could not make a folder")?;
            let policy = folder.path().join("policy-rc.d");
            std::fs::write(&policy, "#!/bin/sh\nexit 101\n").context("could not write the policy")?;
            process::run(self.command(&["install", "-m", "0755", &policy.to_string_lossy(), POLICY]))?;
        }
        let installed = self.apt(packages);
        if ours {
            process::run(self.command(&["rm", "-f", POLICY]))?;
        }
        installed
    }

    fn apt(&self, packages: &[&str]) -> Result<()> {
        let apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"];
        process::run(self.command(&[&apt[..], &["update"]].concat()))?;
        process::run(self.command(&[&apt[..], &["install", "-y", "--no-install-recommends"], packages].concat()))
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut words = self.prefix.iter().chain(words);
        let mut command = Command::new(words.next().copied().unwrap_or_default());
        command.args(words);
        command
    }
}
