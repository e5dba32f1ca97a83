//! A clamd of a test's own.
use std::{
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
};
use testkit::{Clamd, ClamdOptions, MARKER, eicar};

fn ask(clamd: &Clamd, command: &[u8]) -> String {
    let mut stream = UnixStream::connect(clamd.socket()).unwrap();
    stream.write_all(command).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn stream(clamd: &Clamd, bytes: &[u8]) -> String {
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    ask(clamd, &[b"zINSTREAM\0", &length[..], bytes, &[0; 4]].concat())
}

#[test]
fn it_judges_by_its_own_signatures_and_takes_new_ones() {
    let clamd = Clamd::start(ClamdOptions {
        database_version: Some(12345),
        ..ClamdOptions::default()
    })
    .unwrap();
    assert!(ask(&clamd, b"zVERSION\0").contains("/12345/"));
    assert!(stream(&clamd, &eicar()).ends_with(" FOUND\0"));
    assert_eq!(stream(&clamd, MARKER), "stream: Shoal.Test.Marker.UNOFFICIAL FOUND\0");
    assert_eq!(
        stream(&clamd, b"SHOAL-DAILY-BODY"),
        "stream: Shoal.Test.Daily.UNOFFICIAL FOUND\0"
    );
    assert_eq!(stream(&clamd, b"ANOTHER-BAD-THING"), "stream: OK\0");
    clamd.reload_with("Shoal.Test.Another", b"ANOTHER-BAD-THING").unwrap();
    assert_eq!(
        stream(&clamd, b"ANOTHER-BAD-THING"),
        "stream: Shoal.Test.Another.UNOFFICIAL FOUND\0"
    );
    TcpStream::connect(clamd.tcp()).unwrap();
}

#[test]
fn it_is_killed_and_comes_back_at_the_same_places_and_ends_with_its_owner() {
    let mut clamd = Clamd::start(ClamdOptions::default()).unwrap();
    let (socket, tcp, id) = (clamd.socket(), clamd.tcp(), clamd.id().unwrap());
    clamd.kill_hard().unwrap();
    assert!(UnixStream::connect(&socket).is_err());
    assert!(clamd.kill_hard().is_err() && clamd.id().is_err());
    clamd.restart().unwrap();
    assert_ne!(clamd.id().unwrap(), id);
    assert_eq!((clamd.socket(), clamd.tcp()), (socket.clone(), tcp));
    assert_eq!(ask(&clamd, b"zPING\0"), "PONG\0");
    drop(clamd);
    assert!(!socket.exists());
    assert!(TcpStream::connect(tcp).is_err());
}
