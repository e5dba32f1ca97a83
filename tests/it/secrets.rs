//! Secrets stay where they belong. A whole run, with everything logged that can be, in both forms of the log, and then
//! every file, every output and every byte on the wire is looked through for each of them.
mod places;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use e2e::{Fleet, Scanner, WireTap, http};
use flate2::{Compression, write::GzEncoder};
use places::{Places, Said, Secret};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Write as _,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::Path,
};
use testkit::{CertificateAuthority, Daemon, OtlpOptions, OtlpReceiver, Validity, eventually, http_get};

const OTLP_TOKEN: &str = "otlp-token-that-nobody-may-see";
const PROXY_PASSWORD: &str = "proxy-password-that-nobody-may-see";
const UNRELATED: &str = "password-of-another-program";
const FOREIGN_KEY: &str = "sk_foreign-key-that-nobody-may-see";

/// Everything, and what only who asks for it by name gets to see: the libraries under the products speak of requests.
const LEVEL: &str = "logging.level=trace,hyper=trace,hyper_util=trace,reqwest=trace,rustls=trace,tungstenite=trace,\
                     tokio_tungstenite=trace,h2=trace,tower=trace,tower_http=trace";

/// A field of a file of JSON.
fn field(path: impl AsRef<Path>, name: &str) -> String {
    let json: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    json[name].as_str().unwrap().to_owned()
}

fn start(scanner: &Scanner, tap: &WireTap, format: &str) -> Daemon {
    let format = format!("logging.format={format}");
    let settings = [
        format.as_str(),
        LEVEL,
        "logging.file=log/scanner.log",
        "logging.max_size=64KB",
        "logging.max_backups=50",
        "scanner.scan_interval=200ms",
        "agent.heartbeat_interval=1s",
    ];
    let set = settings.iter().flat_map(|&setting| ["--set", setting]);
    let args: Vec<&str> = ["run"].into_iter().chain(set).collect();
    let proxy = format!("http://someone:{PROXY_PASSWORD}@{}", tap.address());
    let program = scanner.program(&args).unwrap().env("A_PROXY", proxy);
    let program = program
        .env("OTLP_TOKEN", OTLP_TOKEN)
        .env("UNRELATED_PASSWORD", UNRELATED);
    program.start().unwrap()
}

/// Where its health is served, as either form of the log says it.
fn health(daemon: &Daemon) -> SocketAddr {
    let address = daemon.wait_for("the address of its health", |line| {
        let (_, fields) = line.split_once("health and metrics are served")?;
        let (_, address) = fields.split_once("address")?;
        let address = address.trim_start_matches(['=', '"', ':']);
        address.split(['"', ' ']).next()?.parse().ok()
    });
    address.unwrap()
}

/// The commands of an agent that show something, in both forms.
fn commands_of_agent(scanner: &Scanner, tap: &WireTap, places: &mut Places) {
    let proxy = format!("http://someone:{PROXY_PASSWORD}@{}", tap.address());
    let tree = scanner.tree();
    let bundle = ["doctor", "--bundle", "bundle.tar.gz"];
    let commands: [&[&str]; 9] = [
        &["config", "show"],
        &["config", "show", "--output", "json"],
        &["config", "check"],
        &["status", "-v"],
        &["history"],
        &["explain", tree.to_str().unwrap()],
        &["doctor", "--output", "json"],
        &bundle,
        &["diff", "-v"],
    ];
    for command in commands {
        let program = scanner.program(command).unwrap().env("A_PROXY", &proxy);
        let output = program
            .env("OTLP_TOKEN", OTLP_TOKEN)
            .env("UNRELATED_PASSWORD", UNRELATED)
            .run()
            .unwrap();
        places.output(&output);
    }
}

fn commands_of_controller(fleet: &Fleet, agent: &str, places: &mut Places) {
    let wish = fleet.home().join("wish.yaml");
    fs::write(&wish, format!("server:\n  api_key: {FOREIGN_KEY}\n")).unwrap();
    fs::write(fleet.home().join("wrong"), "not the password").unwrap();
    let commands: [&[&str]; 13] = [
        &["agents"],
        &["agents", "show", agent],
        &["agents", "show", agent, "--output", "json"],
        &["join-tokens", "list", "--output", "json"],
        &["claims"],
        &["commands", "send", "scan", "--to", agent, "--wait"],
        &["commands", "list", "--output", "json"],
        &["agent-config", "get", agent],
        &["files", "list", "--agent", agent],
        &["login", "-v", "--server", &fleet.url, "--password-file", "wrong"],
        &["config", "show"],
        &["store", "backups", "--data-dir", "controller"],
        &["doctor", "--data-dir", "controller", "--bundle", "bundle.tar.gz"],
    ];
    for command in commands {
        places.output(&fleet.client(command).unwrap());
    }
    fs::remove_file(wish).unwrap();
}

#[test]
fn no_secret_is_anywhere_but_where_it_belongs() {
    let fleet = Fleet::start_set(&[
        LEVEL,
        "logging.file=controller.log",
        "logging.max_size=64KB",
        "logging.max_backups=50",
    ])
    .unwrap();
    let login = fleet.home().join(".local/state/fleet-controller/login.json");
    let mut places = Places::new();
    let first_session = field(&login, "token");
    let tap = WireTap::start(fleet.address().parse().unwrap()).unwrap();
    let tapped = format!("http://{}", tap.address());
    let args = ["login", "--server", &tapped, "--password-file", "password"];
    places.output(&fleet.client(&args).unwrap().success().unwrap());

    let receiver = OtlpReceiver::start_with(OtlpOptions {
        tls: None,
        headers: vec![("authorization".to_owned(), format!("Bearer {OTLP_TOKEN}"))],
    })
    .unwrap();
    let more = format!(
        "health:\n  enabled: true\n  port: 0\ntelemetry:\n  otlp:\n    endpoint: {}\n    interval: 1s\n    headers:\n      authorization: Bearer ${{OTLP_TOKEN}}\n",
        receiver.url()
    );
    // One goes through a proxy with a password and enrols by a token, the other is claimed.
    let proxied = format!("{}\n  proxy: ${{A_PROXY}}", fleet.url);
    let join_token = fleet.join_token().unwrap();
    let by_token = Scanner::with_token(&fleet, "by-token", &join_token, &proxied, &more).unwrap();
    let mut claimed = Scanner::with_token(&fleet, "claimed", "", &tapped, &more).unwrap();
    claimed.forget_token();
    let mut daemons = Vec::new();
    for (scanner, format) in [(&by_token, "text"), (&claimed, "json")] {
        fs::write(scanner.tree().join("file"), "x").unwrap();
        daemons.push(start(scanner, &tap, format));
    }
    let claim_file = claimed.home().join("state/claim.json");
    let claim_token = eventually("a claim token", || {
        Ok(claim_file.exists().then(|| field(&claim_file, "token")))
    })
    .unwrap();
    let code = daemons[1]
        .wait_for("a code", |line| {
            let line: Value = serde_json::from_str(line).ok()?;
            Some(line["code"].as_str()?.to_owned())
        })
        .unwrap();
    places.output(&fleet.client(&["claim", &code]).unwrap().success().unwrap());

    for (scanner, agent) in [(&by_token, "by-token"), (&claimed, "claimed")] {
        eventually("its file", || {
            Ok(fleet.paths(agent).is_ok_and(|paths| paths.len() == 1).then_some(()))
        })
        .unwrap();
        commands_of_controller(&fleet, agent, &mut places);
        commands_of_agent(scanner, &tap, &mut places);
        let rotated = scanner.home().join("log/scanner.log.1.gz");
        eventually("a rotated log", || Ok(rotated.exists().then_some(()))).unwrap();
    }
    // A key that the controller does not take, in all that is said about it.
    let foreign = Scanner::with_token(&fleet, "foreign", "", &tapped, "").unwrap();
    let refused = foreign.program(&["run", "--once", "--set", LEVEL]).unwrap();
    places.output(
        &refused
            .env("SCANNER_API_KEY", FOREIGN_KEY)
            .run()
            .unwrap()
            .assert_code(5),
    );
    for daemon in &daemons {
        let health = health(daemon);
        for path in ["/health", "/health/ready", "/metrics"] {
            places.add(format!("answer {path}"), http_get(health, path).unwrap().body);
        }
    }
    for path in ["/health", "/metrics", "/claim"] {
        let answer = http_get(fleet.address().parse().unwrap(), path).unwrap();
        places.add(format!("controller's answer {path}"), answer.body);
    }
    receiver
        .wait_for("lines of the log", |received| !received.lines.is_empty())
        .unwrap();
    let said: Vec<Said> = daemons.iter().chain(fleet.daemon()).map(Said::of).collect();
    for daemon in daemons {
        assert!(daemon.stop().unwrap().success());
    }
    places.add("what the receiver of OTLP got", format!("{:?}", receiver.received()));
    for (said, name) in said.into_iter().zip(["by-token", "claimed", "controller"]) {
        said.into(name, &mut places);
    }

    let key = |scanner: &Scanner| field(scanner.home().join("state/credentials.json"), "api_key");
    let secrets = [
        Secret {
            name: "admin password",
            value: fs::read_to_string(fleet.home().join("password")).unwrap(),
            allowed: &["controller stdout", "/password", "POST /api/v1/auth/login body"],
        },
        Secret {
            name: "first session",
            value: first_session,
            allowed: &[],
        },
        Secret {
            name: "session",
            value: field(&login, "token"),
            allowed: &["login.json", " authorization", "POST /api/v1/auth/login answer body"],
        },
        Secret {
            name: "join token",
            value: join_token,
            allowed: &[
                "POST /api/v1/agents/enroll body",
                "POST /api/v1/join-tokens answer body",
            ],
        },
        Secret {
            name: "key of the enrolled",
            value: key(&by_token),
            allowed: &[
                "by-token/state/credentials.json",
                " x-api-key",
                "POST /api/v1/agents/enroll answer body",
            ],
        },
        Secret {
            name: "key of the claimed",
            value: key(&claimed),
            allowed: &[
                "claimed/state/credentials.json",
                " x-api-key",
                "GET /api/v1/claims/ID answer body",
            ],
        },
        Secret {
            name: "claim token",
            value: claim_token,
            allowed: &["GET /api/v1/claims/ID x-claim-token"],
        },
        Secret {
            name: "foreign key",
            value: FOREIGN_KEY.to_owned(),
            allowed: &[" x-api-key"],
        },
        Secret {
            name: "proxy password",
            value: PROXY_PASSWORD.to_owned(),
            allowed: &[],
        },
        Secret {
            name: "proxy password, encoded",
            value: STANDARD.encode(format!("someone:{PROXY_PASSWORD}")),
            allowed: &[" proxy-authorization"],
        },
        Secret {
            name: "token of OTLP",
            value: OTLP_TOKEN.to_owned(),
            allowed: &[],
        },
        Secret {
            name: "unrelated variable",
            value: UNRELATED.to_owned(),
            allowed: &[],
        },
    ];
    places.wire(tap.parts().unwrap());

    // The look finds what is planted: in a file, in a packed one, in an output, in a URL and in a body.
    let planted = &secrets[4].value;
    fs::write(fleet.home().join("planted"), format!("x{planted}x")).unwrap();
    let packed = File::create(fleet.home().join("planted.log.1.gz")).unwrap();
    let mut packed = GzEncoder::new(packed, Compression::default());
    packed.write_all(planted.as_bytes()).unwrap();
    packed.finish().unwrap();
    http::post(
        tap.address(),
        &format!("/planted?key={planted}"),
        None,
        &json!({"key": planted}),
    )
    .unwrap();
    let parts = tap.parts().unwrap();
    let parts = parts.into_iter().filter(|part| part.route == "POST /planted").collect();
    places.wire(parts);
    places.add("planted output", format!("api_key: {planted}"));
    places.files(fleet.home());
    let name = secrets[4].name;
    let home = fleet.home().display();
    let expected = [
        format!("{name} in {home}/planted"),
        format!("{name} in {home}/planted.log.1.gz"),
        format!("{name} in planted output"),
        format!("{name} in wire POST /planted line"),
        format!("{name} in wire POST /planted body"),
    ];
    assert_eq!(
        places.leaks(&secrets),
        expected.into_iter().collect(),
        "and nothing besides"
    );

    // What was looked through is what it should be: each secret was used, and everything was logged.
    for (place, secret) in [
        ("POST /api/v1/auth/login body", 0),
        (" authorization", 2),
        ("POST /api/v1/agents/enroll body", 3),
        ("POST /api/v1/ingest x-api-key", 4),
        ("GET /ws/agent x-api-key", 5),
        ("GET /api/v1/claims/ID x-claim-token", 6),
        (" x-api-key", 7),
        (" proxy-authorization", 9),
    ] {
        assert!(
            places.holds(place, &secrets[secret].value),
            "no {} in{place}",
            secrets[secret].name
        );
    }
    for (place, text) in [
        ("by-token stderr", " TRACE "),
        ("claimed stderr", r#""level":"trace""#),
        ("controller stderr", " TRACE "),
        ("frames up", "HELLO"),
        ("by-token/log/scanner.log.1.gz", " TRACE "),
    ] {
        assert!(places.holds(place, text), "no {text} in {place}");
    }
    for file in [
        &login,
        &by_token.home().join("state/credentials.json"),
        &claimed.home().join("state/credentials.json"),
    ] {
        assert_eq!(
            fs::metadata(file).unwrap().permissions().mode() & 0o777,
            0o600,
            "{}",
            file.display()
        );
    }
    assert!(!claim_file.exists(), "a token that is not needed any more is gone");
}

#[test]
fn the_private_key_of_a_controller_is_in_its_file_alone() {
    let authority = CertificateAuthority::new().unwrap();
    let certified = authority.server(&["127.0.0.1", "localhost"], Validity::Now).unwrap();
    let settings = [LEVEL, "logging.format=json", "logging.file=controller.log"];
    let fleet = Fleet::start_tls_with(&certified.certificate, &certified.key, authority.file(), &settings).unwrap();
    let ca = format!("server.ca_file={}", authority.file().display());
    let scanner = Scanner::new(&fleet, "private", "").unwrap();
    fs::write(scanner.tree().join("a"), "a").unwrap();
    let mut places = Places::new();
    let round = ["run", "--once", "--set", &ca, "--set", LEVEL];
    places.output(&scanner.command(&round).unwrap().assert_code(0));
    places.output(
        &scanner
            .command(&["doctor", "--set", &ca, "--bundle", "bundle.tar.gz"])
            .unwrap(),
    );
    let bundle = ["doctor", "--data-dir", "controller", "--bundle", "bundle.tar.gz"];
    let key = format!("tls.key={}", certified.key.display());
    let certificate = format!("tls.certificate={}", certified.certificate.display());
    let set = ["--set", &key, "--set", &certificate];
    places.output(&fleet.client(&[&bundle[..], &set].concat()).unwrap());
    places.output(&fleet.client(&[&["config", "show"][..], &set].concat()).unwrap());
    Said::of(fleet.daemon().unwrap()).into("controller", &mut places);
    // Any line of the key is enough to know it by.
    let pem = fs::read_to_string(&certified.key).unwrap();
    let line = pem
        .lines()
        .find(|line| line.len() == 64 && !line.starts_with('-'))
        .unwrap();
    let secrets = [Secret {
        name: "private key",
        value: line.to_owned(),
        allowed: &[],
    }];
    fs::write(fleet.home().join("planted"), &pem).unwrap();
    places.files(fleet.home());
    let planted = format!("private key in {}", fleet.home().join("planted").display());
    assert_eq!(places.leaks(&secrets), BTreeSet::from([planted]), "and nothing besides");
    assert!(
        places.holds("controller.log", r#""level":"trace""#),
        "everything was logged"
    );
}
