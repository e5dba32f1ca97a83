//! `smotra-agent check` as somebody types it, over a network of three hops. Where none can be built, these tests say so and pass.
use e2e::Terminal;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{fs, time::Duration};
use testkit::{
    Daemon, Dnsmasq, Output, Program, binary, eventually,
    net::{LinkSettings, Topology, TopologyOptions, address},
    run,
};

fn network(ecmp: bool) -> Option<Topology> {
    let options = TopologyOptions {
        ecmp,
        ..TopologyOptions::default()
    };
    Topology::new_or_skip(&options).unwrap()
}

/// On host A.
fn trace(network: &Topology, args: &[&str]) -> Output {
    let all = [&["check", "trace"], args].concat();
    network.a().enter(|| run("smotra-agent", all).unwrap()).unwrap()
}

/// On host A, until it ends or the test does.
fn started(network: &Topology, args: &[&str]) -> Daemon {
    let start = || Program::named("smotra-agent").unwrap().args(args).start().unwrap();
    network.a().enter(start).unwrap()
}

fn pid(of: &Daemon) -> Pid {
    Pid::from_raw(of.id().try_into().unwrap()).unwrap()
}

/// How many pings have come to host B: its link has packets of other kinds, too.
fn echoes(network: &Topology) -> u64 {
    let read = || fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
    let counts = network.b().enter(read).unwrap();
    let mut rows = counts.lines().filter_map(|line| line.strip_prefix("Icmp: "));
    let [names, values] = [(); 2].map(|()| rows.next().unwrap().split_whitespace());
    let mut counts = names.zip(values);
    let (_, count) = counts.find(|(name, _)| *name == "InEchos").unwrap();
    count.parse().unwrap()
}

#[test]
fn a_way_is_a_table_or_json() {
    let Some(network) = network(false) else { return };
    let target = address::B.v4.to_string();
    let table = trace(&network, &[&target]).assert_code(0);
    let table = table.stdout();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines[0], "10.201.3.2 (10.201.3.2) by ICMP: reached at hop 3");
    for (line, router) in lines[2..].iter().zip(["10.201.1.1", "10.201.2.2", "10.201.3.2"]) {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[1..5], [router, "3", "0%", "0%"], "{table}");
    }
    for args in [
        &["--protocol", "udp"][..],
        &["--protocol", "tcp", "--port", "1"],
        &["-6"],
    ] {
        let target = if args == ["-6"] {
            address::B.v6.to_string()
        } else {
            target.clone()
        };
        let told = trace(&network, &[args, &[&target, "--output", "json"]].concat()).assert_code(0);
        let told: Value = serde_json::from_str(told.stdout().as_ref()).unwrap();
        assert_eq!(
            (&told[0]["reached"], &told[0]["failure"]),
            (&true.into(), &Value::Null),
            "{told}"
        );
        assert_eq!(told[0]["hops"].as_array().unwrap().len(), 3, "{told}");
        assert!(
            told[0]["hops"][0]["routers"][0]["times"]["median_ms"].as_f64() > Some(0.0),
            "{told}"
        );
    }
}

#[test]
fn loss_by_udp_is_told_as_the_most_there_can_be() {
    let Some(network) = network(false) else { return };
    // As Linux comes: six such errors at once, and then one a second.
    network.b().sysctl("net.ipv4.icmp_ratelimit", "1000").unwrap();
    network.b().sysctl("net.ipv4.icmp_ratemask", "6168").unwrap();
    let target = address::B.v4.to_string();
    let bound = |protocol: &str| {
        let args = [
            &target, "-c20", "-i", "1ms", "-p", protocol, "-W", "500ms", "-o", "json",
        ];
        let told: Value = serde_json::from_str(trace(&network, &args).assert_code(0).stdout().as_ref()).unwrap();
        let last = &told[0]["hops"][2];
        (last["loss"].as_f64() > Some(0.0), last["loss_is_upper_bound"].clone())
    };
    assert_eq!(bound("udp"), (true, true.into()));
    assert_eq!(bound("icmp"), (false, false.into()));
    let table = trace(&network, &[&target, "-c20", "-i", "1ms", "-p", "udp", "-W", "500ms"]).assert_code(0);
    assert!(table.stdout().contains("LOSS is the most that there can be"), "{table}");
}

#[test]
fn several_ways_and_a_black_hole_are_named() {
    let Some(network) = network(true) else { return };
    let target = address::ECMP_TARGET.v4.to_string();
    let told = trace(&network, &[&target, "--flows", "16"]).assert_code(0);
    let told = told.stdout();
    assert!(
        told.contains("way 1, ") && told.contains("way 2, ") && !told.contains("way 3, "),
        "{told}"
    );
    let hole = LinkSettings {
        black_hole_above: Some(1400),
        ..LinkSettings::default()
    };
    network.link_each(hole, LinkSettings::default());
    let target = address::B.v4.to_string();
    let told = trace(&network, &[&target, "--path-mtu", "--timeout", "500ms"]).assert_code(0);
    let hole =
        "packets of 1400 bytes come through, longer ones vanish between 10.201.1.1, at hop 1, and 10.201.2.2, at hop 2";
    assert!(told.stdout().contains(hole), "{told}");
}

#[test]
fn a_way_that_ends_is_a_finding_with_its_hop() {
    let Some(network) = network(false) else { return };
    let refused = trace(&network, &[&address::PROHIBITED.v4.to_string(), "--count", "1"]).assert_code(1);
    let said = refused.stdout();
    assert!(
        said.contains("not reached") && said.contains("10.201.2.2, at hop 2, says of 10.201.8.2"),
        "{said}"
    );
    let wrong = trace(&network, &["192.0.2.1", "--flows", "4", "--protocol", "icmp"]).assert_code(2);
    assert!(wrong.stderr().contains("ICMP has no ports"), "{wrong}");
    let server = trace(&network, &["192.0.2.1", "--names", "--name-server", "gate"]);
    assert!(
        server.stderr().contains("--name-server gate: that is no address"),
        "{server}"
    );
}

#[test]
fn routers_are_called_by_their_names() {
    let Some(network) = network(false) else { return };
    if !Dnsmasq::is_installed() {
        eprintln!("skipped: dnsmasq is not installed (package dnsmasq-base)");
        return;
    }
    let records = [
        "ptr-record=1.1.201.10.in-addr.arpa,gate.example",
        "ptr-record=2.3.201.10.in-addr.arpa,far.example",
    ];
    let server = network.a().enter(|| Dnsmasq::start(records)).unwrap().unwrap();
    let (server, target) = (server.address().to_string(), address::B.v4.to_string());
    let told = trace(&network, &[&target, "--names", "--name-server", &server]).assert_code(0);
    let names: Vec<String> = told
        .stdout()
        .lines()
        .skip(2)
        .filter_map(|line| line.split_whitespace().nth(2).map(str::to_owned))
        .collect();
    assert_eq!(names, ["gate.example", "-", "far.example"], "{told}");
}

#[test]
fn a_stopped_process_says_so_and_calls_nothing_lost() {
    let Some(network) = network(false) else { return };
    let target = address::B.v4.to_string();
    let args = [
        "check",
        "ping",
        &target,
        "--count",
        "150",
        "--interval",
        "10ms",
        "--timeout",
        "3s",
        "--output",
        "jsonl",
    ];
    let before = echoes(&network);
    let pinging = started(&network, &args);
    let pid = pid(&pinging);
    eventually("some pings", || Ok((echoes(&network) >= before + 10).then_some(()))).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    // Answers come meanwhile, and probes are due that are not sent.
    std::thread::sleep(Duration::from_secs(1));
    kill_process(pid, Signal::CONT).unwrap();
    let told = pinging.wait_for_text(r#""answered""#).unwrap();
    let report: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(
        (&report["answered"], &report["lost"]),
        (&150.into(), &0.into()),
        "{report}"
    );
    assert!(report["trust"]["stall_ms"].as_f64() > Some(500.0), "{report}");
}

#[test]
fn a_ping_that_is_stopped_reports_what_came_until_then() {
    let Some(network) = network(false) else { return };
    let target = address::B.v4.to_string();
    for signal in [Signal::TERM, Signal::INT] {
        let args = [
            "check", "ping", &target, "-c", "100000", "-i", "0.01", "-W", "20", "-o", "jsonl",
        ];
        let before = echoes(&network);
        let pinging = started(&network, &args);
        eventually("some pings", || Ok((echoes(&network) >= before + 10).then_some(()))).unwrap();
        kill_process(pid(&pinging), signal).unwrap();
        let told = pinging.wait_for_text(r#""answered""#).unwrap();
        let told: Value = serde_json::from_str(&told).unwrap();
        let (sent, answered) = (told["sent"].as_u64().unwrap(), told["answered"].as_u64().unwrap());
        assert!(answered >= 5 && sent < 100_000, "{told}");
        assert_eq!(pinging.wait().unwrap().code(), Some(0), "{told}");
    }
}

#[test]
fn a_ping_that_is_stopped_before_all_targets_were_asked_says_so() {
    let Some(network) = network(false) else { return };
    let target = address::B.v4.to_string();
    // The second would be asked after a quarter of an hour.
    let args = [
        "check", "ping", &target, &target, &target, &target, "-i", "1h", "-W", "20",
    ];
    let before = echoes(&network);
    let pinging = started(&network, &args);
    eventually("the first ping", || Ok((echoes(&network) > before).then_some(()))).unwrap();
    kill_process(pid(&pinging), Signal::TERM).unwrap();
    pinging
        .wait_for_text("stopped by SIGTERM: nothing is known of 3 of 4 targets")
        .unwrap();
    assert_eq!(pinging.wait().unwrap().code(), Some(5));
}

#[test]
fn a_ping_that_is_stopped_says_what_it_waits_for_and_ends_when_it_is_stopped_again() {
    let Some(network) = network(false) else { return };
    let [silent, near] = [address::DISCARDED.v4, address::B.v4].map(|address| address.to_string());
    let before = echoes(&network);
    // The second is asked after the first.
    let args = ["check", "ping", &silent, &near, "-c", "1", "-i", "0.2", "-W", "1h"];
    let pinging = started(&network, &args);
    eventually("both pings", || Ok((echoes(&network) > before).then_some(()))).unwrap();
    kill_process(pid(&pinging), Signal::INT).unwrap();
    pinging.wait_for_text("waiting for the pings under way").unwrap();
    kill_process(pid(&pinging), Signal::INT).unwrap();
    assert_eq!(pinging.wait().unwrap().code(), Some(130));
}

#[test]
fn traces_that_were_done_before_they_were_stopped_are_told() {
    let Some(network) = network(false) else { return };
    let [near, silent] = [address::R1.v4, address::DISCARDED.v4].map(|address| address.to_string());
    let args = [
        "check",
        "trace",
        &near,
        &silent,
        "--parallel",
        "1",
        "-W",
        "1h",
        "-o",
        "jsonl",
    ];
    for args in [args.to_vec(), [&args[..], &["--live"]].concat()] {
        let tracing = started(&network, &args);
        tracing.wait_for_text(&format!(r#""target":"{near}""#)).unwrap();
        kill_process(pid(&tracing), Signal::TERM).unwrap();
        let told = "stopped by SIGTERM: nothing is known of 1 of 2 targets";
        tracing.wait_for_text(told).unwrap();
        assert_eq!(tracing.wait().unwrap().code(), Some(5), "{args:?}");
    }
}

#[test]
fn a_way_is_watched_and_its_change_is_told() {
    let Some(network) = network(true) else { return };
    let target = address::ECMP_TARGET.v4.to_string();
    let by = |router: &str| {
        let route = ["route", "replace", &target, "via", router];
        network.r1().ip(route).unwrap();
    };
    let (r2, r3) = (address::R2.v4.to_string(), address::R3.v4.to_string());
    by(&r2);
    let args = [
        "check",
        "trace",
        &target,
        "--interval",
        "50ms",
        "--timeout",
        "20s",
        "--live",
        "--output",
        "jsonl",
    ];
    let start = || Program::named("smotra-agent").unwrap().args(args).start().unwrap();
    let tracing = network.a().enter(start).unwrap();
    tracing.wait_for_text(&format!(r#""hop":2,"address":"{r2}""#)).unwrap();
    by(&r3);
    tracing.wait_for_text(&format!(r#""hop":2,"address":"{r3}""#)).unwrap();
    // The target comes nearer: nobody stands behind it.
    network.r1().ip(["addr", "add", &target, "dev", "lo"]).unwrap();
    let gone = tracing.wait_for_text(r#""outcome":"gone""#).unwrap();
    assert!(gone.contains(r#""hop":2,"address":null"#), "{gone}");
    kill_process(Pid::from_raw(tracing.id() as i32).unwrap(), Signal::INT).unwrap();
    let told = tracing.wait_for_text(r#""changes":["#).unwrap();
    let told: Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    let change = &told["changes"][0];
    assert_eq!(
        (&change["hop"], &change["before"][1]),
        (&2.into(), &r2.into()),
        "{told}"
    );
    assert_eq!(
        (&change["after"][1], &told["failure"]),
        (&r3.into(), &Value::Null),
        "{told}"
    );
    assert!(tracing.wait().unwrap().success());
}

#[test]
fn a_way_is_painted_hop_by_hop() {
    let Some(network) = network(false) else { return };
    let target = address::B.v4.to_string();
    let args = ["check", "trace", &target, "--interval", "100ms", "--live"];
    let program = binary("smotra-agent").unwrap();
    let start = || Terminal::start(&program, &args, (80, 24)).unwrap();
    let mut terminal = network.a().enter(start).unwrap();
    for text in ["Ctrl-C ends", "HOP", "10.201.1.1", "10.201.2.2", "10.201.3.2"] {
        terminal.wait_for(text).unwrap();
    }
    terminal.press("\u{3}").unwrap();
    let left = terminal.end().unwrap();
    let (_, after) = left.shown.split_once("\u{1b}[?1049l").unwrap();
    let rows = after.lines().filter(|line| line.contains(" 10.201.")).count();
    assert!(rows == 3 && after.contains("SILENT") && left.echoes, "{after}");
}

#[test]
fn a_link_that_fails_for_a_while_is_loss_and_no_other_way() {
    let Some(network) = network(false) else { return };
    let target = address::B.v4.to_string();
    let args = [
        "check",
        "trace",
        &target,
        "--interval",
        "100ms",
        "--timeout",
        "500ms",
        "--count",
        "40",
        "--live",
        "--output",
        "jsonl",
    ];
    let start = || Program::named("smotra-agent").unwrap().args(args).start().unwrap();
    let tracing = network.a().enter(start).unwrap();
    tracing.wait_for_text(r#""hop":3,"address":"10.201.3.2""#).unwrap();
    network.cut(true);
    let mut lost = 0;
    let is_lost = |line: &str| {
        lost += usize::from(line.contains(r#""hop":3,"address":null"#));
        (lost >= 5).then_some(())
    };
    tracing.wait_for("five lost probes", is_lost).unwrap();
    network.cut(false);
    tracing.wait_for_text(r#""changes":["#).unwrap();
    let told = fs::read_to_string(tracing.stdout_file()).unwrap();
    let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (last, probes) = told.split_last().unwrap();
    assert_eq!(last["changes"], Value::Array(Vec::new()), "{last}");
    for hop in 1..=3 {
        assert_eq!(
            probes.iter().filter(|probe| probe["hop"] == hop).count(),
            40,
            "hop {hop}"
        );
    }
    assert_eq!(probes.len(), 120, "and nothing is further");
    assert!(probes.iter().filter(|probe| probe["outcome"] == "lost").count() >= 5);
    tracing.wait().unwrap();
}
