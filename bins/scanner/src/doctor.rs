//! `scanner doctor`: what is wrong with this set-up, and the remedy of each.
use crate::{agent::PRODUCT, cli::Common, request, settings::ScannerConfig};
use daemon_kit::{
    Exit,
    cli::{Checkup, DoctorArgs},
    doctor::Finding,
};
use fleet_link::agent::doctor;
use std::fs;

pub(crate) fn run(common: &Common, args: &DoctorArgs) -> anyhow::Result<Exit> {
    let mut checkup = common.check_up::<ScannerConfig>();
    if let Some(config) = checkup.settings().cloned() {
        scan_paths(&mut checkup, &config);
        doctor::examine(&mut checkup, &PRODUCT, "the server is told everything anew")?;
    }
    let version = concat!("scanner ", env!("CARGO_PKG_VERSION"));
    checkup.finish(args, version, common.output.into())
}

/// Every path that is to be scanned: there, a directory, and readable by this user.
fn scan_paths(checkup: &mut Checkup<ScannerConfig>, config: &ScannerConfig) {
    const CHECK: &str = "scan path";
    if config.scanner.scan_paths.is_empty() {
        let remedy = "name at least one directory in `scanner.scan_paths`";
        return checkup
            .report
            .add(Finding::failure(CHECK, "none is configured", remedy));
    }
    for path in &config.scanner.scan_paths {
        let Ok(path) = request::absolute(&path.path) else {
            continue;
        };
        let shown = path.display();
        let finding = match fs::read_dir(&path) {
            Ok(_) => Finding::ok(CHECK, format!("{shown} can be read")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Finding::failure(
                CHECK,
                format!("{shown} is not there"),
                "mount it, or take it out of `scanner.scan_paths`; nothing of it is told as deleted meanwhile",
            ),
            Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => Finding::failure(
                CHECK,
                format!("{shown} is no directory"),
                "name the directory that it lies in, in `scanner.scan_paths`",
            ),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Finding::failure(
                CHECK,
                format!("{shown}: {error}"),
                "let the user of the agent read it, or give the agent CAP_DAC_READ_SEARCH (systemd: \
                 AmbientCapabilities=)",
            ),
            Err(error) => Finding::failure(
                CHECK,
                format!("{shown}: {error}"),
                "see that its file system is mounted and well (`dmesg`)",
            ),
        };
        checkup.report.add(finding);
    }
}
