//! `smotra-agent check dns` and `check udp --probe dns` as somebody types them, before name servers that say what they are told to.
use serde_json::Value;
use std::{net::UdpSocket, thread};
use testkit::{Output, run};

fn check(args: &[&str]) -> Output {
    run("smotra-agent", [&["check"], args].concat()).unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_str(output.stdout().as_ref()).unwrap()
}

/// Answers each query by this code, and with an address where that is NOERROR.
fn name_server(code: u8) -> String {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((length, from)) = server.recv_from(&mut query) {
            // A question is a name, which ends with the root, a type and a class.
            let name = query[12..length].iter().position(|byte| *byte == 0).unwrap();
            let mut reply = query[..12 + name + 5].to_vec();
            reply[2..12].copy_from_slice(&[0x81, 0x80 | code, 0, 1, 0, 0, 0, 0, 0, 0]);
            if code == 0 {
                reply[7] = 1;
                reply.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
            }
            server.send_to(&reply, from).unwrap();
        }
    });
    address
}

#[test]
fn names_are_listed_in_a_file_and_the_family_is_that_of_the_way_to_the_server() {
    let server = name_server(0);
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("names");
    std::fs::write(&list, "a.test\n# none\nb.test # the second\n").unwrap();
    let list = list.to_str().unwrap();
    let asked = ["dns", "--file", list, "--server", &server, "-W", "20s"];
    let told = json(&check(&[&asked[..], &["-4", "-o", "json"]].concat()).assert_code(0));
    assert_eq!(
        (&told[0]["name"], &told[1]["name"]),
        (&"a.test".into(), &"b.test".into()),
        "{told}"
    );
    let other = check(&[&asked[..], &["-6"]].concat()).assert_code(4);
    assert!(
        other
            .stdout()
            .contains("127.0.0.1 is not an IPv6 address, and no other was to be asked"),
        "{other}"
    );
    let unknown = check(&["dns", "a.test", "--server", "nobody.invalid"]).assert_code(1);
    assert!(
        unknown
            .stdout()
            .contains("a.test: name_server: the name server cannot be asked"),
        "{unknown}"
    );
    check(&["dns"]).assert_code(2);
    // Nobody listens there, and nobody else gets the port meanwhile.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let deaf = taken.local_addr().unwrap().to_string();
    let refused = check(&["dns", "a.test", "--server", &deaf]).assert_code(1);
    assert!(refused.stdout().contains(&format!("  refused  {deaf}  ")), "{refused}");
}

#[test]
fn how_a_name_server_answers_is_told_and_one_that_could_not_find_out_is_not_well() {
    for (code, name, exit, why) in [
        (0, "NOERROR", 0, ""),
        (3, "NXDOMAIN", 0, ""),
        (1, "FORMERR", 1, "it cannot read the query"),
        (2, "SERVFAIL", 1, "it could not find out"),
        (4, "NOTIMP", 1, "it does not do what it was asked to"),
        (5, "REFUSED", 1, "its rules forbid it"),
    ] {
        let server = name_server(code);
        let args = ["udp", &server, "-p", "dns:a.test", "-W", "20s"];
        let table = check(&args).assert_code(exit);
        assert!(table.stdout().contains(&format!("  answered {name}  ")), "{table}");
        assert!(table.stdout().contains(why), "{table}");
        let told = json(&check(&[&args[..], &["-o", "json"]].concat()).assert_code(exit));
        assert_eq!(told[0]["response_code"], name, "{told}");
    }
    // Both are the root, of which a server need not tell.
    let server = name_server(5);
    for root in ["dns", "dns:", "dns:."] {
        check(&["udp", &server, "-p", root, "-W", "20s"]).assert_code(0);
    }
}

#[test]
fn a_time_server_that_refuses_is_not_well_and_its_code_is_told() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let mut request = [0; 48];
        while let Ok((_, from)) = server.recv_from(&mut request) {
            let mut reply = [0; 48];
            reply[0] = 4 << 3 | 4;
            reply[12..16].copy_from_slice(b"RATE");
            reply[24..32].copy_from_slice(&request[40..48]);
            server.send_to(&reply, from).unwrap();
        }
    });
    let told = check(&["udp", &address, "-p", "ntp", "-W", "20s"]).assert_code(1);
    assert!(told.stdout().contains("stratum 0 RATE\n"), "{told}");
    assert!(
        told.stdout()
            .contains("refuses to tell the time: RATE, it is asked too often"),
        "{told}"
    );
}
