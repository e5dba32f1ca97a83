//! clamd: whether it is there, how it takes files, whether it detects, and whether it looks at them whole.
mod load;
mod proof;

use super::{reach, rights::Rights};
use crate::{
    keeper::{ClamdState, Keeper, KeeperSettings},
    settings::ReefConfig,
};
use clamd_proto::{Daemon, Endpoint, Timeouts};
use core_model::chain;
use daemon_kit::doctor::{Finding, Report};
use std::{net::IpAddr, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

const CHECK: &str = "clamd";

/// What clamd answers at once.
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(5),
    answer: Duration::from_secs(10),
    stats: Duration::from_secs(10),
    tree: Duration::from_secs(10),
};

/// What waits for one of its threads: the test files, of which a long one takes some seconds.
const PATIENCE: Duration = Duration::from_secs(90);

/// Looks at clamd, and gives what is known of it then; `None` where it cannot be asked.
pub(super) async fn examine(report: &mut Report, config: &ReefConfig, rights: Rights) -> Option<ClamdState> {
    let endpoint: Endpoint = config.clamd.endpoint.parse().ok()?;
    let daemon = Daemon::new(endpoint.clone()).timeouts(TIMEOUTS);
    if let Err(error) = daemon.ping().await {
        report.add(reach::failure(CHECK, &endpoint, &error, rights));
        return None;
    }
    let version = match daemon.version().await {
        Ok(version) => version,
        Err(error) => {
            let remedy = "set `EnableVersionCommand yes` in clamd.conf (clamd 1.5 and later have it): what clamd judges \
                          by has to be known";
            report.add(Finding::failure(CHECK, chain(&error), remedy));
            return None;
        }
    };
    report.add(if is_outdated(&version.engine) {
        let found = format!("{version} answers at {endpoint}; ClamAV supports none before 1.0 any more");
        Finding::warning(CHECK, found, "install ClamAV 1.4 or later")
    } else {
        Finding::ok(CHECK, format!("{version} answers at {endpoint}"))
    });
    report.add(transport(&endpoint, config));
    // Before anything is scanned for this look.
    let stats = daemon.stats().await;
    report.add(load::load(stats.as_ref(), config));
    if let Some(finding) = stats.ok().and_then(|stats| load::memory(&endpoint, &stats)) {
        report.add(finding);
    }
    let state = keep(config).await?;
    report.add(proof::canary(&state, config));
    report.add(proof::limits(&state, &endpoint, config));
    Some(state)
}

/// Has a keeper look at clamd, as that of a running agent does.
async fn keep(config: &ReefConfig) -> Option<ClamdState> {
    let settings = KeeperSettings::new(&config.clamd, &config.canary).ok()?;
    // What it reads its settings from has to live as long as it does.
    let (_settings, live) = watch::channel(settings);
    let (keeper, handle) = Keeper::new(live);
    let stop = CancellationToken::new();
    let look = async {
        let until = Instant::now() + PATIENCE;
        // What does not come in time is not known, and said not to be.
        timeout_at(until, handle.canary()).await.ok();
        let mut state = handle.state();
        let soon = until.min(Instant::now() + TIMEOUTS.answer);
        timeout_at(soon, state.wait_for(|state| state.version.is_some()))
            .await
            .ok();
        stop.cancel();
        handle.state().borrow().clone()
    };
    Some(tokio::join!(keeper.run(stop.clone()), look).1)
}

fn is_outdated(engine: &str) -> bool {
    engine.split('.').next() == Some("0")
}

fn transport(endpoint: &Endpoint, config: &ReefConfig) -> Finding {
    const CHECK: &str = "clamd transport";
    let Endpoint::Tcp { host, .. } = endpoint else {
        return Finding::ok(
            CHECK,
            "open files are passed by its Unix socket: it needs no right to read them",
        );
    };
    let mut found = if is_this_machine(host) {
        "TCP asks nobody who he is: every user of this machine may have clamd scan, or end it".to_owned()
    } else {
        "TCP is neither encrypted nor authenticated: the contents of files travel readable, and whoever reaches the port \
         may end clamd, or answer in its place that all is clean"
            .to_owned()
    };
    let (stream, most) = (config.clamd.stream_max_length, config.clamd.max_file_size);
    if stream < most {
        found.push_str(&format!(
            "\nfiles over {stream} (`clamd.stream_max_length`) are not judged, though `clamd.max_file_size` is {most}"
        ));
    }
    let remedy = if is_this_machine(host) {
        "use clamd's Unix socket (LocalSocket in clamd.conf)"
    } else {
        "run clamd on this machine and use its Unix socket, or lead the connection through a tunnel such as WireGuard and \
         let a firewall keep everybody else from the port"
    };
    Finding::warning(CHECK, found, remedy)
}

fn is_this_machine(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::ClamdSettings;
    use core_model::ByteSize;
    use daemon_kit::doctor::Verdict;

    pub(super) fn config_of(clamd: ClamdSettings) -> ReefConfig {
        ReefConfig {
            clamd,
            ..ReefConfig::default()
        }
    }

    #[test]
    fn tcp_is_warned_of_and_more_so_to_another_machine() {
        let config = config_of(ClamdSettings {
            stream_max_length: ByteSize::new(25 << 20),
            ..ClamdSettings::default()
        });
        let of = |endpoint: &str| transport(&endpoint.parse().unwrap(), &config);
        assert_eq!(of("unix:/run/clamd").verdict, Verdict::Ok);
        let near = of("tcp:[::1]:3310");
        assert!(
            near.verdict == Verdict::Warning && !near.found.contains("encrypted"),
            "{near:?}"
        );
        let far = of("tcp:10.0.0.1:3310");
        assert!(far.found.contains("neither encrypted nor authenticated"), "{far:?}");
        assert!(far.found.contains("over 25MB"), "{far:?}");
    }

    #[test]
    fn an_engine_that_is_no_longer_supported_is_known() {
        assert!(is_outdated("0.103.8") && !is_outdated("1.4.6"));
    }
}
