//! A name server of a test's own.
use std::net::{TcpStream, UdpSocket};
use testkit::{Dnsmasq, GUARD};

#[test]
fn it_answers_what_it_was_given_and_tells_what_it_was_asked() {
    let server = Dnsmasq::start(["host-record=www.shoal.test,192.0.2.7"]).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(GUARD)).unwrap();
    let query = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x03www\x05shoal\x04test\0\0\x01\0\x01";
    socket.send_to(query, server.address()).unwrap();
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer).unwrap();
    assert!(
        answer[..length].ends_with(&[0, 4, 192, 0, 2, 7]),
        "{}",
        answer[..length].escape_ascii()
    );
    assert_eq!(
        server.wait_for_query("www.shoal.test").unwrap(),
        "query[A] www.shoal.test from 127.0.0.1"
    );
    let address = server.address();
    TcpStream::connect(address).unwrap();
    drop(server);
    assert!(TcpStream::connect(address).is_err());
}
