//! The credential file: who may read it, whose it is, and what a crash leaves.
use core_model::{AgentId, Secret};
use fleet_link::{CredentialError, CredentialFile, Credentials, Introduction};
use std::fs;

const SERVER: &str = "https://fleet.example.com";

fn credentials(key: &str) -> Credentials {
    Credentials {
        agent_id: AgentId::new(crate::rig::noon(), [3; 10]),
        name: "web-1-scanner".to_owned(),
        api_key: Some(Secret::new(key)),
        server: SERVER.to_owned(),
        enrolled_at: crate::rig::noon(),
        machine: None,
    }
}

#[test]
fn what_is_stored_is_loaded_and_only_a_newer_one_replaces_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = CredentialFile::in_dir(&dir.path().join("new/data"));
    assert_eq!(file.load(SERVER).unwrap(), None);
    file.store(&credentials("first")).unwrap();
    assert_eq!(file.load(SERVER).unwrap(), Some(credentials("first")));
    // A crash while the next one was written leaves this behind.
    fs::write(file.path().with_extension("json.tmp"), "{").unwrap();
    assert_eq!(file.load(SERVER).unwrap().unwrap().api_key.unwrap().reveal(), "first");
    file.store(&credentials("second")).unwrap();
    assert_eq!(file.load(SERVER).unwrap().unwrap().api_key.unwrap().reveal(), "second");
    assert_eq!(
        fs::read_dir(dir.path().join("new/data")).unwrap().count(),
        1,
        "nothing is left behind"
    );
}

#[test]
fn a_key_belongs_to_one_server() {
    let dir = tempfile::tempdir().unwrap();
    let file = CredentialFile::in_dir(dir.path());
    file.store(&credentials("k")).unwrap();
    for same in [
        "https://fleet.example.com/",
        "https://fleet.example.com:443",
        "https://FLEET.example.com/base",
    ] {
        assert!(file.load(same).unwrap().is_some(), "{same}");
    }
    for other in [
        "http://fleet.example.com",
        "https://fleet.example.com:8443",
        "https://evil.example.com",
    ] {
        let error = file.load(other).unwrap_err();
        assert!(matches!(error, CredentialError::OtherServer { .. }), "{other}: {error}");
        assert!(error.to_string().contains("set `server.base_url` back"), "{error}");
    }
    assert!(matches!(file.load("fleet"), Err(CredentialError::Server(_))));
}

#[test]
fn a_key_goes_on_when_its_server_begins_to_speak_tls() {
    let dir = tempfile::tempdir().unwrap();
    let file = CredentialFile::in_dir(dir.path());
    let plain = Credentials {
        server: "http://fleet.example.com:7600".to_owned(),
        ..credentials("k")
    };
    file.store(&plain).unwrap();
    let found = file.load("https://fleet.example.com").unwrap().unwrap();
    assert_eq!(found.server, "https://fleet.example.com", "and from here on it is that");
    assert!(file.load("https://fleet.example.com:8443").unwrap().is_some());
    for other in ["https://fleet.example.org", "http://fleet.example.com:7601"] {
        assert!(file.load(other).is_err(), "{other}");
    }
}

#[cfg(unix)]
#[test]
fn the_file_is_the_owner_s_alone_and_refused_otherwise() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let file = CredentialFile::in_dir(&dir.path().join("data"));
    file.store(&credentials("hunter2")).unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(file.path()), mode(&dir.path().join("data"))), (0o600, 0o700));
    for open in [0o640, 0o604, 0o660] {
        fs::set_permissions(file.path(), fs::Permissions::from_mode(open)).unwrap();
        let error = file.load(SERVER).unwrap_err();
        let CredentialError::Exposed { mode, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(*mode, open);
        let text = error.to_string();
        assert!(
            text.contains("chmod 0600") && text.contains("revoke") && !text.contains("hunter2"),
            "{text}"
        );
    }
}

#[test]
fn a_file_of_something_else_is_told_from_none() {
    let dir = tempfile::tempdir().unwrap();
    let file = CredentialFile::in_dir(dir.path());
    file.store(&credentials("k")).unwrap();
    let permissions = fs::metadata(file.path()).unwrap().permissions();
    fs::write(file.path(), "{\"agent_id\":").unwrap();
    fs::set_permissions(file.path(), permissions).unwrap();
    assert!(matches!(file.load(SERVER), Err(CredentialError::Content { .. })));
}

#[test]
fn the_key_is_not_in_what_is_printed() {
    assert!(!format!("{:?}", credentials("hunter2")).contains("hunter2"));
}

#[test]
fn a_copy_of_an_enrolled_host_asks_for_a_name_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let file = CredentialFile::in_dir(dir.path());
    let introduction = Introduction {
        name: "web-1".to_owned(),
        machine: Some("0123456789".to_owned()),
        ..Introduction::default()
    };
    let of = |machine: &str| Credentials {
        name: "web-1".to_owned(),
        machine: Some(machine.to_owned()),
        ..credentials("k")
    };
    assert!(of("m1").is_of_another_machine(Some("m2")));
    assert!(!of("m1").is_of_another_machine(Some("m1")) && !of("m1").is_of_another_machine(None));
    assert_eq!(
        introduction.clone().apart_from_original(&file).name,
        "web-1",
        "nothing was set aside"
    );

    file.store(&of("m1")).unwrap();
    let aside = file.set_aside().unwrap();
    assert!(file.load(SERVER).unwrap().is_none() && aside.exists());
    assert_eq!(introduction.clone().apart_from_original(&file).name, "web-1-012345");
    let other = Introduction {
        name: "web-2".to_owned(),
        ..introduction
    };
    assert_eq!(
        other.apart_from_original(&file).name,
        "web-2",
        "it has another name anyway"
    );
}
