//! Namespaces: what is done inside stays inside, and goes with them.
use super::{network, socket};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::{fs, io};
use testkit::net::{Missing, Namespace, Topology, TopologyOptions, address};
use testkit::{Program, eventually};

/// Tells a test that it is the one to be killed.
const KILLED: &str = "TESTKIT_NET_KILLED";

fn namespace() -> Option<Namespace> {
    match Namespace::new("test") {
        Err(error) if error.downcast_ref::<Missing>().is_some() => {
            eprintln!("skipped: {error:#}");
            None
        }
        made => Some(made.unwrap()),
    }
}

fn ids(network: &Topology) -> BTreeSet<u64> {
    let nodes = [network.a(), network.r1(), network.r2(), network.b()];
    nodes.map(|node| node.id().unwrap()).into()
}

/// The processes and threads that are in one of these namespaces, and the descriptors that hold one.
fn holders(ids: &BTreeSet<u64>) -> Vec<PathBuf> {
    let entries = |folder: PathBuf| {
        fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
    };
    let is_me_again = |path: &PathBuf| path.ends_with("self") || path.ends_with("thread-self");
    let processes: Vec<_> = entries("/proc".into()).filter(|path| !is_me_again(path)).collect();
    let threads = processes.iter().flat_map(|process| entries(process.join("task")));
    let links = threads.map(|thread| thread.join("ns/net"));
    let descriptors = processes.iter().flat_map(|process| entries(process.join("fd")));
    let is_one = |link: &PathBuf| {
        let target = fs::read_link(link).unwrap_or_default();
        ids.iter()
            .any(|id| target.as_os_str() == format!("net:[{id}]").as_str())
    };
    links.chain(descriptors).filter(is_one).collect()
}

#[test]
fn a_namespace_has_a_loopback_and_settings_of_its_own() {
    let Some(host) = namespace() else { return };
    host.sysctl("net.ipv4.ip_default_ttl", "3").unwrap();
    assert_eq!(host.sysctl_value("net.ipv4.ip_default_ttl").unwrap(), "3");
    assert_ne!(
        fs::read_to_string("/proc/sys/net/ipv4/ip_default_ttl").unwrap().trim(),
        "3"
    );
    let listener = host
        .enter(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .unwrap()
        .unwrap();
    let address = listener.local_addr().unwrap();
    // The listener is reached from inside by any thread, and by nobody outside.
    let connected = host.block_on(|| tokio::net::TcpStream::connect(address)).unwrap();
    assert_eq!(connected.unwrap().peer_addr().unwrap(), address);
    let refused = TcpStream::connect(address).map(|stream| stream.peer_addr());
    assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn a_failing_command_says_what_was_wrong() {
    let Some(host) = namespace() else { return };
    let error = host.ip(["addr", "add", "192.0.2.1/24", "dev", "nowhere"]).unwrap_err();
    assert!(format!("{error:#}").contains("nowhere"), "{error:#}");
    assert!(
        host.ip_batch("link set dev lo mtu 9000\nlink set dev nowhere up\n")
            .is_err()
    );
    assert!(host.ip(["link", "show", "dev", "lo"]).unwrap().contains("mtu 9000"));
    assert!(host.sysctl("net.ipv4.no_such_setting", "1").is_err());
}

/// Waits until so many hold them. Programs that other tests start beside hold all of this process until they run.
fn wait_for_holders(ids: &BTreeSet<u64>, count: usize) {
    let arrived = || Ok((holders(ids).len() == count).then_some(()));
    eventually("change of who holds the namespaces", arrived).unwrap();
}

#[test]
fn a_dropped_topology_leaves_nothing() {
    let Some(network) = network() else { return };
    let ids = ids(&network);
    assert_eq!(ids.len(), 4);
    wait_for_holders(&ids, 4);
    let inside = network.b().enter(|| Program::at("sleep").arg("600").start());
    let inside = inside.unwrap().unwrap();
    let process = PathBuf::from(format!("/proc/{}", inside.id()));
    assert!(holders(&ids).iter().any(|holder| holder.starts_with(&process)));
    drop((inside, network));
    wait_for_holders(&ids, 0);
}

#[test]
fn a_killed_process_leaves_nothing() {
    let Some(network) = network() else { return };
    if std::env::var_os(KILLED).is_some() {
        println!("\nnamespaces {:?}", ids(&network));
        loop {
            std::thread::park();
        }
    }
    drop(network);
    let test = [
        "--exact",
        "net::namespace::a_killed_process_leaves_nothing",
        "--nocapture",
    ];
    let program = Program::at(std::env::current_exe().unwrap()).args(test);
    let process = program.env(KILLED, "1").start().unwrap();
    let ids = process.wait_for("its namespaces", |line| {
        let list = line.strip_prefix("namespaces {")?.strip_suffix('}')?;
        list.split(", ")
            .map(|id| id.parse().ok())
            .collect::<Option<BTreeSet<u64>>>()
    });
    let ids = ids.unwrap();
    wait_for_holders(&ids, 4);
    process.kill_hard().unwrap();
    wait_for_holders(&ids, 0);
}

#[test]
fn ping_sockets_are_for_everybody_or_for_nobody() {
    for ping_sockets in [false, true] {
        let options = TopologyOptions {
            ping_sockets,
            ..TopologyOptions::default()
        };
        let Some(network) = Topology::new_or_skip(&options).unwrap() else {
            return;
        };
        let open = || {
            let (datagrams, flags) = (SockType::Datagram, SockFlag::SOCK_CLOEXEC);
            nix::sys::socket::socket(AddressFamily::Inet, datagrams, flags, SockProtocol::Icmp).is_ok()
        };
        assert_eq!(network.a().enter(open).unwrap(), ping_sockets);
        // A socket of another kind is nobody's business.
        socket(network.a(), address::A.v4.into());
    }
}
