//! `smotra-agent check … --live` before somebody's eyes, and for a program.
use e2e::{Held, Left, Terminal};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    io::{BufRead as _, BufReader},
    net::{TcpListener, UdpSocket},
    path::Path,
    process::Command,
};
use testkit::{binary, run};

/// A terminal of the usual size, with the first painting on it.
fn watched(args: &[&str]) -> Terminal {
    let args = [&["check"], args, &["--live"]].concat();
    let mut terminal = Terminal::start(&binary("smotra-agent").unwrap(), &args, (80, 24)).unwrap();
    terminal.wait_for("Ctrl-C ends").unwrap();
    terminal.wait_for("LATEST").unwrap();
    assert!(!terminal.echoes().unwrap(), "keys would spoil the table");
    terminal
}

/// What is on the screen when the program has given it back.
fn given_back(left: &Left) -> &str {
    let (painted, after) = left
        .shown
        .split_once("\u{1b}[?1049l")
        .expect("the other screen was left");
    assert!(painted.contains("\u{1b}["), "something was painted");
    assert!(after.contains("\u{1b}[?25h"), "the cursor is shown: {after:?}");
    assert!(left.echoes, "keys are shown again");
    after
}

/// Whether pings may be sent from here; it says so where not.
fn may_ping() -> bool {
    let told = run("smotra-agent", ["check", "ping", "127.0.0.1", "-c1"]).unwrap();
    let may = told.code() == Some(0);
    if !may {
        eprintln!("skipped: {told}");
    }
    may
}

#[test]
fn a_table_is_painted_in_place_until_ctrl_c_and_the_terminal_is_as_it_was() {
    if !may_ping() {
        return;
    }
    let mut terminal = watched(&["ping", "127.0.0.1", "127.0.0.2", "--count", "0", "--interval", "20ms"]);
    terminal.wait_for("▁").unwrap();
    terminal.resize((40, 10)).unwrap();
    // All of it is written anew, as nothing is where it was.
    terminal.wait_for("TARGET").unwrap();
    terminal.wait_for("127.0.0.2").unwrap();
    terminal.press("\u{3}").unwrap();
    let left = terminal.end().unwrap();
    assert_eq!(left.status.code(), Some(0), "{left:?}");
    let table = given_back(&left);
    let rows = table
        .lines()
        .filter(|line| line.starts_with("127.0.0.") && line.contains(" 0% "));
    assert_eq!(rows.count(), 2, "{table}");
    assert!(table.contains("MOS"), "{table}");
}

#[test]
fn a_second_ctrl_c_does_not_wait_for_what_is_under_way() {
    // A network of its own, whose only host answers no pings.
    let silent = "ip link set lo up && echo 1 > /proc/sys/net/ipv4/icmp_echo_ignore_all";
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("skipped: a network of its own wants root");
        return;
    }
    let agent = binary("smotra-agent").unwrap();
    let check = "check ping 127.0.0.1 --live -c0 -i20ms -W 1h";
    let script = format!("{silent} && exec {} {check}", agent.display());
    let mut terminal = Terminal::start(Path::new("unshare"), &["--net", "sh", "-c", &script], (80, 24)).unwrap();
    terminal.wait_for("Ctrl-C ends").unwrap();
    terminal.wait_for("LATEST").unwrap();
    // The clock in the first line goes on while nothing is known of any probe.
    terminal.wait_for("\u{1b}[1;").unwrap();
    terminal.press("\u{3}").unwrap();
    terminal.wait_for("ending").unwrap();
    terminal.press("\u{3}").unwrap();
    let left = terminal.end().unwrap();
    assert_eq!(left.status.code(), Some(130), "{left:?}");
    assert_eq!(given_back(&left).matches("127.0.0.1").count(), 0, "{left:?}");
}

#[test]
fn services_are_checked_again_and_again_and_a_stop_from_outside_leaves_the_terminal_as_it_was() {
    let open = TcpListener::bind("127.0.0.1:0").unwrap();
    // Nobody listens there, and nobody else gets the port meanwhile.
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let [open, deaf] = [open.local_addr().unwrap(), taken.local_addr().unwrap()].map(|address| address.to_string());
    let mut terminal = watched(&["tcp", &open, &deaf, "--interval", "20ms"]);
    terminal.wait_for("refused").unwrap();
    let pid = Pid::from_raw(terminal.pid().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let left = terminal.end().unwrap();
    assert_eq!(left.status.code(), Some(1), "one refuses: {left:?}");
    let table = given_back(&left);
    assert!(table.contains("CHECKS") && table.contains("connected"), "{table}");
    assert!(table.contains("see whether the service runs there"), "{table}");
}

#[test]
fn where_nobody_looks_there_is_a_line_or_an_object_each_and_it_ends_with_its_reader() {
    let open = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = open.local_addr().unwrap().to_string();
    let told = run(
        "smotra-agent",
        ["check", "tcp", &address, "--live", "-c3", "-i1ms", "-o", "jsonl"],
    );
    let told = told.unwrap().assert_code(0).json_lines().unwrap();
    let numbers: Vec<&Value> = told.iter().map(|line| &line["number"]).collect();
    assert_eq!(numbers, [0, 1, 2], "{told:?}");
    assert!(
        told.iter()
            .all(|line| line["target"] == *address && line["connect_ms"].is_f64()),
        "{told:?}"
    );

    let mut endless = Command::new(binary("smotra-agent").unwrap());
    endless.args(["check", "tcp", &address, "--live", "-i1ms"]);
    let mut endless = Held::start(endless).unwrap();
    let mut lines = BufReader::new(endless.stdout().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.starts_with(&format!("{address} 0: connected ")), "{first}");
    assert!(lines.next().unwrap().unwrap().starts_with(&format!("{address} 1: ")));
    drop(lines);
    assert_eq!(endless.wait().unwrap().code(), Some(0));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for (args, why) in [
        (&["ping", "--live", "-o", "json"][..], "--output jsonl"),
        (&["ping", "-c0"], "wants `--live`"),
        (&["tls", "-l", "-o", "json"], "--output jsonl"),
        (&["tcp", "-c2"], "--live"),
    ] {
        let refused = run("smotra-agent", [&["check"], args, &["127.0.0.1:1"]].concat());
        let refused = refused.unwrap().assert_code(2);
        assert!(refused.stderr().contains(why), "{refused}");
    }
}
