//! What makes the network of single nodes: cables, addresses, routes and kernel settings.
use super::Namespace;
use super::address::{self as at, DualAddress, PREFIX_V4, PREFIX_V6};
use crate::eventually;
use anyhow::Result;
use std::fmt::Write;

/// The interface of r1 and of r2 to the link between them.
pub(super) const LINK: &str = "link";

/// An interface of a node: its name and its addresses.
pub(super) type Port<'a> = (&'a Namespace, &'a str, DualAddress);

/// Settings of every node. The kernel limits how many ICMP errors a host sends, to each peer and in all, which a quick trace
/// would take for loss; masks of the kinds of message so limited that are empty lift both limits.
const EVERYWHERE: [(&str, &str); 11] = [
    ("net.ipv6.conf.all.disable_ipv6", "0"),
    ("net.ipv6.conf.default.disable_ipv6", "0"),
    // An address can be used at once, and nobody asks for routers.
    ("net.ipv6.conf.default.accept_dad", "0"),
    ("net.ipv6.conf.default.accept_ra", "0"),
    ("net.ipv4.icmp_ratelimit", "0"),
    ("net.ipv4.icmp_ratemask", "0"),
    ("net.ipv6.icmp.ratelimit", "0"),
    ("net.ipv6.icmp.ratemask", ""),
    // Packets come back on other interfaces than the ones they would be answered by.
    ("net.ipv4.conf.all.rp_filter", "0"),
    ("net.ipv4.conf.default.rp_filter", "0"),
    ("net.ipv4.conf.default.accept_redirects", "0"),
];

/// Settings of routers. With hash policy 3 the path is chosen by the fields named: addresses, protocol and ports. Policy 1 would be the
/// same, but for the number by which a socket of this very kernel marks its packets, which it believes even when they come over
/// a cable; it is set first, for kernels before 5.14.
const ON_ROUTERS: [(&str, &str); 5] = [
    ("net.ipv4.ip_forward", "1"),
    ("net.ipv6.conf.all.forwarding", "1"),
    ("net.ipv6.conf.default.forwarding", "1"),
    ("net.ipv4.fib_multipath_hash_policy", "1"),
    ("net.ipv6.fib_multipath_hash_policy", "1"),
];

/// What is better where the kernel has it.
const ON_NEW_ROUTERS: [(&str, &str); 4] = [
    ("net.ipv4.fib_multipath_hash_fields", "55"),
    ("net.ipv6.fib_multipath_hash_fields", "55"),
    ("net.ipv4.fib_multipath_hash_policy", "3"),
    ("net.ipv6.fib_multipath_hash_policy", "3"),
];

/// One processor takes in all packets of an interface. Else each takes in those that its own threads send, and a thread that
/// the scheduler moves from one to another overtakes itself, which looks as if the link had done it.
const ONE_QUEUE: (&str, &str) = ("net.core.rps_default_mask", "1");

/// Which groups may open ping sockets. In a new namespace it is `1 0`, from 1 to 0, which is none.
const PING_GROUPS: &str = "net.ipv4.ping_group_range";

/// Makes a namespace that behaves as a host, or as a router.
pub(super) fn node(name: &str, router: bool, ping_sockets: bool) -> Result<Namespace> {
    let node = Namespace::new(name)?;
    let routing = ON_ROUTERS.iter().filter(|_| router);
    for (setting, value) in EVERYWHERE.iter().chain(routing) {
        node.sysctl(setting, value)?;
    }
    for (setting, value) in ON_NEW_ROUTERS.iter().filter(|_| router) {
        node.sysctl(setting, value).ok();
    }
    // Older kernels have no such setting; there, packets overtake each other on the way to the link now and then.
    node.sysctl(ONE_QUEUE.0, ONE_QUEUE.1).ok();
    if ping_sockets {
        // In a user namespace with one group, a range can name no other.
        let everybody = node.sysctl(PING_GROUPS, "0 2147483647");
        everybody.or_else(|_| node.sysctl(PING_GROUPS, "0 0"))?;
    }
    Ok(node)
}

/// Lays a cable between two nodes: a pair of virtual Ethernet interfaces, up and with their addresses.
///
/// Each end knows the other's hardware address for good, so that no packet waits for a neighbour to be found.
pub(super) fn cable(near: Port<'_>, far: Port<'_>) -> Result<()> {
    let mut script = Script::default();
    script.line(format_args!(
        "link add {} address {} type veth peer name {} address {} netns {}",
        near.1,
        hardware(near.2),
        far.1,
        hardware(far.2),
        far.0.path().display(),
    ));
    script.end(near, far.2);
    script.run(near.0)?;
    script.end(far, near.2);
    script.run(far.0)?;
    // The near end hears of the far one by and by, and drops packets until then.
    eventually("carrier on a cable", || {
        let shown = near.0.ip(["link", "show", "dev", near.1])?;
        Ok(shown.contains("state UP").then_some(()))
    })?;
    wait_for_address(near.0, near.2)?;
    wait_for_address(far.0, far.2)
}

/// Waits until a node takes what is sent to an IPv6 address of its own: the kernel adds the route to it by and by.
fn wait_for_address(node: &Namespace, DualAddress { v6, .. }: DualAddress) -> Result<()> {
    let route = format!("local {v6} dev ");
    eventually("route to an address of its own", || {
        let routes = node.ip(["-6", "route", "show", "table", "local"])?;
        Ok(routes.contains(&route).then_some(()))
    })
}

/// Brings up a router's interface to the link, which is there already.
pub(super) fn attach((node, name, address): Port<'_>) -> Result<()> {
    let mut script = Script::default();
    // The emulator may be kept from running for a while, and nothing may be lost before it has counted it.
    script.line(format_args!("link set dev {name} txqueuelen 16384 up"));
    script.addresses(name, address);
    script.run(node)?;
    wait_for_address(node, address)
}

/// Routes of the line A, r1, r2, B, and of the addresses that r2 refuses.
pub(super) fn route(a: &Namespace, r1: &Namespace, r2: &Namespace, b: &Namespace) -> Result<()> {
    let mut script = Script::default();
    script.default_route(at::R1);
    script.run(a)?;
    script.network(at::B, at::R2);
    script.network(at::UNREACHABLE, at::R2);
    script.run(r1)?;
    script.network(at::A, at::R1_AT_LINK);
    script.refuse("unreachable", at::UNREACHABLE);
    script.refuse("prohibit", at::PROHIBITED);
    script.refuse("blackhole", at::DISCARDED);
    script.run(r2)?;
    script.default_route(at::R2_AT_B);
    script.run(b)
}

/// Routes of the way over r3, and of the target behind both.
pub(super) fn route_ecmp(r1: &Namespace, r2: &Namespace, r3: &Namespace, b: &Namespace) -> Result<()> {
    let mut script = Script::default();
    for ((target, by_r2), by_r3) in at::ECMP_TARGET.both().into_iter().zip(at::R2.both()).zip(at::R3.both()) {
        script.line(format_args!(
            "route add {target} nexthop via {by_r2} nexthop via {by_r3}"
        ));
    }
    script.run(r1)?;
    script.host(at::ECMP_TARGET, at::B);
    script.run(r2)?;
    script.host(at::ECMP_TARGET, at::B_AT_R3);
    script.network(at::A, at::R1_AT_R3);
    script.run(r3)?;
    let DualAddress { v4, v6 } = at::ECMP_TARGET;
    script.line(format_args!("addr add {v4} dev lo"));
    // Without looking for doubles, which would take its time even here.
    script.line(format_args!("addr add {v6} dev lo nodad"));
    script.run(b)?;
    wait_for_address(b, at::ECMP_TARGET)
}

/// Lines for `ip`, for one node after the other.
#[derive(Default)]
struct Script(String);

impl Script {
    /// Runs the lines collected, and forgets them.
    fn run(&mut self, node: &Namespace) -> Result<()> {
        node.ip_batch(&std::mem::take(&mut self.0))
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        writeln!(self.0, "{line}").ok();
    }

    /// One end of a cable, whose other end is `far`.
    fn end(&mut self, (_, name, address): Port<'_>, far: DualAddress) {
        self.line(format_args!("link set dev {name} up"));
        self.addresses(name, address);
        for neighbour in far.both() {
            let hardware = hardware(far);
            self.line(format_args!(
                "neigh replace {neighbour} lladdr {hardware} dev {name} nud permanent"
            ));
        }
    }

    fn addresses(&mut self, name: &str, DualAddress { v4, v6 }: DualAddress) {
        self.line(format_args!("addr add {v4}/{PREFIX_V4} dev {name}"));
        self.line(format_args!("addr add {v6}/{PREFIX_V6} dev {name} nodad"));
    }

    fn default_route(&mut self, by: DualAddress) {
        self.line(format_args!("route add 0.0.0.0/0 via {}", by.v4));
        self.line(format_args!("route add ::/0 via {}", by.v6));
    }

    /// The whole network of `address`.
    fn network(&mut self, address: DualAddress, by: DualAddress) {
        let DualAddress { v4, v6 } = address.network();
        self.line(format_args!("route add {v4}/{PREFIX_V4} via {}", by.v4));
        self.line(format_args!("route add {v6}/{PREFIX_V6} via {}", by.v6));
    }

    /// Nothing but `address`.
    fn host(&mut self, address: DualAddress, by: DualAddress) {
        for (address, by) in address.both().into_iter().zip(by.both()) {
            self.line(format_args!("route add {address} via {by}"));
        }
    }

    fn refuse(&mut self, how: &str, address: DualAddress) {
        for address in address.both() {
            self.line(format_args!("route add {how} {address}"));
        }
    }
}

/// The hardware address of the interface with this address: a locally administered one.
fn hardware(address: DualAddress) -> String {
    let [a, b, c, d] = address.v4.octets();
    format!("02:00:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}
