//! The name servers of this machine (resolv.conf(5)).
use crate::{Failure, FailureKind, target::Host};
use std::{
    fs::File,
    io::Read,
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6},
};

const FILE: &str = "/etc/resolv.conf";
/// How much of the file is read, in bytes.
const LONGEST: u64 = 65_536;
/// How many servers the system itself asks (`MAXNS`).
const MOST: usize = 3;
/// The port of DNS.
pub(super) const PORT: u16 = 53;

/// The name servers that `/etc/resolv.conf` names: the first three, as the system does, or the one of this machine where
/// it names none.
///
/// # Errors
/// When the file cannot be read, or names an interface that there is not.
pub fn system_servers() -> Result<Vec<SocketAddr>, Failure> {
    let mut text = Vec::new();
    match File::open(FILE) {
        Ok(file) => {
            let read = file.take(LONGEST).read_to_end(&mut text);
            read.map_err(|error| Failure::of_io(&format!("read {FILE}"), &error))?;
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(Failure::of_io(&format!("open {FILE}"), &error)),
    }
    servers(&text).into_iter().map(address).collect()
}

/// The servers that a file names, as they are written.
pub(crate) fn servers(text: &[u8]) -> Vec<Host<'_>> {
    let lines = text
        .split(|byte| *byte == b'\n')
        .filter_map(|line| str::from_utf8(line).ok());
    let named = lines.filter_map(|line| {
        // A comment begins in the first column, and what follows the address is not looked at.
        let mut words = line.split_ascii_whitespace();
        let is_server = line.starts_with("nameserver") && words.next() == Some("nameserver");
        let host = Host::parse(words.next().filter(|_| is_server)?).ok()?;
        (!matches!(host, Host::Name(_))).then_some(host)
    });
    let mut servers: Vec<_> = named.take(MOST).collect();
    if servers.is_empty() {
        servers.push(Host::Address(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    }
    servers
}

fn address(host: Host<'_>) -> Result<SocketAddr, Failure> {
    match host {
        Host::Address(address) => Ok(SocketAddr::new(address, PORT)),
        Host::Scoped(address, interface) => {
            let index = crate::resolve::index_of(interface)?;
            Ok(SocketAddrV6::new(address, PORT, 0, index).into())
        }
        Host::Name(name) => Err(Failure::new(FailureKind::Invalid, format!("{name} is no address"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_three_servers_are_taken_and_nothing_else() {
        let text = b"# nameserver 10.0.0.9\nsearch example.test\n nameserver 10.0.0.8\nnameserver\t10.0.0.1 # first\n\
            nameserver not-an-address\nnameservers 10.0.0.7\nnameserver ::1\r\nnameserver fe80::1%lo\nnameserver 10.0.0.4";
        let named: Vec<String> = servers(text).iter().map(ToString::to_string).collect();
        assert_eq!(named, ["10.0.0.1", "::1", "fe80::1%lo"]);
        assert_eq!(address(servers(text)[2]).unwrap(), "[fe80::1%1]:53".parse().unwrap());
    }

    #[test]
    fn without_a_server_this_machine_is_asked() {
        assert_eq!(
            servers(b"options edns0\n"),
            [Host::Address("127.0.0.1".parse().unwrap())]
        );
    }

    proptest! {
        #[test]
        fn any_file_gives_one_to_three_addresses(text: Vec<u8>, named in "(nameserver [0-9a-f:.% ]{0,20}\n){0,8}") {
            let text = [named.as_bytes(), &text].concat();
            let servers = servers(&text);
            prop_assert!((1..=MOST).contains(&servers.len()));
            prop_assert!(!servers.iter().any(|host| matches!(host, Host::Name(_))));
        }
    }
}
