//! A network of a test's own. Where none can be built, these tests say so and pass.
mod link;
mod namespace;
mod path;

use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};
use testkit::GUARD;
use testkit::net::{Namespace, Topology, TopologyOptions};

fn network() -> Option<Topology> {
    Topology::new_or_skip(&TopologyOptions::default()).unwrap()
}

/// A UDP socket of that host, with room for all that a test sends.
fn socket(host: &Namespace, address: IpAddr) -> UdpSocket {
    let socket = host.enter(|| UdpSocket::bind((address, 0))).unwrap().unwrap();
    socket.set_read_timeout(Some(GUARD)).unwrap();
    // Root gets more than the system's limit, and does with the limit below a user namespace.
    set_socket_recv_buffer_size_force(&socket, 4 << 20)
        .or_else(|_| set_socket_recv_buffer_size(&socket, 4 << 20))
        .unwrap();
    socket
}

/// Receives a datagram. A socket that waits for no longer than its guard is woken when the process is stopped and goes on.
fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> (usize, SocketAddr) {
    loop {
        match socket.recv_from(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            received => return received.unwrap(),
        }
    }
}

/// Sends from one host to the other and back, and returns how long it took.
fn round_trip(near: &UdpSocket, far: &UdpSocket, size: usize) -> Duration {
    let mut buffer = vec![0; 2000];
    let begun = Instant::now();
    near.send_to(&vec![7; size], far.local_addr().unwrap()).unwrap();
    let (received, from) = receive(far, &mut buffer);
    assert_eq!((received, from), (size, near.local_addr().unwrap()));
    far.send_to(&buffer[..received], from).unwrap();
    assert_eq!(receive(near, &mut buffer).0, size);
    begun.elapsed()
}
