//! `cargo xtask demo`: a controller, a scanner and reef-agent on this machine, doing real work.
pub(crate) mod fleet;
mod malware;
mod tree;

use crate::{interrupt::Interrupt, process, setup};
use anyhow::{Context, Result, bail};
use fleet::{AGENT, Fleet};
use malware::Malware;
use std::{fs, path::PathBuf, time::Instant};
use testkit::{Clamd, Daemon};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Check everything, then end.
    #[arg(long)]
    once: bool,
    /// The real tree to scan.
    #[arg(long, value_name = "DIR", default_value = "/usr/share")]
    path: PathBuf,
}

/// The demo as the checks run it.
pub(crate) fn once() -> Result<()> {
    run(&Args {
        once: true,
        path: "/usr/share".into(),
    })
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut story = Story {
        started: Instant::now(),
        interrupt: Interrupt::catch()?,
    };
    setup::run(&setup::Args::default())?;
    let programs = process::build_programs("dev")?;
    let home = tempfile::Builder::new()
        .prefix("shoal-demo-")
        .tempdir()
        .context("could not make a folder")?;
    let mut fleet = Fleet::new(fs::canonicalize(home.path())?, programs);

    story.say("a controller starts, on SQLite, with nothing beside it")?;
    let controller = fleet.serve()?;
    println!("{}", fleet.url);
    let token = fleet.join_token("demo")?;

    let own = tree::Planted::new(fleet.home.join("tree"))?;
    let path = fs::canonicalize(&args.path).with_context(|| format!("cannot scan `{}`", args.path.display()))?;
    fleet.configure(&[&path, own.root()])?;
    story.say(&format!(
        "a scanner enrols and scans {} and a tree of its own",
        path.display()
    ))?;
    print!("{}", fleet.scan(&token)?.stdout());

    story.say("the controller knows the agent and its files")?;
    print!("{}", fleet.client(&["agents"])?.stdout());
    print!(
        "{}",
        fleet
            .client(&[
                "files",
                "list",
                "--agent",
                AGENT,
                "--under",
                &own.text(),
                "--limit",
                "5"
            ])?
            .stdout()
    );
    let known = fleet.files(&own.text())?;
    let before = fleet.changes(&own.text())?.len();

    story.say("files change: created, edited, renamed, deleted, made read-only")?;
    let expected = own.change()?;
    print!("{}", fleet.scan(&token)?.stdout());

    story.say("what the controller now says")?;
    let mut seen = fleet.changes(&own.text())?.split_off(before);
    seen.sort();
    seen.iter().for_each(|line| println!("{line}"));
    let mut wrong = tree::differences(expected, &seen);
    if known != tree::PLANTED {
        wrong.push(format!("{} files were planted, and {known} were known", tree::PLANTED));
    }
    if !wrong.is_empty() {
        bail!("the controller's picture is wrong:\n{}", wrong.join("\n"));
    }
    story.say("all of it is exactly what was done")?;
    // It lives as long as somebody may look around.
    let _malware = malware(&mut story, &fleet)?;
    if args.once {
        let status = controller.stop()?;
        anyhow::ensure!(status.success(), "the controller ended with {status}");
        return Ok(());
    }
    linger(&fleet, controller, story)
}

/// Has malware found; none where clamd cannot be had, and that is said.
fn malware(story: &mut Story, fleet: &Fleet) -> Result<Option<Malware>> {
    if !Clamd::is_installed() {
        story.say("malware is left out: ClamAV's daemon is not installed (Debian: apt install clamav-daemon)")?;
        return Ok(None);
    }
    story.say("clamd starts, and reef-agent scans a tree with ClamAV's test file in it")?;
    let malware = Malware::plant(fleet)?;
    print!("{}", malware.scan(fleet, &fleet.join_token("demo-malware")?)?.stdout());
    story.say("it is in quarantine, and the controller knows")?;
    print!("{}", malware.quarantine(fleet)?.stdout());
    print!("{}", malware.detections(fleet)?.stdout());
    Ok(Some(malware))
}

/// What is told on the way, and since when.
struct Story {
    started: Instant,
    interrupt: Interrupt,
}

impl Story {
    fn say(&mut self, text: &str) -> Result<()> {
        self.interrupt.check()?;
        println!("\n── {text} ({:.1} s)", self.started.elapsed().as_secs_f64());
        Ok(())
    }
}

/// Keeps the controller up until Ctrl-C, and says how to look around.
fn linger(fleet: &Fleet, controller: Daemon, story: Story) -> Result<()> {
    println!(
        "\nThe controller goes on at {url} until you press Ctrl-C. In another terminal:\n\n  \
         cd {home}\n  \
         export HOME=$PWD PATH={bin}:$PATH\n  \
         fleet-controller agents\n  \
         fleet-controller files list --agent {AGENT} --name '*.conf'\n  \
         touch tree/another && scanner run --once --config scanner.yaml --data-dir scanner\n  \
         fleet-controller files changes --agent {AGENT} --limit 5\n  \
         fleet-controller detections\n  \
         reef-agent quarantine list --config reef.toml --data-dir reef\n",
        url = fleet.url,
        home = fleet.home.display(),
        bin = fleet.programs.display(),
    );
    story.interrupt.end(controller.id())?;
    let status = controller.attend()?;
    println!("the controller has ended ({status}), and what the demo made is removed");
    Ok(())
}
