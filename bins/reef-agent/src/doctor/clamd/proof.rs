//! Proof that clamd detects, and up to which length of a file.
use super::PATIENCE;
use crate::{
    keeper::{CanaryOutcome, ClamdState, Looked},
    settings::ReefConfig,
};
use clamd_proto::Endpoint;
use core_model::ByteSize;
use daemon_kit::doctor::Finding;

/// Whether it found the test file.
pub(super) fn canary(state: &ClamdState, config: &ReefConfig) -> Finding {
    const CHECK: &str = "clamd detects";
    if !config.canary.enabled {
        let why = "not tried (`canary.enabled`): that clamd answers does not mean that it detects";
        return Finding::skipped(CHECK, why);
    }
    match state.canary.as_ref().map(|canary| &canary.outcome) {
        Some(CanaryOutcome::Found) => Finding::ok(CHECK, "it finds the harmless test file (EICAR), however it is sent"),
        Some(CanaryOutcome::Missed { by }) => Finding::failure(
            CHECK,
            format!("it calls the test file (EICAR), sent as {by}, clean: so it may call everything"),
            "have `freshclam` bring its signatures anew and start clamd anew; its log says which it has loaded, and \
             `ScanPE`, `ScanArchive` and the like in clamd.conf what it leaves out",
        ),
        Some(CanaryOutcome::NoVerdict { why }) => Finding::failure(
            CHECK,
            format!("it gave no verdict on the test file: {why}"),
            "look into its log; its TemporaryDirectory may be full or closed to it",
        ),
        None => Finding::failure(
            CHECK,
            format!("it gave no verdict on the test file within {} s", PATIENCE.as_secs()),
            "it is overloaded, or at work on something long: see `clamdtop`, and raise MaxThreads in clamd.conf",
        ),
    }
}

/// Whether it looks at files as long as it is said to.
pub(super) fn limits(state: &ClamdState, endpoint: &Endpoint, config: &ReefConfig) -> Finding {
    const CHECK: &str = "clamd limits";
    let most = config.clamd.max_file_size;
    match state.looked {
        Some(Looked::Whole) => Finding::ok(CHECK, format!("it looks at files of {most} (`clamd.max_file_size`)")),
        Some(Looked::Announced) => Finding::ok(
            CHECK,
            format!(
                "it looks at less than {most} (`clamd.max_file_size`), and says so (AlertExceedsMax): such files are over \
                 the limit, and none is called clean"
            ),
        ),
        Some(Looked::Unproved { at }) => Finding::ok(
            CHECK,
            format!(
                "it looks at files of {}; up to {most} (`clamd.max_file_size`) cannot be tried: compare MaxFileSize in its \
                 clamd.conf",
                ByteSize::new(at).human()
            ),
        ),
        Some(Looked::Less { at, .. }) => Finding::failure(
            CHECK,
            format!(
                "it looks at files of up to about {} only, and calls longer ones clean unread, of up to {most} \
                 (`clamd.max_file_size`)",
                ByteSize::new(at).human()
            ),
            format!(
                "write `clamd.max_file_size = \"{}\"`, or raise MaxFileSize and MaxScanSize in clamd.conf to {most}",
                safe(at)
            ),
        ),
        None if !endpoint.passes_descriptors() => Finding::skipped(
            CHECK,
            "how long files it looks at is not tried by TCP: compare MaxFileSize in its clamd.conf",
        ),
        None if !config.canary.enabled || !config.canary.limits => {
            Finding::skipped(CHECK, "not tried (`canary.limits`)")
        }
        None => Finding::skipped(
            CHECK,
            "how long files it looks at could not be tried: compare MaxFileSize in clamd.conf with `clamd.max_file_size`",
        ),
    }
}

/// A round size that is not above `at`.
fn safe(at: u64) -> ByteSize {
    const MIB: u64 = 1 << 20;
    ByteSize::new(if at < MIB { at } else { at / MIB * MIB })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_named_that_clamd_keeps() {
        assert_eq!(safe((50 << 20) - 1).to_string(), "49MB");
        assert_eq!(safe(50 << 20).to_string(), "50MB");
        assert_eq!(safe(4096).bytes(), 4096);
    }
}
