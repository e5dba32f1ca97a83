//! `smotra-agent check` as somebody types it.
use serde_json::Value;
use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, UdpSocket},
    thread,
};
use testkit::{Output, run};

fn check(args: &[&str]) -> Output {
    run("smotra-agent", [&["check"], args].concat()).unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_str(output.stdout().as_ref()).unwrap()
}

/// A port at which nobody listens, and that nobody else gets meanwhile.
fn deaf() -> (UdpSocket, String) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    (socket, address)
}

/// Gives each connection the same answer.
fn serve(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _asked = stream.read(&mut [0; 4096]);
            let _answered = stream.write_all(answer.as_bytes());
        }
    });
    address
}

#[test]
fn pings_of_many_targets_are_a_table_or_json_and_say_whether_to_trust_them() {
    let args = [
        "ping",
        "127.0.0.1",
        "127.0.0.2",
        "--count",
        "3",
        "--interval",
        "5ms",
        "--timeout",
        "20s",
    ];
    let table = check(&args);
    if table.stderr().contains("net.ipv4.ping_group_range") || table.stdout().contains("net.ipv4.ping_group_range") {
        eprintln!("skipped: this process may send no pings");
        return;
    }
    let table = table.assert_code(0);
    assert!(table.stdout().starts_with("TARGET"), "{table}");
    assert_eq!(
        table.stdout().lines().filter(|line| line.contains("  3    0%")).count(),
        2,
        "{table}"
    );
    let told = json(&check(&[&args[..], &["-o", "json", "--samples"]].concat()).assert_code(0));
    for target in told.as_array().unwrap() {
        assert_eq!(
            (&target["answered"], &target["trust"]["dropped"]),
            (&3.into(), &0.into()),
            "{told}"
        );
        let rtt = target["samples"][0]["rtt_ms"].as_f64().unwrap();
        assert!(
            rtt > 0.0 && rtt == target["samples"][0]["rtt_ms"].as_f64().unwrap(),
            "{told}"
        );
        let median = target["times"]["median_ms"].as_f64().unwrap();
        assert!(
            target["samples"]
                .as_array()
                .unwrap()
                .iter()
                .any(|sample| sample["rtt_ms"] == median),
            "{told}"
        );
    }
}

#[test]
fn what_is_not_well_is_said_with_its_remedy_and_the_exit_status_tells_whose_fault_it_is() {
    let (_kept, deaf) = deaf();
    let open = serve("");
    let refused = check(&["tcp", &open, &deaf]).assert_code(1);
    let text = refused.stdout();
    assert!(text.contains("connected") && text.contains("refused"), "{text}");
    assert!(
        text.contains("nobody listens there; see whether the service runs there"),
        "{text}"
    );
    let wrong = check(&["tcp", "nowhere"]).assert_code(4);
    assert!(wrong.stdout().contains("write `nowhere:PORT`"), "{wrong}");
    let unknown = check(&["ping", "nobody.invalid", "-c1"]).assert_code(1);
    assert!(unknown.stdout().contains("getent ahosts NAME"), "{unknown}");
    check(&["ping"]).assert_code(2);
    check(&["ping", "127.0.0.1", "--size", "19"]).assert_code(2);
    for times in [["-W", "9999999999999"], ["-i", "9999999999999"]] {
        let endless = check(&[&["ping", "127.0.0.1"][..], &times].concat()).assert_code(4);
        assert!(
            endless.stdout().contains(" at the most") || endless.stdout().contains("ping_group_range"),
            "{endless}"
        );
    }
    for service in ["tcp", "udp", "http", "tls"] {
        let endless = check(&[service, &open, "-W", "9999999999999"]).assert_code(4);
        assert!(endless.stdout().contains("an hour at most"), "{endless}");
    }
    let other = check(&["tcp", &open, "-6"]).assert_code(4);
    assert!(other.stdout().contains("127.0.0.1 is not an IPv6 address"), "{other}");
    let listed = check(&["tcp", "--file", "/nonexistent/list"]).assert_code(4);
    assert!(
        listed
            .stderr()
            .contains("could not read targets from /nonexistent/list"),
        "{listed}"
    );
}

/// The words of the first row of a table.
fn first_row(table: &Output) -> Vec<String> {
    let stdout = table.stdout();
    let row = stdout.lines().nth(1).unwrap();
    row.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn an_address_that_takes_no_connection_is_told_with_what_became_of_it() {
    let (_kept, deaf) = deaf();
    let told = check(&["tcp", &deaf]).assert_code(1);
    let row = first_row(&told);
    assert_eq!(row[..3], [&deaf, &deaf, "refused"], "{told}");
    let told = json(&check(&["tcp", &deaf, "255.255.255.255:9", "-o", "json"]).assert_code(1));
    assert_eq!(
        (&told[0]["address"], &told[1]["address"]),
        (&deaf.into(), &"255.255.255.255:9".into()),
        "{told}"
    );
    let kind = |target: &Value| target["attempts"][0]["failure"]["kind"].clone();
    assert_eq!(
        (kind(&told[0]), kind(&told[1])),
        ("refused".into(), "no_route".into()),
        "{told}"
    );
}

#[test]
fn pages_services_and_name_servers_are_checked_too() {
    let page = serve("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
    let url = format!("http://{page}/");
    let well = json(&check(&["http", &url, "--contains", "hell", "-o", "json"]).assert_code(0));
    assert_eq!(
        (&well[0]["status"], &well[0]["body_bytes"]),
        (&200.into(), &5.into()),
        "{well}"
    );
    assert!(well[0]["times"]["first_byte_ms"].is_f64(), "{well}");
    let table = check(&["http", &url]).assert_code(0);
    let row = first_row(&table);
    assert_eq!(
        row[1..4],
        ["ok", "200", "-"],
        "an address has no time of a name: {table}"
    );
    let other = check(&["http", &url, "--contains", "bye", "--status", "2xx"]).assert_code(1);
    assert!(other.stdout().contains("does not have `bye` in it"), "{other}");
    let plain = check(&["tls", &page, "-W", "20s"]).assert_code(1);
    assert!(plain.stdout().contains("did not speak TLS"), "{plain}");

    let echo = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = echo.local_addr().unwrap().to_string();
    let answers = thread::spawn(move || {
        let mut packet = [0; 2048];
        for _ in 0..2 {
            let (length, from) = echo.recv_from(&mut packet).unwrap();
            echo.send_to(&packet[..length], from).unwrap();
        }
    });
    let echoed = json(&check(&["udp", &address, "--probe", "echo", "-o", "json", "-W", "20s"]).assert_code(0));
    assert_eq!(
        (&echoed[0]["state"], &echoed[0]["lost"]),
        (&"answered".into(), &0.into()),
        "{echoed}"
    );
    // It answers, and does not speak DNS: its own query comes back.
    let asked = check(&["dns", "example.org", "--server", &address, "-W", "500ms"]).assert_code(1);
    assert!(asked.stdout().contains("example.org"), "{asked}");
    answers.join().unwrap();
}

#[test]
fn times_are_seconds_unless_they_have_a_unit() {
    let open = serve("");
    check(&["tcp", &open, "-W", "20", "--live", "-c2", "-i", "0.01"]).assert_code(0);
    check(&["trace", "127.0.0.1", "-p", "udp", "-W", "2.5", "-i0.01"]).assert_code(0);
    let wrong = check(&["tcp", &open, "-W", "2x"]).assert_code(2);
    assert!(wrong.stderr().contains("such as `500ms`, `30s`"), "{wrong}");
    // The name has its part of the time of the whole there.
    check(&["tcp", &open, "--resolve-timeout", "1"]).assert_code(2);
    // Seconds cannot be meant there.
    check(&["tls", &open, "--expires-within", "30"]).assert_code(2);
}

#[test]
fn checks_ask_from_the_address_that_is_named_or_say_why_not() {
    let open = serve("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let well = json(&check(&["tcp", &open, "--source", "127.0.0.2", "-o", "json"]).assert_code(0));
    assert!(well[0]["local"].as_str().unwrap().starts_with("127.0.0.2:"), "{well}");
    let url = format!("http://{open}/");
    check(&["http", &url, "--source", "127.0.0.2"]).assert_code(0);
    // Set aside for documentation: nobody has it.
    let foreign = check(&["http", &url, "--source", "192.0.2.77"]).assert_code(4);
    assert!(
        foreign
            .stdout()
            .contains("has no address 192.0.2.77 to send from: `ip address` lists"),
        "{foreign}"
    );
    let other = check(&["udp", &open, "--source", "::1"]).assert_code(4);
    assert!(other.stdout().contains("give an IPv4 address as the source"), "{other}");
    let nobodys = check(&["ping", "127.0.0.1", "-c1", "--source", "192.0.2.77"]).assert_code(4);
    let told = nobodys.stdout();
    // Where no pings may be sent at all, that comes first.
    assert!(
        told.contains("no address 192.0.2.77 to send from") || told.contains("ping_group_range"),
        "{nobodys}"
    );
    check(&["trace", "127.0.0.1", "-p", "udp", "--source", "127.0.0.2"]).assert_code(0);
    check(&["tls", &open, "--source", "here"]).assert_code(2);
}

#[test]
fn a_trace_to_no_host_is_not_begun_and_is_not_tried_again() {
    for protocol in ["icmp", "udp", "tcp"] {
        let told = check(&["trace", "0.0.0.0", "-p", protocol]).assert_code(4);
        let lines: Vec<_> = told.stdout().lines().map(str::to_owned).collect();
        assert!(lines[0].ends_with(": not reached") && lines.len() == 2, "{told}");
        let why = "0.0.0.0: invalid: 0.0.0.0 is no address of a host; correct what was asked for";
        assert_eq!(lines[1], why);
        let live = check(&["trace", "0.0.0.0", "-p", protocol, "--live", "-o", "jsonl"]).assert_code(4);
        assert!(live.stdout().contains("is no address of a host"), "{live}");
    }
}

#[test]
fn pages_are_listed_in_a_file_too() {
    let page = serve("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("pages");
    std::fs::write(&list, format!("http://{page}/a\n# none\nhttp://{page}/b\n")).unwrap();
    let told = json(&check(&["http", "--file", list.to_str().unwrap(), "-o", "json"]).assert_code(0));
    let urls: Vec<_> = told
        .as_array()
        .unwrap()
        .iter()
        .map(|page| page["url"].clone())
        .collect();
    assert_eq!(urls, [format!("http://{page}/a"), format!("http://{page}/b")]);
    check(&["http"]).assert_code(2);
}

#[test]
fn a_name_server_that_does_not_take_edns_is_asked_without_and_that_is_said() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap().to_string();
    let answers = thread::spawn(move || {
        let mut query = [0; 512];
        let (_, from) = server.recv_from(&mut query).unwrap();
        // FORMERR, and nothing but a header.
        server
            .send_to(&[query[0], query[1], 0x81, 1, 0, 0, 0, 0, 0, 0, 0, 0], from)
            .unwrap();
        let (length, from) = server.recv_from(&mut query).unwrap();
        let mut reply = query[..length].to_vec();
        assert_eq!(reply[11], 0, "without EDNS there is no further record");
        (reply[2], reply[7]) = (0x81, 1);
        reply.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
        server.send_to(&reply, from).unwrap();
    });
    let asked = check(&["dns", "a.test", "--server", &address, "-W", "20s"]).assert_code(0);
    let text = asked.stdout();
    assert!(
        text.contains("192.0.2.7") && text.contains("answered FORMERR to a query with EDNS"),
        "{text}"
    );
    answers.join().unwrap();
}
