//! `smotra-agent check` when somebody stops it, or nobody reads what it says.
use e2e::Held;
use rustix::{
    io::ioctl_fionread,
    process::{Pid, Signal, kill_process},
};
use std::{
    fs,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    iter::repeat_n,
    net::TcpListener,
    process::Command,
    thread,
};
use testkit::{Daemon, Program, binary, eventually};

/// Answers each connection as a page that is there.
fn page() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _asked = stream.read(&mut [0; 4096]);
            let _answered = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    address
}

/// Takes questions, and never answers.
fn mute() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

fn started(args: &[&str]) -> Daemon {
    let program = Program::named("smotra-agent").unwrap();
    program.args([&["check"], args].concat()).start().unwrap()
}

fn signal(to: &Daemon, signal: Signal) {
    let pid = Pid::from_raw(to.id().try_into().unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

fn agent(args: &[&str]) -> Command {
    let mut command = Command::new(binary("smotra-agent").unwrap());
    command.arg("check").args(args);
    command
}

#[test]
fn whoever_stops_a_check_is_told_what_came_until_then() {
    let well = page();
    // Nobody listens there, and nobody else gets the port meanwhile.
    let kept = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let deaf = kept.local_addr().unwrap().to_string();
    let (mute, waiting) = mute();
    for (first, by, name, exit) in [
        (&well, Signal::INT, "SIGINT", 5),
        (&well, Signal::TERM, "SIGTERM", 5),
        (&deaf, Signal::TERM, "SIGTERM", 1),
    ] {
        let checking = started(&["http", first, &waiting, "--parallel", "1", "-W", "1h"]);
        let _asked = eventually("ask the second", || Ok(mute.accept().ok())).unwrap();
        signal(&checking, by);
        checking.wait_for_text(first).unwrap();
        let stopped = format!("stopped by {name}: nothing is known of 1 of 2 targets");
        checking.wait_for_text(&stopped).unwrap();
        let told = checking.lines();
        assert!(!told.iter().any(|line| line.contains(&waiting)), "{told:?}");
        assert_eq!(checking.wait().unwrap().code(), Some(exit), "{told:?}");
    }
}

#[test]
fn what_goes_on_and_is_stopped_tells_how_many_targets_it_has_not_asked() {
    let page = page();
    // The second would be asked after half an hour.
    let checking = started(&["tcp", &page, &page, "--live", "-i", "1h", "-o", "jsonl"]);
    checking.wait_for_text(r#""number":0"#).unwrap();
    signal(&checking, Signal::TERM);
    let stopped = "stopped by SIGTERM: nothing is known of 1 of 2 targets";
    checking.wait_for_text(stopped).unwrap();
    assert_eq!(checking.wait().unwrap().code(), Some(5));
}

#[test]
fn a_long_list_of_checks_that_take_no_time_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list");
    // No port is named, which wants no look at the network.
    fs::write(&list, "nowhere\n".repeat(200_000)).unwrap();
    let checking = started(&["tcp", "--file", list.to_str().unwrap(), "-o", "jsonl"]);
    checking.wait_for_text("nowhere").unwrap();
    signal(&checking, Signal::TERM);
    checking.wait_for_text("of 200000 targets").unwrap();
    assert_eq!(checking.wait().unwrap().code(), Some(4));
}

#[test]
fn a_second_signal_ends_what_waits_for_a_reader_that_does_not_read() {
    // More than a pipe has room for, by one write.
    let long = "n".repeat(100_000);
    let mut checking = Held::start(agent(&["tcp", &long, "-o", "jsonl"])).unwrap();
    let unread = checking.stdout().unwrap();
    // As much as there is room for is written at once.
    let is_full = || Ok((ioctl_fionread(&unread)? > 0).then_some(()));
    eventually("a full pipe", is_full).unwrap();
    let ended = eventually("end by the second signal", || {
        checking.signal(Signal::TERM)?;
        checking.ended()
    });
    assert_eq!(ended.unwrap().code(), Some(143));
}

#[test]
fn a_check_ends_with_its_reader() {
    let (page, (mute, waiting)) = (page(), mute());
    // More than a pipe has room for, and then one that never ends.
    let mut targets: Vec<&str> = repeat_n(page.as_str(), 1000).collect();
    targets.push(&waiting);
    let args = ["http", "--parallel", "1", "-W", "1h", "-o", "jsonl"];
    let mut checking = Held::start(agent(&[&args[..], &targets].concat())).unwrap();
    let mut lines = BufReader::new(checking.stdout().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains(&page));
    drop(lines);
    assert_eq!(checking.wait().unwrap().code(), Some(5), "not all were checked");
    assert!(mute.accept().is_err(), "the last was not asked");
}

#[test]
fn the_exit_status_is_right_where_nobody_reads_standard_error() {
    let (page, (mute, waiting)) = (page(), mute());
    let deaf = |args: &[&str]| {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut command = agent(args);
        command.stderr(writer);
        Held::start(command).unwrap()
    };
    let mut unreadable = deaf(&["tcp", "--file", "/nonexistent/list"]);
    assert_eq!(unreadable.wait().unwrap().code(), Some(4));
    let mut checking = deaf(&["http", &page, &waiting, "--parallel", "1", "-W", "1h"]);
    let _asked = eventually("ask the second", || Ok(mute.accept().ok())).unwrap();
    checking.signal(Signal::TERM).unwrap();
    assert_eq!(checking.wait().unwrap().code(), Some(5));
}
