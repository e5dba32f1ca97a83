//! `reef-agent doctor`: what is wrong with this set-up, and the remedy of each. It takes no lock, so that an agent may run
//! meanwhile, and leaves nothing behind; clamd is asked as a running agent asks it.
mod clamd;
mod mounts;
mod processes;
mod quarantine;
mod reach;
mod rights;
mod rules;
mod signatures;
mod survey;
mod watch;

use crate::{cli::Common, membership::PRODUCT, settings::ReefConfig};
use daemon_kit::{
    Exit,
    cli::{Checkup, DoctorArgs},
    doctor::Finding,
};
use fleet_link::agent::doctor;
use rights::Rights;
use std::{fs, path::Path};

pub(crate) fn run(common: &Common, args: &DoctorArgs) -> anyhow::Result<Exit> {
    let mut checkup = common.check_up::<ReefConfig>();
    if let Some(config) = checkup.settings().cloned() {
        work(&mut checkup, &config)?;
        let given_up = "detections stay written down here (`reef-agent detections`)";
        doctor::examine(&mut checkup, &PRODUCT, given_up)?;
    }
    let version = concat!("reef-agent ", env!("CARGO_PKG_VERSION"));
    checkup.finish(args, version, common.output.into())
}

/// What the agent's own work needs.
fn work(checkup: &mut Checkup<ReefConfig>, config: &ReefConfig) -> anyhow::Result<()> {
    let rights = Rights::of_this_process();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let state = runtime.block_on(clamd::examine(&mut checkup.report, config, rights));
    signatures::examine(&mut checkup.report, config, state.as_ref());
    rules::examine(&mut checkup.report, config, rights);
    watch::examine(&mut checkup.report, config);
    if let Some(path) = checkup.path("quarantine.path", config.quarantine.path.as_deref(), "quarantine") {
        quarantine::examine(&mut checkup.report, config, &path, rights);
    }
    checkup.report.add(pressure(Path::new("/proc/pressure")));
    Ok(())
}

/// Whether the kernel tells how scarce memory, storage and processors are.
fn pressure(directory: &Path) -> Finding {
    const CHECK: &str = "pressure";
    let silent: Vec<&str> = ["cpu", "io", "memory"]
        .into_iter()
        .filter(|name| fs::read_to_string(directory.join(name)).is_err())
        .collect();
    if silent.is_empty() {
        return Finding::ok(CHECK, "the kernel tells how scarce processors, storage and memory are");
    }
    let found = format!(
        "the kernel does not tell ({}/{}): scans give way by clamd's answers alone, not by `throttle.max_*_pressure`",
        directory.display(),
        silent.join(", ")
    );
    let remedy = "boot with `psi=1` on the kernel's command line (Linux 4.20 or later; Red Hat has it switched off)";
    Finding::warning(CHECK, found, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use daemon_kit::doctor::Verdict;

    #[test]
    fn a_kernel_that_tells_no_pressure_is_told() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["cpu", "memory"] {
            fs::write(directory.path().join(name), "some avg10=0.00\n").unwrap();
        }
        let found = pressure(directory.path());
        assert_eq!(found.verdict, Verdict::Warning);
        assert!(found.found.contains("/io)"), "{found:?}");
        fs::write(directory.path().join("io"), "").unwrap();
        assert_eq!(pressure(directory.path()).verdict, Verdict::Ok);
    }
}
