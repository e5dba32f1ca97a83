//! The network: two hosts, the routers between them, and the link in the middle.
use super::address as at;
use super::counts::LinkCounts;
use super::emulator::Emulator;
use super::missing::Missing;
use super::namespace::Namespace;
use super::settings::LinkSettings;
use super::wiring::{self, LINK};
use anyhow::{Result, ensure};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

/// What a [`Topology`] has from the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TopologyOptions {
    /// A router r3 beside r2, and [`ECMP_TARGET`](at::ECMP_TARGET) behind both.
    pub ecmp: bool,
    /// Every user may open ping sockets (`net.ipv4.ping_group_range`). Else none may, as the kernel has it for a new
    /// namespace; root may open raw sockets in either case.
    pub ping_sockets: bool,
    /// From where the dice of the link start.
    pub seed: u64,
}

/// A routed network of a test's own, in namespaces that nobody else sees:
///
/// ```text
/// A ── r1 ══ link ══ r2 ── B         and with ECMP    A ── r1 ═╦═ link ═ r2 ─╦─ B
///                                                              ╚════════ r3 ─╝
/// ```
///
/// Everything goes by IPv4 and IPv6; [`address`](super::address) has who is where. No host limits how many ICMP errors it
/// sends, but for what r2 refuses by IPv4: the kernel tells one sender of that five times at once, and then once a second. The link does what [`LinkSettings`] say, in each direction for itself, and keeps an account of what it did, so
/// that a check is compared with the truth and not with a probability.
///
/// When it is dropped, nothing is left of it, but for what a test leaves running or open in its namespaces.
///
/// ```no_run
/// use std::net::UdpSocket;
/// use std::time::Duration;
/// use testkit::net::{LinkSettings, Topology, TopologyOptions, address};
///
/// let Some(network) = Topology::new_or_skip(&TopologyOptions::default())? else {
///     return Ok(());
/// };
/// network.link(LinkSettings { delay: Duration::from_millis(5), loss: 0.1, ..LinkSettings::default() });
/// let receiver = network.b().enter(|| UdpSocket::bind((address::B.v4, 7)))??;
/// let sender = network.a().enter(|| UdpSocket::bind((address::A.v4, 0)))??;
/// sender.send_to(b"hello", receiver.local_addr()?)?;
/// println!("{:?}", network.counts().toward_b);
/// # anyhow::Ok(())
/// ```
#[derive(Debug)]
pub struct Topology {
    // Ended before the namespaces of its devices go.
    emulator: Emulator,
    a: Namespace,
    b: Namespace,
    r1: Namespace,
    r2: Namespace,
    r3: Option<Namespace>,
    discarding: AtomicBool,
}

impl Topology {
    /// Builds one, with a link that passes everything on at once.
    ///
    /// # Errors
    /// With a [`Missing`] as source where this machine does not let it be built, else when a command fails.
    pub fn new(options: &TopologyOptions) -> Result<Self> {
        ensure!(Path::new("/proc/sys/net/ipv6").exists(), Missing::Ipv6);
        let host = |name| wiring::node(name, false, options.ping_sockets);
        let router = |name| wiring::node(name, true, options.ping_sockets);
        let (a, r1, r2, b) = (host("A")?, router("r1")?, router("r2")?, host("B")?);
        let emulator = Emulator::start([tun(&r1)?, tun(&r2)?], options.seed)?;
        wiring::cable((&r1, "to-a", at::R1), (&a, "eth0", at::A))?;
        wiring::attach((&r1, LINK, at::R1_AT_LINK))?;
        wiring::attach((&r2, LINK, at::R2))?;
        wiring::cable((&r2, "to-b", at::R2_AT_B), (&b, "eth0", at::B))?;
        wiring::route(&a, &r1, &r2, &b)?;
        let mut r3 = None;
        if options.ecmp {
            let beside = router("r3")?;
            wiring::cable((&r1, "to-r3", at::R1_AT_R3), (&beside, "to-r1", at::R3))?;
            wiring::cable((&beside, "to-b", at::R3_AT_B), (&b, "eth1", at::B_AT_R3))?;
            wiring::route_ecmp(&r1, &r2, &beside, &b)?;
            r3 = Some(beside);
        }
        Ok(Self {
            emulator,
            a,
            b,
            r1,
            r2,
            r3,
            discarding: AtomicBool::new(false),
        })
    }

    /// As [`new`](Self::new), for tests that do without where it cannot be: `None`, and a line on standard error that says
    /// what is missing, where this machine does not let a network be built.
    ///
    /// # Errors
    /// When it fails for any other reason.
    pub fn new_or_skip(options: &TopologyOptions) -> Result<Option<Self>> {
        match Self::new(options) {
            Err(error) if error.downcast_ref::<Missing>().is_some() => {
                eprintln!("skipped: {error:#}");
                Ok(None)
            }
            built => built.map(Some),
        }
    }

    /// Host A, where checks are run.
    pub const fn a(&self) -> &Namespace {
        &self.a
    }

    /// Host B, which they check.
    pub const fn b(&self) -> &Namespace {
        &self.b
    }

    /// The router next to A.
    pub const fn r1(&self) -> &Namespace {
        &self.r1
    }

    /// The router next to B.
    pub const fn r2(&self) -> &Namespace {
        &self.r2
    }

    /// The router beside r2, with ECMP.
    pub const fn r3(&self) -> Option<&Namespace> {
        self.r3.as_ref()
    }

    /// Has the link do as `settings` say in both directions: see [`link_each`](Self::link_each).
    pub fn link(&self, settings: LinkSettings) {
        self.link_each(settings, settings);
    }

    /// Has the link do as these settings say to packets that come in from now on, with [`counts`](Self::counts) from 0 and
    /// the dice from the seed. Packets under way arrive as they would have, and are not counted.
    pub fn link_each(&self, toward_b: LinkSettings, toward_a: LinkSettings) {
        self.emulator.set([toward_b, toward_a]);
    }

    /// What the link has done since it was last set. A packet that a test has received is in it.
    pub fn counts(&self) -> LinkCounts {
        self.emulator.counts()
    }

    /// Cuts the link: nothing passes in either direction, and nobody is told; or mends it, without setting it otherwise.
    pub fn cut(&self, cut: bool) {
        self.emulator.cut(cut);
    }

    /// Sets the MTU of the link, in bytes, at both its ends: routers answer larger packets that may not be split with ICMP.
    /// Below 1280 the kernel takes IPv6 off the link for good.
    ///
    /// [`LinkSettings::black_hole_above`] is for a link that drops them and says nothing.
    ///
    /// # Errors
    /// When the kernel does not take it.
    pub fn set_mtu(&self, bytes: u16) -> Result<()> {
        let bytes = bytes.to_string();
        for router in [&self.r1, &self.r2] {
            router.ip(["link", "set", "dev", LINK, "mtu", &bytes])?;
        }
        Ok(())
    }

    /// Has r2 discard whatever goes to [`B`](at::B), and say nothing, or no longer: a trace ends behind r1, while r2 itself
    /// still answers.
    ///
    /// # Errors
    /// When the kernel does not take it.
    pub fn blackhole(&self, on: bool) -> Result<()> {
        if self.discarding.swap(on, Ordering::Relaxed) == on {
            return Ok(());
        }
        let verb = if on { "add" } else { "del" };
        let at::DualAddress { v4, v6 } = at::B;
        let lines = format!("route {verb} blackhole {v4}\nroute {verb} blackhole {v6}\n");
        self.r2.ip_batch(&lines)
    }
}

/// A TUN device in `node`, one end of the link.
fn tun(node: &Namespace) -> Result<SyncDevice> {
    let opened = node.enter(|| DeviceBuilder::new().name(LINK).layer(Layer::L3).build_sync())?;
    opened.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => Missing::Tun.into(),
        // What the kernel says when the file is there and the driver is not.
        _ if error.raw_os_error() == Some(nix::errno::Errno::ENODEV as i32) => Missing::Tun.into(),
        _ => anyhow::Error::from(error).context("could not open a TUN device"),
    })
}
