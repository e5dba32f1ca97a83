//! Programs that run, stay and are ended. The system's shell is the program.
#![cfg(unix)]
use std::time::Duration;
use testkit::Program;

fn shell(script: &str) -> Program {
    Program::at("sh").args(["-c", script])
}

#[test]
fn output_and_exit_code_are_kept_apart() {
    let output = shell("echo '{\"a\":1}'; echo '{\"a\":2}'; echo trouble >&2; exit 5")
        .run()
        .unwrap()
        .assert_code(5);
    let lines = output.json_lines().unwrap();
    assert_eq!((lines[0]["a"].as_u64(), lines[1]["a"].as_u64()), (Some(1), Some(2)));
    assert_eq!(output.stderr(), "trouble\n");
    let error = output.success().unwrap_err().to_string();
    assert!(error.contains("trouble") && error.contains("[0]"), "{error}");
}

#[test]
fn a_program_sees_a_home_of_its_own_and_none_of_our_environment() {
    let folder = tempfile::tempdir().unwrap();
    let output = shell("echo $HOME; pwd; echo ${CARGO_MANIFEST_DIR-unset}; echo $GREETING; cat")
        .home(folder.path())
        .env("GREETING", "hello")
        .input("from outside\n")
        .run()
        .unwrap();
    let home = folder.path().to_str().unwrap();
    assert_eq!(output.stdout(), format!("{home}\n{home}\nunset\nhello\nfrom outside\n"));
}

#[test]
fn a_program_that_never_ends_is_killed() {
    let error = shell("exec tail -f /dev/null")
        .guard(Duration::from_millis(1))
        .run()
        .unwrap_err()
        .to_string();
    assert!(error.contains("was killed"), "{error}");
}

#[test]
fn a_daemon_is_waited_for_and_killed() {
    let daemon = shell("mkfifo p; echo starting >&2; echo ready on 7; read line <>p")
        .start()
        .unwrap();
    let port = daemon
        .wait_for("a port", |line| line.strip_prefix("ready on ")?.parse::<u16>().ok())
        .unwrap();
    assert_eq!(port, 7);
    daemon.wait_for_text("starting").unwrap();
    assert_eq!(std::fs::read_to_string(daemon.stdout_file()).unwrap(), "ready on 7\n");
    daemon.kill_hard().unwrap();
}

#[test]
fn a_daemon_tells_its_exit_code_after_a_term() {
    // `read` from a pipe that nobody writes to blocks without another process to leave behind.
    let daemon = shell("mkfifo p; trap 'exit 3' TERM; echo ready; read line <>p")
        .start()
        .unwrap();
    daemon.wait_for_text("ready").unwrap();
    assert_eq!(daemon.stop().unwrap().code(), Some(3));
}

#[test]
fn waiting_for_a_daemon_that_ends_is_an_error_that_shows_its_lines() {
    let daemon = shell("echo no such configuration >&2; exit 3").start().unwrap();
    let error = daemon.wait_for_text("listening").unwrap_err().to_string();
    assert!(
        error.contains("ended before") && error.contains("no such configuration"),
        "{error}"
    );
    assert_eq!(daemon.wait().unwrap().code(), Some(3));
}
