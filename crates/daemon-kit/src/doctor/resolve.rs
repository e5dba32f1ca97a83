//! The way to a server before anything is said: its name, its addresses, a connection.

use crate::doctor::Finding;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::{
    net::{TcpStream, lookup_host},
    time,
};
use url::{Host, Url};

/// The port and host of `url`, as a connection needs them; a name keeps no dot at its end and an address no brackets.
pub(super) fn target(url: &Url) -> Option<(String, u16)> {
    let host = match url.host()? {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    };
    Some((host, url.port_or_known_default()?))
}

/// The addresses of `host`, with the finding that says so.
pub(super) async fn name(host: &str, port: u16, limit: Duration) -> (Finding, Vec<SocketAddr>) {
    const CHECK: &str = "server name";
    if let Ok(address) = host.parse::<IpAddr>() {
        return (
            Finding::ok(CHECK, format!("{host} is an address")),
            vec![SocketAddr::new(address, port)],
        );
    }
    let looked_up = time::timeout(limit, lookup_host((host, port))).await;
    let remedy = format!("correct `server.base_url`, or see why `getent hosts {host}` finds nothing");
    let failed = |found: String| (Finding::failure(CHECK, found, remedy.clone()), Vec::new());
    match looked_up {
        Err(_) => failed(format!("no answer for `{host}` within {} s", limit.as_secs_f64())),
        Ok(Err(error)) => failed(format!("`{host}` has no address: {error}")),
        Ok(Ok(addresses)) => {
            let addresses: Vec<SocketAddr> = addresses.collect();
            if addresses.is_empty() {
                return failed(format!("`{host}` has no address"));
            }
            let shown: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
            (Finding::ok(CHECK, format!("{host} is {}", shown.join(", "))), addresses)
        }
    }
}

/// Whether one of `addresses` takes a connection.
pub(super) async fn connection(addresses: &[SocketAddr], limit: Duration) -> Finding {
    const CHECK: &str = "server connection";
    let mut failures = Vec::new();
    let mut is_refused = false;
    for address in addresses {
        match time::timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Finding::ok(CHECK, format!("{address} takes connections")),
            Ok(Err(error)) => {
                is_refused |= error.kind() == io::ErrorKind::ConnectionRefused;
                failures.push(format!("{address}: {error}"));
            }
            Err(_) => failures.push(format!("{address}: no connection within {} s", limit.as_secs_f64())),
        }
    }
    let remedy = if is_refused {
        "nothing listens there: start the server, or correct the port in `server.base_url`"
    } else {
        "see that a firewall or a route between here and there lets it pass; set `server.proxy` where one is needed"
    };
    Finding::failure(CHECK, failures.join("\n"), remedy)
}
