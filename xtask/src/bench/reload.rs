//! How long a changed configuration takes from its writing to its effect, at a scanner, a reef-agent and a controller
//! that run.
use super::{
    measure::share,
    procfs::rest,
    site::{Site, health, is_ready, start_ready, stop, wait_linked},
};
use crate::{demo::fleet::AGENT, interrupt::Interrupt};
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    thread,
    time::{Duration, Instant},
};
use testkit::{Daemon, GUARD, free_loopback_port};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Changes of each kind.
    #[arg(long, default_value_t = 20)]
    runs: usize,
    /// Files in the tree that the scanner watches over.
    #[arg(long, default_value_t = 1_000)]
    files: u64,
    /// Measure the programs of this profile, `release` or `dev`.
    #[arg(long, default_value = "release")]
    profile: String,
    /// Print the table as Markdown.
    #[arg(long)]
    markdown: bool,
}

/// The longest that a change may take to its effect.
const LIMIT: Duration = Duration::from_millis(500);

/// Between two changes, so that each is one by itself.
const PAUSE: Duration = Duration::from_millis(300);

/// What brings a change.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// A new file put in the place of the old one, as editors and configuration managers do.
    Replaced,
    /// The file itself written over.
    Overwritten,
    /// A new file put in its place, and SIGHUP at once.
    Signalled,
    /// `fleet-controller agent-config set`.
    Pushed,
    /// A new file put in the place of a reef-agent's, with a rule more or less.
    OfReef,
    /// A new file put in the place of the controller's own.
    OfController,
}

const ALL: [By; 6] = [
    By::Replaced,
    By::Overwritten,
    By::Signalled,
    By::Pushed,
    By::OfReef,
    By::OfController,
];

impl By {
    const fn name(self) -> &'static str {
        match self {
            Self::Replaced => "file replaced by another",
            Self::Overwritten => "file written over",
            Self::Signalled => "file replaced, and SIGHUP",
            Self::Pushed => "set at the controller",
            Self::OfReef => "reef-agent's file replaced",
            Self::OfController => "the controller's own file replaced",
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut interrupt = Interrupt::catch()?;
    let (site, controller) = Site::with_scanner(&args.profile, args.files)?;
    let mut running = Running::start(site)?;
    wait_linked(running.address(), &mut interrupt)?;
    let mut times = ALL.map(|_| Vec::new());
    eprintln!("{} changes of each kind …", args.runs);
    // In turns, so that what else the machine does hits all alike.
    for _ in 0..args.runs.max(1) {
        for (by, times) in ALL.into_iter().zip(&mut times) {
            rest(PAUSE, &mut interrupt)?;
            let took = running.change(by).with_context(|| by.name())?;
            times.push(took.as_secs_f64() * 1000.0);
        }
    }
    stop(running.scanner)?;
    stop(running.reef)?;
    stop(running.own)?;
    stop(controller)?;
    for times in &mut times {
        times.sort_by(f64::total_cmp);
    }
    print(&times, args.markdown);
    for (by, times) in ALL.into_iter().zip(&times) {
        let (longest, most) = (share(times, 1.0), LIMIT.as_secs_f64() * 1000.0);
        let word = if longest <= most { "pass" } else { "miss" };
        println!("{word}: {}: in effect within {most:.0} ms: {longest:.0}", by.name());
    }
    Ok(())
}

/// A scanner, and a controller of its own, whose configuration changes.
struct Running {
    site: Site,
    scanner: Daemon,
    /// A reef-agent, and the two ports that its health is at in turns, now at the first.
    reef: Daemon,
    reef_ports: [u16; 2],
    /// A controller with a file, where it listens, and how many links it lets in.
    own: Daemon,
    own_port: u16,
    links: u64,
    /// Of the two that its health is at in turns, the one where it is.
    ports: [u16; 2],
    /// The controller's versions so far.
    versions: u64,
}

impl Running {
    fn start(site: Site) -> Result<Self> {
        let ports = [free_loopback_port()?, free_loopback_port()?];
        fs::write(site.home().join("scanner.yaml"), configuration(&site, ports[0]))?;
        let args = ["run", "--config", "scanner.yaml", "--data-dir", "scanner"];
        let program = site.program("scanner").args(args);
        let (scanner, _) = start_ready(program, loopback(ports[0]))?;
        let reef_ports = [free_loopback_port()?, free_loopback_port()?];
        fs::write(site.home().join(REEF), rules(&site, reef_ports[0]))?;
        let args = ["run", "--config", REEF, "--data-dir", "reef"];
        let program = site.program("reef-agent").args(args);
        let (reef, _) = start_ready(program, loopback(reef_ports[0]))?;
        let own_port = free_loopback_port()?;
        fs::write(site.home().join(OWN), links(1))?;
        let listen = format!("127.0.0.1:{own_port}");
        let args = ["serve", "--config", OWN, "--data-dir", "own", "--listen", &listen];
        let (own, _) = start_ready(site.program("fleet-controller").args(args), loopback(own_port))?;
        Ok(Self {
            site,
            scanner,
            reef,
            reef_ports,
            own,
            own_port,
            links: 1,
            ports,
            versions: 0,
        })
    }

    fn address(&self) -> SocketAddr {
        loopback(self.ports[0])
    }

    /// Makes a change, and waits for its effect.
    fn change(&mut self, by: By) -> Result<Duration> {
        match by {
            By::Pushed => return self.push(),
            By::OfReef => return self.change_reef(),
            By::OfController => return self.change_own(),
            _ => {}
        }
        // The effect is one of a task that runs: its health answers at another port.
        self.ports.swap(0, 1);
        let text = configuration(&self.site, self.ports[0]);
        let (file, beside) = (
            self.site.home().join("scanner.yaml"),
            self.site.home().join("scanner.yaml.new"),
        );
        let began = if by == By::Overwritten {
            let began = Instant::now();
            fs::write(file, text)?;
            began
        } else {
            fs::write(&beside, text)?;
            let began = Instant::now();
            fs::rename(beside, file)?;
            began
        };
        if by == By::Signalled {
            hang_up(self.scanner.id())?;
        }
        let address = self.address();
        until(began, || Ok(is_ready(address)))
    }

    /// Its health answers at another port.
    fn change_reef(&mut self) -> Result<Duration> {
        self.reef_ports.swap(0, 1);
        let (file, beside) = (self.site.home().join(REEF), self.site.home().join("reef.new"));
        fs::write(&beside, rules(&self.site, self.reef_ports[0]))?;
        let began = Instant::now();
        fs::rename(beside, file)?;
        let address = loopback(self.reef_ports[0]);
        until(began, || Ok(is_ready(address)))
    }

    /// `/health` shows how many links the controller lets in.
    fn change_own(&mut self) -> Result<Duration> {
        self.links += 1;
        let (file, beside) = (self.site.home().join(OWN), self.site.home().join("own.new"));
        fs::write(&beside, links(self.links))?;
        let began = Instant::now();
        fs::rename(beside, file)?;
        let (address, wanted) = (loopback(self.own_port), self.links);
        until(began, || Ok(health(address)?["agent_link"]["most"] == wanted))
    }

    /// The agent is told by its link; `/health` shows the version that is in force. The time of the command itself is in
    /// the figure.
    fn push(&mut self) -> Result<Duration> {
        self.versions += 1;
        let level = if self.versions.is_multiple_of(2) {
            "info"
        } else {
            "error"
        };
        fs::write(
            self.site.home().join("agent.yaml"),
            format!("logging:\n  level: {level}\n"),
        )?;
        let (address, wanted) = (self.address(), self.versions);
        let fleet = &self.site.fleet;
        thread::scope(|scope| {
            let began = Instant::now();
            let set = scope.spawn(|| fleet.client(&["agent-config", "set", AGENT, "agent.yaml"]));
            let took = until(began, || {
                Ok(health(address)?["configuration"]["controller_version"] == wanted)
            });
            set.join().ok().context("the command's thread died")??;
            took
        })
    }
}

/// The other controller's file.
const OWN: &str = "own.yaml";

/// The reef-agent's file.
const REEF: &str = "reef.yaml";

/// As many rules as a server has; none is due while this lasts.
fn rules(site: &Site, health: u16) -> String {
    let rule = |n: u16| {
        let tree = site.tree.display();
        format!("  - name: rule-{n}\n    paths: ['{tree}']\n    schedule: {{ when: '30 2 29 2 *' }}\n")
    };
    let rules: String = (0..20).map(rule).collect();
    format!("health:\n  enabled: true\n  port: {health}\nlogging:\n  level: error\nrules:\n{rules}")
}

fn links(most: u64) -> String {
    format!("agents:\n  max_links: {most}\n")
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn configuration(site: &Site, health: u16) -> String {
    format!(
        "server:\n  base_url: {}\nagent:\n  id: {AGENT}\nlogging:\n  level: warn\n\
         health:\n  enabled: true\n  port: {health}\nscanner:\n  scan_paths: ['{}']\n",
        site.fleet.url,
        site.tree.display()
    )
}

fn until(began: Instant, mut is_so: impl FnMut() -> Result<bool>) -> Result<Duration> {
    while !is_so()? {
        ensure!(began.elapsed() < GUARD, "there is no effect after {GUARD:?}");
        thread::sleep(Duration::from_millis(1));
    }
    Ok(began.elapsed())
}

#[cfg(unix)]
fn hang_up(id: u32) -> Result<()> {
    use nix::{
        sys::signal::{Signal, kill},
        unistd::Pid,
    };
    let process = Pid::from_raw(i32::try_from(id).context("a process id is positive")?);
    kill(process, Signal::SIGHUP).context("could not send SIGHUP")
}

#[cfg(not(unix))]
fn hang_up(_: u32) -> Result<()> {
    anyhow::bail!("there is no SIGHUP")
}

fn print(times: &[Vec<f64>], markdown: bool) {
    let bar = if markdown { "|" } else { " " };
    println!("{bar} a change of the configuration           {bar} median ms {bar} p95 ms {bar} max ms {bar}");
    if markdown {
        println!("| --- | ---: | ---: | ---: |");
    }
    for (by, times) in ALL.into_iter().zip(times) {
        println!(
            "{bar} {:39} {bar} {:9.0} {bar} {:6.0} {bar} {:6.0} {bar}",
            by.name(),
            share(times, 0.5),
            share(times, 0.95),
            share(times, 1.0)
        );
    }
}
